//! What clients send, sequence by sequence, each step at once.

use crossfade_tests::wire::messages::{
    bind, close_portal, close_statement, copy_data, copy_done, execute, parse, sync,
};

use super::{Step, all, insert, named, one, q};

pub(super) fn skipped() -> Vec<(&'static str, Vec<Step>)> {
    let division = || named("SELECT 1/0");
    vec![
        (
            "an unnamed Parse that is skipped",
            vec![
                vec![parse("", &insert(10), &[]), sync()],
                all(&[division(), vec![parse("", "SELECT 5", &[]), sync()]]),
                vec![bind("", "", &[]), execute("", 0), sync()],
            ],
        ),
        (
            "the same at once",
            vec![
                vec![parse("", &insert(11), &[]), sync()],
                all(&[
                    division(),
                    vec![
                        parse("", "SELECT 5", &[]),
                        sync(),
                        bind("", "", &[]),
                        execute("", 0),
                        sync(),
                    ],
                ]),
            ],
        ),
        (
            "a read that a skipped write does not replace",
            vec![
                vec![parse("", "SELECT 5", &[]), sync()],
                all(&[division(), vec![parse("", &insert(12), &[]), sync()]]),
                vec![bind("", "", &[]), execute("", 0), sync()],
            ],
        ),
        (
            "a named Parse that fails, and once more",
            vec![
                vec![parse("s", "SELECT nothing", &[]), sync()],
                vec![
                    parse("s", "SELECT 1", &[]),
                    bind("", "s", &[]),
                    execute("", 0),
                    sync(),
                ],
            ],
        ),
        (
            "a named Parse that is skipped, and once more at once",
            vec![all(&[
                division(),
                vec![
                    parse("s", &insert(13), &[]),
                    sync(),
                    parse("s", &insert(14), &[]),
                    bind("", "s", &[]),
                    execute("", 0),
                    sync(),
                ],
            ])],
        ),
        (
            "a Close that is skipped",
            vec![
                vec![parse("s", &insert(15), &[]), sync()],
                all(&[division(), vec![close_statement("s"), sync()]]),
                vec![bind("", "s", &[]), execute("", 0), sync()],
            ],
        ),
        (
            "a portal whose Close is skipped",
            vec![
                q("BEGIN"),
                vec![
                    parse("s", &format!("{} RETURNING a", insert(16)), &[]),
                    bind("p", "s", &[]),
                    sync(),
                ],
                q("SAVEPOINT a"),
                all(&[division(), vec![close_portal("p"), sync()]]),
                q("ROLLBACK TO a"),
                vec![execute("p", 0), sync()],
                q("COMMIT"),
            ],
        ),
        (
            "a portal whose new Bind is skipped",
            vec![
                q("BEGIN"),
                vec![
                    parse("s", &format!("{} RETURNING a", insert(17)), &[]),
                    bind("p", "s", &[]),
                    sync(),
                ],
                q("SAVEPOINT a"),
                all(&[
                    division(),
                    vec![parse("t", "SELECT 7", &[]), bind("p", "t", &[]), sync()],
                ]),
                q("ROLLBACK TO a"),
                vec![execute("p", 0), sync()],
                q("COMMIT"),
            ],
        ),
        (
            "DEALLOCATE ALL in a failed block",
            vec![
                vec![parse("s", &insert(18), &[]), sync()],
                q("BEGIN"),
                q("SELECT 1/0"),
                q("DEALLOCATE ALL"),
                q("ROLLBACK"),
                vec![bind("", "s", &[]), execute("", 0), sync()],
            ],
        ),
        (
            "DISCARD ALL in a block",
            vec![
                vec![parse("s", &insert(19), &[]), sync()],
                q("BEGIN"),
                q("DISCARD ALL"),
                q("ROLLBACK"),
                vec![bind("", "s", &[]), execute("", 0), sync()],
            ],
        ),
        (
            "DEALLOCATE that is skipped",
            vec![
                vec![parse("s", &insert(20), &[]), sync()],
                all(&[division(), one("DEALLOCATE s"), vec![sync()]]),
                vec![bind("", "s", &[]), execute("", 0), sync()],
            ],
        ),
        (
            "DEALLOCATE that is not",
            vec![
                vec![parse("s", &insert(21), &[]), sync()],
                all(&[one("DEALLOCATE s"), division(), vec![sync()]]),
                vec![bind("", "s", &[]), execute("", 0), sync()],
                vec![
                    parse("s", &insert(22), &[]),
                    bind("", "s", &[]),
                    execute("", 0),
                    sync(),
                ],
            ],
        ),
        (
            "a portal in portions, skipped whole",
            vec![
                all(&[
                    division(),
                    vec![
                        parse("q", &format!("{} RETURNING id", insert(23)), &[]),
                        bind("q", "q", &[]),
                        execute("q", 1),
                        close_portal("q"),
                        sync(),
                    ],
                ]),
                q(&insert(24)),
            ],
        ),
        (
            "a statement of the batch before, named behind others",
            vec![vec![
                parse("s", &insert(26), &[]),
                sync(),
                parse("", "SELECT 5", &[]),
                bind("", "", &[]),
                execute("", 0),
                bind("p", "s", &[]),
                execute("p", 0),
                sync(),
            ]],
        ),
        (
            "batches behind one that fails",
            vec![
                all(&[
                    division(),
                    vec![sync()],
                    vec![
                        parse("s", &insert(27), &[]),
                        bind("", "s", &[]),
                        execute("", 0),
                        sync(),
                    ],
                    vec![
                        parse("", &insert(28), &[]),
                        bind("", "", &[]),
                        execute("", 0),
                        sync(),
                    ],
                ]),
                vec![parse("", "SELECT 1", &[]), sync()],
                q("DELETE FROM notes WHERE id = 27"),
                vec![bind("", "s", &[]), execute("", 0), sync()],
            ],
        ),
        (
            "an unnamed statement in batch after batch, one of which fails",
            vec![
                all(&[
                    vec![parse("", &insert(29), &[]), sync()],
                    division(),
                    vec![parse("", "SELECT 7", &[]), bind("", "", &[]), sync()],
                    vec![
                        parse("", "SELECT 8", &[]),
                        bind("", "", &[]),
                        execute("", 0),
                        sync(),
                    ],
                ]),
                vec![bind("", "", &[]), execute("", 0), sync()],
            ],
        ),
        (
            "DEALLOCATE behind an error in one Query",
            vec![
                vec![parse("s", "COMMIT", &[]), sync()],
                vec![parse("t", &insert(170), &[]), sync()],
                q("SELECT 1/0; DEALLOCATE s"),
                q(&format!("{}; SELECT 1/0; DEALLOCATE t", insert(171))),
                q("BEGIN"),
                q(&insert(172)),
                vec![bind("", "s", &[]), execute("", 0), sync()],
                vec![bind("", "t", &[]), execute("", 0), sync()],
            ],
        ),
        (
            "a first write behind an error",
            vec![
                all(&[
                    division(),
                    vec![parse("s", "DELETE FROM notes WHERE id = 1", &[]), sync()],
                ]),
                q(&insert(25)),
            ],
        ),
    ]
}

