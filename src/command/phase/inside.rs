//! Moves a toggle of the running proxy: asks its guard, then edits the file, which the proxy follows.

use std::{process::ExitCode, time::Duration};

use crossfade_phase::{Phase, Side};
use tokio::time::Instant;

use super::{Wish, refusal};
use crate::{
    admin::asks::GuardAnswer,
    command::{client::Client, traffic},
    failure::Failure,
    status::Status,
};

/// Time between two looks.
const LOOK: Duration = Duration::from_millis(100);
/// The proxy looks at the file four times a second and wants to see it twice.
const FOLLOWS: Duration = Duration::from_secs(10);
/// Longest wait for what passes by itself.
const PASSES: Duration = Duration::from_secs(10);

pub(super) async fn move_to(client: &Client, wish: &Wish<'_>) -> Result<ExitCode, Failure> {
    let answer = guard(client, wish).await?;
    let overrides = answer.legal && wish.because.is_some();
    if !answer.ok && !overrides {
        return Err(Failure::no(refusal(&answer)));
    }
    if let Some(reason) = wish.because.as_ref().filter(|_| !answer.ok) {
        let parts = [
            ("toggle", wish.toggle),
            ("to", wish.to.name()),
            ("because", reason.as_str()),
        ];
        client
            .post::<serde_json::Value>("/override", &parts)
            .await?;
    }
    let status: Status = client.get("/status", &[]).await?;
    if let Some(line) = traffic::warning(&status, wish.toggle, wish.to) {
        sayln!("{line}");
    }
    if let Some(line) = incomplete(&status, wish.toggle, wish.to) {
        sayln!("{line}");
    }
    wish.write()?;
    // Where the file says it already, only this is news to the proxy.
    let parts = [("toggle", wish.toggle), ("to", wish.to.name())];
    client.post::<serde_json::Value>("/wish", &parts).await?;
    if !wish.wait {
        sayln!(
            "{}: the file says {}, and the proxy follows within a second (`crossfade status`)",
            wish.toggle,
            wish.to
        );
        return Ok(ExitCode::SUCCESS);
    }
    wait(client, wish).await
}

/// A line for whoever moves a toggle to the new primary with tables that are not complete: no guard holds that up, and clients notice.
fn incomplete(status: &Status, toggle: &str, to: Phase) -> Option<String> {
    let known = status.toggles.get(toggle)?;
    let published = known.published.parse::<Phase>().ok()?;
    let comes = published.primary() == Side::Old && to.primary() == Side::New;
    let tables: Vec<&str> = known
        .tables
        .iter()
        .filter(|(_, table)| !table.complete)
        .map(|(name, _)| name.as_str())
        .collect();
    (comes && !tables.is_empty()).then(|| {
        format!(
            "{toggle}: not complete: {}; {to} refuses (0A000) what needs all of their rows, and fills in the others from the old store; `crossfade backfill` and `crossfade verify` complete them",
            tables.join(", ")
        )
    })
}

/// The guard's answer. Who waits for the move waits for what passes by itself, too.
async fn guard(client: &Client, wish: &Wish<'_>) -> Result<GuardAnswer, Failure> {
    let began = Instant::now();
    loop {
        let answer: GuardAnswer = client
            .get("/guard", &[("toggle", wish.toggle), ("to", wish.to.name())])
            .await?;
        let worth_waiting =
            wish.wait && wish.because.is_none() && answer.passing && began.elapsed() < PASSES;
        if answer.ok || !worth_waiting {
            return Ok(answer);
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Waits until the phase is effective, or the proxy refuses it.
async fn wait(client: &Client, wish: &Wish<'_>) -> Result<ExitCode, Failure> {
    let began = Instant::now();
    loop {
        let status: Status = client.get("/status", &[]).await?;
        let Some(toggle) = status.toggles.get(wish.toggle) else {
            return Err(Failure::no(format!(
                "the running proxy has no toggle \"{}\": it waits for a restart",
                wish.toggle
            )));
        };
        let to = wish.to.name();
        if toggle.effective == to && toggle.published == to {
            sayln!("{}: {to} is effective", wish.toggle);
            return Ok(ExitCode::SUCCESS);
        }
        if let Some(error) = &status.config.error {
            return Err(Failure::usage(format!(
                "the file is broken, so that nothing of it applies:\n{error}"
            )));
        }
        match (&toggle.refusal, toggle.wanted == to) {
            (Some(why), true) => {
                return Err(Failure::no(format!(
                    "{why}\nthe file says {to}, and the proxy goes on trying; `crossfade phase {} {}` takes the wish back",
                    wish.toggle, toggle.published
                )));
            }
            (None, true) => {}
            (_, false) if began.elapsed() > FOLLOWS => {
                return Err(Failure::broken(format!(
                    "the running proxy does not follow \"{}\": does it serve another file? Its own is \"{}\"",
                    wish.file.display(),
                    status.config.file
                )));
            }
            (_, false) => {}
        }
        tokio::time::sleep(LOOK).await;
    }
}
