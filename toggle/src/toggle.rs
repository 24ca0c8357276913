//! A toggle as the running proxy holds it: its gate, and the phase that the file wants.

use std::sync::atomic::{AtomicU8, Ordering};

use crossfade_phase::Phase;

use crate::{Gate, Lease, Plan, Snapshot};

/// A named set of tables that share one phase: where it is (the gate) and where it should be (the file).
#[derive(Debug)]
pub struct Toggle {
    name: String,
    gate: Gate,
    lease: Lease,
    wanted: AtomicU8,
}

impl Toggle {
    /// A toggle that serves in `at` ([`crate::Start::phase`], with the durable epoch) and is wanted in `wanted`.
    pub fn new(name: impl Into<String>, at: Snapshot, wanted: Phase) -> Toggle {
        Toggle::at(name, Gate::new(at), wanted)
    }

    /// A toggle with a gate that may be held ([`Gate::held`]).
    pub fn at(name: impl Into<String>, gate: Gate, wanted: Phase) -> Toggle {
        Toggle {
            name: name.into(),
            gate,
            lease: Lease::default(),
            wanted: AtomicU8::new(wanted.number()),
        }
    }

    /// Its name in the file.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its gate.
    #[must_use]
    pub fn gate(&self) -> &Gate {
        &self.gate
    }

    /// The right to commit what writes both stores.
    #[must_use]
    pub fn lease(&self) -> &Lease {
        &self.lease
    }

    /// The phase that the file wants.
    #[must_use]
    pub fn wanted(&self) -> Phase {
        Phase::from_number(self.wanted.load(Ordering::Acquire))
            .expect("only the number of a phase is ever stored")
    }

    /// The file changed. Nothing moves by that alone; the answer says what to try.
    pub fn want(&self, phase: Phase) -> Plan {
        self.wanted.store(phase.number(), Ordering::Release);
        self.plan()
    }

    /// What follows from where it is and where it should be.
    #[must_use]
    pub fn plan(&self) -> Plan {
        Plan::new(self.gate.current().phase, self.wanted())
    }
}
