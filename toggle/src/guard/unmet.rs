//! One failing condition: what is so, and the command that changes it.

use std::{fmt, time::Duration};

use crossfade_phase::{Phase, Side};

use crate::{Snapshot, moves::Named};

/// A condition of a guard that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unmet {
    /// The toggle is not in the phase that the move leaves.
    Elsewhere(Snapshot),
    /// Transactions of an older epoch still run (trap 36).
    NotEffective(Snapshot),
    /// The new store was not asked or does not answer.
    NewStoreSilent(Option<String>),
    /// The old store was not asked or does not answer.
    OldStoreSilent(Option<String>),
    /// The preflight did not run to its end.
    NoPreflight,
    /// Preflight findings stand in the way; their number.
    BlockingFindings(u64),
    /// The journal could not be read.
    JournalUnread,
    /// Another proxy of the migration, by name, has not been heard of: what its journal holds is not known.
    SilentProxy(String),
    /// Keys whose row in the secondary may differ; their number.
    DirtyKeys(u64),
    /// Keys that are stale in either store: no repair is without loss; their number.
    StaleInBoth(u64),
    /// Keys whose newer row may be in the old store, which is about to be left for good; their number.
    NewerInOld(u64),
    /// Keys whose newer row is in the store that is about to be written no more.
    NewerBeside {
        /// That store.
        side: Side,
        /// How many.
        count: u64,
    },
    /// Intents that no running transaction will close; their number.
    UnresolvedIntents(u64),
    /// Nothing is known of the toggle's tables.
    NoTables,
    /// Something may have been written around the new store since the table was last verified (trap 38).
    NewBypassed(String),
    /// Something may have been written around the old store since the table was last verified in reverse (trap 38).
    OldBypassed(String),
    /// The reads of phase 4 were not compared.
    NotCompared,
    /// Reads differed within the window.
    Mismatches {
        /// How many.
        count: u64,
        /// Within this time.
        window: Duration,
    },
    /// Phase 4 has not been effective for as long as the window is.
    WatchedTooShort {
        /// How long it has been.
        watched: Duration,
        /// How long it must be.
        window: Duration,
    },
    /// Nobody checked whether the sequences of the coming primary can be moved (trap 33).
    SequencesUnchecked,
    /// This sequence of the coming primary cannot be moved past the present one's (trap 33).
    ImmovableSequence(String),
    /// It is not known which reconciler jobs run (trap 28).
    JobsUnknown,
    /// This reconciler job copies in the direction that the move turns round (trap 28).
    JobRunning(String),
    /// The backfill has not gone over the whole table.
    NotBackfilled(String),
    /// The table was not verified since its backfill.
    NotVerified(String),
    /// The last verify of the table left differences.
    Differences {
        /// The table.
        table: String,
        /// How many.
        count: u64,
    },
    /// The old store was not verified against the new since phase 6 began.
    NotReverseVerified(String),
    /// The last reverse verify of the table left differences.
    ReverseDifferences {
        /// The table.
        table: String,
        /// How many.
        count: u64,
    },
    /// Writes of phase 8 are unknown to the old store; going back loses updates and brings deleted rows back (trap 38).
    /// Their number, if anybody counted.
    UnknownToOld(Option<u64>),
}

impl Unmet {
    /// The command that fixes the condition or, where only time does, shows how far it is.
    #[must_use]
    pub fn command(&self) -> String {
        match self {
            // Which phase brings them over, it says there.
            Unmet::NewerInOld(_)
            | Unmet::NewerBeside { .. }
            | Unmet::Elsewhere(_)
            | Unmet::NotEffective(_)
            | Unmet::JournalUnread
            | Unmet::NotCompared
            | Unmet::WatchedTooShort { .. }
            | Unmet::JobsUnknown
            | Unmet::JobRunning(_) => "crossfade status".to_owned(),
            Unmet::SilentProxy(name) => {
                format!("crossfade forget {} --because …", shell_word(name))
            }
            Unmet::NewStoreSilent(_)
            | Unmet::OldStoreSilent(_)
            | Unmet::NoPreflight
            | Unmet::BlockingFindings(_)
            | Unmet::NoTables
            | Unmet::SequencesUnchecked
            | Unmet::ImmovableSequence(_) => "crossfade check".to_owned(),
            Unmet::DirtyKeys(_) | Unmet::StaleInBoth(_) | Unmet::UnresolvedIntents(_) => {
                "crossfade repair".to_owned()
            }
            Unmet::Mismatches { .. } => "crossfade verify --repair".to_owned(),
            Unmet::NewBypassed(table) | Unmet::NotVerified(table) => {
                format!("crossfade verify --table {}", shell_word(table))
            }
            Unmet::Differences { table, .. } => {
                format!("crossfade verify --repair --table {}", shell_word(table))
            }
            Unmet::NotBackfilled(table) => {
                format!("crossfade backfill --table {}", shell_word(table))
            }
            Unmet::OldBypassed(table) => {
                let table = shell_word(table);
                format!("crossfade verify --reverse --repair --table {table}")
            }
            // Keys that were dirty when 5 was left are nobody's to repair in 6 and 7 until somebody asks for it.
            Unmet::NotReverseVerified(table) | Unmet::ReverseDifferences { table, .. } => {
                let table = shell_word(table);
                format!("crossfade repair --reverse --table {table} && crossfade verify --reverse --repair --table {table}")
            }
            // No command proves it: phase 8 does not count its writes. The operator says that there were none.
            Unmet::UnknownToOld(_) => {
                "crossfade phase TOGGLE backfill --because \"writers stopped before the reverse verify\"".to_owned()
            }
        }
    }
}

