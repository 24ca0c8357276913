use super::*;
use crate::{Session, numeric::Numeric};

fn run(name: &str, ty: Oid, values: &[Value]) -> String {
    let (types, session) = (Types::default(), Session::default());
    let found = aggregate(name, &[ty], &types).unwrap();
    let scope = Scope {
        args: &found.args,
        result: found.result,
        types: &types,
        session: &session,
    };
    let mut state = (found.begin)();
    for value in values {
        state.take(scope, std::slice::from_ref(value)).unwrap();
    }
    crate::format::to_text(
        found.result,
        &state.finish(scope).unwrap(),
        &types,
        &session,
    )
}

fn ints(values: &[i64]) -> Vec<Value> {
    values.iter().map(|value| Value::Int(*value)).collect()
}

#[test]
fn scales_of_averages_and_deviations() {
    assert_eq!(run("avg", oid::INT4, &ints(&[1, 2])), "1.5000000000000000");
    assert_eq!(
        run("sum", oid::INT8, &ints(&[i64::MAX, 1])),
        "9223372036854775808"
    );
    assert_eq!(
        run("stddev", oid::INT4, &ints(&[1, 2, 4])),
        "1.5275252316519467"
    );
    assert_eq!(
        run("var_pop", oid::INT4, &ints(&[1, 2, 4])),
        "1.5555555555555556"
    );
    let numbers = ["1.50", "2.25"].map(|text| Value::Numeric(Numeric::parse(text).unwrap()));
    assert_eq!(run("sum", oid::NUMERIC, &numbers), "3.75");
    assert_eq!(run("max", oid::NUMERIC, &numbers), "2.25");
}

#[test]
fn nulls_and_nothing() {
    assert_eq!(run("count", oid::INT4, &[Value::Null, Value::Int(1)]), "1");
    assert_eq!(
        run("array_agg", oid::INT4, &[Value::Null, Value::Int(1)]),
        "{NULL,1}"
    );
    assert_eq!(
        run("json_agg", oid::INT4, &[Value::Null, Value::Int(1)]),
        "[null, 1]"
    );
    assert_eq!(run("sum", oid::INT4, &[]), "");
}
