//! `/status`: what an operator wants to know, as JSON.

mod gather;
mod traffic;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub(crate) use gather::gather;
pub(crate) use traffic::{PhaseTraffic, TrafficStatus};

use crate::{around::AroundStatus, jobs::PartView};

/// The whole answer. Fields are only ever added.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Status {
    /// Release.
    pub(crate) version: String,
    /// Seconds since the process began; 0 when nothing serves.
    pub(crate) uptime_s: u64,
    /// Whether this is a running proxy's answer, and not one read from `state_dir`.
    pub(crate) serving: bool,
    /// Toggles by name.
    pub(crate) toggles: BTreeMap<String, ToggleStatus>,
    /// The file.
    pub(crate) config: ConfigStatus,
    /// The journal.
    pub(crate) journal: JournalStatus,
    /// Stores by side.
    pub(crate) stores: BTreeMap<String, StoreStatus>,
    /// Clients connected.
    pub(crate) clients: usize,
    /// Live traffic, where it is counted: before a new store that may refuse some of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) traffic: Option<TrafficStatus>,
}

/// One toggle.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ToggleStatus {
    /// Phase in the file.
    pub(crate) wanted: String,
    /// Phase that every transaction is in.
    pub(crate) effective: String,
    /// Phase of transactions that begin now.
    pub(crate) published: String,
    /// Number of flips.
    pub(crate) epoch: u64,
    /// When the published phase began, in UTC.
    pub(crate) since: Option<String>,
    /// Whether new transactions wait.
    pub(crate) barrier: bool,
    /// Transactions that hold up the present flip.
    pub(crate) holders: Vec<String>,
    /// Open transactions, longest first, at most a few.
    pub(crate) transactions: Vec<String>,
    /// Keys whose row in the secondary may differ.
    pub(crate) dirty_keys: usize,
    /// When the oldest of them became dirty, in UTC.
    pub(crate) oldest_dirty: Option<String>,
    /// Transactions between intent and verdict, and those that the secondary has not flushed yet.
    pub(crate) open_intents: usize,
    /// Dirty keys that a repair has tried in vain.
    pub(crate) failing: usize,
    /// Some of them, with what the store said.
    pub(crate) failing_keys: Vec<FailingKey>,
    /// The proxies that share the toggle, this one first; none where it is the only one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) proxies: Vec<ProxyStatus>,
    /// Why this proxy is out of touch with the others, and commits nothing that writes both stores.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) out_of_touch: Option<String>,
    /// Why the toggle is not where the file wants it.
    pub(crate) refusal: Option<String>,
    /// What a move that is under way waits for.
    pub(crate) waits_for: Option<String>,
    /// For how long the last flip between two primaries held clients back at the most, in milliseconds.
    #[serde(default)]
    pub(crate) pause_ms: Option<f64>,
    /// How much of that went by until the last transaction of the phase before had ended.
    #[serde(default)]
    pub(crate) drain_ms: Option<f64>,
    /// Tables by their old names.
    pub(crate) tables: BTreeMap<String, TableStatus>,
    /// Jobs that run or ran last.
    pub(crate) jobs: Vec<PartView>,
}

/// One of several proxies, as it was last heard of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ProxyStatus {
    /// Its name in its file.
    pub(crate) name: String,
    /// Whether it is the one that answers.
    pub(crate) here: bool,
    /// The epoch that it has published.
    pub(crate) epoch: u64,
    /// The phase of that epoch.
    pub(crate) published: String,
    /// The phase of the oldest transaction that may run there.
    pub(crate) oldest: String,
    /// Dirty keys of the toggle in its journal.
    pub(crate) dirty_keys: u64,
    /// Milliseconds since it was last heard of; `None` when this run of it never was.
    pub(crate) heard_ms_ago: Option<u64>,
    /// Whether it has ended, and counts still for what its journal holds.
    pub(crate) ended: bool,
    /// Why it cannot follow the others.
    pub(crate) trouble: Option<String>,
}

/// A key that could not be repaired.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct FailingKey {
    /// Its table.
    pub(crate) table: String,
    /// Its columns.
    pub(crate) key: Vec<String>,
    /// What the store said.
    pub(crate) error: String,
}

