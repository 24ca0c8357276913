use proptest::prelude::*;

use super::Kind;
use crate::hex::hex;

/// What goes in comes out, byte for byte.
fn survives(kind: &Kind, canonical: &[u8]) {
    let bson = kind.to_bson(canonical).unwrap_or_else(|error| {
        panic!("{kind:?} {:?}: {error}", String::from_utf8_lossy(canonical))
    });
    // Through BSON's bytes, as it is stored.
    let document = mongodb::bson::doc! { "v": bson };
    let stored = mongodb::bson::serialize_to_vec(&document).unwrap();
    let document: mongodb::bson::Document = mongodb::bson::deserialize_from_slice(&stored).unwrap();
    let back = kind.to_canonical(&document["v"]);
    assert_eq!(
        back.as_deref().map(String::from_utf8_lossy),
        Some(String::from_utf8_lossy(canonical)),
        "{kind:?} as {document}"
    );
}

/// Text as `array_out` writes it.
fn array_text(items: &[Option<String>]) -> String {
    let items = items.iter().map(|item| match item {
        None => "NULL".to_owned(),
        Some(item) => format!("\"{}\"", item.replace('\\', "\\\\").replace('"', "\\\"")),
    });
    format!("{{{}}}", items.collect::<Vec<_>>().join(","))
}

fn json() -> impl Strategy<Value = String> {
    let string = "\\PC{0,12}".prop_map(|text| {
        let mut out = String::from("\"");
        for c in text.chars() {
            match c {
                '"' => out.push_str("\\\""),
                '\\' => out.push_str("\\\\"),
                c => out.push(c),
            }
        }
        out.push('"');
        out
    });
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|value| value.to_string()),
        any::<i64>().prop_map(|value| value.to_string()),
        "-?[1-9][0-9]{0,45}(\\.[0-9]{1,9})?",
        string.clone(),
    ];
    leaf.prop_recursive(5, 40, 5, move |inner| {
        let field = (string.clone(), inner.clone());
        prop_oneof![
            prop::collection::vec(inner, 0..5).prop_map(|items| format!("[{}]", items.join(", "))),
            prop::collection::vec(field, 0..5).prop_map(|fields| {
                let fields: Vec<_> = fields
                    .iter()
                    .map(|(name, value)| format!("{name}: {value}"))
                    .collect();
                format!("{{{}}}", fields.join(", "))
            }),
        ]
    })
}

proptest! {
    #[test]
    fn numbers(small: i16, middle: i32, large: i64, single: f32, double: f64) {
        survives(&Kind::Int2, small.to_string().as_bytes());
        survives(&Kind::Int4, middle.to_string().as_bytes());
        survives(&Kind::Int8, large.to_string().as_bytes());
        survives(&Kind::Money, &hex(&large.to_be_bytes()));
        survives(&Kind::Float4, &hex(&single.to_be_bytes()));
        survives(&Kind::Float8, &hex(&double.to_be_bytes()));
    }

    #[test]
    fn numerics_of_up_to_34_digits(text in "(0|-?[1-9][0-9]{0,16})\\.[0-9]{1,17}|-?[1-9][0-9]{0,33}|0\\.0{0,20}[1-9][0-9]{0,12}") {
        survives(&Kind::Numeric, text.as_bytes());
    }

    #[test]
    fn longer_numerics_are_refused_or_exact(text in "-?[1-9][0-9]{34,60}(\\.[0-9]{1,40})?") {
        if Kind::Numeric.to_bson(text.as_bytes()).is_ok() {
            survives(&Kind::Numeric, text.as_bytes());
        }
    }

    #[test]
    fn times(days: i32, us: i64, months: i32, zone in -57_600..57_600_i32) {
        survives(&Kind::Date, &hex(&days.to_be_bytes()));
        survives(&Kind::Timestamp, &hex(&us.to_be_bytes()));
        let interval = [&us.to_be_bytes()[..], &days.to_be_bytes(), &months.to_be_bytes()].concat();
        survives(&Kind::Interval, &hex(&interval));
        let time = us.rem_euclid(86_400_000_001);
        survives(&Kind::Time, &hex(&time.to_be_bytes()));
        survives(&Kind::TimeTz, &hex(&[&time.to_be_bytes()[..], &zone.to_be_bytes()].concat()));
    }

    #[test]
    fn texts_and_bytes(text in "[^\\x00]{0,40}", bytes: Vec<u8>, id: [u8; 16]) {
        survives(&Kind::Text, text.as_bytes());
        survives(&Kind::Bytea, &hex(&bytes));
        survives(&Kind::Opaque, &hex(&bytes));
        survives(&Kind::Uuid, mongodb::bson::Uuid::from_bytes(id).to_string().as_bytes());
    }

    #[test]
    fn json_values(text in json()) {
        survives(&Kind::Jsonb, text.as_bytes());
    }

    #[test]
    fn what_is_no_json_is_kept_as_it_is(text in "[\\[\\]{}\",: a0-9\\\\.eE+-]{0,30}") {
        survives(&Kind::Jsonb, text.as_bytes());
    }

    #[test]
    fn arrays(items in prop::collection::vec(prop::option::of("[^\\x00]{0,8}"), 0..6), other in "[^\\x00]{0,30}") {
        // Quoted where the server would not, so kept as the text that it is.
        let texts = Kind::Array(Box::new(Kind::Text));
        survives(&texts, array_text(&items).as_bytes());
        survives(&texts, other.as_bytes());
    }

    #[test]
    fn binary_arrays(items in prop::collection::vec(prop::option::of(any::<i64>()), 0..6), other: Vec<u8>) {
        let kind = Kind::BinaryArray(Box::new(Kind::Timestamp), 1184);
        let mut bytes = Vec::new();
        let mut put = |number: i32| bytes.extend(number.to_be_bytes());
        put(i32::from(!items.is_empty()));
        put(i32::from(items.contains(&None)));
        put(1184);
        if !items.is_empty() {
            put(i32::try_from(items.len()).unwrap());
            put(1);
        }
        for item in items {
            match item {
                Some(us) => {
                    bytes.extend(8_i32.to_be_bytes());
                    bytes.extend(us.to_be_bytes());
                }
                None => bytes.extend((-1_i32).to_be_bytes()),
            }
        }
        survives(&kind, &hex(&bytes));
        survives(&kind, &hex(&other));
    }
}

#[test]
fn text_that_is_not_of_the_type_is_refused() {
    for (kind, text) in [
        (Kind::Int4, "1.5"),
        (Kind::Int8, "9223372036854775808"),
        (Kind::Numeric, "1e5"),
        (Kind::Numeric, "12345678901234567890123456789012345"),
        (Kind::Bool, "t"),
        (Kind::Uuid, "nobody"),
        (Kind::Float8, "00"),
        (Kind::Bytea, "0g"),
    ] {
        assert!(kind.to_bson(text.as_bytes()).is_err(), "{kind:?} {text}");
    }
    assert!(Kind::Text.to_bson(b"\xff").is_err());
}
