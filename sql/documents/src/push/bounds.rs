//! The range of one column that several conditions leave.

use mongodb::bson::{Bson, Document, doc};

/// The end of a range, and whether it is outside.
type End<'d> = Option<(&'d Bson, bool)>;

/// The least and the greatest value that conditions leave to a path.
type Bounds<'d> = (End<'d>, End<'d>);

pub(super) fn bounds_of<'d>(parts: &'d [Document], path: &str) -> Bounds<'d> {
    narrowest(parts.iter().map(|part| bounds(part, path)))
}

/// Of conditions that all hold, any one's end will do.
fn narrowest<'d>(each: impl Iterator<Item = Bounds<'d>>) -> Bounds<'d> {
    each.fold((None, None), |(low, high), (lower, higher)| {
        (low.or(lower), high.or(higher))
    })
}

/// Of conditions of which one holds, the end that all of them have.
fn common<'d>(one: End<'d>, other: End<'d>) -> End<'d> {
    let ((value, outside), (same, also)) = (one?, other?);
    (value == same).then_some((value, outside && also))
}

fn bounds<'d>(part: &'d Document, path: &str) -> Bounds<'d> {
    let Some((name, value)) = part.iter().next().filter(|_| part.len() == 1) else {
        return (None, None);
    };
    let inner = || {
        let items = value.as_array().into_iter().flatten();
        items
            .filter_map(Bson::as_document)
            .map(|item| bounds(item, path))
    };
    let widest =
        |one: Bounds<'d>, other: Bounds<'d>| (common(one.0, other.0), common(one.1, other.1));
    match (name.as_str(), value) {
        ("$and", _) => narrowest(inner()),
        ("$or", _) => inner().reduce(widest).unwrap_or_default(),
        (name, Bson::Document(ops)) if name == path => {
            let end = |within: &str, outside: &str| {
                let within = ops.get(within).map(|value| (value, false));
                within.or_else(|| ops.get(outside).map(|value| (value, true)))
            };
            (end("$gte", "$gt"), end("$lte", "$lt"))
        }
        (name, value) if name == path => (Some((value, false)), Some((value, false))),
        _ => (None, None),
    }
}

/// Every key that begins with what is known and goes on within the bounds; `more`: there are parts behind. A document that ends early sorts before those
/// that go on, and one that goes on with MaxKey behind them.
pub(super) fn range_of(
    known: Document,
    name: &str,
    (low, high): Bounds<'_>,
    more: bool,
) -> Option<Document> {
    const BEHIND: &str = "\u{10ffff}";
    let mut range = Document::new();
    let begins = !known.is_empty();
    if begins || low.is_some() {
        let mut first = known.clone();
        if let Some((low, outside)) = low {
            first.insert(name, low.clone());
            if outside && more {
                first.insert(BEHIND, Bson::MaxKey);
            }
        }
        range.insert("$gte", first);
    }
    if begins || high.is_some() {
        let mut last = known;
        last.insert(name, high.map_or(Bson::MaxKey, |(high, _)| high.clone()));
        if more && high.is_some_and(|(_, outside)| !outside) {
            last.insert(BEHIND, Bson::MaxKey);
        }
        range.insert("$lte", last);
    }
    (!range.is_empty()).then(|| doc! { "_id": range })
}
