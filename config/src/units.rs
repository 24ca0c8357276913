//! Durations and sizes with their units.

use std::time::Duration;

/// What a duration looks like, for messages.
pub(crate) const DURATION: &str =
    "a number with ms, s, m, h or d, such as \"250ms\", \"5s\" or \"10m\"";

/// What a size looks like, for messages.
pub(crate) const SIZE: &str =
    "a number with B, kB, MB, GB (thousands) or KiB, MiB, GiB (1024s), such as \"64MiB\"";

/// Reads `250ms`, `5s`, `10m`, `2h`, `1d`.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = split(text)?;
    let unit_ms: u64 = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.checked_mul(unit_ms).map(Duration::from_millis)
}

/// Reads `512B`, `64kB`, `64KiB`, `1GB`; the result is in bytes.
pub(crate) fn size(text: &str) -> Option<usize> {
    let (number, unit) = split(text)?;
    let unit_bytes: u64 = match unit {
        "B" => 1,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    usize::try_from(number.checked_mul(unit_bytes)?).ok()
}

fn split(text: &str) -> Option<(u64, &str)> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '_')?;
    let number = text[..end].replace('_', "").parse().ok()?;
    Some((number, text[end..].trim_start()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_durations_and_sizes() {
        for (text, ms) in [
            ("250ms", 250),
            ("5s", 5_000),
            ("10 m", 600_000),
            ("2h", 7_200_000),
            ("1d", 86_400_000),
            ("0s", 0),
        ] {
            assert_eq!(duration(text), Some(Duration::from_millis(ms)), "{text}");
        }
        for (text, bytes) in [
            ("512B", 512),
            ("64kB", 64_000),
            ("64KiB", 65_536),
            ("64 MB", 64_000_000),
            ("1GiB", 1 << 30),
            ("1_000B", 1_000),
        ] {
            assert_eq!(size(text), Some(bytes), "{text}");
        }
    }

    #[test]
    fn refuses_what_has_no_unit_or_no_number_or_does_not_fit() {
        for text in [
            "",
            "5",
            "s",
            "-5s",
            "1.5s",
            "5 seconds",
            "5S",
            "1m30s",
            "99999999999999999999s",
            "18446744073709551615d",
        ] {
            assert_eq!(duration(text), None, "{text}");
        }
        for text in ["", "64", "MB", "64mb", "-1MB", "18446744073709551615GiB"] {
            assert_eq!(size(text), None, "{text}");
        }
    }
}
