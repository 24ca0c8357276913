use super::{STORES, bad, good, with_table};

/// Asserts that `text` has exactly one mistake, on the line that holds `<<<` in a comment, with these words.
#[track_caller]
fn one(text: &str, words: &str) {
    let mistakes = bad(text);
    assert!(
        mistakes.to_string().contains(words),
        "{words:?} is not in\n{mistakes}\nfor\n{text}"
    );
    assert_eq!(mistakes.list.len(), 1, "{mistakes}");
    let line = text
        .lines()
        .position(|line| line.contains("<<<"))
        .expect("a marked line")
        + 1;
    assert_eq!(
        mistakes.list[0].at.map(|at| at.line),
        Some(line),
        "{mistakes}"
    );
}

#[track_caller]
fn one_at_top(body: &str, words: &str) {
    one(&format!("{body} # <<<\n{STORES}"), words);
}

#[track_caller]
fn one_below(body: &str, words: &str) {
    one(&format!("{STORES}{body}\n"), words);
}

#[track_caller]
fn one_in_table(body: &str, words: &str) {
    one(&with_table(body), words);
}

#[test]
fn every_mistake_is_reported_in_one_run_with_its_place() {
    let text = "listen = 'localhost:6432'\nworkers = 0\nlisen = 1\n\n[old]\npool_size = 'many'\n\n[new]\n  url = 'postgers://u@h/d'\n\
                [writes]\nsecondary_timeout = 5\n[toggle.shop]\nphase = 'dual-wirte'\n[toggle.shop.table.orders]\nkey = []\n";
    let mistakes = bad(text);
    let lines: Vec<usize> = mistakes
        .list
        .iter()
        .filter_map(|mistake| mistake.at)
        .map(|at| at.line)
        .collect();
    assert_eq!(lines, [1, 2, 3, 5, 6, 9, 11, 13, 15], "{mistakes}");
    let shown = mistakes.to_string();
    for line in [
        "x.toml:1:10: \"listen\" is not an address: \"localhost:6432\"; write \"127.0.0.1:6432\"",
        "x.toml:3:1: unknown key \"lisen\" in the top level; did you mean \"listen\"?",
        "x.toml:6:13: \"old.pool_size\" is a string; write a whole number from 1 to 10000",
        "x.toml:9:9: \"new.url\" has the unknown scheme \"postgers\"; did you mean \"postgres://\"?",
        "x.toml:13:9: \"toggle.shop.phase\" is not a phase: \"dual-wirte\"; did you mean \"dual-write\"?",
    ] {
        assert!(
            shown.lines().any(|shown| shown == line),
            "{line}\nin\n{shown}"
        );
    }
}

#[test]
fn an_empty_file_says_what_it_needs() {
    let mistakes = bad("").to_string();
    assert!(
        mistakes.contains("no [old]") && mistakes.contains("no [new]"),
        "{mistakes}"
    );
    let mistakes = bad("[old]\n\n[new]\n");
    let lines: Vec<_> = mistakes
        .list
        .iter()
        .filter_map(|mistake| mistake.at)
        .map(|at| at.line)
        .collect();
    assert_eq!(lines, [1, 3], "{mistakes}");
}

#[test]
fn unknown_keys_are_refused_everywhere() {
    one_at_top("lissten = '127.0.0.1:1'", "did you mean \"listen\"?");
    one_at_top("pool_size = 3", "it belongs in [old] or [new]");
    one_at_top("colour = 3", "the keys of the top level are listen,");
    one(
        &STORES.replace("[new]", "password = 'x' # <<<\n[new]"),
        "name a file in password_file",
    );
    one(
        &STORES.replace("[new]", "Schema = 'x' # <<<\n[new]"),
        "did you mean \"schema\"?",
    );
    one_below(
        "[writes]\nsecondary-timeout = '1s' # <<<",
        "did you mean \"secondary_timeout\"?",
    );
    one_below(
        "[flips]\ndrain = '1s' # <<<",
        "unknown key \"drain\" in [flips]",
    );
    one_below("[reconcile]\nrows = 1 # <<<", "the keys of [reconcile] are");
    one_below(
        "[clients]\nmax_conections = 1 # <<<",
        "did you mean \"max_connections\"?",
    );
    one_below(
        "[toggle.a]\nphase = 1\nphse = 2 # <<<\n[toggle.a.table.t]",
        "did you mean \"phase\"?",
    );
    one_in_table("keys = ['id'] # <<<", "did you mean \"key\"?");
    one_in_table("columns.a = 'b' # <<<", "did you mean \"column\"?");
    one_in_table(
        "column.a = { to = 'b', typ = 'text' } # <<<",
        "did you mean \"type\"?",
    );
}

