//! `crossfade demo`: the whole story on throwaway local stores, with live traffic.
//!
//! Two PostgreSQL servers are started from the machine's own programs, the old one with a shop in it; `crossfade serve` goes before them as a process of
//! its own; clients work through it; the toggle is walked from phase 1 to 8 by editing the file; the old server is switched off. It succeeds
//! when no client saw an error or a wrong answer, and no row differs.

mod binaries;
mod compare;
mod folder;
mod halt;
mod http;
mod live;
mod mongod;
mod new;
mod process;
mod proxy;
mod random;
mod report;
mod screen;
mod server;
mod settings;
mod stage;
mod tally;
mod traffic;
mod walk;

use std::{process::ExitCode, sync::Arc, time::Duration};

use tokio::signal::unix::{SignalKind, signal};

use crate::cli::DemoArgs;
use compare::Compared;
use halt::Halt;
use live::Live;
use screen::{Screen, complain};
use stage::Stage;
use tally::describe;
use traffic::{Model, Traffic};
use walk::Walk;

/// Time in each phase: long enough for every kind of operation to come by some dozen times, and for all to end within a minute and a half.
const SECONDS: u64 = 8;
/// Time in phase 4 without a mismatch that the step to 5 asks for.
const WINDOW_S: u64 = 3;

/// Runs the demo. Exit status 0 when nothing was lost and no client saw an error; 1 with what differed; 3 when something could not
/// start or failed half way.
pub(crate) fn run(args: DemoArgs) -> ExitCode {
    // One thread, this one: children end with the thread that started them.
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(why) => return failed(&Halt::broken("the demo cannot start", why)),
    };
    let outcome = runtime.block_on(async {
        let mut ends = signal(SignalKind::interrupt())
            .and_then(|first| Ok((first, signal(SignalKind::terminate())?)))
            .map_err(|why| Halt::broken("signals cannot be watched", why))?;
        // What is dropped here half way ends its processes and removes its files.
        tokio::select! {
            outcome = story(&args) => outcome,
            _ = ends.0.recv() => Err(Halt::Interrupted),
            _ = ends.1.recv() => Err(Halt::Interrupted),
        }
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(halt) => failed(&halt),
    }
}

fn failed(halt: &Halt) -> ExitCode {
    complain(halt);
    ExitCode::from(halt.status())
}

async fn story(args: &DemoArgs) -> Result<(), Halt> {
    let each = Duration::from_secs(args.seconds.unwrap_or(SECONDS).max(1));
    let screen = Arc::new(Screen::new());
    let mut stage = Stage::set(&screen, args.new, WINDOW_S, args.keep).await?;
    let traffic = Traffic::start(&stage.targets(), &stage.tally).await?;
    let live = Live::start(screen.clone(), stage.tally.clone(), stage.proxy.admin());
    let walked = Walk::begin(&mut stage, &traffic, each).finish().await;
    drop(live);
    screen.settle();
    let walked = match (traffic.stop().await, walked) {
        (Ok(model), Ok(())) => last_look(&stage, &model).await,
        (Err(halt), Ok(())) | (_, Err(halt)) => Err(halt),
    };
    tell(&stage, walked.as_ref().ok());
    let outcome = walked.and_then(|_| verdict(&stage));
    if args.keep {
        screen.say(format!("\n{}", stage.kept()));
    }
    outcome
}

/// With the old server gone: what the checker wrote, and how many rows there are, against the new store.
async fn last_look(stage: &Stage, model: &Model) -> Result<Compared, Halt> {
    let broken =
        |error: tokio_postgres::Error| Halt::broken("the last comparison", describe(&error));
    let direct = stage.new.direct().unwrap_or(stage.targets().proxy);
    let new = server::connect(&direct).await.map_err(broken)?;
    let mut compared = Compared::default();
    let (rows, differences) = model
        .compare(&new, &stage.new.names())
        .await
        .map_err(broken)?;
    compared.add(rows, differences);
    let counts = stage.new.counts().await?;
    compared.add(0, compare::miscounts(&counts, &stage.tally));
    stage.tally.compared(compared.rows, compared.differences);
    Ok(compared)
}

fn tell(stage: &Stage, last: Option<&Compared>) {
    let screen = &stage.screen;
    screen.say("");
    screen.say(report::table(&stage.tally.phases()));
    let differing = last.map_or(&[][..], |last| &last.shown);
    for line in stage.tally.shown().iter().chain(differing) {
        screen.say(format!("  {line}"));
    }
    if stage.tally.troubles() > 0 {
        screen.say(format!(
            "  the end of the log of crossfade:\n{}",
            stage.proxy.log(12)
        ));
    }
    if let Some(before) = stage.operations_at_switch_off {
        let since = stage.tally.operations() - before;
        screen.say(format!(
            "  {since} operations succeeded after the old server was switched off"
        ));
    }
}

fn verdict(stage: &Stage) -> Result<(), Halt> {
    let (errors, wrong, differences) = report::faults(&stage.tally.phases());
    let faults = format!("{errors} errors, {wrong} wrong answers, {differences} differences");
    if errors + wrong + differences > 0 {
        return Err(Halt::No(faults));
    }
    stage
        .screen
        .say(format!("  {faults}: nothing lost, and no client noticed"));
    Ok(())
}
