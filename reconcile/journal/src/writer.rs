//! The writer thread: takes what queued up, writes it as one batch, flushes once, wakes everybody.

mod carry;
mod log;
mod snapshot;
#[cfg(test)]
mod tests;

use std::{
    io,
    sync::{Arc, MutexGuard, PoisonError, atomic::Ordering},
    task::Waker,
    thread,
    time::{Duration, Instant},
};

use carry::Carry;
use log::Log;

use crate::{
    disk::Disk,
    frame::FRAME_HEADER,
    replay::Found,
    shared::{Core, Mode, Shared, Sleep},
    sync::wait,
};

/// Longest time a record that nobody waits for stays in memory.
const LAZY_FLUSH: Duration = Duration::from_millis(100);
/// A flush that takes as long as this is worth sharing with those who are late.
const SLOW_FLUSH: Duration = Duration::from_micros(500);
/// Lazy records beyond this are written at once, in bytes.
const LAZY_BYTES: usize = 1 << 20;

/// The thread's own state.
pub(crate) struct Writer {
    shared: Arc<Shared>,
    log: Log,
    /// The batch being written; swapped with the queue, so that neither is allocated again.
    batch: Vec<u8>,
    woken: Vec<Waker>,
    carry: Option<Carry>,
    /// When lazy records are due.
    due: Instant,
    /// How long the last flush took.
    flush: Duration,
    /// How many waited for the last batch.
    company: usize,
}

/// What to do next.
enum Work {
    /// `Writer::batch` holds records for this ticket.
    Batch(u64),
    Carry,
    Recover,
    Stop,
}

impl Writer {
    pub(crate) fn new(shared: Arc<Shared>, disk: Disk, found: &Found) -> Writer {
        let segment_bytes = shared.options.segment_bytes;
        Writer {
            shared,
            log: Log::new(disk, segment_bytes, found),
            batch: vec![0; FRAME_HEADER],
            woken: Vec::new(),
            carry: None,
            due: Instant::now(),
            flush: Duration::ZERO,
            company: 0,
        }
    }

    /// Writes everything that is alive as the beginning of a new log. The one way into a healthy state, on start and after a failure.
    pub(crate) fn establish(&mut self) {
        self.carry = None;
        let outcome = snapshot::establish(&self.shared, &mut self.log);
        let mut core = self.shared.lock_core();
        match outcome {
            Ok(()) => core.mode = Mode::Healthy,
            Err(error) => {
                drop(core);
                self.fail(&error);
                core = self.shared.lock_core();
            }
        }
        core.recover = false;
        core.attempts += 1;
        self.shared.recovered.notify_all();
    }

    /// Runs until the journal is closed.
    pub(crate) fn run(mut self) {
        loop {
            match self.next() {
                Work::Batch(ticket) => self.write(ticket),
                Work::Carry => self.carry_on(),
                Work::Recover => self.establish(),
                Work::Stop => break,
            }
        }
        self.finish();
    }

    fn next(&mut self) -> Work {
        let shared = Arc::clone(&self.shared);
        let mut core = shared.lock_core();
        loop {
            if core.stop {
                return Work::Stop;
            }
            if core.recover && core.mode == Mode::Poisoned {
                return Work::Recover;
            }
            if core.mode == Mode::Healthy {
                if core.has_pending() && (core.urgent || self.is_due(&core)) {
                    if let Some(pause) = self.pause(&core) {
                        self.company = 0;
                        drop(core);
                        thread::sleep(pause);
                        core = shared.lock_core();
                        continue;
                    }
                    return Work::Batch(self.take(&mut core));
                }
                if self.carry.is_some() {
                    return Work::Carry;
                }
            }
            core = self.sleep(&shared, core);
        }
    }

    /// On a slow disk, a moment for the others who waited for the last batch to come back: the first of them alone would make
    /// them all wait for two flushes.
    fn pause(&self, core: &Core) -> Option<Duration> {
        let complete = core.wanted >= self.company;
        (!complete && self.flush >= SLOW_FLUSH).then(|| self.flush / 8)
    }

