//! What of a changed file can apply to a running process.

use crate::{Config, StoreConfig};

/// The settings that differ between `running` and `file` and cannot change while the process runs, by their names
/// in the file. Everything else applies live: `writes`, `flips`, `reconcile`, the default schemas, the users, and
/// the toggles with their tables (their own rules guard them: a phase is a wish, DESIGN 4).
#[must_use]
pub fn needs_restart(running: &Config, file: &Config) -> Vec<String> {
    let mut names = Vec::new();
    let mut compare = |name: &str, differs: bool| {
        if differs {
            names.push(name.to_owned());
        }
    };
    // Sockets are bound, threads started and the journal opened once.
    compare("listen", running.listen != file.listen);
    compare("admin", running.admin != file.admin);
    compare("state_dir", running.state_dir != file.state_dir);
    compare("journal", running.journal != file.journal);
    compare("control", running.control != file.control);
    // One that is made of the address says no more than that.
    compare(
        "proxy",
        running.proxy != file.proxy && running.listen == file.listen,
    );
    compare("workers", running.workers != file.workers);
    compare("tls", running.tls != file.tls);
    compare(
        "clients.max_connections",
        running.clients.max_connections != file.clients.max_connections,
    );
    compare(
        "clients.login_timeout",
        running.clients.login_timeout != file.clients.login_timeout,
    );
    store("old", &running.old, &file.old, &mut names);
    store("new", &running.new, &file.new, &mut names);
    names
}

/// Sessions and pools hold connections to the store of the start: another one under them would split a transaction.
fn store(side: &str, running: &StoreConfig, file: &StoreConfig, names: &mut Vec<String>) {
    let mut same_password = running.url.clone();
    same_password.password.clone_from(&file.url.password);
    for (name, differs) in [
        ("url", same_password != file.url),
        ("password", running.url.password != file.url.password),
        ("pool_size", running.pool_size != file.pool_size),
        (
            "connect_timeout",
            running.connect_timeout != file.connect_timeout,
        ),
    ] {
        if differs {
            names.push(format!("{side}.{name}"));
        }
    }
}

/// `file` with every setting that [`needs_restart`] names as it is in `running`: what may apply now.
pub(crate) fn applicable(running: &Config, file: &Config) -> Config {
    let store = |running: &StoreConfig, file: &StoreConfig| StoreConfig {
        schema: file.schema.clone(),
        ..running.clone()
    };
    Config {
        old: store(&running.old, &file.old),
        new: store(&running.new, &file.new),
        writes: file.writes.clone(),
        flips: file.flips.clone(),
        reconcile: file.reconcile.clone(),
        users: file.users.clone(),
        toggles: file.toggles.clone(),
        ..running.clone()
    }
}

/// Toggles and tables that `file` adds, removes or maps otherwise than `running`, by their names in the file. A
/// changed phase alone is none of these.
#[must_use]
pub fn mapping_changes(running: &Config, file: &Config) -> Vec<String> {
    let mut changes = Vec::new();
    let names: std::collections::BTreeSet<&String> =
        running.toggles.keys().chain(file.toggles.keys()).collect();
    for name in names {
        match (running.toggles.get(name), file.toggles.get(name)) {
            (Some(before), Some(after)) => {
                let tables = before.tables.iter().chain(&after.tables);
                let differing = tables.filter(|table| {
                    !(before.tables.contains(table) && after.tables.contains(table))
                });
                let olds: std::collections::BTreeSet<String> =
                    differing.map(|table| table.old.to_string()).collect();
                changes.extend(
                    olds.into_iter()
                        .map(|old| format!("toggle.{name}.table.\"{old}\"")),
                );
            }
            (Some(_), None) | (None, Some(_)) => changes.push(format!("toggle.{name}")),
            (None, None) => {}
        }
    }
    changes
}

#[cfg(test)]
mod tests;
