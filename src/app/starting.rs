//! In which phase each toggle starts (trap 40).

use std::{collections::BTreeMap, sync::Arc};

use crossfade_config::{Config, TableConfig, ToggleConfig};
use crossfade_journal::{Journal, Why};
use crossfade_phase::Phase;
use crossfade_toggle::{Epoch, Gate, Hold, Snapshot, Start, Toggle, start};

use super::catalogs::Catalogs;
use crate::failure::Failure;

/// Toggles by name, and what keeps the phases of some from being effective.
pub(super) type Toggles = (BTreeMap<String, Arc<Toggle>>, BTreeMap<String, Hold>);
/// Whether a file's phase is a wish on the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    /// It is: the proxy is the only one, or the first.
    File,
    /// It is not: several proxies have several files, and nobody knows which of them is meant. An edit that is seen while the proxy runs is one.
    None,
}

/// The toggles of the file in their durable phases; a toggle that was never there gets its first one.
///
/// # Errors
/// When a toggle may not serve; every one of them is named.
pub(super) fn toggles(
    config: &Config,
    journal: &Journal,
    from: impl Fn(&str) -> Wish,
) -> Result<Toggles, Failure> {
    let state = journal.state();
    let (mut toggles, mut holds) = (BTreeMap::new(), BTreeMap::new());
    let mut refused = gone_from_the_file(config, journal);
    for (name, wish) in &config.toggles {
        let start = start(state.phase(name), wish.phase);
        let Some(phase) = start.phase() else {
            refused.push(format!("toggle \"{name}\" {start}"));
            continue;
        };
        let from = from(name);
        let wanted = match from {
            Wish::File => wish.phase,
            Wish::None => phase,
        };
        match start {
            Start::Differs { .. } if from == Wish::None => {
                tracing::info!(toggle = name, phase = %phase, file = %wish.phase, "toggle \"{name}\" is in phase {phase} with all proxies of the migration; the file says {}, which is no wish to move on a start (`crossfade phase {name} {}` is one)", wish.phase, wish.phase);
            }
            Start::First { .. } | Start::Differs { .. } => {
                tracing::info!(toggle = name, phase = %phase, wanted = %wish.phase, "toggle \"{name}\" {start}")
            }
            Start::Same(_) => {
                tracing::debug!(toggle = name, phase = %phase, "toggle \"{name}\" {start}")
            }
            Start::StateMissing { .. } => {}
        }
        if let Start::First { .. } = start {
            state.set_phase(name, phase, Why::First)?;
        }
        let epoch = state
            .toggle(name)
            .map_or(Epoch::FIRST, |toggle| Epoch::new(toggle.epoch));
        let at = Snapshot { epoch, phase };
        let gate = if may_be_overlapped(wish, journal, phase) {
            let before = Snapshot {
                epoch: Epoch::new(epoch.number().saturating_sub(1)),
                phase: Phase::UseOld,
            };
            let (gate, hold) = Gate::held(before, at, "what the last process left running");
            holds.insert(name.clone(), hold);
            gate
        } else {
            Gate::new(at)
        };
        let toggle = Toggle::at(name.clone(), gate, wanted);
        toggles.insert(name.clone(), Arc::new(toggle));
    }
    if refused.is_empty() {
        Ok((toggles, holds))
    } else {
        Err(Failure::usage(refused.join("\n")))
    }
}

/// Whether the last process may have ended before phase 3 was effective: once a table was verified there, it was.
fn may_be_overlapped(toggle: &ToggleConfig, journal: &Journal, phase: Phase) -> bool {
    let doubted = |table: &TableConfig| {
        let known = journal.state().table(&table.old.to_string());
        known.bypassed.is_some()
    };
    phase == Phase::DualWrite && toggle.tables.iter().any(doubted)
}

/// Toggles that are on record in a phase that needs them, and that the file no longer has (trap 39): to serve without them would send the writes of
/// their tables to one store in silence.
fn gone_from_the_file(config: &Config, journal: &Journal) -> Vec<String> {
    let gone = journal
        .state()
        .toggles()
        .into_iter()
        .filter(|(name, _)| !config.toggles.contains_key(name));
    let held = gone.filter(|(_, state)| state.phase > Phase::UseOld);
    held.map(|(name, state)| {
        format!(
            "toggle \"{name}\" is in phase {} ({}) on record, but the file does not have it: put it back into the file, and take it out only after it \
             was moved to use-old",
            state.phase,
            state.phase.number()
        )
    })
    .collect()
}

