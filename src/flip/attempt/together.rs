//! The rest of an attempt where several proxies share the toggle.

use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use crossfade_toggle::{Basis, Evidence, Move, Proof, Toggle};

use super::{
    super::{evidence, record::why, sequences},
    Outcome, is_passing,
};
use crate::{
    app::App,
    control::{self, Called, Published, Seat, Step},
};

/// Moves all proxies.
pub(super) async fn move_all(
    app: &Arc<App>,
    toggle: &Arc<Toggle>,
    seat: &Arc<Seat>,
    proof: Proof,
    before: Evidence,
) -> Outcome {
    let config = app.config.load_full();
    let step = proof.step();
    let basis = proof.basis().clone();
    let published = Published {
        to: step.to(),
        why: why(&basis),
        by: seat.me.id.clone(),
        at_unix_s: SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs(),
    };
    // Trap 37: a reason overrides a guard, and not this.
    if !step.is_free() && !toggle.gate().is_effective() {
        let holders: Vec<String> = toggle
            .gate()
            .holders()
            .iter()
            .take(5)
            .map(ToString::to_string)
            .collect();
        return Outcome::Refused {
            why: format!(
                "{step}: the last flip is not effective yet, older transactions may run: {} (`crossfade status`)",
                holders.join("; ")
            ),
            passing: true,
        };
    }
    let tables = app.tables_of(toggle.name());
    let mapping = control::mapping(&config, toggle.name());
    let flip = Step {
        seat,
        toggle,
        step,
        at: before.current,
        drain_timeout: config.flips.drain_timeout,
    };
    let change = |record: &mut control::Record| {
        control::change_tables(record, &tables, step, &mapping);
    };
    let inside = async || inside(app, toggle, seat, &proof, before).await;
    match control::together(app, flip, published, change, inside).await {
        Ok(()) => {
            app.facts(toggle).moved();
            Outcome::Moved
        }
        Err(Called::Refused { why, passing }) => Outcome::Refused { why, passing },
        Err(Called::Off(why)) => Outcome::CalledOff(why),
    }
}

/// Each proxy has carried its own rows. What one left that does not count any more, nobody has: it is taken over within a moment, and then the flip can be made.
async fn nobody_left_rows(app: &App, step: Move) -> Result<(), Called> {
    match evidence::left_behind(app, step).await {
        Ok(false) => Ok(()),
        Ok(true) => Err(Called::Refused {
            why: format!(
                "{step}: what a proxy that is gone left in the {} store is being taken over (`crossfade status`)",
                step.from().primary()
            ),
            passing: true,
        }),
        Err(error) => Err(Called::Off(format!(
            "{step} was called off: {error} (`crossfade check`)"
        ))),
    }
}

/// What belongs inside the barrier of a move that changes the primary: its sequences are past the other's, and the facts still hold now that nothing runs any more
/// anywhere. Each proxy has made its own journal durable.
async fn inside(
    app: &App,
    toggle: &Toggle,
    seat: &Seat,
    proof: &Proof,
    before: Evidence,
) -> Result<(), Called> {
    let step = proof.step();
    if !step.changes_primary() {
        return Ok(());
    }
    let tables = app.tables_of(toggle.name());
    let immovable = sequences::advance(app, &tables, step.to().primary()).await;
    let immovable = immovable.map_err(|error| {
        Called::Off(format!(
            "{step} was called off: {error} (`crossfade check`)"
        ))
    })?;
    let overridden = matches!(proof.basis(), Basis::Override { .. });
    if !immovable.is_empty() && !overridden {
        return Err(Called::Off(format!(
            "{step} was called off: sequences stay behind: {} (`crossfade check`)",
            immovable.join(", ")
        )));
    }
    nobody_left_rows(app, step).await?;
    let now = evidence::inside_all(app, toggle, seat, before);
    proof.still_holds(&now).map_err(|refusal| Called::Refused {
        passing: is_passing(&refusal),
        why: refusal.to_string(),
    })
}
