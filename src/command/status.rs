//! `crossfade status`.

use std::{fmt::Write as _, net::SocketAddr, process::ExitCode};

use crossfade_config::{Config, Mistakes};
use crossfade_phase::{Phase, Side};

use super::{Client, Peer, runtime, traffic::traffic_text};
use crate::{
    around::remedy,
    cli::StatusArgs,
    failure::Failure,
    jobs::{PartView, Stage},
    status::{ProxyStatus, Status, TableStatus, ToggleStatus, gather},
    text::{count, duration, plural},
};

/// Shows how everything stands.
///
/// # Errors
/// When neither the proxy nor the state folder can be asked.
pub(crate) fn run(args: &StatusArgs) -> Result<ExitCode, Failure> {
    let status = runtime()?.block_on(async {
        match args.admin {
            Some(address) => of_serving(address).await,
            None => of_file(args).await,
        }
    })?;
    if args.json {
        let json = serde_json::to_string_pretty(&status).map_err(|error| {
            Failure::broken(format!("the status could not be written: {error}"))
        })?;
        sayln!("{json}");
    } else {
        say!("{}", render(&status));
    }
    Ok(ExitCode::SUCCESS)
}

/// The status of the proxy whose admin port is there.
async fn of_serving(address: SocketAddr) -> Result<Status, Failure> {
    match Client::at(address).await? {
        Some(client) => client.get("/status", &[]).await,
        None => Err(Failure::broken(format!(
            "nothing listens on {address}; `admin` in the file of `crossfade serve` names the port"
        ))),
    }
}

/// The status of the proxy that serves this file, or of its state folder.
async fn of_file(args: &StatusArgs) -> Result<Status, Failure> {
    let loaded = match Config::load(&args.file.config) {
        Ok(loaded) => loaded,
        // The proxy that serves goes on with the file as it was, and that is when one asks.
        Err(mistakes) => return past_mistakes(args, mistakes).await,
    };
    match Peer::find(&loaded, &args.file.config).await? {
        Peer::Serving(client) => client.get("/status", &[]).await,
        Peer::Alone(app) => Ok(gather(&app)),
    }
}

/// The status of the proxy that serves a file that is broken by now.
async fn past_mistakes(args: &StatusArgs, mistakes: Mistakes) -> Result<Status, Failure> {
    let Some(address) = crossfade_config::admin_address(&args.file.config) else {
        return Err(mistakes.into());
    };
    match Client::at(address).await {
        Ok(Some(client)) => client.get("/status", &[]).await,
        // The file is what is to be mended first.
        Ok(None) | Err(_) => Err(mistakes.into()),
    }
}

/// As text.
pub(crate) fn render(status: &Status) -> String {
    let mut text = String::new();
    // Writing to a String does not fail.
    let _ = match status.serving {
        true => writeln!(
            text,
            "serving, version {}, up {}, {}",
            status.version,
            duration(status.uptime_s),
            plural(status.clients as u64, "client", "clients")
        ),
        false => writeln!(text, "not serving (`crossfade serve` starts it)"),
    };
    if let Some(error) = &status.config.error {
        let _ = writeln!(
            text,
            "the file is broken and changes nothing:\n{}",
            indented(error)
        );
    }
    if !status.config.needs_restart.is_empty() {
        let _ = writeln!(
            text,
            "waiting for a restart: {}",
            status.config.needs_restart.join(", ")
        );
    }
    if let Some(error) = &status.journal.error {
        let _ = writeln!(text, "the journal takes no writes: {error}");
    }
    for (side, store) in status.stores.iter().filter(|(_, store)| store.breaker_open) {
        let _ = writeln!(
            text,
            "the circuit breaker of the {side} store is open: {}",
            store.url
        );
    }
    for (name, toggle) in &status.toggles {
        text.push_str(&toggle_text(name, toggle));
    }
    text.push_str(&traffic_text(status));
    text
}

