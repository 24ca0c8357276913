//! Watches the file by its content, so that editors that save by renaming, Kubernetes' swapped symlinks, network
//! file systems without notifications and coarse clocks are all alike.

use std::{fmt, sync::Arc, time::Duration};

use tokio::{
    task::JoinHandle,
    time::{Interval, MissedTickBehavior, interval},
};

use crate::{
    Config, Env, Loaded, Mistakes,
    live::{applicable, needs_restart},
    load::{Snapshot, judge, process_env},
};

/// Time between two looks at the file: a saved phase begins to move within half a second, and a look costs some
/// microseconds.
const POLL: Duration = Duration::from_millis(250);

/// What became of a changed file.
#[derive(Debug, Clone)]
pub enum Change {
    /// The file is good.
    Reloaded {
        /// What applies now: the file's settings, but each that needs a restart as it is running.
        config: Box<Config>,
        /// Settings whose new values wait for a restart, by their names in the file.
        needs_restart: Vec<String>,
    },
    /// The file is broken or gone. The last good configuration goes on.
    Broken(Mistakes),
}

/// Watches a configuration file and the password files it names.
///
/// A change counts once two looks in a row have found the same content, so that a half-written file is not read as
/// a whole one (trap 39); and once only, until the content changes again.
pub struct Watcher {
    env: Env,
    /// As the process started: what needs a restart is told against this.
    started: Config,
    /// The content that was last judged.
    judged: Snapshot,
    /// A content that differed from it at the last look.
    candidate: Option<Snapshot>,
    polls: Interval,
    /// The look under way; kept here so that a dropped `next` loses nothing.
    look: Option<JoinHandle<Look>>,
}

/// What one look at the files found.
enum Look {
    /// What was judged already.
    Same,
    /// Something new, not seen twice yet.
    Unsettled(Snapshot),
    /// Something new that stood still.
    Judged(Snapshot, Box<Result<Loaded, Mistakes>>),
}

impl fmt::Debug for Watcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watcher")
            .field("path", &self.judged.path())
            .finish_non_exhaustive()
    }
}

impl Watcher {
    /// Watches the file that `loaded` came from. A change between that reading and this call is not missed.
    ///
    /// # Panics
    /// Outside a Tokio runtime with time enabled.
    #[must_use]
    pub fn new(loaded: &Loaded) -> Watcher {
        Watcher::with(loaded, Arc::new(process_env), POLL)
    }

    /// As [`Watcher::new`], with an environment and a time between looks (greater than zero) of one's own.
    ///
    /// # Panics
    /// Outside a Tokio runtime with time enabled, or if `poll` is zero.
    #[must_use]
    pub fn with(loaded: &Loaded, env: Env, poll: Duration) -> Watcher {
        let mut polls = interval(poll);
        polls.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Watcher {
            env,
            started: loaded.config.clone(),
            judged: loaded.read.clone(),
            candidate: None,
            polls,
            look: None,
        }
    }

    /// Waits for the next change of the file. Never ends while nothing changes.
    ///
    /// Cancel-safe: a dropped call loses no change.
    pub async fn next(&mut self) -> Change {
        loop {
            if self.look.is_none() {
                self.polls.tick().await;
                self.begin_look(false);
            }
            if let Some(change) = self.finish_look().await {
                return change;
            }
        }
    }

    /// Reads the file now, as for SIGHUP: without waiting for a second look, and with an answer also when nothing
    /// has changed.
    ///
    /// Cancel-safe: if the call is dropped, the next [`Watcher::next`] returns its answer.
    pub async fn check_now(&mut self) -> Change {
        // A look that began before the call may have seen the file as it was.
        loop {
            self.begin_look(true);
            if let Some(change) = self.finish_look().await {
                return change;
            }
        }
    }

    fn begin_look(&mut self, forced: bool) {
        let env = Arc::clone(&self.env);
        let (judged, candidate) = (self.judged.clone(), self.candidate.clone());
        // Reading may block: on a network file system, for long.
        self.look = Some(tokio::task::spawn_blocking(move || {
            let seen = judged.again();
            if !forced && seen == judged {
                return Look::Same;
            }
            if !forced && candidate.as_ref() != Some(&seen) {
                return Look::Unsettled(seen);
            }
            let (outcome, read) = judge(seen.path(), seen.main(), &*env);
            Look::Judged(read, Box::new(outcome))
        }));
    }

    async fn finish_look(&mut self) -> Option<Change> {
        let look = self.look.as_mut()?.await;
        self.look = None;
        match look {
            Ok(Look::Same) => self.candidate = None,
            Ok(Look::Unsettled(seen)) => self.candidate = Some(seen),
            Ok(Look::Judged(read, outcome)) => {
                self.candidate = None;
                self.judged = read;
                return Some(self.change(*outcome));
            }
            // The runtime is going down, or the look panicked: the next one begins afresh.
            Err(_) => self.candidate = None,
        }
        None
    }

    fn change(&self, outcome: Result<Loaded, Mistakes>) -> Change {
        match outcome {
            Ok(loaded) => Change::Reloaded {
                config: Box::new(applicable(&self.started, &loaded.config)),
                needs_restart: needs_restart(&self.started, &loaded.config),
            },
            Err(mistakes) => Change::Broken(mistakes),
        }
    }
}

#[cfg(test)]
mod tests;