/// One table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct TableStatus {
    /// Its name in the new store.
    pub(crate) target: String,
    /// Whether every row is in the new store, backfilled and verified since.
    pub(crate) complete: bool,
    /// Whether a backfill has gone over it.
    pub(crate) backfilled: bool,
    /// The last verify.
    pub(crate) verified: Option<VerifiedStatus>,
    /// The last reverse verify.
    pub(crate) reverse_verified: Option<VerifiedStatus>,
    /// Why the new store may have missed writes.
    pub(crate) bypassed: Option<String>,
    /// In phase 5: why the old store may have missed writes.
    #[serde(default)]
    pub(crate) old_bypassed: Option<String>,
    /// Keys whose row in the secondary may differ.
    pub(crate) dirty_keys: usize,
    /// How many of them are stale in the primary and only there: they are repaired by themselves once the other store is the primary again.
    #[serde(default)]
    pub(crate) stale_in_primary: u64,
    /// How many of them are stale in both stores: only an operator can decide which row counts.
    #[serde(default)]
    pub(crate) stale_in_both: u64,
    /// When the oldest of them became dirty, in UTC.
    #[serde(default)]
    pub(crate) oldest_dirty: Option<String>,
    /// Compared reads that differed, since the process began.
    pub(crate) mismatches: u64,
    /// Compared reads, since the process began.
    pub(crate) compared: u64,
    /// What went around the proxy, by store.
    #[serde(default)]
    pub(crate) around: Vec<AroundStatus>,
}

/// Outcome of a verify.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct VerifiedStatus {
    /// Rows compared.
    pub(crate) rows: u64,
    /// Rows that differ.
    pub(crate) differences: u64,
    /// When it ended, in UTC.
    pub(crate) at: String,
}

/// The file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ConfigStatus {
    /// Its path, as the process was given it.
    pub(crate) file: String,
    /// Whether it is good as it stands.
    pub(crate) ok: bool,
    /// Every mistake, a line each.
    pub(crate) error: Option<String>,
    /// Settings that wait for a restart.
    pub(crate) needs_restart: Vec<String>,
}

/// The journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct JournalStatus {
    /// Whether it takes writes.
    pub(crate) healthy: bool,
    /// Why not.
    pub(crate) error: Option<String>,
}

