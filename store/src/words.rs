//! Names in the texts of others.

/// Whether `source` has `name` as a word of its own, in any case: an identifier without quotes is folded.
pub(crate) fn mentions(source: &str, name: &str) -> bool {
    let (source, name) = (source.to_lowercase(), name.to_lowercase());
    let part = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
    !name.is_empty()
        && source.match_indices(&name).any(|(at, found)| {
            !source[..at].ends_with(part) && !source[at + found.len()..].starts_with(part)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_mentioned_as_a_whole_word_only() {
        assert!(mentions("INSERT INTO Orders VALUES (1)", "orders"));
        assert!(mentions("update \"orders\" set a = 1", "orders"));
        assert!(!mentions("update orders_archive set a = 1", "orders"));
        assert!(!mentions("update old_orders set a = 1", "orders"));
    }
}
