//! The tokens of a normal form, and how to find one's way among them.

use std::ops::Range;

use crate::sql::{lexer::TokenKind, normal::Normal};

/// The tokens of a normal form.
#[derive(Debug, Default)]
pub(in crate::sql) struct Script {
    form: Box<str>,
    tokens: Vec<(TokenKind, Range<usize>)>,
    /// Some name is spelled with escapes, which only the server reads.
    pub(in crate::sql) opaque: bool,
}

impl Script {
    pub(in crate::sql) fn new(form: &str, normal: &Normal) -> Script {
        let ends = normal.starts.iter().skip(1).copied().chain([form.len()]);
        let spans = std::iter::zip(normal.starts.iter().copied(), ends);
        // One space ends every token of the normal form.
        let tokens = std::iter::zip(&normal.tokens, spans)
            .map(|(token, (start, end))| (token.kind, start..end - 1))
            .collect();
        Script {
            form: form.into(),
            tokens,
            opaque: normal.opaque,
        }
    }

    pub(in crate::sql) fn len(&self) -> usize {
        self.tokens.len()
    }

    /// The token's text; keywords and plain names in lower case.
    pub(in crate::sql) fn word(&self, token: usize) -> &str {
        self.tokens
            .get(token)
            .map_or("", |(_, span)| &self.form[span.clone()])
    }

    pub(in crate::sql) fn kind(&self, token: usize) -> Option<TokenKind> {
        self.tokens.get(token).map(|(kind, _)| *kind)
    }

    pub(in crate::sql) fn is(&self, token: usize, keyword: &str) -> bool {
        self.kind(token) == Some(TokenKind::Word) && self.word(token) == keyword
    }

    pub(in crate::sql) fn mark(&self, token: usize, mark: u8) -> bool {
        self.kind(token) == Some(TokenKind::Mark(mark))
    }

    fn opens(&self, token: usize) -> bool {
        self.mark(token, b'(') || self.mark(token, b'[')
    }

    fn closes(&self, token: usize) -> bool {
        self.mark(token, b')') || self.mark(token, b']')
    }

    /// Token indexes of `range` outside of brackets, up to a bracket that closes more than the range opened. An opening
    /// bracket is given, what it encloses is not.
    fn outside(&self, range: Range<usize>) -> impl Iterator<Item = usize> {
        let mut depth = 0_usize;
        let mut over = false;
        range.filter(move |&token| {
            if over {
                return false;
            }
            if self.closes(token) {
                over = depth == 0;
                depth = depth.saturating_sub(1);
                return false;
            }
            let outside = depth == 0;
            depth += usize::from(self.opens(token));
            outside
        })
    }

    /// The closing bracket of the opening one at `token`.
    pub(in crate::sql) fn closing(&self, token: usize) -> Option<usize> {
        let mut depth = 0_usize;
        (token..self.len()).find(|&at| {
            depth += usize::from(self.opens(at));
            depth -= usize::from(self.closes(at) && depth > 0);
            depth == 0
        })
    }

    /// The first of these keywords outside of brackets. A word after a dot or AS is a name.
    pub(in crate::sql) fn find(&self, range: Range<usize>, keywords: &[&str]) -> Option<usize> {
        let first = range.start;
        self.outside(range).find(|&token| {
            let named = token > first && (self.mark(token - 1, b'.') || self.is(token - 1, "as"));
            !named && keywords.iter().any(|keyword| self.is(token, keyword))
        })
    }

    /// As [`Script::find`], passing over CASE … END, which has words of its own.
    pub(in crate::sql) fn find_clause(
        &self,
        range: Range<usize>,
        keywords: &[&str],
    ) -> Option<usize> {
        let first = range.start;
        let mut cases = 0_usize;
        self.outside(range).find(|&token| {
            if token > first && (self.mark(token - 1, b'.') || self.is(token - 1, "as")) {
                return false;
            }
            cases += usize::from(self.is(token, "case"));
            if self.is(token, "end") {
                cases = cases.saturating_sub(1);
                return false;
            }
            cases == 0 && keywords.iter().any(|keyword| self.is(token, keyword))
        })
    }

    /// Where a run that began outside of brackets ends: at the first closing bracket too many, or at the end of `range`.
    pub(in crate::sql) fn enclosed_end(&self, range: Range<usize>) -> usize {
        let mut depth = 0_usize;
        let end = range.end;
        range
            .into_iter()
            .find(|&token| {
                if self.closes(token) && depth == 0 {
                    return true;
                }
                depth += usize::from(self.opens(token));
                depth -= usize::from(self.closes(token));
                false
            })
            .unwrap_or(end)
    }

    /// The items between commas.
    pub(in crate::sql) fn split(&self, range: Range<usize>) -> Vec<Range<usize>> {
        if range.is_empty() {
            return Vec::new();
        }
        let mut items = Vec::new();
        let mut start = range.start;
        for comma in self
            .outside(range.clone())
            .filter(|&token| self.mark(token, b','))
        {
            items.push(start..comma);
            start = comma + 1;
        }
        items.push(start..range.end);
        items
    }
}
