use super::*;

fn op(name: &str, left: Oid, right: Oid) -> Result<Callable> {
    operator(name, Some(left), right, &Types::default())
}

#[test]
fn operators_are_resolved() {
    assert_eq!(
        op("=", oid::INT4, oid::INT8).unwrap().args,
        [oid::INT4, oid::INT8]
    );
    assert_eq!(
        op("=", oid::INT4, oid::NUMERIC).unwrap().args,
        [oid::NUMERIC, oid::NUMERIC]
    );
    assert_eq!(
        op("=", oid::VARCHAR, oid::UNKNOWN).unwrap().args,
        [oid::TEXT, oid::TEXT]
    );
    assert_eq!(
        op("=", oid::INT4_ARRAY, oid::UNKNOWN).unwrap().args,
        [oid::INT4_ARRAY, oid::INT4_ARRAY]
    );
    assert_eq!(
        op("+", oid::DATE, oid::UNKNOWN).unwrap_err().sqlstate,
        "42725"
    );
    let error = op("=", oid::INT4, oid::TEXT).unwrap_err();
    assert_eq!(
        (error.sqlstate, error.message.as_str()),
        ("42883", "operator does not exist: integer = text")
    );
}

#[test]
fn functions_are_resolved() {
    let types = Types::default();
    assert_eq!(
        function("abs", &[oid::INT2], false, &types).unwrap().result,
        oid::INT2
    );
    let error = function("foo", &[oid::INT4, oid::UNKNOWN], false, &types).unwrap_err();
    assert_eq!(
        error.message,
        "function foo(integer, unknown) does not exist"
    );
    assert_eq!(
        common_type(&[oid::INT4, oid::UNKNOWN, oid::NUMERIC], "CASE", &types).unwrap(),
        oid::NUMERIC
    );
    let error = common_type(&[oid::TEXT, oid::INT4], "CASE", &types).unwrap_err();
    assert_eq!(
        error.message,
        "CASE types text and integer cannot be matched"
    );
}
