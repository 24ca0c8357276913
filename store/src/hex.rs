//! Hex digits.

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// In lower case.
#[must_use]
pub fn hex(bytes: &[u8]) -> Vec<u8> {
    bytes
        .iter()
        .flat_map(|byte| {
            [
                DIGITS[usize::from(byte >> 4)],
                DIGITS[usize::from(byte & 15)],
            ]
        })
        .collect()
}

/// `None` when it is something else than pairs of digits.
#[must_use]
pub fn unhex(digits: &[u8]) -> Option<Vec<u8>> {
    let (pairs, []) = digits.as_chunks::<2>() else {
        return None;
    };
    let mut bytes = Vec::with_capacity(pairs.len());
    for &[high, low] in pairs {
        bytes.push(nibble(high)? << 4 | nibble(low)?);
    }
    Some(bytes)
}

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_goes_back_to_bytes_and_anything_else_is_refused() {
        assert_eq!(hex(&[0, 255, 0x7a]), b"00ff7a");
        assert_eq!(unhex(b"00ff7A"), Some(vec![0, 255, 0x7a]));
        assert_eq!(unhex(b"0"), None);
        assert_eq!(unhex(b"0g"), None);
    }
}
