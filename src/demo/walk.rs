//! The walk from phase 1 to 8, as an operator does it: by editing the file and reading what the proxy answers.

use std::time::{Duration, Instant};

use crossfade_phase::Phase;

use super::{
    compare::Compared, halt::Halt, new::New, proxy::Standing, stage::Stage, traffic::Traffic,
};

/// Longest that a step may take, refusals and all.
const PATIENCE: Duration = Duration::from_secs(60);
/// Pause between two looks at the status page.
const LOOK: Duration = Duration::from_millis(50);
/// How long a refusal is waited for before what it names is done by hand.
const HELP_AFTER: Duration = Duration::from_secs(8);

/// A walk that has come as far as `phase`.
#[derive(Debug)]
pub(super) struct Walk<'a> {
    stage: &'a mut Stage,
    traffic: &'a Traffic,
    each: Duration,
    phase: Phase,
    since: Instant,
}

impl<'a> Walk<'a> {
    /// A walk that begins in phase 1, with so much time in each phase.
    pub(super) fn begin(stage: &'a mut Stage, traffic: &'a Traffic, each: Duration) -> Walk<'a> {
        Walk {
            stage,
            traffic,
            each,
            phase: Phase::DeployNew,
            since: Instant::now(),
        }
    }

    /// All eight phases, and the old server's end. The traffic goes on all the time.
    ///
    /// # Errors
    /// When a step is refused for good, or something fails half way.
    pub(super) async fn finish(mut self) -> Result<(), Halt> {
        self.stage
            .screen
            .say(told(Phase::DeployNew, "all traffic goes to the old store"));
        self.stay().await?;
        for phase in Phase::ALL.into_iter().skip(1) {
            if phase == Phase::NewOnly && matches!(self.stage.new, New::Mongo(_)) {
                // Passwords were the old store's to check.
                self.command(&["users", "import"]).await?;
            }
            self.step(phase).await?;
            match phase {
                Phase::DualWrite => self.fill().await?,
                Phase::DualRead | Phase::NewPrimary => {
                    self.stay().await?;
                    self.compare().await?;
                }
                Phase::NewOnly => self.switch_off().await?,
                Phase::DeployNew | Phase::UseOld | Phase::NewWrites | Phase::Backfill => {}
            }
            self.stay().await?;
        }
        self.stage.tally.end(self.since.elapsed());
        Ok(())
    }

    /// Edits the file and waits until every transaction is in the new phase.
    async fn step(&mut self, phase: Phase) -> Result<(), Halt> {
        let asked = Instant::now();
        self.stage.proxy.want(phase)?;
        let mut told_why = None;
        let mut helped = false;
        loop {
            let standing = self.standing().await?;
            if standing.effective == phase.name() {
                break;
            }
            let why = standing.refusal.filter(|_| standing.wanted == phase.name());
            if why.is_some() && why.as_deref().map(without_numbers) != told_why {
                self.stage.screen.say(format!(
                    "    the guard says: {}",
                    why.as_deref()
                        .unwrap_or_default()
                        .replace('\n', "\n        ")
                ));
                told_why = why.as_deref().map(without_numbers);
            }
            if asked.elapsed() > PATIENCE {
                let why = why.unwrap_or_else(|| "older transactions do not end".to_owned());
                return Err(Halt::No(format!(
                    "phase {} {phase} did not come about within {} s: {why}",
                    phase.number(),
                    PATIENCE.as_secs()
                )));
            }
            if why.is_some()
                && asked.elapsed() > HELP_AFTER
                && !std::mem::replace(&mut helped, true)
            {
                self.command(&["verify"]).await?;
            }
            tokio::time::sleep(LOOK).await;
        }
        let took = asked.elapsed();
        self.stage.tally.enter(phase, self.since.elapsed());
        (self.phase, self.since) = (phase, Instant::now());
        self.stage.screen.say(told(
            phase,
            &format!(
                "{} (effective after {} ms)",
                meaning(phase),
                took.as_millis()
            ),
        ));
        Ok(())
    }

    /// Backfills and verifies all tables, under traffic.
    async fn fill(&mut self) -> Result<(), Halt> {
        self.command(&["backfill"]).await?;
        self.command(&["verify"]).await
    }

    /// Runs one of the operator's commands and shows what it says.
    async fn command(&mut self, args: &[&str]) -> Result<(), Halt> {
        let name = format!("crossfade {}", args.join(" "));
        self.stage.screen.say(format!("    $ {name}"));
        let ran = self.stage.proxy.command(args).await?;
        for line in ran.said.lines() {
            self.stage.screen.say(format!("      {line}"));
        }
        if ran.code != Some(0) {
            self.stage.screen.say(format!("      {}", ran.complained));
        }
        match ran.code {
            Some(0) => Ok(()),
            Some(1) => Err(Halt::No(format!("{name} says no"))),
            code => Err(Halt::Broken(format!("{name} failed with {code:?}"))),
        }
    }

    /// Holds the clients for a moment, lets the journal drain, and compares every row of both stores.
    async fn compare(&mut self) -> Result<(), Halt> {
        let pause = self.traffic.pause().await;
        let began = Instant::now();
        loop {
            let standing = self.standing().await?;
            if standing.dirty_keys + standing.open_intents == 0 {
                break;
            }
            if began.elapsed() > PATIENCE {
                return Err(Halt::No(format!(
                    "the journal did not drain: {} dirty keys",
                    standing.dirty_keys
                )));
            }
            tokio::time::sleep(LOOK).await;
        }
        let compared = self
            .stage
            .new
            .compare(&self.stage.old, self.stage.proxy.file())
            .await?;
        let took = began.elapsed();
        drop(pause);
        let what = format!(
            "compared {} rows of both stores, with the clients held for {} ms",
            compared.rows,
            took.as_millis()
        );
        self.note(&what, compared);
        Ok(())
    }

    fn note(&self, what: &str, compared: Compared) {
        self.stage
            .tally
            .compared(compared.rows, compared.differences);
        self.stage
            .screen
            .say(format!("    {what}: {} differ", compared.differences));
        for line in compared.shown {
            self.stage.screen.say(format!("      {line}"));
        }
    }

    /// The old server goes, the clients stay.
    async fn switch_off(&mut self) -> Result<(), Halt> {
        self.stay_for(self.each / 2).await?;
        self.stage.old.switch_off()?;
        self.stage.operations_at_switch_off = Some(self.stage.tally.operations());
        self.stage
            .screen
            .say("    the old server is switched off; the clients go on");
        Ok(())
    }

    /// Stays in the phase until its time is over.
    async fn stay(&mut self) -> Result<(), Halt> {
        let left = self.each.saturating_sub(self.since.elapsed());
        // The last phase has its own time after the switch-off.
        let left = if self.stage.operations_at_switch_off.is_some() {
            self.each / 2
        } else {
            left
        };
        self.stay_for(left).await
    }

    async fn stay_for(&mut self, time: Duration) -> Result<(), Halt> {
        let until = Instant::now() + time;
        while Instant::now() < until {
            if !self.stage.proxy.is_up() {
                return Err(Halt::broken(
                    "crossfade serve ended; the end of its log",
                    format!("\n{}", self.stage.proxy.log(20)),
                ));
            }
            tokio::time::sleep(LOOK.min(until.saturating_duration_since(Instant::now()))).await;
        }
        Ok(())
    }

    async fn standing(&mut self) -> Result<Standing, Halt> {
        match self.stage.proxy.standing().await {
            Err(_) if !self.stage.proxy.is_up() => Err(Halt::broken(
                "crossfade serve ended; the end of its log",
                format!("\n{}", self.stage.proxy.log(20)),
            )),
            answer => answer,
        }
    }
}

/// Seconds that pass and keys that are counted make no other answer.
fn without_numbers(text: &str) -> String {
    text.chars().filter(|c| !c.is_ascii_digit()).collect()
}

fn told(phase: Phase, what: &str) -> String {
    format!("  phase {} {:<12} {what}", phase.number(), phase.name())
}

fn meaning(phase: Phase) -> &'static str {
    match phase {
        Phase::DeployNew => "all traffic goes to the old store",
        Phase::UseOld => "the new store is connected and checked",
        Phase::DualWrite => "writes go to the old store, then the new",
        Phase::DualRead => "reads of both stores are compared, the old decides",
        Phase::NewPrimary => "the new store decides, the old follows",
        Phase::NewWrites => "the old store is read-only",
        Phase::Backfill => "what only the old store has is copied",
        Phase::NewOnly => "the old store is not contacted any more",
    }
}
