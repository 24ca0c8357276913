//! Which phases would serve a shape: by the rules that sessions are routed by, and by what the new store says of the text that it would get.

use std::{
    collections::HashMap,
    panic::{self, AssertUnwindSafe},
    sync::{Arc, Mutex},
};

use crossfade_phase::{Phase, Side};
use crossfade_store::{Mapping, TableMap};

use super::{Judge, Outlook, RefusedShape, Shape};
use crate::{
    errors::ClientError,
    route::{Router, decide, elsewhere, harmless},
    shared::Completeness,
    sql::{Analyzer, Facts, Lexer, PathId, Problem, constant},
};

/// The phases that are judged: in those before, everything goes to the old store as it is.
const JUDGED: [Phase; 6] = [
    Phase::DualWrite,
    Phase::DualRead,
    Phase::NewPrimary,
    Phase::NewWrites,
    Phase::Backfill,
    Phase::NewOnly,
];

/// Facts that are kept while one shape is judged in one phase after the other.
const CACHED_STATEMENTS: usize = 8;

/// Why each phase refuses a shape; `None` where it does not.
type Verdict = Arc<[Option<String>; JUDGED.len()]>;

/// What was judged so far.
#[derive(Debug)]
pub(super) struct Judged {
    judge: Box<dyn Judge>,
    /// What the verdicts were made by.
    mapping: Arc<Mapping>,
    /// By number of shape.
    verdicts: HashMap<usize, Verdict>,
}

/// Every table will have been copied and verified by then: the guard of the move sees to it.
#[derive(Debug)]
struct Complete;

impl Completeness for Complete {
    fn is_complete(&self, _: &TableMap) -> bool {
        true
    }
}

impl Judged {
    pub(super) fn new(judge: Box<dyn Judge>) -> Judged {
        Judged {
            judge,
            mapping: Arc::default(),
            verdicts: HashMap::new(),
        }
    }

    /// What each phase would make of these shapes.
    pub(super) fn outlooks(
        &mut self,
        mapping: &Arc<Mapping>,
        ran: &[(Arc<Shape>, u64)],
    ) -> Vec<Outlook> {
        if !Arc::ptr_eq(&self.mapping, mapping) {
            self.verdicts.clear();
            self.mapping = mapping.clone();
        }
        let mut court = None;
        let verdicts: Vec<Verdict> = ran
            .iter()
            .map(|(shape, _)| {
                let known = self.verdicts.get(&shape.number).cloned();
                known.unwrap_or_else(|| {
                    let court = court.get_or_insert_with(|| Court::new(mapping));
                    // The status has to be there whatever a statement does to those who judge it.
                    let judged = || court.verdict(&*self.judge, &shape.text);
                    let verdict = panic::catch_unwind(AssertUnwindSafe(judged))
                        .unwrap_or_else(|_| unjudged());
                    self.verdicts.insert(shape.number, verdict.clone());
                    verdict
                })
            })
            .collect();
        let outlook = |(index, phase): (usize, Phase)| Outlook {
            phase,
            refused: std::iter::zip(ran, &verdicts)
                .filter_map(|((shape, count), verdict)| {
                    Some(RefusedShape {
                        form: String::from_utf8_lossy(&shape.form).into_owned(),
                        count: *count,
                        why: verdict[index].clone()?,
                    })
                })
                .collect(),
        };
        JUDGED.into_iter().enumerate().map(outlook).collect()
    }
}

/// One statement of a text in one phase.
struct Piece {
    side: Side,
    /// What the store would get.
    sql: Vec<u8>,
    /// What the client wrote.
    own: Vec<u8>,
    moves_names: bool,
    makes_relations: bool,
}

impl Piece {
    /// A text that goes on as it is.
    fn whole(side: Side, text: &[u8]) -> Vec<Piece> {
        vec![Piece {
            side,
            sql: text.to_vec(),
            own: text.to_vec(),
            moves_names: false,
            makes_relations: false,
        }]
    }
}

/// The routers of all phases.
struct Court {
    routers: [Router; JUDGED.len()],
    /// Sessions have paths of their own; here every mapped schema is in it.
    path: PathId,
}

impl Court {
    fn new(mapping: &Arc<Mapping>) -> Court {
        let analyzer = Analyzer::new(mapping.clone(), CACHED_STATEMENTS);
        let analyzer = Arc::new(Mutex::new(analyzer));
        let routers =
            JUDGED.map(|phase| Router::in_phase(mapping.clone(), analyzer.clone(), phase));
        let path = routers[0].every_schema();
        Court { routers, path }
    }

