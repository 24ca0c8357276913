//! "Did you mean …?"

/// The candidate that `typed` was probably meant to be, if any is near enough.
pub(crate) fn nearest<'c>(
    typed: &str,
    candidates: impl IntoIterator<Item = &'c str>,
) -> Option<&'c str> {
    let typed = normal(typed);
    candidates
        .into_iter()
        .map(|candidate| (distance(&typed, &normal(candidate)), candidate))
        // A third of the letters may be wrong: more than that is another word.
        .filter(|(distance, candidate)| *distance <= 1.max(candidate.len().min(typed.len()) / 3))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// `Pool-Size` and `poolSize` are both meant to be `pool_size`.
fn normal(word: &str) -> String {
    word.chars()
        .filter(|c| !matches!(c, '_' | '-' | ' '))
        .flat_map(char::to_lowercase)
        .collect()
}

/// Optimal string alignment distance: insertions, deletions, substitutions and swaps of neighbours.
fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().take(MAX_LETTERS).collect();
    let b: Vec<char> = b.chars().take(MAX_LETTERS).collect();
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let substituted = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = substituted.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

/// Longer words are compared by their beginning only: a key of a megabyte must not cost a square of it.
const MAX_LETTERS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_typing_errors_and_other_spellings() {
        let keys = ["pool_size", "url", "schema", "connect_timeout"];
        for (typed, meant) in [
            ("pool_sise", "pool_size"),
            ("poolSize", "pool_size"),
            ("pool-size", "pool_size"),
            ("ulr", "url"),
            ("uri", "url"),
            ("conect_timeuot", "connect_timeout"),
        ] {
            assert_eq!(nearest(typed, keys), Some(meant), "{typed}");
        }
        assert_eq!(nearest("colour", keys), None);
        assert_eq!(nearest("", keys), None);
        assert_eq!(nearest(&"x".repeat(1_000_000), keys), None);
    }
}
