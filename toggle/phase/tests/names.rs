//! Phases by name and number, and what DESIGN 2's table says of their stores.

use crossfade_phase::{Phase, Side};

#[test]
fn a_phase_is_read_by_name_and_by_number() {
    for (index, phase) in Phase::ALL.into_iter().enumerate() {
        assert_eq!(usize::from(phase.number()), index + 1);
        assert_eq!(phase.name().parse(), Ok(phase));
        assert_eq!(phase.number().to_string().parse(), Ok(phase));
    }
}

#[test]
fn anything_else_is_refused_with_all_the_names() {
    for text in ["", "0", "9", "-1", "dual_write", "Dual-Write", "256"] {
        let refused = text.parse::<Phase>().unwrap_err().to_string();
        assert!(refused.contains(&format!("\"{text}\"")), "{refused}");
        for phase in Phase::ALL {
            assert!(refused.contains(phase.name()), "{refused}");
        }
    }
}

#[test]
fn the_secondary_is_never_the_primary() {
    let table = Phase::ALL.map(|phase| (phase.primary(), phase.secondary()));
    let (old, new) = (Side::Old, Side::New);
    assert_eq!(
        table,
        [
            (old, None),
            (old, None),
            (old, Some(new)),
            (old, Some(new)),
            (new, Some(old)),
            (new, None),
            (new, None),
            (new, None),
        ]
    );
}