/// One store.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct StoreStatus {
    /// Where it is, without the password.
    pub(crate) url: String,
    /// Whether the circuit breaker keeps writes away from it.
    pub(crate) breaker_open: bool,
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::jobs::{Kind, Stage};

    /// A status with something in every field.
    pub(crate) fn sample() -> Status {
        let verified = VerifiedStatus {
            rows: 1200,
            differences: 0,
            at: "2026-11-01T12:00:00Z".into(),
        };
        let table = TableStatus {
            target: "public.orders".into(),
            complete: false,
            backfilled: true,
            verified: Some(verified),
            reverse_verified: None,
            bypassed: Some("phase use-old does not write the new store".into()),
            old_bypassed: None,
            dirty_keys: 3,
            stale_in_primary: 1,
            stale_in_both: 2,
            oldest_dirty: Some("2026-11-01T11:31:00Z".into()),
            mismatches: 1,
            compared: 40,
            around: vec![
                AroundStatus {
                    store: "old".into(),
                    changes: 1003,
                    last: Some("2026-11-01T11:45:00Z".into()),
                    hidden: Some(0),
                    unseen: None,
                },
                AroundStatus {
                    store: "new".into(),
                    changes: 0,
                    last: None,
                    hidden: None,
                    unseen: Some("track_counts is off".into()),
                },
            ],
        };
        let job = PartView {
            kind: Kind::Backfill,
            toggle: "shop".into(),
            table: "public.orders".into(),
            stage: Stage::Running,
            rows: 500,
            changed: 400,
            total: 1000,
            rate: 250.0,
            eta_s: Some(2),
            braked: false,
            outcome: None,
            listed: Vec::new(),
        };
        let toggle = ToggleStatus {
            wanted: "dual-read".into(),
            effective: "use-old".into(),
            published: "dual-write".into(),
            epoch: 3,
            since: Some("2026-11-01T11:00:00Z".into()),
            barrier: false,
            holders: vec!["\"app\" in phase use-old".into()],
            transactions: Vec::new(),
            dirty_keys: 3,
            oldest_dirty: Some("2026-11-01T11:30:00Z".into()),
            open_intents: 1,
            failing: 1201,
            failing_keys: vec![FailingKey {
                table: "public.orders".into(),
                key: vec!["42".into()],
                error: "too long".into(),
            }],
            proxies: vec![
                proxy("a", Some(40)),
                ProxyStatus {
                    dirty_keys: 2,
                    ..proxy("b", Some(9_000))
                },
                proxy("c", None),
            ],
            out_of_touch: Some("the old store gave no answer".into()),
            refusal: Some("dual-write (3) → dual-read (4) is refused".into()),
            waits_for: None,
            pause_ms: Some(31.4),
            drain_ms: Some(20.0),
            tables: BTreeMap::from([("public.orders".to_owned(), table)]),
            jobs: vec![job],
        };
        Status {
            version: "0.1.0".into(),
            uptime_s: 3700,
            serving: true,
            toggles: BTreeMap::from([("shop".to_owned(), toggle)]),
            config: ConfigStatus {
                file: "crossfade.toml".into(),
                ok: true,
                error: None,
                needs_restart: vec!["listen".into()],
            },
            journal: JournalStatus {
                healthy: true,
                error: None,
            },
            stores: BTreeMap::from([(
                "new".to_owned(),
                StoreStatus {
                    url: "postgres://a@b:5432/c".into(),
                    breaker_open: true,
                },
            )]),
            clients: 2,
            traffic: Some(traffic()),
        }
    }

    fn proxy(name: &str, heard_ms_ago: Option<u64>) -> ProxyStatus {
        ProxyStatus {
            name: name.into(),
            here: name == "a",
            epoch: 3,
            published: "dual-write".into(),
            oldest: "use-old".into(),
            dirty_keys: 0,
            heard_ms_ago,
            ended: false,
            trouble: None,
        }
    }

    fn traffic() -> TrafficStatus {
        let refused = traffic::RefusedStatus {
            statement: "select rank() over (order by id) from orders".into(),
            count: 12,
            why: "window functions are not served".into(),
        };
        let phase = |phase: &str, refused: Vec<traffic::RefusedStatus>| PhaseTraffic {
            phase: phase.into(),
            served: if refused.is_empty() { 1.0 } else { 0.9999 },
            more: refused.len(),
            refused,
        };
        TrafficStatus {
            statements: 12_345,
            shapes: 38,
            others: 7,
            phases: vec![
                phase("dual-write", Vec::new()),
                phase("dual-read", Vec::new()),
                phase("new-primary", vec![refused.clone()]),
                phase("new-writes", vec![refused]),
            ],
        }
    }

    /// The face of `/status`: what dashboards and scripts read by name.
    #[test]
    fn the_names_in_the_answer_stay() {
        let json = serde_json::to_value(sample()).unwrap();
        let toggle = &json["toggles"]["shop"];
        assert_eq!(
            (&json["version"], &json["uptime_s"], &json["clients"]),
            (&"0.1.0".into(), &3700.into(), &2.into())
        );
        assert_eq!(
            (
                &toggle["wanted"],
                &toggle["effective"],
                &toggle["published"]
            ),
            (&"dual-read".into(), &"use-old".into(), &"dual-write".into())
        );
        for name in [
            "barrier",
            "holders",
            "dirty_keys",
            "open_intents",
            "failing",
            "refusal",
            "proxies",
            "out_of_touch",
            "since",
            "tables",
            "jobs",
        ] {
            assert!(toggle.get(name).is_some(), "{name} is missing");
        }
        let table = &toggle["tables"]["public.orders"];
        assert_eq!(
            (
                &table["complete"],
                &table["backfilled"],
                &table["dirty_keys"],
                &table["mismatches"]
            ),
            (&false.into(), &true.into(), &3.into(), &1.into())
        );
        assert_eq!(
            (&table["stale_in_primary"], &table["stale_in_both"]),
            (&1.into(), &2.into())
        );
        assert_eq!(
            (
                &table["verified"]["rows"],
                &table["verified"]["differences"]
            ),
            (&1200.into(), &0.into())
        );
        assert_eq!(
            (&table["around"][0]["store"], &table["around"][0]["changes"]),
            (&"old".into(), &1003.into())
        );
        let job = &toggle["jobs"][0];
        assert_eq!(
            (
                &job["kind"],
                &job["state"],
                &job["rows"],
                &job["total"],
                &job["eta_s"]
            ),
            (
                &"backfill".into(),
                &"running".into(),
                &500.into(),
                &1000.into(),
                &2.into()
            )
        );
        assert_eq!(
            (
                &json["config"]["ok"],
                &json["config"]["needs_restart"][0],
                &json["journal"]["healthy"]
            ),
            (&true.into(), &"listen".into(), &true.into())
        );
        let traffic = &json["traffic"];
        assert_eq!(
            (
                &traffic["statements"],
                &traffic["shapes"],
                &traffic["others"]
            ),
            (&12_345.into(), &38.into(), &7.into())
        );
        let phase = &traffic["phases"][2];
        let refused = &phase["refused"][0];
        assert_eq!(
            (&phase["phase"], &phase["served"], &phase["more"]),
            (&"new-primary".into(), &0.9999.into(), &1.into())
        );
        for name in ["statement", "count", "why"] {
            assert!(refused.get(name).is_some(), "{name} is missing");
        }
        assert_eq!(serde_json::from_value::<Status>(json).unwrap(), sample());
    }
}
