use super::Numeric;

fn n(text: &str) -> Numeric {
    Numeric::parse(text).unwrap()
}

#[test]
fn text_forms_come_back() {
    for text in [
        "0",
        "0.00",
        "-1.50",
        "12345678901234567890.000100",
        "NaN",
        "Infinity",
        "-Infinity",
        "0.00001",
    ] {
        assert_eq!(n(text).to_string(), text);
    }
    assert_eq!(n("1.5e3").to_string(), "1500");
    assert_eq!(n("1.5e-3").to_string(), "0.0015");
    assert_eq!(n(" -.5 ").to_string(), "-0.5");
    for text in ["", "1e", "1..2", "abc", "--1", "+", "."] {
        assert_eq!(Numeric::parse(text).unwrap_err().sqlstate, "22P02");
    }
}

#[test]
fn operations_have_the_scale_of_postgresql() {
    assert_eq!(n("1.50").add(&n("2.5")).unwrap().to_string(), "4.00");
    assert_eq!(n("1").sub(&n("1.0001")).unwrap().to_string(), "-0.0001");
    assert_eq!(n("1.10").mul(&n("-2.5")).unwrap().to_string(), "-2.750");
    assert_eq!(
        n("1").div(&n("3")).unwrap().to_string(),
        "0.33333333333333333333"
    );
    assert_eq!(
        n("10").div(&n("3")).unwrap().to_string(),
        "3.3333333333333333"
    );
    assert_eq!(n("-7.5").rem(&n("2")).unwrap().to_string(), "-1.5");
    assert_eq!(n("2").sqrt().unwrap().to_string(), "1.414213562373095");
    assert_eq!(
        n("123456789012345678901234567890")
            .div(&n("98765432109876543210"))
            .unwrap()
            .to_string(),
        "1249999988.60937500"
    );
}

#[test]
fn rounding_is_half_away_from_zero() {
    assert_eq!(n("2.5").round(0).unwrap().to_string(), "3");
    assert_eq!(n("-0.5").round(0).unwrap().to_string(), "-1");
    assert_eq!(n("0.45").round(1).unwrap().to_string(), "0.5");
    assert_eq!(n("1550").round(-2).unwrap().to_string(), "1600");
    assert_eq!(
        n("99999.99995").round(4).unwrap().to_string(),
        "100000.0000"
    );
    assert_eq!(n("-1.1").floor().unwrap().to_string(), "-2");
    assert_eq!(n("1.1").ceil().unwrap().to_string(), "2");
}

#[test]
fn modifiers_bound() {
    let five_two = super::modifier::modifier(5, 2);
    assert_eq!(n("1.005").fit(five_two).unwrap().to_string(), "1.01");
    let error = n("1000").fit(five_two).unwrap_err();
    assert_eq!(
        error.detail.as_deref(),
        Some("A field with precision 5, scale 2 must round to an absolute value less than 10^3.")
    );
}

#[test]
fn binary_forms_come_back() {
    for text in ["0", "1.50", "-12345.6789", "NaN", "Infinity", "100000000"] {
        let mut bytes = Vec::new();
        n(text).send(&mut bytes);
        assert_eq!(Numeric::receive(&bytes).unwrap().to_string(), text);
    }
}
