//! The statements of one Query, and of one transaction, together.

use super::Router;
use crate::{
    errors::ClientError,
    sql::{Kind, Lexer, SelectFacts, StatementFacts, Token, TokenKind, constant},
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
        // The server has read the whole text by the time that it runs a statement of it.
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
pub(crate) fn harmless(statement: &StatementFacts, sql: &[u8], conforming: bool) -> bool {
    let only_by_function = statement.traits.set_config
        && matches!(
            statement.kind,
            Kind::Select(SelectFacts { into: false, .. })
        )
        && !statement.other_tables;
    let decisive = [
        "search_path",
        "role",
        "session_authorization",
        "client_encoding",
        "standard_conforming_strings",
    ];
    only_by_function && !statement.traits.temporary && !may_set(sql, conforming, &decisive)
}

/// The settings that calls of `set_config` name; `None` for one that cannot be read in the text.
pub(crate) fn set_config_of(sql: &[u8], conforming: bool) -> Vec<Option<String>> {
    let tokens = Lexer::new(sql, conforming).filter(|token| token.kind.is_significant());
    let tokens: Vec<Token> = tokens.collect();
    let is_call = |token: &Token| {
        let name = token.of(sql);
        let name = name.strip_prefix(b"\"").unwrap_or(name);
        let name = name.strip_suffix(b"\"").unwrap_or(name);
        matches!(token.kind, TokenKind::Word | TokenKind::Quoted)
            && name.eq_ignore_ascii_case(b"set_config")
    };
    tokens
        .windows(4)
        .filter(|tokens| is_call(&tokens[0]) && tokens[1].kind == TokenKind::Mark(b'('))
        .map(|tokens| match tokens[3].kind {
            TokenKind::Mark(b',') => constant(tokens[2], sql, conforming),
            _ => None,
        })
        .collect()
}

/// Whether a `set_config` of the text names one of these settings, or none that can be read in the text.
pub(crate) fn may_set(sql: &[u8], conforming: bool, settings: &[&str]) -> bool {
    let named = set_config_of(sql, conforming);
    let is_other = |name: String| {
        let mut settings = settings.iter();
        !settings.any(|setting| name.eq_ignore_ascii_case(setting))
    };
    let mut names = named.into_iter();
    names.len() == 0 || !names.all(|name| name.is_some_and(is_other))
}

/// A transaction over statements that go to different stores.
pub(crate) fn elsewhere() -> ClientError {
    ClientError::new("0A000", "crossfade refused a transaction over both stores: it could not be atomic")
        .hint("use the tables of different stores in transactions of their own, or put tables that are used together into one toggle")
}