#[test]
fn a_schema_without_quotes_gets_a_hint() {
    one_below(
        "[toggle.a]\nphase = 1\n[toggle.a.table.public.orders] # <<<\nkey = ['id']",
        "[toggle.a.table.\"public.orders\"]",
    );
}

#[test]
fn addresses() {
    one_at_top("listen = ':6432'", "\"0.0.0.0:6432\" for every interface");
    one_at_top("listen = '127.0.0.1:99999'", "a port from 1 to 65535");
    one_at_top("listen = '127.0.0.1'", "write an address and a port");
    one_at_top("listen = 6432", "\"listen\" is an integer");
    one_at_top("listen = false", "\"listen\" is a boolean");
    one_at_top("admin = true", "or false");
    one_at_top("admin = ''", "is empty");
    one_at_top("admin = '127.0.0.1:6432'", "the same address");
    one_at_top("listen = '0.0.0.0:6433'", "the same address");
    good(&format!(
        "listen = '127.0.0.1:0'\nadmin = '127.0.0.1:0'\n{STORES}"
    ));
}

#[test]
fn numbers_durations_and_sizes() {
    one_at_top("workers = 0", "out of bounds; write a whole number from 1");
    one_at_top("workers = -1", "out of bounds");
    one_at_top("workers = 'many'", "\"auto\" for one to two cores");
    one_at_top("workers = 1.5", "is a number with a fraction");
    one_below(
        "[writes]\nsecondary_timeout = '5 seconds' # <<<",
        "such as \"250ms\"",
    );
    one_below("[writes]\nsecondary_timeout = '0s' # <<<", "is zero");
    one_below(
        "[writes]\nmax_transaction_bytes = '64mb' # <<<",
        "such as \"64MiB\"",
    );
    one_below("[writes]\nmax_transaction_bytes = '0B' # <<<", "is zero");
    one_below(
        "[writes]\nmax_transaction_bytes = 1000 # <<<",
        "is an integer",
    );
    one_below("[writes]\nbreaker_failures = 0 # <<<", "out of bounds");
    one_below(
        "[writes]\non_secondary_error = 'jurnal' # <<<",
        "did you mean \"journal\"?",
    );
    one_at_top("journal = 'primry' # <<<", "did you mean \"primary\"?");
    one_below("[flips]\ndrain_timeout = '0ms' # <<<", "is zero");
    one_below(
        "[reconcile]\nchunk_rows = 99999999999999999999 # <<<",
        "out of bounds",
    );
    one_below("[reconcile]\nmax_rows_per_s = 0 # <<<", "out of bounds");
    one_below(
        "[reconcile]\nmax_rows_per_s = true # <<<",
        "false for no limit",
    );
    one_below("[clients]\nmax_connections = 0 # <<<", "out of bounds");
    one_below("[clients]\nlogin_timeout = 60 # <<<", "is an integer");
    good(&format!("{STORES}[flips]\nmismatch_window = '0s'\n"));
}

#[test]
fn tables_of_settings_must_be_tables() {
    one_at_top(
        "writes = 1",
        "\"writes\" is an integer, not a table; write [writes]",
    );
    one_at_top("toggle = 'shop'", "not a table");
    one_below("[toggle]\na = 'use-old' # <<<", "not a toggle");
    one_below("[toggle.a]\nphase = 1\ntable.t = true # <<<", "not a table");
    one(
        "old = 'postgres://u@h/d' # <<<\n[new]\nurl = 'postgres://u@h/d'\n",
        "write [old]",
    );
}

#[test]
fn the_environment() {
    one_at_top(
        "state_dir = '${NOT_SET}'",
        "environment variable \"NOT_SET\" is not set",
    );
    one_at_top("state_dir = '${OLD_PW'", "not closed");
    one_at_top("workers = '${NOT_SET}'", "\"NOT_SET\" is not set");
    one_in_table("key = ['${NOT_SET}'] # <<<", "\"NOT_SET\" is not set");
    let config = good(&format!("state_dir = '$${{NOT_SET}}'\n{STORES}"));
    assert!(config.state_dir.ends_with("${NOT_SET}"));
}

#[test]
fn tls_needs_two_files_that_are_there() {
    one_below("[tls] # <<<\nkey = '/etc/hosts'", "has no \"cert\"");
    one_below(
        "[tls]\nkey = '/etc/hosts'\ncert = 'no.pem' # <<<",
        "names no file",
    );
}

