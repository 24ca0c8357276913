//! The points, by the order of events.

macro_rules! points {
    ($($(#[$doc:meta])+ $point:ident = $name:literal,)+) => {
        /// A step of the code after which, or in the middle of which, the process may end.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Point {
            $($(#[$doc])+ $point,)+
        }

        impl Point {
            /// All of them.
            pub const ALL: &[Point] = &[$(Point::$point),+];

            /// The name by which it is armed.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Point::$point => $name,)+
                }
            }
        }
    };
}

points! {
    // The commit sandwich (DESIGN 3).
    /// The primary has executed, nothing else is done.
    PrimaryExecuted = "primary-executed",
    /// The intent is declared, and may not be on the disk.
    IntentDeclared = "intent-declared",
    /// The intent of a portion of a large transaction is on the disk, the secondary does not have the portion.
    PortionDeclared = "portion-declared",
    /// The secondary has the portion, uncommitted; the primary's transaction goes on.
    PortionSent = "portion-sent",
    /// A group is about to go to the secondary.
    BeforeStage = "before-stage",
    /// The secondary holds it, uncommitted; its sessions do not know.
    Staged = "staged",
    /// The intent is on the disk and the secondary has answered: the primary may commit.
    IntentDurable = "intent-durable",
    /// The primary's COMMIT is sent, its answer has not come.
    CommitSent = "commit-sent",
    /// The primary has committed, the secondary does not know.
    PrimaryCommitted = "primary-committed",
    /// The secondary was told to commit, the client has no answer.
    BeforeAnswer = "before-answer",
    /// The client has its answer, the secondary may not have committed.
    Answered = "answered",
    /// Every member of a group has committed in the primary.
    GroupCommitted = "group-committed",
    /// The secondary's commit is about to be sent.
    BeforeSecondaryCommit = "before-secondary-commit",
    /// The secondary has committed, the intent is open.
    SecondaryCommitted = "secondary-committed",
    /// The intent is closed, in memory.
    IntentClosed = "intent-closed",
    /// The secondary refused; the keys are dirty in memory.
    GivenUp = "given-up",

    // A primary that holds documents.
    /// The writes of a statement are in MongoDB's transaction.
    DocumentsWritten = "documents-written",
    /// MongoDB has ended a transaction for a conflict, and it is about to be made again.
    DocumentsEnded = "documents-ended",
    /// MongoDB is about to be told to commit.
    BeforeDocumentsCommit = "before-documents-commit",
    /// MongoDB has committed, the session does not know.
    DocumentsCommitted = "documents-committed",

    // The journal.
    /// Half a batch is in the file.
    JournalTorn = "journal-torn",
    /// A batch is in the file, not flushed.
    JournalWritten = "journal-written",
    /// A batch is on the disk, nobody was told.
    JournalFlushed = "journal-flushed",
    /// A new segment is whole under the spare file's name.
    SegmentWritten = "segment-written",
    /// A new segment has its name.
    SegmentNamed = "segment-named",
    /// A part of a snapshot is written.
    SnapshotBegun = "snapshot-begun",
    /// A snapshot is whole, without its name.
    SnapshotWritten = "snapshot-written",
    /// A snapshot has its name, what it replaces is still there.
    SnapshotNamed = "snapshot-named",
    /// A snapshot stands alone, with no segment behind it.
    SnapshotAlone = "snapshot-alone",
    /// Some records of the oldest segment are carried over.
    CarryStep = "carry-step",
    /// All that lives in the oldest segment is on the disk again.
    Carried = "carried",
    /// The oldest segment is gone.
    SegmentGone = "segment-gone",
    // The journal in the primary.
    /// Lines are taken from the queue, and not written.
    LinesTaken = "lines-taken",
    /// They are written, nobody was told.
    LinesWritten = "lines-written",
    /// Another process's rows are dirty in memory, and still that process's in the store.
    LinesAdopted = "lines-adopted",

    /// A state file's next version is whole, without its name.
    StateWritten = "state-written",
    /// A state file is replaced.
    StateNamed = "state-named",

    // Repair.
    /// Keys are marked, nothing is repaired.
    KeysMarked = "keys-marked",
    /// The primary's row is locked and read.
    RowLocked = "row-locked",
    /// The secondary has the row, the primary's is still locked.
    RowWritten = "row-written",
    /// A row that the primary lacks was deleted in the secondary.
    RowDeleted = "row-deleted",
    /// The primary's rows are read for a write of many.
    SweepRead = "sweep-read",
    /// The secondary has them, nobody has looked again.
    SweepWritten = "sweep-written",
    /// Rows that exchange unique values have let go of them, in a transaction of the secondary that is open.
    ValuesFree = "values-free",
    /// The keys are alike, and dirty in the journal.
    BeforeClean = "before-clean",
    /// They are clean, in memory.
    Cleaned = "cleaned",

    // Backfill.
    /// The ends of coming chunks are noted.
    ChunksReserved = "chunks-reserved",
    /// A chunk is read.
    ChunkRead = "chunk-read",
    /// A chunk is inserted, and not looked up again.
    ChunkInserted = "chunk-inserted",
    /// A chunk is looked up again and repaired.
    ChunkChecked = "chunk-checked",
    /// The checkpoint is about to move.
    BeforeCheckpoint = "before-checkpoint",
    /// The checkpoint has moved.
    Checkpointed = "checkpointed",
    /// All chunks are done, the table is not noted as backfilled.
    BeforeBackfilled = "before-backfilled",
    /// The table is noted as backfilled.
    Backfilled = "backfilled",

    // Flips.
    /// The guards agree and the gate is ready.
    FlipReady = "flip-ready",
    /// The standing of the tables is noted, the phase is not.
    FlipMarked = "flip-marked",
    /// The phase is recorded, and not published.
    FlipRecorded = "flip-recorded",
    /// The phase is published.
    FlipPublished = "flip-published",
}

impl Point {
    /// The point of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Point> {
        Point::ALL
            .iter()
            .copied()
            .find(|point| point.name() == name)
    }
}
