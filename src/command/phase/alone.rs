//! Moves a toggle while nothing serves: no transaction runs, so the move is made and recorded here.

use std::{process::ExitCode, sync::Arc};

use crossfade_toggle::Move;

use super::{Wish, refusal};
use crate::{
    admin::on_trial,
    app::App,
    control,
    failure::Failure,
    flip::{Outcome, attempt},
};

pub(super) async fn move_to(app: &Arc<App>, wish: &Wish<'_>) -> Result<ExitCode, Failure> {
    // Others may serve the same migration elsewhere.
    control::join(app).await?;
    let outcome = move_alone(app, wish).await;
    control::leave(app).await;
    outcome
}

async fn move_alone(app: &Arc<App>, wish: &Wish<'_>) -> Result<ExitCode, Failure> {
    let Some(toggle) = app.toggles.get(wish.toggle) else {
        return Err(Failure::usage(format!(
            "the file has no toggle \"{}\"",
            wish.toggle
        )));
    };
    // Nothing runs, so whatever is published is effective.
    app.facts(toggle).effective(toggle.gate().current().epoch);
    let Ok(step) = Move::new(toggle.gate().current().phase, wish.to) else {
        let answer = on_trial(app, toggle, wish.to).await;
        if !answer.ok {
            return Err(Failure::no(refusal(&answer)));
        }
        wish.write()?;
        sayln!(
            "{}: it is in {} already, and the file says so",
            wish.toggle,
            wish.to
        );
        return Ok(ExitCode::SUCCESS);
    };
    match attempt(app, toggle, step, wish.because.clone()).await {
        Outcome::Moved => {
            wish.write()?;
            sayln!(
                "{}: {} is recorded and in the file; `crossfade serve` starts in it",
                wish.toggle,
                wish.to
            );
            Ok(ExitCode::SUCCESS)
        }
        Outcome::Refused { .. } => Err(Failure::no(refusal(&on_trial(app, toggle, wish.to).await))),
        Outcome::CalledOff(why) => Err(Failure::broken(format!("{why}\nthe file is unchanged"))),
    }
}