impl fmt::Display for Unmet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unmet::Elsewhere(at) => write!(f, "the toggle is in phase {}", Named(at.phase)),
            Unmet::NotEffective(at) => write!(
                f,
                "phase {} is not effective yet: older transactions still run",
                Named(at.phase)
            ),
            Unmet::NewStoreSilent(why) => silent(f, "new", why.as_deref()),
            Unmet::OldStoreSilent(why) => silent(f, "old", why.as_deref()),
            Unmet::NoPreflight => f.write_str("the preflight did not run to its end"),
            Unmet::BlockingFindings(count) => {
                write!(
                    f,
                    "{count} preflight {} phase 3",
                    plural(*count, "finding blocks", "findings block")
                )
            }
            Unmet::JournalUnread => f.write_str("the journal could not be read"),
            Unmet::SilentProxy(name) => write!(
                f,
                "proxy \"{name}\" has not been heard of, and what its journal holds is not known: start it again, or, if it is gone for good, have it forgotten"
            ),
            Unmet::DirtyKeys(count) => {
                write!(
                    f,
                    "the journal holds {count} dirty {}",
                    plural(*count, "key", "keys")
                )
            }
            Unmet::StaleInBoth(count) => write!(
                f,
                "the journal holds {count} dirty {} stale in both stores, after a move that was forced: nothing repairs them but your word that the present primary's rows count",
                plural(*count, "key that is", "keys that are")
            ),
            Unmet::NewerInOld(count) => write!(
                f,
                "the journal holds {count} dirty {} stale in the new store, after a move that was forced: the newer rows may be in the old one, and come over in dual-read (4)",
                plural(*count, "key that is", "keys that are")
            ),
            Unmet::NewerBeside { side, count } => {
                let (keys, there) = (
                    plural(*count, "key that is", "keys that are"),
                    back_to(*side),
                );
                write!(
                    f,
                    "the journal holds {count} dirty {keys} stale in the {} store: the newer rows may be in the {side} one, which this move leaves beside, and come over in {there}; \
                     until then clients miss them, and what they write to them in a phase that does not write the {side} store would be overwritten then",
                    side.other()
                )
            }
            Unmet::UnresolvedIntents(count) => write!(
                f,
                "the journal holds {count} open {} of transactions that are gone",
                plural(*count, "intent", "intents")
            ),
            Unmet::NoTables => f.write_str("nothing is known of the toggle's tables"),
            Unmet::NewBypassed(table) => write!(
                f,
                "table \"{table}\" may have been written without the new store since it was last verified"
            ),
            Unmet::OldBypassed(table) => write!(
                f,
                "table \"{table}\" may have been written without the old store since it was last verified in reverse"
            ),
            Unmet::NotCompared => f.write_str("the reads of phase 4 were not compared"),
            Unmet::Mismatches { count, window } => write!(
                f,
                "{count} {} differed within the last {} s",
                plural(*count, "read", "reads"),
                window.as_secs()
            ),
            Unmet::WatchedTooShort { watched, window } => write!(
                f,
                "phase 4 has been effective for {} s of the {} s that mismatch_window asks for",
                watched.as_secs(),
                window.as_secs()
            ),
            Unmet::SequencesUnchecked => {
                f.write_str("the sequences of the coming primary were not checked")
            }
            Unmet::ImmovableSequence(name) => {
                write!(
                    f,
                    "sequence \"{name}\" of the coming primary cannot be moved past the present one's"
                )
            }
            Unmet::JobsUnknown => f.write_str("it is not known which reconciler jobs run"),
            Unmet::JobRunning(job) => {
                write!(
                    f,
                    "job \"{job}\" still runs and copies the way that this move turns round"
                )
            }
            Unmet::NotBackfilled(table) => write!(f, "table \"{table}\" is not backfilled"),
            Unmet::NotVerified(table) => {
                write!(f, "table \"{table}\" was not verified since its backfill")
            }
            Unmet::Differences { table, count } => differences(f, table, *count, ""),
            Unmet::NotReverseVerified(table) => write!(
                f,
                "table \"{table}\" of the old store was not verified against the new since phase 6 began"
            ),
            Unmet::ReverseDifferences { table, count } => differences(f, table, *count, "reverse "),
            Unmet::UnknownToOld(count) => unknown_to_old(f, *count),
        }
    }
}

/// The phase in which the rows of the store of `side` come over to the other.
fn back_to(side: Side) -> Named {
    Named(match side {
        Side::Old => Phase::DualRead,
        Side::New => Phase::NewPrimary,
    })
}

fn silent(f: &mut fmt::Formatter<'_>, store: &str, why: Option<&str>) -> fmt::Result {
    match why {
        Some(why) => write!(f, "the {store} store does not answer: {why}"),
        None => write!(f, "the {store} store was not asked"),
    }
}

fn differences(
    f: &mut fmt::Formatter<'_>,
    table: &str,
    count: u64,
    direction: &str,
) -> fmt::Result {
    let noun = plural(count, "difference", "differences");
    write!(
        f,
        "the last {direction}verify of table \"{table}\" left {count} {noun}"
    )
}

fn unknown_to_old(f: &mut fmt::Formatter<'_>, count: Option<u64>) -> fmt::Result {
    match count {
        Some(count) => write!(f, "{count} {}", plural(count, "write", "writes"))?,
        None => f.write_str("an unknown number of writes")?,
    }
    f.write_str(
        " since the reverse verify never reached the old store: going back can lose them and bring deleted rows back \
         (stop the writers, then crossfade verify --reverse --repair, then go back with a reason)",
    )
}

fn plural<'a>(count: u64, one: &'a str, many: &'a str) -> &'a str {
    if count == 1 { one } else { many }
}

/// `text` as one word of a shell's command line: table names may hold anything.
#[must_use]
pub fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}
