//! What can happen next, and what becomes of it.

use super::{
    Action, Control, Flipping, Member, PROXIES, Record, Row, Stage, State, Transaction, index,
};

pub(super) fn actions(model: &Control, state: &State, actions: &mut Vec<Action>) {
    for at in 0..PROXIES {
        of_proxy(model, state, at, actions);
        if let Some(flipping) = state.flipping[at].filter(|_| state.proxies[at].alive) {
            of_flip(model, state, at, &flipping, actions);
        }
    }
}

fn of_proxy(model: &Control, state: &State, at: usize, actions: &mut Vec<Action>) {
    let (proxy, faults) = (&state.proxies[at], &model.faults);
    if proxy.open.is_some_and(|open| open.sent) {
        actions.push(Action::Land(at));
    }
    operator(model, state, at, actions);
    if !proxy.alive {
        actions.push(Action::Start(at));
        return;
    }
    match proxy.open {
        Some(open) if !open.sent => actions.push(Action::Check(at)),
        None if !proxy.closed && proxy.writes_left > 0 => actions.push(Action::Begin(at)),
        Some(_) | None => {}
    }
    if state.rows[index(proxy.home)][at] != row(state, at) {
        actions.push(Action::Say(at));
    }
    actions.push(Action::Read(at));
    // It matters for those alone that are forgotten.
    if proxy.lease && model.forgets > 0 {
        actions.push(Action::LeaseEnds(at));
    }
    if proxy.closed && faults.opens_alone {
        actions.push(Action::OpenAlone(at));
    }
    if state.crashes_left > 0 {
        actions.push(Action::Crash(at));
    }
    let Some(record) = state.record(faults) else {
        return;
    };
    if !counts(&record, state, at) {
        if proxy.closed && proxy.open.is_none() {
            actions.push(Action::Join(at));
        }
        return;
    }
    match record.stage {
        Stage::Open if state.flips_left > 0 && state.flipping[at].is_none() => {
            actions.push(Action::Call(at));
        }
        Stage::Calling(_) | Stage::Barrier(_) if !actions.contains(&Action::CallOff) => {
            actions.push(Action::CallOff);
        }
        Stage::Open | Stage::Calling(_) | Stage::Barrier(_) | Stage::Arriving | Stage::Gone => {}
    }
}

/// The operator sits at another proxy.
fn operator(model: &Control, state: &State, at: usize, actions: &mut Vec<Action>) {
    let Some(record) = state.record(&model.faults) else {
        return;
    };
    let other = 1 - at;
    let Some(member) = record.members[at].filter(|_| counts(&record, state, other)) else {
        return;
    };
    let (proxy, faults) = (&state.proxies[at], &model.faults);
    if !member.marked {
        if state.forgets_left > 0 {
            actions.push(Action::Mark(at));
        }
        return;
    }
    let over = !proxy.lease || !proxy.alive;
    let in_flight = proxy.open.is_some_and(|open| open.sent);
    if over && (!in_flight || faults.forgets_in_flight) {
        actions.push(Action::Remove(at));
    }
}

fn of_flip(
    model: &Control,
    state: &State,
    by: usize,
    flipping: &Flipping,
    actions: &mut Vec<Action>,
) {
    let Some(record) = state.record(&model.faults) else {
        return;
    };
    match (record.stage, flipping.arrived) {
        (_, Some(_)) => actions.push(Action::Leave(by)),
        (Stage::Calling(number), None) if number == flipping.number => {
            if all(model, state, &record, |row| row.heard == Some(number)) {
                actions.push(Action::Close(by));
            }
        }
        (Stage::Barrier(number), None) if number == flipping.number => {
            let any = model.faults.any_answer_counts;
            let drained = |row: &Row| row.drained == Some(number) || any && row.drained.is_some();
            if all(model, state, &record, drained) {
                actions.push(Action::Arrive(by));
            }
        }
        (_, None) => {}
    }
}