#[test]
fn toggles_and_their_phases() {
    one_below("[toggle.a] # <<<\n[toggle.a.table.t]", "has no \"phase\"");
    one_below("[toggle.a] # <<<\nphase = 1", "has no table");
    one_below(
        "[toggle.a]\nphase = 0 # <<<\n[toggle.a.table.t]",
        "1 deploy-new, 2 use-old",
    );
    one_below(
        "[toggle.a]\nphase = 9 # <<<\n[toggle.a.table.t]",
        "is not a phase",
    );
    one_below(
        "[toggle.a]\nphase = 'later' # <<<\n[toggle.a.table.t]",
        "is not a phase",
    );
    one_below(
        "[toggle.a]\nphase = true # <<<\n[toggle.a.table.t]",
        "its number from 1 to 8",
    );
    one_below(
        "[toggle.'a b'] # <<<\nphase = 1\n[toggle.'a b'.table.t]",
        "letters, digits, _ and -",
    );
}

#[test]
fn trap_39_a_table_stands_in_the_file_once() {
    one_below(
        "[toggle.a]\nphase = 1\n[toggle.a.table.t]\n[toggle.b]\nphase = 1\n[toggle.b.table.'public.t'] # <<<\n",
        "in two toggles, \"a\" and \"b\"",
    );
    one_below(
        "[toggle.a]\nphase = 1\n[toggle.a.table.t]\n[toggle.a.table.'public.t'] # <<<\ntarget = 'u'",
        "mapped twice",
    );
    one_below(
        "[toggle.a]\nphase = 1\n[toggle.a.table.t]\ntarget = 'x'\n[toggle.a.table.u]\ntarget = 'public.x' # <<<\n",
        "both go to \"public.x\"",
    );
}

#[test]
fn a_table_does_not_move_onto_itself() {
    let stores = "[old]\nurl = 'postgres://u@localhost/shop'\n[new]\nurl = 'postgresql://v@127.0.0.1:5432/shop'\n";
    let toggle = "[toggle.a]\nphase = 1\n[toggle.a.table.t] # <<<\n";
    one(&format!("{stores}{toggle}"), "would move onto itself");
    good(&format!("{stores}schema = 'next'\n{toggle}"));
    good(&format!("{stores}{toggle}target = 'u'\n"));
    let onward = format!(
        "{stores}[toggle.a]\nphase = 1\n[toggle.a.table.t]\ntarget = 'u' # <<<\n[toggle.a.table.u]\ntarget = 'v'\n"
    );
    one(&onward, "itself an old table");
}

#[test]
fn columns_and_keys() {
    one_in_table("key = 'id' # <<<", "such as [\"id\"]");
    one_in_table("key = [] # <<<", "names no column");
    one_in_table("key = ['id', 'id'] # <<<", "twice");
    one_in_table("key = ['id', 7] # <<<", "is an integer");
    one_in_table("key = ['id'] # <<<\ncolumn.id = false", "not carried");
    one_in_table("version = 'v' # <<<\ncolumn.v = false", "not carried");
    one_in_table(
        "key = ['_id'] # <<<\ncolumn.id = '_id'",
        "write the old name \"id\"",
    );
    one_in_table(
        "column.a = 'x'\ncolumn.b = { to = 'x' } # <<<",
        "\"a\" and \"b\" both go to \"x\"",
    );
    one_in_table(
        "version = 'id' # <<<\ncolumn.a = 'id'",
        "if the old table has a \"id\" too",
    );
    one_in_table("column.a = true # <<<", "leave it out");
    one_in_table("column.a = 3 # <<<", "the new name in quotes");
    one_in_table("column.a = '' # <<<", "is empty");
    one_in_table("column.a = {} # <<<", "neither \"to\" nor \"type\"");
    one_in_table("acknowledge = 'x' # <<<", "array");
    one_in_table("target = 'a.b.c' # <<<", "more than one dot");
    one_in_table(&format!("target = '{}' # <<<", "x".repeat(64)), "63 bytes");
}

#[test]
fn stores() {
    let old = |body: &str| format!("[old]\n{body}\n[new]\nurl = 'postgres://u@new/shop'\n");
    one(
        &old("# <<<").replace("[old]\n# <<<", "[old] # <<<"),
        "[old] has no \"url\"",
    );
    one(&old("url = 5 # <<<"), "\"old.url\" is an integer");
    one(
        &old("url = 'mongodb://h/d'\nschema = 'x' # <<<"),
        "MongoDB has no schemas",
    );
    one(
        &old("url = 'postgres://u@h/d'\nschema = '' # <<<"),
        "is empty",
    );
    one(
        &old("url = 'postgres://u@h/d'\npassword_file = 'no-such-file' # <<<"),
        "cannot be read",
    );
    one(
        &old("url = 'postgres://u@h/d?sslmode=verify-full&sslrootcert=no.pem' # <<<"),
        "root certificate that is no file",
    );
    one(
        &old("url = 'postgres://u@h/d'\npool_size = 0 # <<<"),
        "out of bounds",
    );
}
