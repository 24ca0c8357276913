//! Is what the stores hold what the clients were told?

use std::{collections::BTreeMap, sync::atomic::Ordering};

use super::{
    SUM,
    client::{has, times},
    record::{List, Register, Shared},
};
use crate::Database;

/// What the clients of a history wrote down.
#[derive(Debug)]
pub struct Findings {
    /// Transactions that were acknowledged.
    pub acknowledged: u64,
    /// Requests whose connection broke before their answer.
    pub unknown: u64,
    /// Refusals, by SQLSTATE.
    pub refused: BTreeMap<String, u64>,
    run: u64,
    wrong: Vec<String>,
    registers: BTreeMap<String, Register>,
    lists: BTreeMap<String, List>,
}

impl Findings {
    pub(super) fn of(shared: &Shared) -> Findings {
        let mut record = shared.record();
        Findings {
            acknowledged: shared.acknowledged.load(Ordering::Relaxed),
            unknown: shared.unknown.load(Ordering::Relaxed),
            refused: std::mem::take(&mut record.refused),
            run: shared.run,
            wrong: std::mem::take(&mut record.wrong),
            registers: std::mem::take(&mut record.registers),
            lists: std::mem::take(&mut record.lists),
        }
    }

    /// Asserts that `primary` holds every acknowledged write, that nothing was read which did not last, and that no client saw an answer that cannot be.
    ///
    /// # Panics
    /// With what is wrong.
    pub async fn check(&self, primary: &Database) {
        let mut wrong = self.wrong.clone();
        let pairs = async |sql: &str| -> BTreeMap<String, String> {
            let rows = primary.rows(sql).await.into_iter();
            rows.filter_map(|row| Some((row[0].clone()?, row[1].clone()?)))
                .collect()
        };
        let run = self.run;
        let registers = format!("SELECT name, value FROM registers WHERE name LIKE 'r{run}.%'");
        let lists = format!("SELECT name, entries FROM lists WHERE name LIKE 'l{run}.%'");
        self.check_registers(&pairs(&registers).await, &mut wrong);
        self.check_lists(&pairs(&lists).await, &mut wrong);
        let sum = primary.value("SELECT sum(balance) FROM accounts").await;
        if sum != SUM.to_string() {
            wrong.push(format!("the accounts hold {sum} in the end"));
        }
        assert!(
            wrong.is_empty(),
            "{} findings in history {run} of {} acknowledged transactions: {:#?}",
            wrong.len(),
            self.acknowledged,
            &wrong[..wrong.len().min(8)]
        );
    }

    fn check_registers(&self, found: &BTreeMap<String, String>, wrong: &mut Vec<String>) {
        for (name, register) in &self.registers {
            let value = found.get(name).and_then(|text| text.parse().ok());
            if !register.clone().saw(value) {
                wrong.push(format!(
                    "{name} is {value:?} in the end, its client knows {register:?}"
                ));
            }
        }
    }

    fn check_lists(&self, found: &BTreeMap<String, String>, wrong: &mut Vec<String>) {
        let nothing = List::default();
        for (name, text) in found {
            let list = self.lists.get(name).unwrap_or(&nothing);
            for entry in text.split_inclusive(';') {
                let known = list.acknowledged.iter().chain(&list.open);
                if times(text, entry) > 1 || !known.into_iter().any(|one| one == entry) {
                    wrong.push(format!("{name} has {entry} where it should not"));
                }
            }
        }
        for (name, list) in &self.lists {
            let text = found.get(name).map_or("", String::as_str);
            let lost = list.acknowledged.iter().filter(|entry| !has(text, entry));
            wrong.extend(lost.map(|entry| format!("{name} lost {entry}")));
            let fleeting = list
                .reads
                .iter()
                .filter(|read| !text.starts_with(read.as_str()));
            wrong.extend(fleeting.map(|read| format!("{name} was read as {read}, and is {text}")));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(acknowledged: &[&str], open: &[&str], reads: &[&str]) -> Findings {
        let strings = |from: &[&str]| from.iter().map(|&one| one.to_owned()).collect();
        let shared = Shared::new(1);
        shared.record().lists.insert(
            "l1.0".to_owned(),
            List {
                acknowledged: strings(acknowledged),
                open: strings(open),
                reads: strings(reads),
            },
        );
        Findings::of(&shared)
    }

    fn wrong(findings: &Findings, text: &str) -> Vec<String> {
        let found = BTreeMap::from([("l1.0".to_owned(), text.to_owned())]);
        let mut wrong = Vec::new();
        findings.check_lists(&found, &mut wrong);
        wrong
    }

    #[test]
    fn an_entry_of_unknown_outcome_may_be_there_once_or_not() {
        let findings = findings(&["0.1;", "1.1;"], &["0.2;"], &["", "0.1;"]);
        for fine in ["0.1;1.1;", "0.1;0.2;1.1;"] {
            assert_eq!(wrong(&findings, fine), [""; 0], "{fine}");
        }
        for bad in ["0.1;", "0.1;1.1;1.1;", "1.1;0.1;", "0.1;void;1.1;"] {
            assert_ne!(wrong(&findings, bad), [""; 0], "{bad}");
        }
    }

    #[test]
    fn a_register_is_what_was_written_last_or_may_have_been_since() {
        let mut register = Register::default();
        register.wrote(Some(3));
        register.open.extend([Some(4), None, Some(5)]);
        assert!(!register.clone().saw(Some(2)));
        assert!(register.saw(None));
        assert!(!register.clone().saw(Some(4)), "it was overwritten");
        assert!(register.clone().saw(Some(5)));
        register.wrote(Some(6));
        assert!(!register.saw(Some(5)));
    }
}
