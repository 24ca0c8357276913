//! Choosing among functions or operators of one name: `func_match_argtypes` and `func_select_candidate`.

use super::generic;
use crate::{
    Oid, Types,
    cast::{Context, can_cast},
    catalog::{Routine, catalog},
    oid, order,
};

const ANY: Oid = 2276;

/// A function with the types of as many arguments as there are in the call.
#[derive(Debug, Clone)]
pub(super) struct Candidate {
    pub(super) row: &'static Routine,
    pub(super) args: Vec<Oid>,
    /// Arguments that take their defaults.
    defaults: usize,
    /// Its variadic array was spread.
    spread: bool,
}

/// What came of it.
#[derive(Debug)]
pub(super) enum Choice {
    One(Candidate),
    Ambiguous,
    None,
}

impl Candidate {
    pub(super) fn of(row: &'static Routine) -> Candidate {
        Candidate {
            row,
            args: row.args.clone(),
            defaults: 0,
            spread: false,
        }
    }
}

/// `FuncnameGetCandidates`: those that can take so many arguments.
pub(super) fn for_function(
    rows: &'static [Routine],
    count: usize,
    variadic: bool,
) -> Vec<Candidate> {
    let mut candidates: Vec<Candidate> = Vec::new();
    for row in rows {
        let Some(candidate) = fitted(row, count, variadic) else {
            continue;
        };
        // Of two with the same types: the one that spreads nothing, then the one with fewer defaults.
        match candidates
            .iter_mut()
            .find(|other| other.args == candidate.args)
        {
            Some(other)
                if (candidate.spread, candidate.defaults) < (other.spread, other.defaults) =>
            {
                *other = candidate
            }
            Some(_) => {}
            None => candidates.push(candidate),
        }
    }
    candidates
}

fn fitted(row: &'static Routine, count: usize, variadic: bool) -> Option<Candidate> {
    let declared = row.args.len();
    if row.variadic && !variadic && count >= declared {
        let last = *row.args.last()?;
        let element = generic::element(last)
            .or_else(|| catalog().types.get(&last).map(|found| found.element))?;
        // VARIADIC "any" stands for itself.
        let element = if last == ANY { ANY } else { element };
        let mut args = row.args[..declared - 1].to_vec();
        args.resize(count, element);
        return Some(Candidate {
            row,
            args,
            defaults: 0,
            spread: true,
        });
    }
    if variadic && !row.variadic {
        return None;
    }
    if declared < count || declared - count > row.defaults || (row.variadic && !variadic) {
        return None;
    }
    Some(Candidate {
        row,
        args: row.args[..count].to_vec(),
        defaults: declared - count,
        spread: false,
    })
}

fn is_coercible(from: &[Oid], to: &[Oid], types: &Types) -> bool {
    let each = from.iter().zip(to).all(|(from, to)| {
        from == to
            || *to == ANY
            || super::is_polymorphic(*to)
            || can_cast(*from, *to, Context::Implicit, types)
            || (*to == oid::RECORD && *from == oid::RECORD)
    });
    each && generic::is_consistent(to, from, types)
}

/// The one that is meant by arguments of these types.
pub(super) fn choose(candidates: Vec<Candidate>, args: &[Oid], types: &Types) -> Choice {
    if let Some(exact) = candidates.iter().find(|candidate| candidate.args == args) {
        return Choice::One(exact.clone());
    }
    let mut possible: Vec<Candidate> = candidates
        .into_iter()
        .filter(|candidate| is_coercible(args, &candidate.args, types))
        .collect();
    match possible.len() {
        0 => Choice::None,
        1 => Choice::One(possible.remove(0)),
        _ => best(possible, args, types).map_or(Choice::Ambiguous, Choice::One),
    }
}

fn is_preferred(ty: Oid) -> bool {
    catalog()
        .types
        .get(&ty)
        .is_some_and(|found| found.preferred)
}

/// Those with the highest score.
fn highest(candidates: Vec<Candidate>, score: impl Fn(&Candidate) -> usize) -> Vec<Candidate> {
    let top = candidates.iter().map(&score).max().unwrap_or(0);
    candidates
        .into_iter()
        .filter(|candidate| score(candidate) == top)
        .collect()
}

/// `func_select_candidate`.
fn best(mut candidates: Vec<Candidate>, args: &[Oid], types: &Types) -> Option<Candidate> {
    let known = |index: usize| args[index] != oid::UNKNOWN;
    let exact =
        |candidate: &Candidate, index: usize| known(index) && candidate.args[index] == args[index];
    candidates = highest(candidates, |candidate| {
        (0..args.len())
            .filter(|index| exact(candidate, *index))
            .count()
    });
    if let [one] = candidates.as_slice() {
        return Some(one.clone());
    }
    let preferred = |candidate: &Candidate, index: usize| {
        let ty = candidate.args[index];
        known(index)
            && is_preferred(ty)
            && order::category(ty, types) == order::category(args[index], types)
    };
    candidates = highest(candidates, |candidate| {
        (0..args.len())
            .filter(|index| exact(candidate, *index) || preferred(candidate, *index))
            .count()
    });
    if let [one] = candidates.as_slice() {
        return Some(one.clone());
    }
    let unknown: Vec<usize> = (0..args.len()).filter(|index| !known(*index)).collect();
    if unknown.is_empty() {
        return None;
    }
    candidates = by_category(candidates, &unknown, types);
    if let [one] = candidates.as_slice() {
        return Some(one.clone());
    }
    by_the_others(&candidates, args, types)
}

/// For each unknown the category that all accept, or text where one does; within it, the preferred type.
fn by_category(candidates: Vec<Candidate>, unknown: &[usize], types: &Types) -> Vec<Candidate> {
    let mut wanted = Vec::with_capacity(unknown.len());
    for index in unknown {
        let each = |candidate: &Candidate| {
            let ty = candidate.args[*index];
            (order::category(ty, types), is_preferred(ty))
        };
        let first = candidates
            .first()
            .map_or(b'X', |candidate| each(candidate).0);
        let of_all = candidates
            .iter()
            .all(|candidate| each(candidate).0 == first);
        let category = if of_all { first } else { b'S' };
        if !candidates
            .iter()
            .any(|candidate| each(candidate).0 == category)
        {
            return candidates;
        }
        let has_preferred = candidates
            .iter()
            .any(|candidate| each(candidate) == (category, true));
        wanted.push((*index, category, has_preferred));
    }
    let fits = |candidate: &Candidate| {
        wanted.iter().all(|(index, category, has_preferred)| {
            let ty = candidate.args[*index];
            order::category(ty, types) == *category && (!has_preferred || is_preferred(ty))
        })
    };
    let kept: Vec<Candidate> = candidates
        .iter()
        .filter(|candidate| fits(candidate))
        .cloned()
        .collect();
    if kept.is_empty() { candidates } else { kept }
}

/// Where all that is known is of one type, the unknown is taken to be of it too.
fn by_the_others(candidates: &[Candidate], args: &[Oid], types: &Types) -> Option<Candidate> {
    let mut known = args.iter().filter(|ty| **ty != oid::UNKNOWN);
    let ty = *known.next()?;
    if known.any(|other| *other != ty) {
        return None;
    }
    let assumed = vec![ty; args.len()];
    let mut fitting = candidates
        .iter()
        .filter(|candidate| is_coercible(&assumed, &candidate.args, types));
    let one = fitting.next()?;
    fitting.next().is_none().then(|| one.clone())
}
