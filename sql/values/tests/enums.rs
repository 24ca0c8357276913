//! Types of the old store's users: enums.

use std::{cmp::Ordering, sync::Arc};

use crossfade_values::{
    Enum, Session, Type, Types, Value, aggregate,
    cast::{self, Context},
    format, oid, order,
    resolve::{self, Scope},
};

const MOOD: u32 = 16_400;
const MOODS: u32 = 16_399;

fn types() -> Types {
    let labels = ["sad", "ok", "happy"].map(Arc::from).to_vec();
    let mood = Enum {
        oid: MOOD,
        array: MOODS,
        schema: "public".to_owned(),
        name: "mood".to_owned(),
        labels,
    };
    Types {
        enums: [(MOOD, mood)].into(),
        ..Types::default()
    }
}

fn read(ty: u32, text: &str) -> crossfade_values::Result<Value> {
    format::parse(Type::of(ty), text, &types(), &Session::default())
}

#[test]
fn labels_are_checked() {
    let error = read(MOOD, "angry").unwrap_err();
    assert_eq!(
        (error.sqlstate, error.message.as_str()),
        ("22P02", "invalid input value for enum mood: \"angry\"")
    );
    assert!(read(MOODS, "{sad,NULL,happy}").is_ok());
    assert_eq!(format::type_name(Type::of(MOODS), &types()), "mood[]");
    let found = format::type_by_name(Some("public"), "mood", &[], &types()).unwrap();
    assert_eq!(found, Some(Type::of(MOOD)));
}

#[test]
fn order_is_of_the_labels() {
    let types = types();
    let (sad, happy) = (read(MOOD, "sad").unwrap(), read(MOOD, "happy").unwrap());
    assert_eq!(order::compare(MOOD, &sad, &happy, &types), Ordering::Less);
    let session = Session::default();
    let less = resolve::operator("<", Some(MOOD), oid::UNKNOWN, &types).unwrap();
    assert_eq!(less.args, [MOOD, MOOD]);
    let scope = Scope {
        args: &less.args,
        result: less.result,
        types: &types,
        session: &session,
    };
    assert!(matches!(
        (less.call)(scope, &[happy, sad]).unwrap(),
        Value::Bool(false)
    ));
    let error = resolve::operator("=", Some(MOOD), oid::TEXT, &types).unwrap_err();
    assert_eq!(error.message, "operator does not exist: mood = text");
    assert_eq!(
        aggregate::aggregate("max", &[MOOD], &types).unwrap().result,
        MOOD
    );
    assert_eq!(
        aggregate::aggregate("array_agg", &[MOOD], &types)
            .unwrap()
            .result,
        MOODS
    );
}

#[test]
fn casts_go_by_text() {
    let (types, session) = (types(), Session::default());
    assert!(cast::can_cast(oid::TEXT, MOOD, Context::Explicit, &types));
    assert!(!cast::can_cast(
        oid::TEXT,
        MOOD,
        Context::Assignment,
        &types
    ));
    assert!(cast::can_cast(
        MOOD,
        oid::VARCHAR,
        Context::Assignment,
        &types
    ));
    let text = cast::cast(
        read(MOOD, "ok").unwrap(),
        MOOD,
        Type::of(oid::TEXT),
        Context::Explicit,
        &types,
        &session,
    );
    assert!(matches!(text.unwrap(), Value::Text(text) if &*text == "ok"));
}
