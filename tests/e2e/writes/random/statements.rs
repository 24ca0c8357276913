//! Statements at random: few rows, so that they meet.

use crossfade_tests::history::Random;

/// What a client may send.
pub(super) struct Statements {
    pub(super) random: Random,
    /// Whether tables that are not mapped take part.
    pub(super) unmapped: bool,
}

impl Statements {
    /// One of these, with as many chances each.
    pub(super) fn pick<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        let count = u64::try_from(choices.len()).unwrap();
        choices[usize::try_from(self.random.below(count)).unwrap()]
    }

    /// True in so many of a hundred cases.
    pub(super) fn chance(&mut self, percent: u64) -> bool {
        self.random.below(100) < percent
    }

    fn key(&mut self) -> u64 {
        1 + self.random.below(9)
    }

    /// Any statement; as one of several only what a Query of several takes.
    pub(super) fn any(&mut self, among_others: bool) -> String {
        match self.random.below(100) {
            0..45 => self.write(),
            45..57 => self.read(),
            57..65 => self.error(among_others),
            65..69 => self.setting(among_others),
            69..81 => self.block(),
            81..91 => self.savepoint(),
            91..95 if !among_others => self.cursor(),
            _ if among_others => self.read(),
            _ => self.other(),
        }
    }

    /// One that a Parse takes: which of two errors it names where the name is taken too is nobody's business.
    pub(super) fn sound(&mut self) -> String {
        match self.random.below(3) {
            0 => self.write(),
            1 => self.read(),
            _ => self.block(),
        }
    }

    fn write(&mut self) -> String {
        let template = self.pick(&[
            "INSERT INTO notes VALUES ($i, $j)",
            "INSERT INTO notes VALUES ($i, $j) RETURNING a",
            "INSERT INTO notes VALUES ($i, $j) ON CONFLICT (id) DO UPDATE SET a = notes.a + 1",
            "INSERT INTO notes VALUES ($i, $j) ON CONFLICT DO NOTHING RETURNING id",
            "INSERT INTO notes SELECT n, $j FROM generate_series($i, $i + 3) n ON CONFLICT (id) DO UPDATE SET a = excluded.a RETURNING id",
            "UPDATE notes SET a = a + 1 WHERE id = $i",
            "UPDATE notes SET a = a + 1 WHERE id > $i RETURNING id",
            "UPDATE notes SET id = id + 10 * $j WHERE id = $i",
            "UPDATE notes SET id = $i WHERE id = $j",
            "UPDATE notes SET a = 1 / (a - $i) WHERE id = $j",
            "DELETE FROM notes WHERE id = $i",
            "DELETE FROM notes WHERE id > $i + 5 RETURNING id, a",
            "DELETE FROM notes WHERE a > $i + 3",
            "INSERT INTO marks (id, u) VALUES ($i, $j)",
            "INSERT INTO marks (id, u) VALUES ($i, $j) ON CONFLICT (u) DO UPDATE SET t = 'c' RETURNING id",
            "UPDATE marks SET u = $j WHERE id = $i",
            "UPDATE marks SET t = repeat('x', 30000) WHERE id = $i RETURNING u",
            "DELETE FROM marks WHERE id = $i RETURNING u",
            "INSERT INTO firm VALUES ($i, $j)",
            "INSERT INTO firm VALUES ($i, $j) ON CONFLICT (id) DO NOTHING",
            "UPDATE firm SET u = $j WHERE id = $i",
            "DELETE FROM firm WHERE id = $i",
            "WITH w AS (INSERT INTO notes VALUES ($i, $j) ON CONFLICT (id) DO UPDATE SET a = 0 RETURNING id) SELECT count(*) FROM w",
            "WITH w AS (DELETE FROM notes WHERE id = $i RETURNING *) INSERT INTO marks (id) SELECT id + 50 FROM w ON CONFLICT (id) DO NOTHING",
            "MERGE INTO notes n USING (VALUES ($i, $j)) v (k, w) ON n.id = v.k WHEN MATCHED THEN UPDATE SET a = v.w WHEN NOT MATCHED THEN INSERT VALUES (v.k, v.w)",
            "MERGE INTO notes n USING (VALUES ($i, $j)) v (k, w) ON n.id = v.k WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT VALUES (v.k, v.w)",
            "INSERT INTO notes VALUES ($i, $j), ($i, $j)",
            "TRUNCATE firm",
        ]);
        self.filled(template)
    }

    fn read(&mut self) -> String {
        if self.unmapped && self.chance(30) {
            let template = self.pick(&[
                "SELECT count(*) FROM loose",
                "INSERT INTO loose VALUES ($i)",
                "DELETE FROM loose WHERE id = $i",
                "UPDATE loose SET id = id + 1 WHERE id = $i RETURNING id",
            ]);
            return self.filled(template);
        }
        let template = self.pick(&[
            "SELECT 1",
            "SELECT * FROM notes WHERE id = $i",
            "SELECT id, a FROM notes ORDER BY id",
            "SELECT count(*) FROM marks",
            "SELECT sum(a), count(*) FROM notes",
            "SELECT 1 / ($i - 1)",
            "SHOW work_mem",
            "VALUES (1), (2), (3)",
            "SELECT generate_series(1, 7)",
            "SELECT id FROM notes WHERE id = $i FOR UPDATE",
            "",
        ]);
        self.filled(template)
    }

    fn error(&mut self, among_others: bool) -> String {
        if !among_others && self.chance(20) {
            // From 5 on the proxy refuses them before the others run.
            let refused = ["UPDATE notes SET nothing = 1", "SELECT * FROM nowhere"];
            return self.pick(&refused).to_owned();
        }
        let template = self.pick(&[
            "SELECT 1/0",
            "SELECT nothing",
            "INSERT INTO notes (id) VALUES (NULL)",
            "INSERT INTO notes VALUES (100, 1), (NULL, 2)",
            "INSERT INTO notes VALUES ('x', 1)",
            "INSERT INTO notes VALUES (100, 1/0)",
        ]);
        self.filled(template)
    }

    fn setting(&mut self, among_others: bool) -> String {
        // Names that may mean something else behind it are refused before the others run.
        if !among_others && self.chance(30) {
            let paths = [
                "SET search_path = public",
                "SET LOCAL search_path = public, pg_catalog",
                "RESET search_path",
            ];
            return self.pick(&paths).to_owned();
        }
        self.pick(&[
            "SET work_mem = '5MB'",
            "SET LOCAL work_mem = '6MB'",
            "RESET work_mem",
            "SET application_name = 'a'",
            "SET LOCAL statement_timeout = '20s'",
            "SHOW transaction_isolation",
            "SET CONSTRAINTS ALL DEFERRED",
            "SET CONSTRAINTS ALL IMMEDIATE",
            "SELECT set_config('work_mem', '5MB', false)",
        ])
        .to_owned()
    }

    fn block(&mut self) -> String {
        self.pick(&[
            "BEGIN",
            "BEGIN",
            "COMMIT",
            "COMMIT",
            "ROLLBACK",
            "COMMIT AND CHAIN",
            "ROLLBACK AND CHAIN",
            "END",
            "ABORT",
            "BEGIN ISOLATION LEVEL REPEATABLE READ",
            "BEGIN READ ONLY",
            "START TRANSACTION",
            "BEGIN ISOLATION LEVEL SERIALIZABLE",
        ])
        .to_owned()
    }

    fn savepoint(&mut self) -> String {
        self.pick(&[
            "SAVEPOINT a",
            "SAVEPOINT b",
            "SAVEPOINT a",
            "ROLLBACK TO a",
            "ROLLBACK TO b",
            "RELEASE a",
            "RELEASE b",
        ])
        .to_owned()
    }

    fn cursor(&mut self) -> String {
        self.pick(&[
            "DECLARE c CURSOR FOR SELECT id, a FROM notes ORDER BY id",
            "FETCH 2 FROM c",
            "MOVE 1 IN c",
            "CLOSE c",
            "FETCH ALL FROM c",
            "DECLARE d CURSOR FOR SELECT id FROM notes WHERE id < 5 FOR UPDATE",
            "FETCH d",
            "UPDATE notes SET a = a + 5 WHERE CURRENT OF d",
            "DELETE FROM notes WHERE CURRENT OF d",
            "CLOSE d",
            "CLOSE ALL",
        ])
        .to_owned()
    }

    fn other(&mut self) -> String {
        self.pick(&[
            "CALL commits()",
            "CALL undoes()",
            "DO $$ BEGIN PERFORM 1; END $$",
            "DEALLOCATE s",
            "DEALLOCATE t",
            "DEALLOCATE ALL",
            "DISCARD ALL",
            "LOCK TABLE notes",
            "NOTIFY somebody",
        ])
        .to_owned()
    }

    fn filled(&mut self, template: &str) -> String {
        let (i, j) = (self.key(), self.key());
        template
            .replace("$i", &i.to_string())
            .replace("$j", &j.to_string())
    }
}
