//! WITH queries that write and MERGE, put together at random: on documents they answer and leave what they do in PostgreSQL.

use std::fmt::Write as _;

use crossfade_tests::Mongod;

use crate::world::World;

/// Statements that are run; a seed is a run of its own.
const STATEMENTS: usize = 250;

/// A plain generator: the same numbers at every run.
struct Dice {
    last: u64,
    /// Rows that go from part to part get keys that nobody has: PostgreSQL may run two parts by turns, row by row.
    moves: u64,
}

impl Dice {
    fn below(&mut self, most: u64) -> u64 {
        self.last = self
            .last
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.last >> 33) % most
    }

    fn pick<'t>(&mut self, of: &[&'t str]) -> &'t str {
        of[usize::try_from(self.below(of.len() as u64)).unwrap()]
    }

    fn condition(&mut self) -> String {
        let (part, rest) = (self.below(4) + 1, self.below(3));
        match self.below(3) {
            0 => format!("id % {part} = {rest}"),
            1 => format!("id BETWEEN {} AND {}", rest * 5, rest * 5 + part * 2),
            _ => format!("n > {} AND id < {}", part * 20, 10 + rest * 10),
        }
    }

    /// What writes `counters`, without RETURNING.
    fn write(&mut self, from: Option<&str>) -> String {
        let step = self.below(9) + 1;
        let first = self.below(25);
        let rows = match from {
            Some(part) => {
                self.moves += 1000;
                format!("SELECT id + {}, n FROM {part}", self.moves)
            }
            None => format!(
                "SELECT g, {step} FROM generate_series({first}, {}) g",
                first + self.below(6)
            ),
        };
        match self.below(5) {
            0 => format!("DELETE FROM counters WHERE {}", self.condition()),
            1 | 2 => format!(
                "UPDATE counters SET n = n + {step} WHERE {}",
                self.condition()
            ),
            3 => format!(
                "INSERT INTO counters {rows}{}",
                self.pick(&["", " ON CONFLICT DO NOTHING"])
            ),
            _ => format!(
                "INSERT INTO counters {rows} ON CONFLICT (id) DO UPDATE SET n = counters.n + EXCLUDED.n"
            ),
        }
    }

    fn with(&mut self) -> String {
        let parts = self.below(3) + 1;
        let mut list = Vec::new();
        for part in 0..parts {
            let from = (part > 0 && self.below(2) == 0).then(|| format!("p{}", part - 1));
            list.push(format!(
                "p{part} AS ({} RETURNING id, n)",
                self.write(from.as_deref())
            ));
        }
        let counted =
            |part| format!("(SELECT count(*) FROM p{part}), (SELECT sum(n) FROM p{part})");
        let main = match self.below(4) {
            0 => format!(
                "SELECT {}, (SELECT sum(n) FROM counters)",
                counted(self.below(parts))
            ),
            1 => "SELECT count(*), sum(n), min(id), max(id) FROM counters".to_owned(),
            2 => {
                let from = format!("p{}", self.below(parts));
                format!("{} RETURNING id, n", self.write(Some(&from)))
            }
            _ => format!(
                "{} RETURNING n, (SELECT count(*) FROM counters)",
                self.write(None)
            ),
        };
        format!("WITH {} {main}", list.join(", "))
    }

    fn merge(&mut self) -> String {
        let (first, step) = (self.below(20), self.below(9) + 1);
        let mut sql = format!(
            "MERGE INTO counters c USING (SELECT g AS id, {step} AS n FROM generate_series({first}, {}) g) v ON c.id = {}",
            first + self.below(9),
            self.pick(&["v.id", "v.id", "v.id + 1", "v.id / 2"])
        );
        for _ in 0..=self.below(2) {
            let condition = self.pick(&[
                "c.n % 2 = 0",
                "v.id > 9",
                "c.n > v.n",
                "c.id IN (SELECT id FROM jobs)",
            ]);
            let action = self.pick(&[
                "DELETE",
                "UPDATE SET n = c.n + v.n",
                "DO NOTHING",
                "UPDATE SET n = (SELECT max(n) FROM counters) + v.id",
            ]);
            write!(sql, " WHEN MATCHED AND {condition} THEN {action}").unwrap();
        }
        let matched = self.pick(&[
            "",
            " WHEN MATCHED THEN UPDATE SET n = -c.n",
            " WHEN MATCHED THEN DELETE",
        ]);
        let absent = self.pick(&[
            "",
            " WHEN NOT MATCHED THEN INSERT VALUES (v.id, v.n)",
            " WHEN NOT MATCHED AND v.id % 2 = 0 THEN INSERT (id) VALUES (v.id)",
        ]);
        sql + matched + absent
    }
}

#[tokio::test]
async fn what_writes_in_several_places_does_the_same_as_in_postgresql() {
    let mongod = Mongod::start().await;
    let world = World::new(&mongod).await;
    let (mut rows, mut documents) = (world.on_postgres().await, world.on_documents().await);
    let seed = std::env::var("CROSSFADE_RANDOM_SEED").ok();
    let mut dice = Dice {
        last: seed.and_then(|seed| seed.parse().ok()).unwrap_or(7),
        moves: 0,
    };
    let (mut done, mut failed) = (0, 0);
    for _ in 0..STATEMENTS {
        let fill = format!(
            "INSERT INTO counters SELECT g, g * 7 % 50 FROM generate_series(1, {}) g ON CONFLICT DO NOTHING",
            dice.below(20)
        );
        let sql = match dice.below(3) {
            0 => dice.merge(),
            _ => dice.with(),
        };
        let block = dice.below(6) == 0;
        let whole = match block {
            true => format!("BEGIN; {sql}; ROLLBACK"),
            false => sql.clone(),
        };
        for sql in [
            fill.as_str(),
            whole.as_str(),
            "SELECT id, n FROM counters ORDER BY id",
        ] {
            let expected = rows.run(sql).await;
            let found = documents.run(sql).await;
            assert_eq!(found.text(true), expected.text(true), "{whole}");
            match expected.sqlstate {
                None => done += 1,
                Some(_) => failed += 1,
            }
            if rows.state != b'I' {
                rows.ok("ROLLBACK").await;
                documents.ok("ROLLBACK").await;
            }
        }
    }
    assert!(
        done > 4 * failed && failed > 10,
        "{done} done, {failed} failed"
    );
}