/// As a driver that counts its prepared statements does it.
pub(super) fn deallocated() -> Vec<(&'static str, Vec<Step>)> {
    let prepared = |name: &str, id: u32| {
        vec![
            parse(name, &insert(id), &[]),
            bind("", name, &[]),
            execute("", 0),
            sync(),
        ]
    };
    let again = |name: &str| vec![bind("", name, &[]), execute("", 0), sync()];
    vec![
        (
            "by a Query",
            vec![
                prepared("s", 100),
                q("DEALLOCATE s"),
                again("s"),
                prepared("s", 101),
            ],
        ),
        (
            "among others",
            vec![
                prepared("s", 102),
                q("BEGIN; DEALLOCATE s; INSERT INTO notes VALUES (103, 1); COMMIT"),
                again("s"),
            ],
        ),
        (
            "by Execute",
            vec![
                prepared("s", 104),
                all(&[one("DEALLOCATE s"), vec![sync()]]),
                again("s"),
            ],
        ),
        (
            "in a block that has failed",
            vec![
                prepared("s", 105),
                q("BEGIN"),
                q("SELECT 1/0"),
                q("DEALLOCATE s"),
                q("ROLLBACK"),
                q("DELETE FROM notes WHERE id = 105"),
                again("s"),
                q("DEALLOCATE s"),
                again("s"),
            ],
        ),
        (
            "all of them",
            vec![
                prepared("s", 106),
                prepared("t", 107),
                q("DEALLOCATE ALL"),
                again("s"),
                again("t"),
            ],
        ),
    ]
}