/// Whether every proxy that counts has answered.
fn all(model: &Control, state: &State, record: &Record, has: impl Fn(&Row) -> bool) -> bool {
    let Some(home) = state.place(&model.faults) else {
        return false;
    };
    record.members.iter().enumerate().all(|(at, member)| {
        let row = &state.rows[index(home)][at];
        member.is_none_or(|member| member.life == row.life && has(row))
    })
}

/// Whether this run of a proxy counts, and is to go on.
fn counts(record: &Record, state: &State, at: usize) -> bool {
    let member = record.members[at];
    member.is_some_and(|member| member.life == state.proxies[at].life && !member.marked)
}

fn row(state: &State, at: usize) -> Row {
    let proxy = &state.proxies[at];
    Row {
        life: proxy.life,
        heard: proxy.heard,
        drained: proxy.drained,
    }
}

pub(super) fn take(model: &Control, state: &mut State, action: Action) {
    match action {
        Action::Begin(at) => {
            let proxy = &mut state.proxies[at];
            proxy.writes_left -= 1;
            proxy.open = Some(Transaction {
                epoch: proxy.epoch,
                sent: false,
            });
        }
        Action::Check(at) => {
            let proxy = &mut state.proxies[at];
            let may = proxy.lease || model.faults.commits_without_lease;
            proxy.open = proxy
                .open
                .filter(|_| may)
                .map(|open| Transaction { sent: true, ..open });
        }
        Action::Land(at) => state.proxies[at].open = None,
        Action::Say(at) => state.rows[index(state.proxies[at].home)][at] = row(state, at),
        Action::Read(at) => read(model, state, at),
        Action::LeaseEnds(at) => state.proxies[at].lease = false,
        Action::OpenAlone(at) => state.proxies[at].closed = false,
        Action::Crash(at) => crash(state, at),
        Action::Start(at) => start(model, state, at),
        Action::Join(at) => join(model, state, at),
        Action::Mark(at) => {
            state.forgets_left -= 1;
            let at_once = model.faults.forgets_at_once;
            change(model, state, |record| {
                record.members[at] = record.members[at]
                    .filter(|_| !at_once)
                    .map(|member| Member {
                        marked: true,
                        ..member
                    });
            });
        }
        Action::Remove(at) => change(model, state, |record| record.members[at] = None),
        Action::Call(_)
        | Action::Close(_)
        | Action::Arrive(_)
        | Action::Leave(_)
        | Action::CallOff => {
            flip(model, state, action);
        }
    }
}

fn flip(model: &Control, state: &mut State, action: Action) {
    match action {
        Action::Call(by) => {
            state.flips_left -= 1;
            let number = state
                .record(&model.faults)
                .map_or(0, |record| record.serial + 1);
            change(model, state, |record| record.stage = Stage::Calling(number));
            let arrived = None;
            state.flipping[by] = Some(Flipping { number, arrived });
        }
        Action::Close(by) => {
            let number = state.flipping[by].map_or(0, |flipping| flipping.number);
            change(model, state, |record| record.stage = Stage::Barrier(number));
        }
        Action::Arrive(by) => arrive(model, state, by),
        Action::Leave(by) => leave(model, state, by),
        Action::CallOff => {
            state.called_off = true;
            change(model, state, |record| record.stage = Stage::Open);
            for flipping in &mut state.flipping {
                *flipping = flipping.filter(|flipping| flipping.arrived.is_some());
            }
        }
        _other => {}
    }
}

fn arrive(model: &Control, state: &mut State, by: usize) {
    let (Some(home), Some(record)) = (state.place(&model.faults), state.record(&model.faults))
    else {
        return;
    };
    state.records[index(home.other())] = Some(Record {
        serial: record.serial + 1,
        stage: Stage::Arriving,
        epoch: record.epoch + 1,
        members: record.members,
    });
    if let Some(flipping) = &mut state.flipping[by] {
        flipping.arrived = Some(record.serial);
    }
}

