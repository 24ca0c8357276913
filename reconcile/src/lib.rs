//! Backfill, verify, repair: what brings two stores in step, and proves it.
//!
//! Every job is bound to the epoch it was started in ([`Gates`], trap 28), may be dropped or killed at any point, and goes on where it ended.

mod at_work;
mod backfill;
mod compare;
mod direction;
mod display;
mod engine;
mod error;
mod fix;
mod flush;
mod gates;
mod hanging;
mod job;
mod ledger;
mod lineage;
mod pace;
mod progress;
mod repair;
mod repairer;
mod settle;
mod turns;
mod verify;

pub use backfill::BackfillReport;
pub use compare::Comparison;
pub use direction::{Direction, NotNow, Role};
pub use engine::{Engine, Settings, Stores};
pub use error::Error;
pub use fix::Fixed;
pub use gates::{Gates, Pin};
pub use hanging::ALONE;
pub use job::EpochChanged;
pub use ledger::{
    Checkpoint, Dirty, Elsewhere, Ledger, LedgerError, LedgerResult, Reach, Standing, Verified,
    Why, standing,
};
pub use progress::{OnProgress, Progress};
pub use repair::{Repair, Repaired};
pub use repairer::{FailedKey, LeftStale, RepairReport};
pub use verify::{Difference, Values, VerifyOptions, VerifyReport};
