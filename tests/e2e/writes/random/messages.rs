//! Messages at random, and what is sent at once.

use bytes::Bytes;
use crossfade_tests::wire::messages::{
    bind, close_portal, close_statement, copy_data, copy_done, copy_fail, describe_portal,
    describe_statement, execute, flush, function_call, parse, query, sync,
};

use super::{Step, statements::Statements};

const STATEMENTS: [&str; 4] = ["s", "t", "v", ""];
const PORTALS: [&str; 3] = ["", "p", "r"];

impl Statements {
    /// A session from its first message to its last.
    pub(super) fn session(&mut self) -> Vec<Step> {
        let mut steps = vec![vec![query("SELECT count(*) FROM notes")]];
        for _ in 0..2 + self.random.below(7) {
            let mut step = self.step();
            // Further batches while the first is under way.
            while self.chance(30) {
                step.extend(self.step());
            }
            steps.push(step);
        }
        if self.chance(50) {
            steps.push(vec![query("COMMIT")]);
        }
        match self.chance(30) {
            true => steps.iter().flat_map(batches).collect(),
            false => steps,
        }
    }

    fn step(&mut self) -> Step {
        match self.random.below(100) {
            0..30 => self.simple(),
            30..34 => vec![function_call(1317, &[Some("abc")])],
            34..40 => self.copy_by_query(),
            _ => self.batch(),
        }
    }

    fn simple(&mut self) -> Step {
        let count = [1, 1, 2, 3, 4][usize::try_from(self.random.below(5)).unwrap()];
        let statements: Vec<String> = (0..count).map(|_| self.any(count > 1)).collect();
        vec![query(&statements.join("; "))]
    }

    /// Messages of the extended protocol, with the Sync that ends them.
    fn batch(&mut self) -> Step {
        let mut messages = Vec::new();
        for _ in 0..1 + self.random.below(6) {
            messages.extend(self.part());
        }
        messages.push(sync());
        messages
    }

    fn part(&mut self) -> Step {
        let (name, portal) = (self.pick(&STATEMENTS), self.pick(&PORTALS));
        match self.random.below(100) {
            0..35 => self.whole(),
            35..47 => vec![parse(name, &self.sound(), &[])],
            47..52 => vec![close_statement(name), parse(name, &self.any(false), &[])],
            52..70 => vec![bind(portal, name, &[]), execute(portal, 0)],
            70..73 => vec![bind(portal, name, &[])],
            73..77 => vec![execute(portal, 0)],
            77..80 => vec![close_statement(name)],
            80..83 => vec![close_portal(portal)],
            83..85 => vec![bind(portal, name, &[]), describe_portal(portal)],
            85..87 => vec![parse(name, &self.sound(), &[]), describe_statement(name)],
            87..91 => vec![flush()],
            91..97 => vec![sync()],
            _ => self.copy_by_execute(),
        }
    }

    /// As drivers send a statement.
    fn whole(&mut self) -> Step {
        let sql = self.any(false);
        let mut messages = vec![parse("", &sql, &[]), bind("", "", &[])];
        if self.chance(50) {
            messages.push(describe_portal(""));
        }
        let ordered = ["SELECT", "VALUES"]
            .iter()
            .any(|verb| sql.starts_with(verb));
        let single =
            sql.contains(" RETURNING ") && (sql.contains(" VALUES ") || sql.contains(" id = "));
        if !ordered && !single {
            messages.push(execute("", 0));
            return messages;
        }
        messages.push(execute("", u32::try_from(self.random.below(3)).unwrap()));
        while self.chance(40) {
            if self.chance(20) {
                messages.push(sync());
            }
            if self.chance(10) {
                messages.extend([
                    parse("v", "ROLLBACK TO a", &[]),
                    bind("r", "v", &[]),
                    execute("r", 0),
                    close_statement("v"),
                ]);
            }
            messages.push(execute("", u32::try_from(self.random.below(3)).unwrap()));
        }
        messages
    }

    fn copy(&mut self) -> (String, Step) {
        let tables: &[&str] = match self.unmapped {
            true => &["notes", "marks (id, u)", "loose (id, a)"],
            false => &["notes", "marks (id, u)"],
        };
        let into = self.pick(tables);
        let mut data = Vec::new();
        for _ in 0..self.random.below(4) {
            let (id, other) = (1 + self.random.below(30), 1 + self.random.below(9));
            data.push(copy_data(format!("{id}\t{other}\n").as_bytes()));
        }
        data.push(match self.chance(85) {
            true => copy_done(),
            false => copy_fail("no"),
        });
        (format!("COPY {into} FROM STDIN"), data)
    }

    fn copy_by_query(&mut self) -> Step {
        let (copy, data) = self.copy();
        [vec![query(&copy)], data].concat()
    }

    /// As libpq sends it, or without the Sync ahead of the data.
    fn copy_by_execute(&mut self) -> Step {
        let (copy, data) = self.copy();
        let mut messages = vec![parse("", &copy, &[]), bind("", "", &[]), execute("", 0)];
        if self.chance(50) {
            messages.push(sync());
        }
        messages.extend(data);
        messages
    }
}

/// The same messages with a wait behind each Sync and Query, as far as the data of a COPY allows.
fn batches(step: &Step) -> Vec<Step> {
    let mut parts: Vec<Step> = Vec::new();
    let mut ended = true;
    for message in step {
        // A Flush belongs to what it hurries.
        let behind = is_data(message) || message[0] == b'H';
        match parts.last_mut() {
            Some(part) if !ended || behind => part.push(message.clone()),
            _ => parts.push(vec![message.clone()]),
        }
        ended = is_end(message) || (behind && ended);
    }
    parts
}

/// Whether a ReadyForQuery answers it, outside of a COPY.
fn is_end(message: &Bytes) -> bool {
    b"QSF".contains(&message[0])
}

/// Whether it belongs to a COPY's data: a server that takes data does not answer a Sync.
fn is_data(message: &Bytes) -> bool {
    b"dcf".contains(&message[0])
}
