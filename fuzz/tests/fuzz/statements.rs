//! Texts of a client: the analysis has an answer to each, and what it rewrites is SQL.

use std::{cell::RefCell, sync::Arc};

use crossfade_fuzz::{Shown, Target};
use crossfade_phase::Side;
use crossfade_proxy::sql::{self, Analyzer, Facts};

use crate::testing::mapping;

const TARGETS: [sql::Target; 5] = [
    sql::Target::OldCapture,
    sql::Target::New,
    sql::Target::NewCapture,
    sql::Target::KeyRead(Side::Old),
    sql::Target::KeyRead(Side::New),
];

const DICTIONARY: &[&[u8]] = &[
    b"SELECT ",
    b" FROM ",
    b" WHERE ",
    b"INSERT INTO ",
    b" VALUES ",
    b"UPDATE ",
    b" SET ",
    b"DELETE FROM ",
    b" USING ",
    b" RETURNING ",
    b"WITH ",
    b" AS ",
    b" ON CONFLICT ",
    b"DO NOTHING",
    b"DO UPDATE SET ",
    b" JOIN ",
    b" LEFT JOIN ",
    b" NATURAL JOIN ",
    b" LATERAL ",
    b" ON ",
    b" GROUP BY ",
    b" ORDER BY ",
    b" HAVING ",
    b" LIMIT ",
    b" OFFSET ",
    b" FOR UPDATE",
    b" FOR NO KEY UPDATE SKIP LOCKED",
    b" UNION ALL ",
    b" EXCEPT ",
    b" EXISTS ",
    b" IN ",
    b" BETWEEN ",
    b" CASE WHEN ",
    b" END ",
    b" CAST(",
    b"::",
    b"::text",
    b"DEFAULT",
    b"NULL",
    b"excluded.",
    b"orders",
    b"items",
    b"sales",
    b"order_view",
    b"orders_2024",
    b"touch_orders()",
    b"public.",
    b"pg_temp.",
    b"shop.",
    b"\"Mixed Case\"",
    b"\"Id\"",
    b"\"select\"",
    b"id",
    b"total",
    b"code",
    b"note",
    b"label",
    b"line",
    b"order_id",
    b"state",
    b"ctid",
    b"*",
    b".*",
    b"$1",
    b"$2",
    b"'x'",
    b"''",
    b"E'\\''",
    b"U&'\\0041'",
    b"U&\"\\0069d\"",
    b"$$",
    b"$a$",
    b"B'1'",
    b"X'1f'",
    b"N'x'",
    b"--",
    b"\n",
    b"/*",
    b"*/",
    b";",
    b"(",
    b")",
    b",",
    b"[1]",
    b"ARRAY[",
    b"ROW(",
    b"=",
    b"<>",
    b":=",
    b"=>",
    b"BEGIN",
    b"COMMIT",
    b"ROLLBACK TO a",
    b"SAVEPOINT a",
    b"PREPARE p AS ",
    b"EXECUTE p",
    b"EXPLAIN ANALYZE ",
    b"COPY ",
    b" FROM STDIN",
    b"DECLARE c CURSOR FOR ",
    b"FETCH 1 IN c",
    b"SET search_path = ",
    b"TRUNCATE ",
    b"MERGE INTO ",
    b"LOCK TABLE ",
    b"ONLY ",
    b"TABLESAMPLE system (1)",
    b"OVER (",
    b"FILTER (WHERE ",
    b"GROUPING SETS (",
    b"WITH ORDINALITY",
    b"OVERRIDING SYSTEM VALUE ",
    b"\xff",
    b"\xc3\xa9",
    b"TABLE ",
    b"VALUES (1)",
    b"1.5e3",
    b"0x1f",
    b"1_000",
];

/// Analysers as two sessions have them: one knows everything that came before, one nothing.
struct Known(RefCell<Analyzer>);

fn fresh() -> Analyzer {
    Analyzer::new(Arc::new(mapping()), 256)
}