    fn is_due(&self, core: &Core) -> bool {
        core.pending.len() >= LAZY_BYTES || Instant::now() >= self.due
    }

    /// Sleeps lightly after work, so that lazy records need not wake anyone; deeply when nothing came for a while.
    fn sleep<'a>(
        &mut self,
        shared: &'a Shared,
        mut core: MutexGuard<'a, Core>,
    ) -> MutexGuard<'a, Core> {
        let left = self.due.saturating_duration_since(Instant::now());
        if left.is_zero() {
            core.sleep = Sleep::Deep;
            core = wait(&shared.wake, core);
            self.due = Instant::now() + LAZY_FLUSH;
        } else {
            core.sleep = Sleep::Light;
            let outcome = shared.wake.wait_timeout(core, left);
            core = outcome.unwrap_or_else(PoisonError::into_inner).0;
        }
        core.sleep = Sleep::Awake;
        core
    }

    fn take(&mut self, core: &mut Core) -> u64 {
        self.batch.truncate(FRAME_HEADER);
        std::mem::swap(&mut core.pending, &mut self.batch);
        core.urgent = false;
        self.company = std::mem::take(&mut core.wanted);
        let ticket = core.ticket;
        core.ticket += 1;
        ticket
    }

    fn write(&mut self, ticket: u64) {
        let began = Instant::now();
        match self.log.append(&self.shared, &mut self.batch) {
            Ok(()) => {
                self.flush = began.elapsed();
                let shared = Arc::clone(&self.shared);
                shared.complete(&mut shared.lock_core(), ticket, &mut self.woken);
                self.woken.drain(..).for_each(Waker::wake);
                self.due = Instant::now() + LAZY_FLUSH;
                self.log.order_spare();
                self.begin_carry();
                self.carry_on();
            }
            Err(error) => self.fail(&error),
        }
        shrink(&mut self.batch);
    }

    /// After a failed write or flush nothing of this segment is trusted any more: the kernel may have dropped the dirty pages
    /// and report success the next time. Only a snapshot in a new file ends this state.
    fn fail(&mut self, error: &io::Error) {
        self.carry = None;
        self.log.abandon();
        tracing::error!(%error, "the journal cannot be written: dual phases refuse writes");
        self.shared.poison(&error.to_string(), Mode::Poisoned);
    }

    fn begin_carry(&mut self) {
        if self.carry.is_none() && self.log.wants_carry(&self.shared) {
            match Carry::of_oldest(&self.log) {
                Ok(carry) => self.carry = carry,
                Err(error) => self.fail(&error),
            }
        }
    }

    fn carry_on(&mut self) {
        let Some(carry) = &mut self.carry else { return };
        match carry.step(&self.shared, &mut self.log) {
            Ok(false) => {}
            Ok(true) => {
                self.carry = None;
                self.begin_carry();
            }
            Err(error) => self.fail(&error),
        }
    }

    /// The last batch, then nobody may wait any more.
    fn finish(mut self) {
        let shared = Arc::clone(&self.shared);
        let mut core = shared.lock_core();
        if core.mode == Mode::Healthy && core.has_pending() {
            let ticket = self.take(&mut core);
            drop(core);
            match self.log.append(&shared, &mut self.batch) {
                Ok(()) => shared.complete(&mut shared.lock_core(), ticket, &mut self.woken),
                Err(error) => {
                    tracing::error!(%error, "the journal's last records were not written")
                }
            }
            core = shared.lock_core();
        }
        core.mode = Mode::Closed;
        let durable = shared.durable.load(Ordering::Acquire);
        self.woken
            .extend(core.waiters.drain(..).map(|(_, waker)| waker));
        drop(core);
        shared.recovered.notify_all();
        self.woken.drain(..).for_each(Waker::wake);
        tracing::debug!(durable, "the journal is closed");
    }
}

/// Gives back what one huge transaction took.
fn shrink(batch: &mut Vec<u8>) {
    if batch.capacity() > 4 * LAZY_BYTES {
        *batch = vec![0; FRAME_HEADER];
    }
}