/// One toggle as text.
pub(super) fn toggle_text(name: &str, toggle: &ToggleStatus) -> String {
    let mut text = String::new();
    let _ = write!(text, "\ntoggle {name}: {}", toggle.effective);
    if let Some(since) = &toggle.since {
        let _ = write!(text, " since {since}");
    }
    if toggle.published != toggle.effective {
        let _ = write!(
            text,
            ", {} is published and older transactions still run",
            toggle.published
        );
    }
    if toggle.wanted != toggle.published {
        let _ = write!(text, ", the file wants {}", toggle.wanted);
    }
    text.push('\n');
    let _ = write!(
        text,
        "  journal: {}",
        plural(toggle.dirty_keys as u64, "dirty key", "dirty keys")
    );
    if let Some(oldest) = &toggle.oldest_dirty {
        let _ = write!(text, " (the oldest since {oldest})");
    }
    let _ = writeln!(
        text,
        ", {}",
        plural(toggle.open_intents as u64, "open intent", "open intents")
    );
    if let Some(why) = &toggle.out_of_touch {
        let _ = writeln!(
            text,
            "  out of touch with the other proxies, nothing that writes both stores is committed: {why}"
        );
    }
    for proxy in &toggle.proxies {
        let _ = writeln!(text, "  {}", proxy_text(proxy));
    }
    for (label, lines) in [("refused", &toggle.refusal), ("waits", &toggle.waits_for)] {
        if let Some(lines) = lines {
            let _ = writeln!(text, "  {label}: {lines}");
        }
    }
    if let (Some(pause), Some(drain)) = (toggle.pause_ms, toggle.drain_ms) {
        let _ = writeln!(
            text,
            "  the last change of the primary held clients back for {pause:.0} ms at the most, {drain:.0} ms of it for transactions to end"
        );
    }
    for holder in &toggle.holders {
        let _ = writeln!(text, "  held up by {holder}");
    }
    for key in &toggle.failing_keys {
        let _ = writeln!(
            text,
            "  cannot be repaired: {} ({}): {}",
            key.table,
            key.key.join(", "),
            key.error
        );
    }
    let more = toggle.failing.saturating_sub(toggle.failing_keys.len());
    if more > 0 {
        let _ = writeln!(text, "  and {} more", count(more as u64));
    }
    for (table, known) in &toggle.tables {
        let _ = writeln!(text, "  {table} → {}: {}", known.target, table_text(known));
        text.push_str(&stale_text(name, table, &toggle.published, known));
        text.push_str(&around_text(table, &toggle.published, known));
    }
    for job in &toggle.jobs {
        let _ = writeln!(
            text,
            "  {} of {}: {}",
            job.kind.name(),
            job.table,
            job_text(job)
        );
    }
    text
}

/// Dirty keys that nothing repairs as the phase is.
fn stale_text(toggle: &str, table: &str, phase: &str, known: &TableStatus) -> String {
    let mut text = String::new();
    let Ok(phase) = phase.parse::<Phase>() else {
        return text;
    };
    if known.stale_in_primary > 0 {
        let _ = writeln!(
            text,
            "    {} of them stale in the primary, repaired by themselves once the other store is the primary again: `crossfade phase {toggle} {}`",
            count(known.stale_in_primary),
            phase.towards(phase.primary().other())
        );
    }
    if known.stale_in_both > 0 {
        let reverse = match phase.primary() {
            Side::New => " --reverse",
            Side::Old => "",
        };
        let _ = writeln!(
            text,
            "    {} of them stale in both stores, for you to decide: `crossfade repair{reverse} --table {table}` takes the primary's row",
            count(known.stale_in_both)
        );
    }
    text
}

/// What went around the proxy, and where that would not be seen.
fn around_text(table: &str, phase: &str, known: &TableStatus) -> String {
    let mut text = String::new();
    for around in &known.around {
        if around.changes > 0 {
            let _ = writeln!(
                text,
                "    around the proxy: at least {} of the {} store, the last noticed at {}; find the writer, then `{}`",
                plural(around.changes, "row change", "row changes"),
                around.store,
                around.last.as_deref().unwrap_or("an unknown time"),
                remedy(table, phase.parse().ok())
            );
        }
        if let Some(why) = &around.unseen {
            let _ = writeln!(
                text,
                "    writes around the proxy are not noticed in the {} store: {why}",
                around.store
            );
        }
    }
    text
}

/// One of several proxies.
fn proxy_text(proxy: &ProxyStatus) -> String {
    let name = &proxy.name;
    let mut text = match (proxy.here, proxy.ended, proxy.heard_ms_ago) {
        (true, _, _) => format!(
            "proxy {name} (this one): epoch {}, {}",
            proxy.epoch, proxy.published
        ),
        (false, true, _) => format!("proxy {name}: ended"),
        (false, false, None) => return format!("proxy {name}: not heard of"),
        (false, false, Some(_)) => {
            format!("proxy {name}: epoch {}, {}", proxy.epoch, proxy.published)
        }
    };
    if proxy.oldest != proxy.published && !proxy.ended {
        let _ = write!(text, " (transactions of {} still run)", proxy.oldest);
    }
    let _ = write!(
        text,
        ", {}",
        plural(proxy.dirty_keys, "dirty key", "dirty keys")
    );
    if let (Some(ms @ 2_000..), false) = (proxy.heard_ms_ago, proxy.ended) {
        let _ = write!(text, ", silent for {}", duration(ms / 1_000));
    }
    if let Some(trouble) = &proxy.trouble {
        let _ = write!(text, ", cannot follow: {trouble}");
    }
    text
}