    fn verdict(&self, judge: &dyn Judge, text: &[u8]) -> Verdict {
        // The phases from 5 on send the new store much the same.
        let mut said: HashMap<Vec<u8>, Option<String>> = HashMap::new();
        let mut refuses = |sql: Vec<u8>| {
            said.entry(sql)
                .or_insert_with_key(|sql| judge.refuses(&String::from_utf8_lossy(sql)))
                .clone()
        };
        Arc::new(self.routers.each_ref().map(|router| {
            let why = match self.sent(router, text) {
                Ok(pieces) => pieces
                    .into_iter()
                    .filter(|piece| piece.side == Side::New)
                    .find_map(|piece| refuses(piece.sql)),
                Err(error) => Some(told(&error)),
            };
            why.map(|why| without_values(why, text))
        }))
    }

    /// What a phase would send to which store.
    fn sent(&self, router: &Router, text: &[u8]) -> Result<Vec<Piece>, ClientError> {
        let whole = || Piece::whole(router.home, text);
        let glance = router.analyzer().glance(text, true);
        if !router.looks_at(glance) {
            return Ok(whole());
        }
        let facts = router.analyzer().facts(text, true, self.path);
        match &facts.problem {
            Some(Problem::Beyond(message)) if !router.is_careless() => {
                return Err(ClientError::new(
                    "0A000",
                    "crossfade cannot tell what this statement does",
                )
                .detail(message.clone()));
            }
            // No store takes what the grammar refuses, today or then.
            Some(Problem::Grammar(_)) if !router.is_careless() => return Ok(Vec::new()),
            Some(_) => return Ok(whole()),
            None => {}
        }
        let pieces = self.pieces(router, text, &facts)?;
        let names = pieces
            .iter()
            .map(|piece| (&piece.own[..], piece.moves_names, piece.makes_relations));
        router.check_names(names, true)?;
        match &pieces[..] {
            [first, rest @ ..] if rest.iter().any(|piece| piece.side != first.side) => {
                Err(elsewhere())
            }
            _ => Ok(pieces),
        }
    }

    fn pieces(
        &self,
        router: &Router,
        text: &[u8],
        facts: &Facts,
    ) -> Result<Vec<Piece>, ClientError> {
        let mut analyzer = router.analyzer();
        let texts = analyzer.split(text, true, facts);
        let mut pieces = Vec::with_capacity(texts.len());
        for (index, (statement, own)) in std::iter::zip(&facts.statements, texts).enumerate() {
            let decision = decide(router, &Complete, statement)?;
            if decision.bulk && router.expands(statement, decision.side) {
                analyzer
                    .merge(text, true, facts, index, self.path, decision.side)
                    .map_err(|refusal| router.cannot_rewrite(statement, &refusal))?;
            }
            let sql = match decision.target {
                None => own.to_vec(),
                Some(target) => {
                    let rewritten = analyzer.rewrite(text, true, facts, index, target);
                    rewritten
                        .map_err(|refusal| router.cannot_rewrite(statement, &refusal))?
                        .sql
                }
            };
            pieces.push(Piece {
                side: decision.side,
                sql,
                own: own.to_vec(),
                moves_names: decision.moves_names && !harmless(statement, text, true),
                makes_relations: decision.makes_relations,
            });
        }
        Ok(pieces)
    }
}

fn unjudged() -> Verdict {
    let why = "crossfade failed over this statement and cannot judge it; its log says more";
    Arc::new([(); JUDGED.len()].map(|()| Some(why.to_owned())))
}

fn told(error: &ClientError) -> String {
    let parts = [
        Some(&error.message),
        error.detail.as_ref(),
        error.hint.as_ref(),
    ];
    let parts: Vec<&str> = parts.into_iter().flatten().map(String::as_str).collect();
    parts.join("; ")
}

