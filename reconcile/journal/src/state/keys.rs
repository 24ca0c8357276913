//! Keys in JSON.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

/// Key columns as JSON shows them: text where they are valid UTF-8, hex digits where not.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct KeyText(pub Vec<Vec<u8>>);

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Part {
    Text(String),
    Bytes { hex: String },
}

impl Serialize for KeyText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(
            self.0
                .iter()
                .map(|part| match String::from_utf8(part.clone()) {
                    Ok(text) => Part::Text(text),
                    Err(error) => {
                        let hex = error
                            .as_bytes()
                            .iter()
                            .map(|byte| format!("{byte:02x}"))
                            .collect();
                        Part::Bytes { hex }
                    }
                }),
        )
    }
}

impl<'de> Deserialize<'de> for KeyText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<KeyText, D::Error> {
        let parts = Vec::<Part>::deserialize(deserializer)?;
        let bytes = parts.into_iter().map(|part| match part {
            Part::Text(text) => Ok(text.into_bytes()),
            Part::Bytes { hex } => unhex(&hex).ok_or_else(|| D::Error::custom("bad hex digits")),
        });
        bytes.collect::<Result<_, _>>().map(KeyText)
    }
}

fn unhex(digits: &str) -> Option<Vec<u8>> {
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    let pairs = (0..digits.len())
        .step_by(2)
        .map(|at| digits.get(at..at + 2));
    pairs
        .map(|pair| u8::from_str_radix(pair?, 16).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn keys_of_any_bytes_come_back(parts: Vec<Vec<u8>>) {
            let key = KeyText(parts);
            let json = serde_json::to_string(&key).unwrap();
            prop_assert_eq!(serde_json::from_str::<KeyText>(&json).unwrap(), key);
        }
    }
}
