//! Statements and the facts of them.

mod keys;
mod session;
mod tables;

use std::sync::Arc;

use crate::sql::{Analyzer, Facts, Kind, testing::mapping};

fn facts(text: &str) -> Arc<Facts> {
    let mut analyzer = Analyzer::new(Arc::new(mapping()), 64);
    let path = analyzer.path(&["app".into(), "public".into()]);
    analyzer.facts(text.as_bytes(), true, path)
}

fn kind(text: &str) -> Kind {
    let facts = facts(text);
    assert!(facts.problem.is_none(), "{text}: {:?}", facts.problem);
    assert_eq!(facts.statements.len(), 1, "{text}");
    facts.statements[0].kind.clone()
}
