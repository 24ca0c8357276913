//! Flips. Which moves there are, and which of them need a barrier, the real table says: [`crossfade_toggle::Move`].

use crossfade_phase::{Phase, Side};
use crossfade_toggle::Move;

use super::{Action, Copying, Gate, Mark, Protocol, Proxy, Repairing, State, state::CLIENTS};

pub(super) fn actions(model: &Protocol, state: &State, actions: &mut Vec<Action>) {
    for proxy in flippers(model) {
        let gate = &state.proxies[proxy].gate;
        match gate.closed_for {
            Some(to) => {
                actions.push(Action::CallOff(proxy));
                let drained = model.faults.no_barrier || is_drained(model, state, proxy);
                if drained && guard(model, state, proxy, gate.phase, to) {
                    actions.push(Action::Publish(proxy, to));
                }
            }
            None if state.flips_left > 0 => opens(model, state, proxy, actions),
            None => {}
        }
    }
    let gate = &state.proxies[0].gate;
    let dual = gate.phase.secondary() == Some(Side::New) && gate.closed_for.is_none();
    if state.bypassed && dual && is_effective(model, state, 0) {
        actions.push(Action::Verify);
    }
}

/// Who flips: both proxies as one, or each alone.
fn flippers(model: &Protocol) -> std::ops::Range<usize> {
    if model.faults.proxies_flip_alone {
        0..usize::from(model.bounds.proxies)
    } else {
        0..1
    }
}

fn opens(model: &Protocol, state: &State, proxy: usize, actions: &mut Vec<Action>) {
    let gate = &state.proxies[proxy].gate;
    let effective = is_effective(model, state, proxy);
    for step in Move::all_from(gate.phase) {
        let within = step.to() >= model.bounds.first_phase && step.to() <= model.bounds.last_phase;
        if !within || !(effective || step.is_free()) {
            continue;
        }
        if step.needs_barrier() {
            actions.push(Action::Close(proxy, step.to()));
        } else if guard(model, state, proxy, gate.phase, step.to()) {
            actions.push(Action::Publish(proxy, step.to()));
        }
    }
}

/// What [`crossfade_toggle::guard`] asks of journals and stores.
fn guard(model: &Protocol, state: &State, proxy: usize, from: Phase, to: Phase) -> bool {
    let empty = is_clean(model, state, proxy);
    match (from, to) {
        (Phase::DualWrite, Phase::DualRead) => empty && !state.bypassed,
        (Phase::DualRead, Phase::NewPrimary) => {
            let left = state.copying.may_have_left() && !model.faults.forgets_unfinished_chunks;
            (empty || model.faults.flips_while_dirty) && !state.bypassed && !left
        }
        (Phase::NewPrimary, Phase::DualRead) => empty || model.faults.flips_while_dirty,
        _free => true,
    }
}

fn is_clean(model: &Protocol, state: &State, proxy: usize) -> bool {
    let clean = |proxy: &Proxy| {
        proxy.marks.iter().all(|mark| *mark == Mark::Clean) && !proxy.unconfirmed.contains(&true)
    };
    heard(model, proxy).all(|proxy| clean(&state.proxies[proxy]))
}

/// The proxies whose transactions and journals count.
fn heard(model: &Protocol, proxy: usize) -> std::ops::Range<usize> {
    if model.faults.proxies_flip_alone {
        proxy..proxy + 1
    } else {
        0..usize::from(model.bounds.proxies)
    }
}

fn pins<'a>(model: &'a Protocol, state: &'a State, proxy: usize) -> impl Iterator<Item = u8> + 'a {
    let heard = heard(model, proxy);
    let sessions = (0..CLIENTS)
        .filter({
            let heard = heard.clone();
            move |&client| heard.contains(&model.proxy_of(client))
        })
        .filter_map(|client| state.open[client])
        .map(|open| open.epoch);
    let repairers = heard
        .clone()
        .filter_map(|proxy| match state.proxies[proxy].repairing {
            Repairing::Idle => None,
            Repairing::Key(_, epoch, _, _) => Some(epoch),
        });
    let chunk = matches!(state.copying, Copying::Inserted(..)) && heard.contains(&0);
    let jobs = repairers.chain(chunk.then_some(state.copying_in));
    sessions.chain(jobs.filter(|_| !model.faults.jobs_outlive_their_epoch))
}

fn is_drained(model: &Protocol, state: &State, proxy: usize) -> bool {
    pins(model, state, proxy).next().is_none()
}

/// Whether nothing of an older epoch is left.
pub(super) fn is_effective(model: &Protocol, state: &State, proxy: usize) -> bool {
    let epoch = state.proxies[proxy].gate.epoch;
    let abandoned = state
        .vanishing
        .iter()
        .flatten()
        .any(|gone| gone.epoch < epoch);
    pins(model, state, proxy).all(|pinned| pinned >= epoch)
        && (!abandoned || model.faults.forgets_the_abandoned)
}

/// The gates that a flip of `proxy` moves.
fn gates<'a>(
    model: &Protocol,
    state: &'a mut State,
    proxy: usize,
) -> impl Iterator<Item = &'a mut Gate> {
    let heard = heard(model, proxy);
    state.proxies[heard].iter_mut().map(|proxy| &mut proxy.gate)
}

pub(super) fn close(model: &Protocol, state: &mut State, proxy: usize, to: Phase) {
    state.flips_left -= 1;
    gates(model, state, proxy).for_each(|gate| gate.closed_for = Some(to));
}

pub(super) fn call_off(model: &Protocol, state: &mut State, proxy: usize) {
    gates(model, state, proxy).for_each(|gate| gate.closed_for = None);
}

pub(super) fn publish(model: &Protocol, state: &mut State, proxy: usize, to: Phase) {
    let before = state.proxies[proxy].gate;
    if before.closed_for.is_none() {
        state.flips_left -= 1;
    }
    let dual = |phase: Phase| phase > Phase::UseOld;
    if dual(before.phase) != dual(to) && !model.faults.bypass_is_forgotten {
        state.bypassed = true;
    }
    gates(model, state, proxy).for_each(|gate| {
        *gate = Gate {
            phase: to,
            epoch: gate.epoch + 1,
            closed_for: None,
        };
    });
}

/// `crossfade verify --repair`: what differs and is not known is marked; where nothing differs and nothing is in doubt the new store is trusted again.
pub(super) fn verify(model: &Protocol, state: &mut State) {
    let mut alike = true;
    for key in 0..usize::from(model.bounds.keys) {
        let differs = state.cell(Side::Old, key).row != state.cell(Side::New, key).row;
        if differs && state.is_undoubted(key) {
            state.mark(0, key, false);
        }
        alike &= !differs;
    }
    state.bypassed = !alike;
}