/// A reason may quote what it is about.
fn without_values(mut why: String, text: &[u8]) -> String {
    /// Shorter values stand in words by chance.
    const TELLING: usize = 3;
    for token in Lexer::new(text, true).filter(|token| token.kind.is_text()) {
        let Some(value) = constant(token, text, true).filter(|value| !value.is_empty()) else {
            continue;
        };
        for quote in ['"', '\''] {
            why = why.replace(
                &format!("{quote}{value}{quote}"),
                &format!("{quote}?{quote}"),
            );
        }
        if value.len() >= TELLING {
            why = why.replace(&value, "?");
        }
    }
    why
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{shapes::testing::shapes, sql::testing::mapping};

    /// The numbers of the phases that refuse a statement, with the first reason.
    fn refused(sql: &str) -> (Vec<u8>, String) {
        let shapes = shapes();
        shapes.of(sql.as_bytes()).unwrap().count();
        let outlooks = shapes.traffic(&Arc::new(mapping())).phases;
        let refusing = outlooks
            .iter()
            .filter(|outlook| !outlook.refused.is_empty());
        let phases = refusing
            .clone()
            .map(|outlook| outlook.phase.number())
            .collect();
        let why = refusing
            .map(|outlook| outlook.refused[0].why.clone())
            .next();
        (phases, why.unwrap_or_default())
    }

    #[test]
    fn each_phase_is_judged_by_its_own_rules() {
        for (sql, phases, part) in [
            ("SELECT * FROM orders WHERE id = 1", &[][..], ""),
            ("INSERT INTO orders VALUES (1, 2, 'x')", &[], ""),
            ("TRUNCATE orders", &[], ""),
            (
                "ALTER TABLE orders ADD a int",
                &[3, 4, 5],
                "crossfade refused a definition that names a mapped table on table \"public.orders\" in phase dual-write",
            ),
            (
                "SELECT rank() OVER (ORDER BY id) FROM orders",
                &[5, 6, 7, 8],
                "\"over (\" is not served",
            ),
            // A table that is not mapped is with the old store as long as there is one.
            (
                "SELECT unserved FROM elsewhere",
                &[8],
                "\"unserved\" is not served",
            ),
            (
                "SELECT id FROM orders, elsewhere",
                &[5, 6, 7],
                "over mapped tables and others",
            ),
            (
                "SELECT id FROM orders; SELECT id FROM elsewhere",
                &[5, 6, 7],
                "over both stores",
            ),
            (
                "SET search_path = a; SELECT * FROM orders",
                &[3, 4, 5, 6, 7],
                "what the names in a later one mean",
            ),
            ("SELEC 1 FROM orders", &[], ""),
            ("", &[], ""),
        ] {
            let (refusing, why) = refused(sql);
            assert_eq!(refusing, phases, "{sql}: {why}");
            assert!(why.contains(part), "{sql}: {why}");
        }
    }

    #[test]
    fn reasons_do_not_tell_values() {
        let (_, why) = refused("SELECT unserved, 'secret', E'a', 'it''s' FROM orders");
        assert!(
            why.contains("select unserved, '?', E'?'") || why.contains("SELECT unserved, '?'"),
            "{why}"
        );
        assert!(!why.contains("secret"), "{why}");
    }

    #[test]
    fn a_judge_that_fails_over_a_statement_does_not_take_the_rest_along() {
        let shapes = shapes();
        for sql in ["SELECT panics FROM orders", "SELECT unserved FROM orders"] {
            shapes.of(sql.as_bytes()).unwrap().count();
        }
        let whys: Vec<String> = shapes.traffic(&Arc::new(mapping())).phases[5]
            .refused
            .iter()
            .map(|shape| shape.why.clone())
            .collect();
        assert!(
            whys[0].contains("cannot judge it") && whys[1].contains("unserved"),
            "{whys:?}"
        );
    }

    #[test]
    fn verdicts_are_made_anew_for_another_mapping() {
        let shapes = shapes();
        const REFUSED: &str = "DROP TABLE orders";
        for sql in ["SELECT unserved FROM orders", "SELECT 1", REFUSED] {
            shapes.of(sql.as_bytes()).unwrap().count();
        }
        shapes.of(REFUSED.as_bytes()).unwrap().count();
        let whole = Arc::new(mapping());
        let refused = |mapping: &Arc<Mapping>, index: usize| -> Vec<(String, u64)> {
            let outlook = shapes.traffic(mapping).phases.swap_remove(index);
            let refused = outlook.refused.into_iter();
            refused.map(|shape| (shape.form, shape.count)).collect()
        };
        let both = [
            ("drop table orders".to_owned(), 2),
            ("select unserved from orders".to_owned(), 1),
        ];
        assert_eq!(refused(&whole, 2), both);
        assert_eq!(refused(&whole, 2), both);
        let mut less = mapping();
        less.tables.truncate(0);
        less.tables.extend(mapping().tables.pop());
        less.tables[0].id = crossfade_store::TableId(0);
        less.old_aliases = crossfade_store::Aliases::default();
        assert_eq!(refused(&Arc::new(less), 2), []);
    }
}