/// The point of no return, unless the record has changed.
fn leave(model: &Control, state: &mut State, by: usize) {
    let Some(flipping) = state.flipping[by].take() else {
        return;
    };
    let live = state
        .records
        .iter_mut()
        .flatten()
        .find(|record| record.is_live());
    let Some(record) = live else {
        return;
    };
    if Some(record.serial) == flipping.arrived || model.faults.publishes_blindly {
        record.serial += 1;
        record.epoch += 1;
        record.stage = Stage::Gone;
    }
}

/// A compare-and-set that nobody gets ahead of. What has arrived is made open on the way.
fn change(model: &Control, state: &mut State, change: impl FnOnce(&mut Record)) {
    let Some(side) = state.place(&model.faults) else {
        return;
    };
    complete(model, state, side);
    if let Some(record) = &mut state.records[index(side)] {
        change(record);
        record.serial += 1;
    }
}

fn complete(model: &Control, state: &mut State, side: crossfade_phase::Side) {
    let arrived = state.has_arrived(side) || model.faults.arriving_counts;
    if let Some(record) = &mut state.records[index(side)]
        && record.stage == Stage::Arriving
        && arrived
    {
        record.stage = Stage::Open;
        record.serial += 1;
    }
}

fn read(model: &Control, state: &mut State, at: usize) {
    let Some(side) = state.place(&model.faults) else {
        return;
    };
    complete(model, state, side);
    let Some(record) = state.records[index(side)] else {
        return;
    };
    let counted = counts(&record, state, at);
    let proxy = &mut state.proxies[at];
    proxy.home = side;
    if !counted {
        (proxy.lease, proxy.closed) = (false, true);
        return;
    }
    proxy.lease = true;
    let behind = record.epoch > proxy.epoch;
    let answers = model.faults.answers_before_it_follows && record.stage != Stage::Open;
    if behind && !answers {
        // Whatever is under way by now: first it goes to where the others are.
        (proxy.epoch, proxy.closed) = (record.epoch, false);
        (proxy.heard, proxy.drained) = (None, None);
        return;
    }
    match record.stage {
        Stage::Calling(number) => (proxy.heard, proxy.closed) = (Some(number), false),
        Stage::Barrier(number) => {
            proxy.closed = true;
            if proxy.open.is_none() {
                proxy.drained = Some(number);
            }
        }
        Stage::Open | Stage::Arriving | Stage::Gone => {
            (proxy.heard, proxy.drained, proxy.closed) = (None, None, false);
        }
    }
}

/// What is sent off is on its way still; the rest is rolled back.
fn crash(state: &mut State, at: usize) {
    state.crashes_left -= 1;
    let proxy = &mut state.proxies[at];
    proxy.open = proxy.open.filter(|open| open.sent);
    (proxy.alive, proxy.lease, proxy.closed) = (false, false, true);
    (proxy.heard, proxy.drained) = (None, None);
    state.flipping[at] = None;
}

fn start(model: &Control, state: &mut State, at: usize) {
    let place = state.place(&model.faults);
    let epoch = state.record(&model.faults).map_or(0, |record| record.epoch);
    let beside = model.faults.joins_beside_the_record;
    let proxy = &mut state.proxies[at];
    (proxy.alive, proxy.epoch) = (true, epoch);
    proxy.life += 1;
    proxy.home = place.unwrap_or(proxy.home);
    if beside {
        (proxy.closed, proxy.lease) = (false, true);
    }
}

fn join(model: &Control, state: &mut State, at: usize) {
    let life = state.proxies[at].life;
    let back = state
        .record(&model.faults)
        .is_some_and(|record| record.members[at].is_none());
    state.came_back |= back;
    change(model, state, |record| {
        record.members[at] = Some(Member {
            life,
            marked: false,
        });
    });
}
