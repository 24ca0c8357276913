//! What the other proxies of a migration have written.
//!
//! Each says of itself, with its sign of life, how many rows it has changed in each table ([`Row`](crate::control::Row)). The sum is held against the store's counters, by one of
//! them. It has to be of the right moments: of rows that were *ended* before the store was asked, what was said before is enough; of rows that were *begun*, everybody must have
//! said something that it began to say behind the store's answer.

use std::{collections::BTreeMap, sync::Arc};

use crossfade_phase::Side;
use crossfade_store::{OwnChanges, OwnTotal, TableMap};

use super::Watch;
use crate::{
    app::App,
    control::{Other, Seat, Unheard},
};

/// All proxies but this one, at one moment.
pub(super) struct Crowd {
    /// Their runs. A run that comes or goes takes counts along that nobody knows.
    pub(super) lives: Vec<u64>,
    others: Vec<Other>,
}

/// Why nothing can be said.
pub(super) enum Unknown {
    /// It passes.
    Moving,
    /// Nobody knows for how long.
    Silent(String),
}

/// Who adds it all up: the first by its id of those that run. `None` for this proxy.
pub(super) fn watcher(seat: &Seat) -> Option<String> {
    let mut others = seat.running();
    others.sort_by(|one, other| one.id.cmp(&other.id));
    let first = others.into_iter().next()?;
    (first.id < seat.me.id).then_some(first.name)
}

/// As they were heard of last, all of them in this proxy's epoch.
///
/// # Errors
/// Why nothing can be said.
pub(super) fn now(seat: &Seat, epoch: u64) -> Result<Crowd, Unknown> {
    let others = seat.running();
    let mut lives = Vec::new();
    for other in &others {
        let Some(row) = other.row().filter(|_| !other.is_silent()) else {
            return Err(silent(other));
        };
        if row.epoch != epoch {
            return Err(Unknown::Moving);
        }
        lives.push(row.life);
    }
    Ok(Crowd { lives, others })
}

/// The same once each of them has said something that it began to say after this was called.
///
/// # Errors
/// Why nothing can be said.
pub(super) async fn later(seat: &Arc<Seat>, epoch: u64) -> Result<Crowd, Unknown> {
    match seat.hear_all().await {
        Ok(()) => now(seat, epoch),
        Err(Unheard::Trouble(_)) => Err(Unknown::Moving),
        Err(silent @ Unheard::Silent(_)) => Err(Unknown::Silent(silent.to_string())),
    }
}

fn silent(other: &Other) -> Unknown {
    Unknown::Silent(Unheard::Silent(other.name.clone()).to_string())
}

impl Crowd {
    /// What they have changed in a table of a store, with what this proxy has.
    pub(super) fn with(&self, own: OwnTotal, table: &TableMap, side: Side) -> OwnTotal {
        let name = table.old.name.to_string();
        let said = self.others.iter().filter_map(|other| other.row());
        said.map(|row| row.changes(&name, side))
            .fold(own, |sum, one| OwnTotal {
                begun: sum.begun + one.begun,
                ended: sum.ended + one.ended,
                unsure: sum.unsure + one.unsure,
            })
    }
}

impl Watch {
    /// The tables that no other proxy watches, and what the others have written by now, by toggle.
    pub(super) fn ours_to_watch(
        &mut self,
        tables: &[TableMap],
    ) -> (Vec<TableMap>, BTreeMap<String, Crowd>) {
        let Some(shared) = &self.app.control else {
            return (tables.to_vec(), BTreeMap::new());
        };
        let (mut ours, mut crowds) = (Vec::new(), BTreeMap::new());
        for seat in shared.seats() {
            let of_toggle: Vec<TableMap> = tables
                .iter()
                .filter(|table| table.toggle == seat.toggle)
                .cloned()
                .collect();
            if let Some(name) = watcher(seat) {
                self.unseen(&of_toggle, &format!("proxy \"{name}\" watches it"));
                continue;
            }
            match now(seat, self.epoch(&seat.toggle)) {
                Ok(crowd) => {
                    crowds.insert(seat.toggle.clone(), crowd);
                    ours.extend(of_toggle);
                }
                Err(Unknown::Moving) => {}
                Err(Unknown::Silent(why)) => self.unseen(&of_toggle, &why),
            }
        }
        (ours, crowds)
    }

    /// Where nobody has come or gone since: what the others had written then, and what they say now.
    pub(super) async fn others_later(
        &self,
        tables: &[TableMap],
        then: BTreeMap<String, Crowd>,
    ) -> BTreeMap<String, (Crowd, Crowd)> {
        let mut both = BTreeMap::new();
        for (toggle, then) in then {
            let Some(seat) = self
                .app
                .control
                .as_ref()
                .and_then(|shared| shared.seat(&toggle))
            else {
                continue;
            };
            match later(seat, self.epoch(&toggle)).await {
                Ok(later) if later.lives == then.lives => {
                    both.insert(toggle, (then, later));
                }
                Ok(_) | Err(Unknown::Moving) => {}
                Err(Unknown::Silent(why)) => {
                    let of_toggle = tables.iter().filter(|table| table.toggle == toggle);
                    self.unseen(&of_toggle.cloned().collect::<Vec<_>>(), &why);
                }
            }
        }
        both
    }

    fn epoch(&self, toggle: &str) -> u64 {
        let toggle = self.app.toggles.get(toggle);
        toggle.map_or(0, |toggle| toggle.gate().current().epoch.number())
    }
}

/// What this proxy has changed in the tables of a toggle, as it says it to the others.
pub(crate) fn own_changes(app: &App, toggle: &str) -> BTreeMap<String, [[u64; 3]; 2]> {
    let mapping = app.mapping();
    let counts = [Side::Old, Side::New].map(|side| app.stores.on(side).own_changes());
    let changed = |table: &TableMap| {
        let total = |own: Option<&Arc<OwnChanges>>| {
            let total = own.map(|own| own.of(table).total()).unwrap_or_default();
            [total.begun, total.ended, total.unsure]
        };
        let both = counts.map(total);
        (both != [[0; 3]; 2]).then(|| (table.old.name.to_string(), both))
    };
    let of_toggle = mapping.tables.iter().filter(|table| table.toggle == toggle);
    of_toggle.filter_map(changed).collect()
}
