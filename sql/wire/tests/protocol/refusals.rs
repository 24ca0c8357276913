//! What would be refused, before anybody sends it.

use crate::peer::world;

#[test]
fn a_refusal_is_known_before_the_statement_runs() {
    let server = world().server;
    for (sql, part) in [
        ("BEGIN; SELECT 1; COMMIT", None),
        ("SET TIME ZONE 'UTC'", None),
        ("SHOW search_path", None),
        ("SELEC 1", None),
        ("DO 'BEGIN PERFORM 1; END'", Some("DO is not served")),
        ("CREATE TABLE t (a int)", Some("changes the schema")),
        ("BEGIN; SELECT 1; LOCK TABLE t", Some("FOR UPDATE")),
        ("PREPARE TRANSACTION 'x'", Some("two-phase commit")),
    ] {
        let why = server.refuses(sql);
        match part {
            None => assert_eq!(why, None, "{sql}"),
            Some(part) => assert!(
                why.as_ref().is_some_and(|why| why.contains(part)),
                "{sql}: {why:?}"
            ),
        }
    }
}