/// What became of each statement and target.
type Outcomes = Vec<Result<Vec<u8>, String>>;

fn rewrites(analyzer: &Analyzer, text: &[u8], conforming: bool, facts: &Facts) -> Outcomes {
    let each = (0..facts.statements.len()).flat_map(|index| TARGETS.map(|target| (index, target)));
    each.map(|(index, target)| {
        let rewritten = analyzer.rewrite(text, conforming, facts, index, target);
        rewritten
            .map(|rewritten| rewritten.sql)
            .map_err(|refusal| refusal.reason)
    })
    .collect()
}

fn is_sql(sql: &[u8]) -> Result<(), String> {
    // Constants may be in any encoding that a client has; the grammar here knows one.
    let text = String::from_utf8_lossy(sql);
    match pg_query::parse(&text, 0) {
        Ok(_) => Ok(()),
        Err(error) => Err(format!("{text:?} is no SQL: {error}")),
    }
}

/// What MERGEs are sent as is SQL, too.
fn merges(
    analyzer: &mut Analyzer,
    text: &[u8],
    conforming: bool,
    facts: &Facts,
) -> Result<(), String> {
    let path = analyzer.path(&["public".into()]);
    for (index, statement) in facts.statements.iter().enumerate() {
        if statement.kind.merged().is_none() {
            continue;
        }
        for side in [Side::Old, Side::New] {
            if let Ok(texts) = analyzer.merge(text, conforming, facts, index, path, side) {
                let texts = [texts.merge, texts.lock, Some(texts.write.sql)];
                // The grammar here reads strings as conforming ones.
                let mut read = texts.iter().flatten().filter(|_| conforming);
                read.try_for_each(|sql| is_sql(sql))?;
            }
        }
    }
    Ok(())
}

impl Known {
    fn check(&self, text: &[u8], conforming: bool) -> Result<Shown, String> {
        let mut known = self.0.borrow_mut();
        let path = known.path(&["public".into()]);
        let glance = known.glance(text, conforming);
        let facts = known.facts(text, conforming, path);
        let outcomes = rewrites(&known, text, conforming, &facts);
        merges(&mut known, text, conforming, &facts)?;
        let pieces = known.split(text, conforming, &facts);

        let mut unknowing = fresh();
        let path = unknowing.path(&["public".into()]);
        let again = unknowing.facts(text, conforming, path);
        if rewrites(&unknowing, text, conforming, &again) != outcomes {
            return Err("what is remembered of another text gives another rewriting".to_owned());
        }
        let mut shown = Vec::new();
        for (statement, piece) in facts.statements.iter().zip(&pieces) {
            let named = !statement.mapped.is_empty() || !statement.aliases.is_empty();
            if named && !glance.mapped {
                return Err(format!("a quick look misses {:?}", statement.mapped));
            }
            if conforming {
                is_sql(piece).map_err(|error| format!("the piece {error}"))?;
            }
            shown.push(format!("{:?}", statement.kind));
        }
        // The grammar here reads strings as conforming ones.
        for sql in outcomes.iter().flatten().filter(|_| conforming) {
            is_sql(sql)?;
        }
        let reasons: Vec<&String> = outcomes.iter().filter_map(|o| o.as_ref().err()).collect();
        let problem = facts.problem.as_ref().map(std::mem::discriminant);
        Ok(Shown::of((shown, reasons, problem, glance.session)))
    }
}

#[test]
fn no_text_of_a_client_breaks_the_analysis() {
    let known = Known(RefCell::new(fresh()));
    let check = |text: &[u8]| {
        // A message ends its text with a zero.
        let text = text.split(|&byte| byte == 0).next().unwrap_or_default();
        let shown = known.check(text, true)?;
        known.check(text, false)?;
        Ok(shown)
    };
    Target {
        name: "statements",
        dictionary: DICTIONARY,
        folder: crate::FOLDER,
        check: &check,
    }
    .run();
}
