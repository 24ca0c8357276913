//! Puts `/status` together.

use std::time::{SystemTime, UNIX_EPOCH};

use crossfade_journal::{Health, JournalKey, PhaseChange};
use crossfade_phase::{Phase, Side};
use crossfade_store::TableMap;
use crossfade_toggle::Toggle;

use super::{
    ConfigStatus, FailingKey, JournalStatus, ProxyStatus, Status, StoreStatus, TableStatus,
    ToggleStatus, VerifiedStatus,
};
use crate::{
    app::{App, reverse_record, table_record},
    control::{Other, Seat},
    jobs::PartView,
    text::utc,
};

/// Failing keys and open transactions that are listed; all are counted.
const LISTED: usize = 10;

/// How everything stands now. Where traffic is judged, that takes its time: see [`Shared::traffic`](crossfade_proxy::shared::Shared::traffic).
pub(crate) fn gather(app: &App) -> Status {
    let serving = app.shared.get().is_some();
    Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        uptime_s: if serving {
            app.began.elapsed().as_secs()
        } else {
            0
        },
        serving,
        toggles: app
            .toggles
            .iter()
            .map(|(name, toggle)| (name.clone(), toggle_status(app, toggle)))
            .collect(),
        config: config(app),
        journal: journal(app),
        stores: [Side::Old, Side::New]
            .into_iter()
            .map(|side| (side.to_string(), store(app, side)))
            .collect(),
        clients: app.shared.get().map_or(0, |shared| shared.clients()),
        traffic: app
            .shared
            .get()
            .and_then(|shared| shared.traffic())
            .map(Into::into),
    }
}

fn toggle_status(app: &App, toggle: &Toggle) -> ToggleStatus {
    let (name, gate) = (toggle.name(), toggle.gate());
    let backlog = app.journal.backlog(name);
    let (refusal, waits_for) = app.facts(toggle).standing();
    let pause = app.facts(toggle).pause();
    let history = app
        .journal
        .state()
        .toggle(name)
        .map(|state| state.history)
        .unwrap_or_default();
    let tables = app.tables_of(name);
    ToggleStatus {
        wanted: toggle.wanted().to_string(),
        effective: gate.effective_phase().to_string(),
        published: gate.current().phase.to_string(),
        epoch: gate.current().epoch.number(),
        since: history
            .last()
            .map(|change: &PhaseChange| utc(change.at_unix_s)),
        barrier: gate.is_closed(),
        holders: gate
            .holders()
            .iter()
            .take(LISTED)
            .map(ToString::to_string)
            .collect(),
        transactions: gate
            .pinned()
            .iter()
            .take(LISTED)
            .map(ToString::to_string)
            .collect(),
        dirty_keys: backlog.dirty,
        oldest_dirty: app.journal.oldest_dirty(name).map(utc_of),
        open_intents: backlog.open + backlog.unconfirmed,
        proxies: app
            .seat(toggle)
            .map(|seat| proxies(app, toggle, seat))
            .unwrap_or_default(),
        out_of_touch: app.seat(toggle).and_then(|seat| seat.lost()),
        failing: app.journal.failing_count(name),
        failing_keys: failing(app, name),
        refusal,
        waits_for,
        pause_ms: pause.map(|pause| ms(pause.closed_for)),
        drain_ms: pause.map(|pause| ms(pause.drained_in)),
        tables: tables
            .iter()
            .map(|table| (table.old.name.to_string(), table_status(app, table)))
            .collect(),
        jobs: jobs(app, name),
    }
}

