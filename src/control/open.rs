//! What the other proxies have agreed on, before this one does anything.

use std::{collections::BTreeMap, path::Path, time::Duration};

use crossfade_config::{Config, JournalPlace, TableConfig};
use crossfade_journal::{Journal, TableState};
use crossfade_phase::{Phase, Side};
use crossfade_reconcile::{Direction, standing};
use crossfade_store::Control;

use super::{
    place::{Answer, Verdict, decide, decides},
    record::{Record, Stage},
    seat::{Controls, Me, Seat, Trouble, record_of},
};
use crate::failure::Failure;

/// The file in `state_dir` that holds the proxy's id.
const ID: &str = "proxy-id";
/// Looks at what another proxy, which starts at the same moment, is writing.
const LOOKS: u32 = 10;
const PAUSE: Duration = Duration::from_millis(200);
/// Time in which a proxy that lives says something, several times over.
const TWIN: Duration = Duration::from_millis(800);

/// This proxy: its id is made once, and lasts as long as its `state_dir`. Where the journal is in the primary, no disk need outlive the process, and its name is its id.
///
/// # Errors
/// When the folder cannot be written.
pub(super) fn me(config: &Config, journal: &Journal) -> Result<Me, Failure> {
    if let Some(owner) = journal.owner() {
        return Ok(Me {
            id: config.proxy.clone(),
            name: config.proxy.clone(),
            life: owner,
        });
    }
    let path = config.state_dir.join(ID);
    let id = match std::fs::read_to_string(&path) {
        Ok(id) if !id.trim().is_empty() => id.trim().to_owned(),
        Ok(_) | Err(_) => {
            let id = format!("{:016x}", random());
            keep(&path, &id).map_err(|error| {
                Failure::broken(format!(
                    "cannot write \"{}\": {error}; correct the rights of the folder",
                    path.display()
                ))
            })?;
            id
        }
    };
    Ok(Me {
        id,
        name: config.proxy.clone(),
        life: random(),
    })
}

fn keep(path: &Path, id: &str) -> std::io::Result<()> {
    std::fs::write(path, id)?;
    std::fs::File::open(path)?.sync_all()
}

/// Refuses to take the place of a proxy of the same name that lives.
///
/// # Errors
/// When there is one, or the store does not answer.
pub(super) async fn is_alone(seat: &Seat) -> Result<(), Failure> {
    let me = &seat.me;
    if !seat.record().members.contains_key(&me.id) {
        return Ok(());
    }
    let broken = |error: Trouble| {
        Failure::broken(format!(
            "toggle \"{}\" does not start: {error}",
            seat.toggle
        ))
    };
    let before = seat.last_said().await.map_err(broken)?;
    tokio::time::sleep(TWIN).await;
    if seat.last_said().await.map_err(broken)? == before {
        return Ok(());
    }
    Err(Failure::usage(format!(
        "another proxy is called \"{}\" and serves toggle \"{}\": give each a name of its own (proxy = \"…\")",
        me.name, seat.toggle
    )))
}

/// A number that no other process comes to: the keys of the standard library's hash maps are.
fn random() -> u64 {
    use std::hash::{BuildHasher as _, Hasher as _};
    // JSON's readers elsewhere know 53 bits.
    std::hash::RandomState::new().build_hasher().finish() >> 11
}