pub(super) fn blocks() -> Vec<(&'static str, Vec<Step>)> {
    vec![
        (
            "BEGIN and SAVEPOINT in one Query",
            vec![
                q("BEGIN; SAVEPOINT a"),
                q(&insert(30)),
                q("ROLLBACK TO a"),
                q("COMMIT"),
            ],
        ),
        (
            "savepoints among reads",
            vec![
                q("BEGIN; SELECT 1; SAVEPOINT a; SELECT 2"),
                q(&insert(31)),
                q("ROLLBACK TO a; SELECT 1"),
                q(&insert(32)),
                q("COMMIT; SELECT 1"),
            ],
        ),
        (
            "savepoints one upon the other",
            vec![
                q("BEGIN"),
                q("SAVEPOINT a; SAVEPOINT b"),
                q(&insert(33)),
                q("ROLLBACK TO a"),
                q("COMMIT"),
            ],
        ),
        (
            "COMMIT AND CHAIN of a failed block",
            vec![
                q("BEGIN"),
                q("SELECT 1/0"),
                all(&[one("COMMIT AND CHAIN"), q("SAVEPOINT a")]),
                q(&insert(34)),
                q("ROLLBACK TO a"),
                q("COMMIT"),
            ],
        ),
        (
            "a savepoint behind a failed block, in one batch",
            vec![
                q("BEGIN"),
                q("SELECT 1/0"),
                all(&[
                    one("COMMIT"),
                    one("BEGIN"),
                    one("SAVEPOINT a"),
                    one(&insert(35)),
                    q("ROLLBACK TO a"),
                ]),
                q("COMMIT"),
            ],
        ),
        (
            "ROLLBACK AND CHAIN behind a failed block",
            vec![
                q("BEGIN"),
                q("SELECT 1/0"),
                all(&[
                    one("COMMIT"),
                    one("BEGIN"),
                    one(&insert(36)),
                    q("ROLLBACK AND CHAIN"),
                ]),
                q("COMMIT"),
            ],
        ),
        (
            "BEGIN behind a write of the same batch",
            vec![all(&[one(&insert(37)), q("BEGIN")]), q("COMMIT")],
        ),
        (
            "and ROLLBACK",
            vec![all(&[one(&insert(38)), q("BEGIN")]), q("ROLLBACK")],
        ),
        (
            "COMMIT behind a write of the same batch",
            vec![all(&[one(&insert(39)), q("COMMIT")])],
        ),
        (
            "a write as a Query behind one",
            vec![all(&[one(&insert(40)), q(&insert(41))])],
        ),
        (
            "a constraint that fails at the end of what comes behind a failed block",
            vec![
                q("BEGIN"),
                q("SELECT 1/0"),
                q("ROLLBACK; INSERT INTO notes VALUES (42, 1); UPDATE firm SET u = 1 WHERE id = 3"),
                q(&insert(43)),
            ],
        ),
        (
            "the same in a batch",
            vec![
                q("BEGIN"),
                q("SELECT 1/0"),
                all(&[
                    one("COMMIT"),
                    one(&insert(44)),
                    one("UPDATE firm SET u = 2 WHERE id = 4"),
                    vec![sync()],
                ]),
                q(&insert(45)),
            ],
        ),
    ]
}

/// Statements with something around them, behind the end of a block that has failed, or behind a way back to a savepoint.
pub(super) fn behind() -> Vec<(&'static str, Vec<Step>)> {
    let failed = [q("BEGIN"), q("SELECT 1/0")];
    let merge = |id: u32| {
        format!(
            "MERGE INTO notes n USING (VALUES ({id})) s (id) ON n.id = s.id WHEN NOT MATCHED THEN INSERT VALUES (s.id, 0) WHEN MATCHED THEN DELETE"
        )
    };
    let mut sequences = Vec::new();
    for (what, sql) in [
        ("MERGE", merge(110)),
        ("TRUNCATE", "TRUNCATE firm".to_owned()),
        ("COPY", "COPY (SELECT 1) TO STDOUT".to_owned()),
    ] {
        let again = "INSERT INTO firm VALUES (1, 1) ON CONFLICT DO NOTHING";
        sequences.push((
            what,
            [
                failed.to_vec(),
                vec![q(&format!("ROLLBACK; {sql}")), q(again)],
            ]
            .concat(),
        ));
        sequences.push((
            what,
            [
                failed.to_vec(),
                vec![q(&format!("COMMIT; {sql}")), q(again)],
            ]
            .concat(),
        ));
        sequences.push((
            what,
            [
                failed.to_vec(),
                vec![all(&[one("ROLLBACK"), one(&sql), vec![sync()]]), q(again)],
            ]
            .concat(),
        ));
        sequences.push((
            what,
            vec![
                q("BEGIN"),
                q(&insert(111)),
                q("SAVEPOINT a"),
                q("SELECT 1/0"),
                q(&format!("ROLLBACK TO a; {sql}")),
                q("ROLLBACK"),
                q(again),
            ],
        ));
        sequences.push((
            what,
            vec![
                q("BEGIN"),
                q(&merge(112)),
                q("SAVEPOINT a"),
                q("SELECT 1/0"),
                q(&format!("ROLLBACK TO a; {sql}")),
                q("COMMIT"),
                q(again),
            ],
        ));
    }
    sequences
}

/// A table that is not mapped, in one message with writes that have to be captured.
pub(super) fn copies() -> Vec<(&'static str, Vec<Step>)> {
    let data = || vec![copy_data(b"1\n2\n"), copy_done()];
    let at_once = |sql: String| all(&[q(&sql), data()]);
    vec![
        (
            "behind a write",
            vec![
                at_once(format!("{}; COPY loose FROM STDIN", insert(160))),
                q("SELECT count(*) FROM loose"),
            ],
        ),
        (
            "before one",
            vec![
                at_once(format!("COPY loose FROM STDIN; {}", insert(161))),
                q("SELECT count(*) FROM loose"),
            ],
        ),
        (
            "between two",
            vec![at_once(format!(
                "{}; COPY loose FROM STDIN; {}",
                insert(162),
                insert(163)
            ))],
        ),
        (
            "in a block",
            vec![at_once(format!(
                "BEGIN; {}; COPY loose FROM STDIN; COMMIT",
                insert(164)
            ))],
        ),
        (
            "with an error behind it",
            vec![at_once(format!(
                "{}; COPY loose FROM STDIN; SELECT 1/0",
                insert(165)
            ))],
        ),
        (
            "out",
            vec![q(&format!("{}; COPY loose TO STDOUT", insert(166)))],
        ),
    ]
}