fn ms(time: std::time::Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// This proxy, then the others as they were last heard of.
fn proxies(app: &App, toggle: &Toggle, seat: &Seat) -> Vec<ProxyStatus> {
    let gate = toggle.gate();
    let here = ProxyStatus {
        name: seat.me.name.clone(),
        here: true,
        epoch: gate.current().epoch.number(),
        published: gate.current().phase.to_string(),
        oldest: gate.oldest_here().phase.to_string(),
        dirty_keys: app.journal.dirty_count(toggle.name()) as u64,
        heard_ms_ago: Some(0),
        ended: false,
        trouble: None,
    };
    std::iter::once(here)
        .chain(seat.others().iter().map(other))
        .collect()
}

fn other(other: &Other) -> ProxyStatus {
    let row = other.row().cloned().unwrap_or_default();
    let phase = |number| {
        crossfade_phase::Phase::from_number(number)
            .map_or_else(|| "unknown".to_owned(), |phase| phase.to_string())
    };
    let heard = other.heard.as_ref();
    ProxyStatus {
        name: other.name.clone(),
        here: false,
        epoch: row.epoch,
        published: phase(row.phase),
        oldest: phase(row.oldest_phase),
        dirty_keys: row.dirty,
        heard_ms_ago: heard
            .map(|heard| u64::try_from(heard.silent_for().as_millis()).unwrap_or(u64::MAX)),
        ended: row.ended,
        trouble: row.trouble,
    }
}

fn utc_of(at: SystemTime) -> String {
    utc(at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs())
}

fn table_status(app: &App, table: &TableMap) -> TableStatus {
    let name = table.old.name.to_string();
    let forward = table_record(&app.journal, table);
    let reverse = reverse_record(&app.journal, table);
    let phase = app
        .toggles
        .get(&table.toggle)
        .map(|toggle| toggle.gate().current().phase);
    let both = phase == Some(Phase::NewPrimary);
    let new_counts = phase.is_some_and(|phase| phase.primary() == Side::New);
    let labels = [table.toggle.as_str(), name.as_str()];
    let verified = |verified: crossfade_journal::Verified| VerifiedStatus {
        rows: verified.rows,
        differences: verified.differences,
        at: utc(verified.at_unix_s),
    };
    let dirty = app
        .journal
        .dirty_by_table()
        .into_iter()
        .find(|dirty| *dirty.table == *name);
    let stale = dirty.as_ref().map(|dirty| dirty.stale).unwrap_or_default();
    TableStatus {
        target: table.new.name.to_string(),
        complete: forward.is_complete(),
        backfilled: forward.backfilled_at_epoch.is_some(),
        verified: forward.verified.map(verified),
        reverse_verified: reverse.verified.filter(|_| new_counts).map(verified),
        bypassed: forward.bypassed,
        old_bypassed: reverse.bypassed.filter(|_| both),
        dirty_keys: dirty.as_ref().map_or(0, |dirty| dirty.keys),
        stale_in_primary: phase.map_or(0, |phase| stale.only(phase.primary())),
        stale_in_both: stale.both,
        oldest_dirty: dirty.and_then(|dirty| dirty.oldest).map(utc_of),
        mismatches: app.metrics.read_mismatches.with_label_values(&labels).get(),
        compared: app.metrics.reads_compared.with_label_values(&labels).get(),
        around: app.around.status(table),
    }
}

fn failing(app: &App, toggle: &str) -> Vec<FailingKey> {
    let failing = app.journal.failing(toggle, LISTED).into_iter();
    let tables = app.tables_of(toggle);
    failing
        .map(|(dirty, error)| FailingKey {
            table: dirty.key.table.to_string(),
            key: shown(&tables, &dirty.key),
            error,
        })
        .collect()
}

/// A key for the eye. Of a table that the file no longer maps, its types are not known.
fn shown(tables: &[TableMap], key: &JournalKey) -> Vec<String> {
    let table = tables
        .iter()
        .find(|table| table.old.name.to_string() == *key.table);
    let text = |part: &Vec<u8>| String::from_utf8_lossy(part).into_owned();
    match table {
        Some(table) => table.readable(&key.key),
        None => key.key.iter().map(text).collect(),
    }
}

/// The jobs of a toggle, each table's last one of a kind.
fn jobs(app: &App, toggle: &str) -> Vec<PartView> {
    let mut last: Vec<PartView> = Vec::new();
    for part in app.jobs.all().iter().flat_map(|batch| batch.view().tables) {
        if part.toggle == toggle {
            last.retain(|known| (known.kind, &known.table) != (part.kind, &part.table));
            last.push(part);
        }
    }
    last
}

fn config(app: &App) -> ConfigStatus {
    let reload = app.reload().clone();
    ConfigStatus {
        file: app.file.display().to_string(),
        ok: reload.error.is_none(),
        error: reload.error,
        needs_restart: reload.needs_restart,
    }
}

fn journal(app: &App) -> JournalStatus {
    match app.journal.health() {
        Health::Writable => JournalStatus {
            healthy: true,
            error: None,
        },
        Health::Unwritable(error) => JournalStatus {
            healthy: false,
            error: Some(error.to_string()),
        },
    }
}

fn store(app: &App, side: Side) -> StoreStatus {
    let breaker_open = app
        .shared
        .get()
        .is_some_and(|shared| shared.secondaries.on(side).is_open());
    StoreStatus {
        url: app.url(side),
        breaker_open,
    }
}