/// Where the record of a toggle is; `None` where there never was one.
///
/// # Errors
/// When what answers cannot tell.
pub(super) async fn find(
    controls: &Controls,
    toggle: &str,
    asks_new: bool,
) -> Result<Option<(Side, Record)>, Failure> {
    let broken =
        |why: String| Failure::broken(format!("toggle \"{toggle}\" does not start: {why}"));
    let mut looks = 0;
    loop {
        let old = ask(&controls.old, toggle)
            .await
            .map_err(|error| broken(error.to_string()))?;
        let new = if decides(&old) || (matches!(old, Answer::Nothing) && !asks_new) {
            Answer::NotAsked
        } else {
            ask(&controls.new, toggle)
                .await
                .map_err(|error| broken(error.to_string()))?
        };
        match decide(old, new) {
            Verdict::At(side, record) => return Ok(Some((side, *record))),
            Verdict::Never => return Ok(None),
            // Another proxy may be in the middle of writing it.
            Verdict::Undecided(_) if looks < LOOKS => looks += 1,
            Verdict::Undecided(why) => return Err(broken(why)),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn ask(control: &std::sync::Arc<dyn Control>, toggle: &str) -> Result<Answer, Trouble> {
    let entries = match control.entries(toggle).await {
        Ok(entries) => entries,
        Err(error) => return Ok(Answer::Silent(error.to_string())),
    };
    Ok(record_of(&entries)?.map_or(Answer::Nothing, |record| Answer::Record(Box::new(record))))
}

/// Shares what this proxy has had for itself, as the first of several; does nothing when another one was first.
///
/// # Errors
/// When a store refuses it.
pub(super) async fn share(
    config: &Config,
    controls: &Controls,
    journal: &Journal,
    toggle: &str,
) -> Result<(), Failure> {
    let Some(state) = journal.state().toggle(toggle) else {
        return Ok(());
    };
    let tables = &config.toggles[toggle].tables;
    let standing = names(tables)
        .map(|name| (name.clone(), journal.state().table(&name)))
        .filter(|(_, table)| *table != TableState::default());
    let checkpoints =
        names(tables).filter_map(|name| Some((name.clone(), journal.state().backfill(&name)?)));
    let record = Record::first(
        state,
        standing.collect(),
        checkpoints.collect::<BTreeMap<_, _>>(),
        mapping(config, tables),
    );
    let refused = |side: Side| {
        move |error: Trouble| {
            Failure::broken(format!(
                "the proxies cannot share toggle \"{toggle}\" in the {side} store: {error}; the account needs the right to create the schema crossfade there \
                 (GRANT CREATE ON DATABASE), or own one (CREATE SCHEMA crossfade AUTHORIZATION …)"
            ))
        }
    };
    let home = record.state.phase.primary();
    if home == Side::New {
        return share_late(controls, toggle, record)
            .await
            .map_err(refused(home));
    }
    put_first(controls, home, toggle, &record)
        .await
        .map_err(refused(home))
}

/// The old store is told, too, so that a proxy that comes with an old file is not the first there. In phase 8 it may be switched off.
async fn share_late(controls: &Controls, toggle: &str, mut record: Record) -> Result<(), Trouble> {
    record.stage = Stage::Arriving;
    put_first(controls, Side::New, toggle, &record).await?;
    let mut gone = record.clone();
    gone.stage = Stage::Gone;
    match put_first(controls, Side::Old, toggle, &gone).await {
        Err(error) if record.state.phase < Phase::NewOnly => return Err(error),
        Err(error) => {
            tracing::warn!(toggle, %error, "the old store could not be told that the phases are kept in the new one")
        }
        Ok(()) => {}
    }
    let mut open = record.clone();
    (open.stage, open.serial) = (Stage::Open, record.serial + 1);
    let entry = open
        .entry()
        .map_err(|error| Trouble::No(error.to_string()))?;
    controls
        .new
        .swap(toggle, Some(record.serial), &entry)
        .await?;
    Ok(())
}

async fn put_first(
    controls: &Controls,
    side: Side,
    toggle: &str,
    record: &Record,
) -> Result<(), Trouble> {
    let control = controls.on(side);
    control.prepare().await?;
    let entry = record
        .entry()
        .map_err(|error| Trouble::No(error.to_string()))?;
    // `false`: another proxy was first.
    control.swap(toggle, None, &entry).await?;
    Ok(())
}

/// The names under which the state files keep tables, in both directions.
fn names(tables: &[TableConfig]) -> impl Iterator<Item = String> + '_ {
    tables.iter().flat_map(|table| {
        [Direction::Forward, Direction::Reverse]
            .map(|direction| standing::record_named(&table.old, direction))
    })
}

/// What every proxy has to say of the tables of a toggle, a line each, and where journals are kept. Their files may differ in everything else.
pub(super) fn mapping(config: &Config, tables: &[TableConfig]) -> Vec<String> {
    let mut lines: Vec<String> = tables
        .iter()
        .map(|table| {
            let columns = &table.columns;
            format!(
                "{} → {} key {:?} version {:?} columns {columns:?}",
                table.old, table.new, table.key, table.version
            )
        })
        .collect();
    lines.sort();
    // The others take over what one has in the primary that is gone, and trust nothing where its disk is.
    if config.journal == JournalPlace::Primary {
        lines.push("journal = \"primary\"".to_owned());
    }
    lines
}

/// Refuses a file that maps a toggle otherwise than the other proxies do, once that matters.
///
/// # Errors
/// Names the lines.
pub(super) fn check_mapping(seat: &Seat, config: &Config) -> Result<(), Failure> {
    let record = seat.record();
    if record.state.phase <= Phase::UseOld {
        return Ok(());
    }
    differs(&record, config, &seat.toggle).map_or(Ok(()), |what| Err(Failure::usage(what)))
}

/// How a file's mapping differs from the record's.
pub(super) fn differs(record: &Record, config: &Config, toggle: &str) -> Option<String> {
    let mine = mapping(config, &config.toggles.get(toggle)?.tables);
    let only = |these: &[String], those: &[String]| {
        these
            .iter()
            .filter(|line| !those.contains(line))
            .cloned()
            .collect::<Vec<_>>()
            .join("; ")
    };
    (mine != record.mapping).then(|| {
        format!(
            "toggle \"{toggle}\" is mapped otherwise than the other proxies map it: here {:?}, there {:?}; give all proxies the same [toggle.{toggle}], and the same journal (which may change in the phases 1 and 2)",
            only(&mine, &record.mapping),
            only(&record.mapping, &mine)
        )
    })
}
