//! Makes a failing input smaller.

use std::time::{Duration, Instant};

/// Longest time for it.
const TIME: Duration = Duration::from_secs(10);

/// The smallest input that was found to fail: nothing can be left out of it, if the time was enough.
pub(crate) fn shrink(input: &[u8], fails: impl Fn(&[u8]) -> bool) -> Vec<u8> {
    let begin = Instant::now();
    let mut small = input.to_vec();
    let mut part = (small.len() / 2).max(1);
    loop {
        let before = small.len();
        let mut at = 0;
        while at < small.len() && begin.elapsed() < TIME {
            let mut without = small.clone();
            without.drain(at..(at + part).min(small.len()));
            if fails(&without) {
                small = without;
            } else {
                at += part;
            }
        }
        if begin.elapsed() >= TIME || (part == 1 && small.len() == before) {
            return small;
        }
        part = (part / 2).max(1);
    }
}

#[cfg(test)]
mod tests {
    use super::shrink;

    #[test]
    fn what_does_not_matter_is_left_out() {
        let input = b"select a, b from (((x))) where y = 1";
        let fails = |input: &[u8]| {
            input.contains(&b'(') && input.ends_with(b"1") && input.starts_with(b"s")
        };
        assert_eq!(shrink(input, fails), b"s(1");
    }
}
