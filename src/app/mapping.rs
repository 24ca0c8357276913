//! The mapping: from the file and the catalogs, as far as each toggle's phase needs them.

use std::{collections::BTreeMap, sync::Arc};

use crossfade_config::Config;
use crossfade_phase::Phase;
use crossfade_reconcile::Stores;
use crossfade_store::{Aliases, Mapping, ResolveError, Store, TableId, resolve as resolve_with};
use crossfade_toggle::Toggle;

use super::catalogs::{Catalogs, Remembering, Trust};
use crate::failure::Failure;

/// Whether a phase looks at the new store at all.
fn needs_new(phase: Phase) -> bool {
    phase > Phase::DeployNew
}

/// What each toggle needs of the two catalogs.
#[derive(Debug, Clone)]
pub(crate) struct Need {
    phases: BTreeMap<String, Phase>,
    trust: Trust,
}

impl Need {
    /// For toggles in these phases, asking the stores.
    pub(crate) fn of<'a>(toggles: impl Iterator<Item = &'a Arc<Toggle>>) -> Need {
        let phases = toggles
            .map(|toggle| (toggle.name().to_owned(), toggle.gate().current().phase))
            .collect();
        Need {
            phases,
            trust: Trust::Ask,
        }
    }

    /// The same with one toggle in another phase.
    pub(crate) fn with(mut self, toggle: &str, phase: Phase) -> Need {
        self.phases.insert(toggle.to_owned(), phase);
        self
    }

    /// A store that does not answer is taken to be as it was.
    fn or_as_it_was(mut self) -> Need {
        self.trust = Trust::AskOrAsItWas;
        self
    }

    fn phase(&self, toggle: &str) -> Phase {
        self.phases.get(toggle).copied().unwrap_or(Phase::DeployNew)
    }
}

/// The mapping at the start. In the phases 1 and 2 nothing routes by it, so there it may be missing and is made up for later.
///
/// # Errors
/// When a toggle beyond phase 2 has no mapping.
pub(super) async fn at_start(
    config: &Config,
    stores: &Stores,
    catalogs: &Catalogs,
    toggles: &BTreeMap<String, Arc<Toggle>>,
) -> Result<Mapping, Failure> {
    let need = Need::of(toggles.values()).or_as_it_was();
    let routed = need.phases.values().any(|phase| *phase > Phase::UseOld);
    match resolve(config, stores, catalogs, &need).await {
        Ok(mapping) => Ok(mapping),
        Err(error) if routed => Err(error.into()),
        Err(error) => {
            tracing::warn!(%error, "the mapping cannot be made yet; clients are served from the old store, and `crossfade check` shows what is missing");
            Ok(Mapping::default())
        }
    }
}

/// Makes the mapping.
///
/// # Errors
/// A store that does not answer, or what does not fit.
pub(super) async fn resolve(
    config: &Config,
    stores: &Stores,
    catalogs: &Catalogs,
    need: &Need,
) -> Result<Mapping, ResolveError> {
    let views = Views {
        old: catalogs.remembering(&stores.old, need.trust),
        // In 8 the old store may be switched off: it is as it was.
        old_as_it_was: catalogs.remembering(&stores.old, Trust::AsItWas),
        new: catalogs.remembering(&stores.new, need.trust),
    };
    let mut whole = Mapping::default();
    let mut mistakes = Vec::new();
    for name in config.toggles.keys() {
        let mut one = config.clone();
        one.toggles.retain(|toggle, _| toggle == name);
        match resolve_toggle(&one, &views, need.phase(name)).await {
            Ok(part) => append(&mut whole, part),
            Err(ResolveError::Mistakes(more)) => mistakes.extend(more),
            Err(error @ ResolveError::Store(_)) => return Err(error),
        }
    }
    if !mistakes.is_empty() {
        return Err(ResolveError::Mistakes(mistakes));
    }
    catalogs.keep(config);
    Ok(whole)
}

/// The stores as one making of the mapping sees them.
struct Views {
    old: Remembering,
    old_as_it_was: Remembering,
    new: Remembering,
}

async fn resolve_toggle(
    config: &Config,
    views: &Views,
    phase: Phase,
) -> Result<Mapping, ResolveError> {
    let (old, new) = (
        if phase == Phase::NewOnly {
            &views.old_as_it_was
        } else {
            &views.old
        },
        &views.new,
    );
    if !needs_new(phase) {
        return resolve_with(config, old, None).await;
    }
    let both = resolve_with(config, old, Some(new as &dyn Store)).await;
    match both {
        // Phase 2 connects to the new store and checks it; that it is not ready yet disturbs nobody (DESIGN 2).
        Err(error) if phase == Phase::UseOld => {
            let mapping = resolve_with(config, old, None).await?;
            tracing::warn!(%error, "the new store is not ready for phase dual-write; `crossfade check` shows what is missing");
            Ok(mapping)
        }
        outcome => outcome,
    }
}

/// Numbers the tables of a part after those that are there.
fn append(whole: &mut Mapping, part: Mapping) {
    let offset = whole.tables.len();
    whole
        .tables
        .extend(part.tables.into_iter().map(|mut table| {
            table.id = TableId(table.id.0 + offset);
            table
        }));
    append_aliases(&mut whole.old_aliases, part.old_aliases, offset);
    append_aliases(&mut whole.new_aliases, part.new_aliases, offset);
}

fn append_aliases(whole: &mut Aliases, part: Aliases, offset: usize) {
    let all = [
        (&mut whole.views, part.views),
        (&mut whole.children, part.children),
        (&mut whole.writing_functions, part.writing_functions),
        (&mut whole.namesakes, part.namesakes),
    ];
    for (whole, part) in all {
        for (name, tables) in part {
            whole
                .entry(name)
                .or_default()
                .extend(tables.into_iter().map(|table| TableId(table.0 + offset)));
        }
    }
}
