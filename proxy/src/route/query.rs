//! The statements of one Query, and of one transaction, together.

use super::Router;
use crate::{
    errors::ClientError,
    sql::{Kind, SelectFacts, StatementFacts},
};

impl Router {
    /// A Query is understood as a whole before anything of it runs: a statement that changes what names mean would make the rest mean something
    /// else (trap 13). Of each statement its text, whether it changes what names mean, and whether it does so by making or dropping relations.
    ///
    /// # Errors
    /// When a statement is followed by one whose names it may change.
    pub(crate) fn check_names<'t>(
        &self,
        pieces: impl Iterator<Item = (&'t [u8], bool, bool)>,
        conforming: bool,
    ) -> Result<(), ClientError> {
        let analyzer = self.analyzer();
        let named = |text: &[u8]| analyzer.glance(text, conforming).mapped;
        let moves = |&(text, moves, makes_relations): &(&[u8], bool, bool)| {
            moves && (!makes_relations || named(text))
        };
        let mut rest = pieces.skip_while(|piece| !moves(piece)).skip(1);
        if self.is_careless() || !rest.any(|(text, ..)| named(text)) {
            return Ok(());
        }
        Err(ClientError::new(
            "0A000",
            "crossfade refused a Query in which a statement changes what the names in a later one mean",
        )
        .hint("send the statements one by one"))
    }
}

/// A `set_config` of settings that are written out and decide on no name: the usual way to tell the server who a request is for.
pub(crate) fn harmless(statement: &StatementFacts, sql: &[u8]) -> bool {
    let only_by_function = statement.traits.set_config
        && matches!(
            statement.kind,
            Kind::Select(SelectFacts { into: false, .. })
        )
        && !statement.other_tables;
    let text = String::from_utf8_lossy(sql).to_ascii_lowercase();
    let decisive = ["search_path", "role", "session_authorization"];
    only_by_function
        && statement.params == 0
        && !statement.traits.temporary
        && !decisive.iter().any(|name| text.contains(name))
}

/// A transaction over statements that go to different stores.
pub(crate) fn elsewhere() -> ClientError {
    ClientError::new("0A000", "crossfade refused a transaction over both stores: it could not be atomic")
        .hint("use the tables of different stores in transactions of their own, or put tables that are used together into one toggle")
}