/// Refuses a file that gives a toggle other tables than it was moved beyond phase 2 with: a table that is gone would be written in one store only, a new
/// one would come in behind the guards' back.
///
/// # Errors
/// Names each such table.
pub(super) fn check_tables(
    config: &Config,
    journal: &Journal,
    catalogs: &Catalogs,
) -> Result<(), Failure> {
    let mut refused = Vec::new();
    for (name, toggle) in &config.toggles {
        let Some(phase) = journal
            .state()
            .phase(name)
            .filter(|phase| *phase > Phase::UseOld)
        else {
            continue;
        };
        let Some(before) = catalogs.tables_of(name) else {
            continue;
        };
        let now: Vec<String> = toggle
            .tables
            .iter()
            .map(|table| table.old.to_string())
            .collect();
        let gone = before
            .iter()
            .filter(|table| !now.contains(table))
            .map(|table| (table, "no longer maps", "put it back"));
        let come = now
            .iter()
            .filter(|table| !before.contains(table))
            .map(|table| (table, "maps as a new one", "give it a toggle of its own"));
        refused.extend(gone.chain(come).map(|(table, what, instead)| {
            format!("toggle \"{name}\" is in phase {phase}, and the file {what} its table \"{table}\"; {instead}, or move the toggle back to use-old first")
        }));
    }
    if refused.is_empty() {
        Ok(())
    } else {
        Err(Failure::usage(refused.join("\n")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(toggles: &[(&str, &str)]) -> Config {
        let mut text = "[old]\nurl = \"postgres://a@127.0.0.1/a\"\n[new]\nurl = \"postgres://a@127.0.0.1/b\"\n".to_owned();
        for (name, phase) in toggles {
            text.push_str(&format!(
                "[toggle.{name}]\nphase = \"{phase}\"\n[toggle.{name}.table.{name}s]\n"
            ));
        }
        crossfade_config::parse(&text, "crossfade.toml", &|_| None, "")
            .unwrap()
            .config
    }

    fn phases(config: &Config, journal: &Journal) -> Vec<Phase> {
        let (toggles, _) = toggles(config, journal, |_| Wish::File).unwrap();
        toggles
            .values()
            .map(|toggle| toggle.gate().current().phase)
            .collect()
    }

    #[test]
    fn trap_40_a_first_start_needs_no_proof_and_a_later_one_follows_the_record() {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::open(dir.path()).unwrap();
        assert_eq!(
            phases(&config(&[("order", "dual-write")]), &journal),
            [Phase::UseOld]
        );
        journal
            .state()
            .set_phase("order", Phase::DualRead, Why::First)
            .unwrap();
        assert_eq!(
            phases(&config(&[("order", "deploy-new")]), &journal),
            [Phase::DualRead]
        );
    }

    #[test]
    fn trap_40_the_file_of_one_of_several_proxies_is_no_wish_on_the_start() {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::open(dir.path()).unwrap();
        journal
            .state()
            .set_phase("order", Phase::DualWrite, Why::First)
            .unwrap();
        for file in ["use-old", "dual-read"] {
            let config = config(&[("order", file)]);
            let wanted =
                |from: Wish| toggles(&config, &journal, |_| from).unwrap().0["order"].wanted();
            assert_eq!(wanted(Wish::None), Phase::DualWrite);
            assert_eq!(wanted(Wish::File).name(), file);
        }
    }

    #[test]
    fn trap_40_a_file_ahead_of_a_first_start_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::open(dir.path()).unwrap();
        let failure = toggles(
            &config(&[("order", "new-only"), ("item", "use-old")]),
            &journal,
            |_| Wish::File,
        )
        .unwrap_err();
        assert!(
            failure
                .to_string()
                .contains("toggle \"order\" does not start"),
            "{failure}"
        );
    }

    #[test]
    fn trap_39_a_toggle_that_is_gone_from_the_file_is_missed_unless_it_needs_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::open(dir.path()).unwrap();
        let both = config(&[("order", "use-old"), ("item", "use-old")]);
        assert_eq!(phases(&both, &journal).len(), 2);
        let one = config(&[("order", "use-old")]);
        assert_eq!(phases(&one, &journal).len(), 1);
        journal
            .state()
            .set_phase("item", Phase::NewOnly, Why::First)
            .unwrap();
        let failure = toggles(&one, &journal, |_| Wish::File).unwrap_err();
        assert!(
            failure
                .to_string()
                .contains("toggle \"item\" is in phase new-only"),
            "{failure}"
        );
    }

    #[test]
    fn trap_39_a_table_that_is_gone_or_new_is_refused_beyond_phase_2() {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::open(dir.path()).unwrap();
        let catalogs = Catalogs::open(dir.path()).unwrap();
        let before = config(&[("order", "use-old")]);
        catalogs.keep(&before);
        let mut after = before.clone();
        after.toggles.get_mut("order").unwrap().tables[0].old.name = "another".to_owned();
        let phase = |phase| {
            journal
                .state()
                .set_phase("order", phase, Why::First)
                .unwrap()
        };
        phase(Phase::UseOld);
        check_tables(&after, &journal, &catalogs).unwrap();
        phase(Phase::DualWrite);
        check_tables(&before, &journal, &catalogs).unwrap();
        let failure = check_tables(&after, &journal, &catalogs)
            .unwrap_err()
            .to_string();
        assert!(
            failure.contains("no longer maps its table \"public.orders\""),
            "{failure}"
        );
        assert!(
            failure.contains("maps as a new one its table \"public.another\""),
            "{failure}"
        );
    }
}
