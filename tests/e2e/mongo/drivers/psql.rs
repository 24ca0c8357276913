//! `psql` and `pgbench`.

use crossfade_tests::{Endpoint, Folder};

use super::{Moving, said};

/// What a person and a script do; every line of the answer is compared.
const SCRIPT: &str = r#"
\set ON_ERROR_ROLLBACK on
\pset null <none>
SELECT 'seed 1' AS seed, 7 AS n \gset
\echo :seed :n :'seed'
SELECT whole + :n, :'seed', :"seed" FROM (SELECT whole, code AS "seed 1" FROM things WHERE code = :'seed') x;
BEGIN;
INSERT INTO things (code, label, price, words, doc) VALUES ('psql', NULL, 1.5, '{a,NULL,"b c"}', '{"b": 1, "a": [null]}');
INSERT INTO things (code) VALUES ('seed 1');
\echo :LAST_ERROR_SQLSTATE :ERROR
SAVEPOINT a;
UPDATE things SET label = 'lost' WHERE code = 'psql';
ROLLBACK TO a;
SELECT 1 / 0;
\echo :LAST_ERROR_SQLSTATE
SELECT code, label, price, words, doc FROM things WHERE code = 'psql';
\echo :ROW_COUNT
COMMIT;
\set ON_ERROR_ROLLBACK off
BEGIN;
SELECT 1 / 0;
SELECT 1;
\echo :LAST_ERROR_SQLSTATE
COMMIT;
\set AUTOCOMMIT off
DELETE FROM things WHERE code = 'psql';
ROLLBACK;
\set AUTOCOMMIT on
SELECT count(*) FROM things WHERE code = 'psql';
DELETE FROM things WHERE code = 'psql' RETURNING code;
SELECT id, code FROM things WHERE id < 4 ORDER BY id \gx
COPY (SELECT id, code FROM things WHERE id < 4 ORDER BY id) TO STDOUT WITH CSV HEADER;
COPY things (code, words) FROM STDIN;
copied	{a}
\.
SELECT label, words FROM things WHERE code = 'copied';
DELETE FROM things WHERE code = 'copied';
SELECT code, whole FROM things WHERE id < 4 ORDER BY id \g (format=csv tuples_only=off)
SELECT whole % 3 AS m, flag, count(*) AS n FROM things WHERE id <= 50 GROUP BY 1, 2 ORDER BY 1 \crosstabview m flag n
SELECT 'SELECT ' || n FROM generate_series(1, 3) n \gexec
SELECT id, code, price, feeling FROM things \gdesc
\set FETCH_COUNT 7
SELECT id FROM things WHERE id <= 20 ORDER BY id;
\unset FETCH_COUNT
PREPARE p(int) AS SELECT code FROM things WHERE id = $1;
EXECUTE p(5);
DEALLOCATE p;
SHOW search_path; SHOW TimeZone;
SET statement_timeout = '5s'; SHOW statement_timeout; RESET statement_timeout;
\encoding
SELECT 1; SELECT 2 \; SELECT 3;
SELEC 1;
SELECT * FROM nowhere;
SELECT nothing FROM things;
BEGIN; DECLARE c CURSOR FOR SELECT id FROM things WHERE id < 9 ORDER BY id; FETCH 3 FROM c; FETCH ALL FROM c; COMMIT;
SELECT pg_advisory_unlock_all(); CLOSE ALL; UNLISTEN *; RESET ALL; DISCARD ALL;
"#;

/// What is PostgreSQL's alone, and refused as such.
const REFUSED: [&str; 8] = [
    "\\d things",
    "\\dt",
    "\\di",
    "\\l",
    "\\df",
    "CREATE TABLE more (id int)",
    "LISTEN news",
    "DO $$ BEGIN END $$",
];

/// A transaction of a lookup and two writes, one of them to a row that all clients want.
const BENCH: &str = "
\\set n random(1, 50)
BEGIN;
UPDATE counters SET value = value + 1 WHERE name = 'bench';
SELECT code FROM things WHERE id = :n;
INSERT INTO things (code, whole) VALUES ('bench ' || :n, 1) ON CONFLICT (code) DO UPDATE SET whole = things.whole + 1;
COMMIT;
";

#[tokio::test]
async fn psql_is_told_what_postgresql_told_it_and_pgbench_works() {
    let mut moving = Moving::start().await;
    let folder = Folder::new("psql");
    let file = folder.path().join("script.sql");
    std::fs::write(&file, SCRIPT).unwrap();
    let run = |endpoint: &Endpoint| {
        let output = endpoint.psql(&["-f", &file.display().to_string()]);
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        (said(&output, "psql"), errors)
    };
    let before = run(&moving.endpoint());
    moving.finish().await;
    let endpoint = moving.endpoint();
    let after = run(&endpoint);
    assert_eq!(before.0, after.0);
    assert_eq!(before.1, after.1);
    for command in REFUSED {
        let verbose = ["-v", "VERBOSITY=verbose", "-c", command];
        let output = endpoint.psql(&verbose);
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(
            !output.status.success() && complaint.contains("ERROR:  0A000"),
            "{command}: {complaint}"
        );
    }
    let output = endpoint.password("wrong").psql(&["-c", "SELECT 1"]);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(
        complaint.contains("password authentication failed for user \"app_scram\""),
        "{complaint}"
    );
    pgbench_in_every_mode(&endpoint);
}

/// Several clients at once, in each way of sending a statement.
fn pgbench_in_every_mode(endpoint: &Endpoint) {
    let folder = Folder::new("pgbench");
    let file = folder.path().join("script.sql");
    std::fs::write(&file, BENCH).unwrap();
    let file = file.display().to_string();
    let insert = "INSERT INTO counters VALUES ('bench', 0)";
    said(&endpoint.psql(&["-c", insert]), insert);
    for mode in ["simple", "extended", "prepared"] {
        let args = ["-n", "-M", mode, "-f", &file, "-c", "4", "-t", "25"];
        let told = said(&endpoint.pgbench(&args), mode);
        assert!(
            told.contains("actually processed: 100/100"),
            "{mode}: {told}"
        );
    }
    let counted = "SELECT value, sum(whole) FROM counters, things WHERE name = 'bench' AND code LIKE 'bench %' GROUP BY value";
    assert_eq!(said(&endpoint.psql(&["-c", counted]), counted), "300|300\n");
}
