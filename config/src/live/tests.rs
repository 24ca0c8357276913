use std::time::Duration;

use super::*;

const FILE: &str = "listen = '127.0.0.1:1'\n[old]\nurl = 'postgres://u:one@old/shop'\n[new]\nurl = 'postgres://u@new/shop'\n\
                    [writes]\nsecondary_timeout = '1s'\n[toggle.a]\nphase = 2\n[toggle.a.table.t]\n";

fn config(text: &str) -> Config {
    crate::parse(text, "x.toml", &|_| None, "")
        .expect("a good file")
        .config
}

#[test]
fn names_what_waits_for_a_restart() {
    let running = config(FILE);
    for (from, to, names) in [
        ("127.0.0.1:1", "127.0.0.1:2", vec!["listen"]),
        (
            "listen",
            "admin = false\nstate_dir = 'x'\njournal = 'primary'\nworkers = 77\nlisten",
            vec!["admin", "state_dir", "journal", "workers"],
        ),
        (
            "listen",
            "control = 'database'\nproxy = 'b'\nlisten",
            vec!["control", "proxy"],
        ),
        ("@old", "@older", vec!["old.url"]),
        (":one@", ":two@", vec!["old.password"]),
        (
            "@new/shop'",
            "@new/shop'\npool_size = 1\nconnect_timeout = '1s'",
            vec!["new.pool_size", "new.connect_timeout"],
        ),
        (
            "[writes]",
            "[clients]\nmax_connections = 7\nlogin_timeout = '1s'\n[writes]",
            vec!["clients.max_connections", "clients.login_timeout"],
        ),
        ("phase = 2", "phase = 3", vec![]),
        ("'1s'", "'2s'", vec![]),
        ("table.t", "table.u", vec![]),
        ("[new]", "schema = 'x'\n[new]", vec![]),
    ] {
        let file = config(&FILE.replacen(from, to, 1));
        assert_ne!(file, running, "{to}");
        assert_eq!(needs_restart(&running, &file), names, "{to}");
        // What may apply now differs from the file in just that.
        let now = applicable(&running, &file);
        assert_eq!(now == file, names.is_empty(), "{to}");
        assert!(needs_restart(&running, &now).is_empty(), "{to}");
    }
}

#[test]
fn what_applies_live_applies_beside_what_does_not() {
    let running = config(FILE);
    let file = config(
        &FILE
            .replace("127.0.0.1:1", "127.0.0.1:2")
            .replace("'1s'", "'2s'")
            .replace("phase = 2", "phase = 3"),
    );
    let now = applicable(&running, &file);
    assert_eq!(now.listen, running.listen);
    assert_eq!(now.writes.secondary_timeout, Duration::from_secs(2));
    assert_eq!(now.toggles, file.toggles);
}

#[test]
fn trap_39_a_table_gone_or_changed_is_named() {
    let running = config(FILE);
    let changes =
        |from: &str, to: &str| mapping_changes(&running, &config(&FILE.replace(from, to)));
    assert_eq!(changes("phase = 2", "phase = 3"), Vec::<String>::new());
    assert_eq!(
        changes("table.t]", "table.t]\nversion = 'v'"),
        ["toggle.a.table.\"public.t\""]
    );
    assert_eq!(
        changes("table.t]", "table.u]"),
        ["toggle.a.table.\"public.t\"", "toggle.a.table.\"public.u\""]
    );
    assert_eq!(changes("toggle.a", "toggle.b"), ["toggle.a", "toggle.b"]);
}
