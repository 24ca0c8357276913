//! The preflight of phase 3: what both stores say of the mapped tables of a toggle.

use crossfade_config::{Config, QualifiedName};
use crossfade_phase::Phase;
use crossfade_reconcile::Stores;
use crossfade_store::{Finding, Mapping, ResolveError, StoreError, resolve};

/// What was found.
pub(crate) struct Preflight {
    /// The toggle's tables by both catalogs, or what stood in the way.
    pub(crate) mapping: Result<Mapping, ResolveError>,
    /// Findings about the toggle's tables, with those that are acknowledged.
    pub(crate) findings: Vec<Weighed>,
    /// The first store that failed while it was asked.
    pub(crate) failure: Option<StoreError>,
}

/// A finding, and what the file says to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Weighed {
    pub(crate) finding: Finding,
    pub(crate) acknowledged: bool,
}

impl Weighed {
    /// Whether it stands in the way of phase 3.
    pub(crate) fn blocks(&self) -> bool {
        self.finding.blocks == Some(Phase::DualWrite) && !self.acknowledged
    }
}

impl Preflight {
    /// How many findings stand in the way; `None` when the preflight did not get to its end.
    pub(crate) fn blocking(&self) -> Option<u64> {
        let mistakes = match &self.mapping {
            Ok(_) => 0,
            Err(ResolveError::Mistakes(mistakes)) => mistakes.len(),
            Err(ResolveError::Store(_)) => return None,
        };
        if self.failure.is_some() {
            return None;
        }
        Some(
            (mistakes
                + self
                    .findings
                    .iter()
                    .filter(|weighed| weighed.blocks())
                    .count()) as u64,
        )
    }

    /// What stands in the way, a line each.
    pub(crate) fn obstacles(&self) -> Vec<String> {
        let mut lines = Vec::new();
        match &self.mapping {
            Ok(_) => {}
            Err(ResolveError::Mistakes(mistakes)) => {
                lines.extend(mistakes.iter().map(ToString::to_string))
            }
            Err(ResolveError::Store(error)) => lines.push(error.to_string()),
        }
        lines.extend(self.failure.iter().map(ToString::to_string));
        let blocking = self.findings.iter().filter(|weighed| weighed.blocks());
        lines.extend(blocking.map(|Weighed { finding, .. }| {
            format!(
                "table \"{}\": {}; {}",
                finding.table, finding.what, finding.remedy
            )
        }));
        lines
    }
}

/// Asks both stores about the tables of a toggle, as if it were in phase 3. Needs no journal, so that it works beside a running proxy.
pub(crate) async fn preflight(config: &Config, stores: &Stores, toggle: &str) -> Preflight {
    let mut one = config.clone();
    one.toggles.retain(|name, _| name == toggle);
    let mapping = resolve(&one, &*stores.old, Some(&*stores.new)).await;
    let mut found = Preflight {
        mapping,
        findings: Vec::new(),
        failure: None,
    };
    let Ok(mapping) = &found.mapping else {
        return found;
    };
    for table in &mapping.tables {
        for store in [&stores.old, &stores.new] {
            match store.findings(table, mapping).await {
                Ok(findings) => {
                    let weigh = |finding: Finding| Weighed {
                        acknowledged: is_acknowledged(config, toggle, &finding),
                        finding,
                    };
                    found.findings.extend(findings.into_iter().map(weigh));
                }
                Err(error) => {
                    found.failure = Some(error);
                    return found;
                }
            }
        }
    }
    found
}

fn is_acknowledged(config: &Config, toggle: &str, finding: &Finding) -> bool {
    let Some(name) = &finding.name else {
        return false;
    };
    acknowledged(config, toggle, &finding.table).is_some_and(|names| names.contains(name))
}

fn acknowledged<'c>(
    config: &'c Config,
    toggle: &str,
    table: &QualifiedName,
) -> Option<&'c [String]> {
    let tables = &config.toggles.get(toggle)?.tables;
    tables
        .iter()
        .find(|typed| typed.old == *table)
        .map(|typed| typed.acknowledge.as_slice())
}
