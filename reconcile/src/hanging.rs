//! What hangs on a row that the secondary has in another place than the primary.
//!
//! A child has moved to another parent, and the secondary has not got that: there it still points to the former one. Is that one deleted, the secondary's own ON DELETE
//! CASCADE takes the child along, and all that hangs on the child. The child's key is dirty, and it is repaired; no key stands for what hung on it. So whenever keys of such a
//! table have been dirty, the tables below it are in doubt until they are verified.

use crossfade_phase::Side;
use crossfade_store::{FkAction, ForeignKey, Mapping, TableMap};

/// What is on record of the tables below.
pub(crate) const WHY: &str =
    "a foreign key's action may have taken rows along with one that waited for its repair";

/// What is on record of tables that the secondary's own foreign keys have changed ([`Mapping::changed_alone`]).
pub const ALONE: &str =
    "a foreign key's action that the other store does not have may have changed rows there alone";

/// The mapped tables that the actions of the store of `side` reach from rows of `table` which such an action itself can delete.
pub(crate) fn below<'m>(mapping: &'m Mapping, table: &TableMap, side: Side) -> Vec<&'m TableMap> {
    let cascades = |key: &ForeignKey| key.on_delete == FkAction::Cascade;
    if !table.on(side).foreign_keys.iter().any(cascades) {
        return Vec::new();
    }
    let mut found: Vec<&TableMap> = Vec::new();
    let mut open = vec![table];
    while let Some(parent) = open.pop() {
        for key in &parent.on(side).referenced_by {
            let Some(child) = mapping.named(side, &key.child) else {
                continue;
            };
            let is_new = found.iter().all(|known| known.id != child.id);
            if key.on_delete != FkAction::Refuse && is_new {
                found.push(child);
                if cascades(key) {
                    open.push(child);
                }
            }
        }
    }
    found
}
