//! Every point stands in the code, and every point in the code has a name of its own.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use crossfade_crash::Point;

/// Folders of code that ships.
const SHIPS: [&str; 6] = [
    "src",
    "proxy/src",
    "reconcile/src",
    "reconcile/journal/src",
    "store/src",
    "sql/documents/src",
];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|end| end == "rs") {
            found.push(path);
        }
    }
}

/// The points that the code names.
fn placed() -> BTreeSet<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut paths = Vec::new();
    for folder in SHIPS {
        sources(&root.join(folder), &mut paths);
    }
    let mut found = BTreeSet::new();
    for path in paths {
        let text = fs::read_to_string(path).unwrap();
        for rest in text.split("Point::").skip(1) {
            let end = rest.find(|c: char| !c.is_alphanumeric());
            let name = &rest[..end.unwrap_or(rest.len())];
            found.insert(name.to_owned());
        }
    }
    found
}

#[test]
fn the_points_in_the_code_are_all_the_points() {
    let known: BTreeSet<String> = Point::ALL
        .iter()
        .map(|point| format!("{point:?}"))
        .collect();
    assert_eq!(placed(), known);
}

#[test]
fn no_two_points_have_one_name() {
    for point in Point::ALL {
        assert_eq!(Point::named(point.name()), Some(*point));
    }
}
