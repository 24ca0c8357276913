//! The block by which the proxy makes a server raise an error: `DO LANGUAGE plpgsql 'BEGIN RAISE EXCEPTION USING ERRCODE = E''…'', MESSAGE = E''…''; END'`.
//!
//! It is no PL/pgSQL: exactly this form is known, and every other block is refused.

use crossfade_values::Error;
use pg_query::{NodeEnum, protobuf::DoStmt};

use crate::{report::Report, text};

/// The error that a block raises; `None` for any other block.
pub(crate) fn raised(block: &DoStmt) -> Option<Report> {
    let mut body = None;
    for arg in &block.args {
        let Some(NodeEnum::DefElem(arg)) = &arg.node else {
            return None;
        };
        let value = text::string(arg.arg.as_ref()?.node.as_ref()?)?;
        match &arg.defname[..] {
            "as" => body = Some(value),
            "language" if value == "plpgsql" => {}
            _ => return None,
        }
    }
    let mut rest = body?.strip_prefix("BEGIN RAISE EXCEPTION USING ")?;
    let mut report: Report = Error::new("P0001", "").into();
    loop {
        let (name, after) = rest.split_once(" = ")?;
        let (value, after) = text::literal(after)?;
        match name {
            "ERRCODE" => report.raised = Some(value),
            "MESSAGE" => report.error.message = value,
            "DETAIL" => report.error.detail = Some(value),
            "HINT" => report.error.hint = Some(value),
            _ => return None,
        }
        match after.strip_prefix(", ") {
            Some(after) => rest = after,
            None if after == "; END" => return Some(report),
            None => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(sql: &str) -> Option<Report> {
        match crate::parse::parse(sql).unwrap().pop().unwrap().node {
            NodeEnum::DoStmt(block) => raised(&block),
            _ => None,
        }
    }

    #[test]
    fn the_error_is_read_out_of_both_levels_of_quoting() {
        let sql = r#"DO LANGUAGE plpgsql E'BEGIN RAISE EXCEPTION USING ERRCODE = E\'0A000\', MESSAGE = E\'table "a\\\'b\\\\c", = \', HINT = E\'go\'; END'"#;
        let report = report(sql).unwrap();
        assert_eq!(report.sqlstate(), "0A000");
        assert_eq!(report.error.message, "table \"a'b\\c\", = ");
        assert_eq!(report.error.hint.as_deref(), Some("go"));
        assert_eq!(report.error.detail, None);
    }

    #[test]
    fn other_blocks_are_none_of_ours() {
        assert!(report("DO 'BEGIN PERFORM 1; END'").is_none());
        assert!(
            report(
                "DO LANGUAGE plpgsql 'BEGIN RAISE EXCEPTION USING ERRCODE = ''X''; PERFORM 1; END'"
            )
            .is_none()
        );
    }
}