fn table_text(table: &TableStatus) -> String {
    let mut parts = vec![match (table.complete, table.backfilled) {
        (true, _) => "complete".to_owned(),
        (false, true) => "backfilled".to_owned(),
        (false, false) => "not copied".to_owned(),
    }];
    if let Some(verified) = &table.verified {
        parts.push(format!(
            "{} verified, {} at {}",
            count(verified.rows),
            plural(verified.differences, "difference", "differences"),
            verified.at
        ));
    }
    if let Some(verified) = &table.reverse_verified {
        parts.push(format!(
            "verified in reverse, {} at {}",
            plural(verified.differences, "difference", "differences"),
            verified.at
        ));
    }
    if let Some(why) = &table.bypassed {
        parts.push(format!("not trusted: {why}"));
    }
    if let Some(why) = &table.old_bypassed {
        parts.push(format!(
            "the old store may lack writes: {why} (`crossfade verify --reverse --repair`)"
        ));
    }
    if table.dirty_keys > 0 {
        let keys = plural(table.dirty_keys as u64, "dirty key", "dirty keys");
        let age = table.oldest_dirty.as_ref();
        let age = age.map_or(String::new(), |since| {
            format!(" (the oldest since {since})")
        });
        parts.push(keys + &age);
    }
    if table.compared > 0 {
        parts.push(format!(
            "{} compared, {}",
            plural(table.compared, "read", "reads"),
            plural(table.mismatches, "mismatch", "mismatches")
        ));
    }
    parts.join(", ")
}

/// A job in one line.
pub(super) fn job_text(job: &PartView) -> String {
    match (&job.outcome, job.stage) {
        (Some(outcome), Stage::Done) => outcome.clone(),
        (Some(outcome), _) => format!("ended: {outcome}"),
        (None, Stage::Waiting) => "waits".to_owned(),
        (None, _) => {
            let mut text = format!("{} of about {} rows", count(job.rows), count(job.total));
            let rate = job.rate.round();
            if rate >= 1.0 {
                text.push_str(&format!(", {rate} rows/s"));
            }
            if let Some(eta) = job.eta_s {
                text.push_str(&format!(", {} left", duration(eta)));
            }
            if job.braked {
                text.push_str(", braked: a store is slow or the journal grows");
            }
            text
        }
    }
}

fn indented(text: &str) -> String {
    text.lines()
        .map(|line| format!("  {line}"))
        .collect::<Vec<_>>()
        .join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::tests::sample;

    #[test]
    fn everything_that_asks_for_attention_is_said() {
        let text = render(&sample());
        for part in [
            "serving, version 0.1.0, up 1h 1m, 2 clients",
            "waiting for a restart: listen",
            "the circuit breaker of the new store is open",
            "toggle shop: use-old since 2026-11-01T11:00:00Z, dual-write is published and older transactions still run, the file wants dual-read",
            "3 dirty keys (the oldest since 2026-11-01T11:30:00Z), 1 open intent",
            "refused: dual-write (3) → dual-read (4) is refused",
            "out of touch with the other proxies, nothing that writes both stores is committed: the old store gave no answer",
            "proxy a (this one): epoch 3, dual-write (transactions of use-old still run), 0 dirty keys",
            "proxy b: epoch 3, dual-write (transactions of use-old still run), 2 dirty keys, silent for 9s",
            "proxy c: not heard of",
            "held up by \"app\" in phase use-old",
            "held clients back for 31 ms at the most, 20 ms of it for",
            "cannot be repaired: public.orders (42): too long\n  and 1,200 more",
            "public.orders → public.orders: backfilled, 1,200 verified, 0 differences at 2026-11-01T12:00:00Z, not trusted: phase use-old does not write",
            "3 dirty keys (the oldest since 2026-11-01T11:31:00Z), 40 reads compared, 1 mismatch",
            "    1 of them stale in the primary, repaired by themselves once the other store is the primary again: `crossfade phase shop dual-read`\n",
            "    2 of them stale in both stores, for you to decide: `crossfade repair --table public.orders` takes the primary's row\n",
            "at least 1,003 row changes of the old store, the last noticed at 2026-11-01T11:45:00Z; find the writer, then `crossfade verify --table public.orders --repair`",
            "not noticed in the new store: track_counts is off",
            "backfill of public.orders: 500 of about 1,000 rows, 250 rows/s, 2s left",
            "traffic: 12,345 statements of 38 shapes",
        ] {
            assert!(text.contains(part), "{part:?} is missing in:\n{text}");
        }
    }

    #[test]
    fn nothing_that_serves_is_said_with_the_command() {
        let text = render(&Status {
            serving: false,
            ..sample()
        });
        assert!(
            text.starts_with("not serving (`crossfade serve` starts it)\n"),
            "{text}"
        );
    }
}
