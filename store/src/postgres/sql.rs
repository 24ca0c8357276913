//! SQL for mapped tables: pure text, used by this adapter and by the proxy's session path.
//!
//! Every value goes in and out in the canonical text of [`crate::Row`], so that it means the same in every session.

mod across;
mod canonical;
mod key;
mod read;
mod types;
mod write;

pub use across::write_across;
pub use canonical::{canonical, canonical_as, comparable, convert, param, param_expr};
pub(crate) use key::uses_index;
pub use key::{equal, key_condition, key_list, key_order};
pub use read::{digest, fetch, image_list, lock_row, nth_key, select_range};
pub use types::{ParamKind, is_builtin, travels_as_hex};
pub(crate) use types::{binary_oids, cast_type};
pub use write::{
    copy_columns, delete, delete_rows, insert_absent, set_value, stage_insert, stage_table, upsert,
    upsert_rows, written,
};

use bytes::Bytes;
use crossfade_config::QualifiedName;

use crate::{Key, Row};

/// A statement with its parameters, each of which is one canonical value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// The text, with `$1` and so on.
    pub sql: String,
    /// How each parameter is bound.
    pub params: Vec<ParamKind>,
    /// Where each parameter comes from: an index into the [`Row`] for statements about rows, into the [`Key`] for
    /// statements about keys.
    pub sources: Vec<usize>,
}

impl Statement {
    /// The parameters for `row`, ready for the wire. `None` when a value is not in canonical text.
    #[must_use]
    pub fn bind_row(&self, row: &Row) -> Option<Vec<Option<Bytes>>> {
        std::iter::zip(&self.params, &self.sources)
            .map(|(kind, &source)| match row.0.get(source)? {
                Some(value) => kind.decode(value).map(Some),
                None => Some(None),
            })
            .collect()
    }

    /// The parameters for `key`, ready for the wire. `None` when a value is not in canonical text.
    #[must_use]
    pub fn bind_key(&self, key: &Key) -> Option<Vec<Option<Bytes>>> {
        std::iter::zip(&self.params, &self.sources)
            .map(|(kind, &source)| kind.decode(key.0.get(source)?).map(Some))
            .collect()
    }
}

/// `name` as an SQL identifier, always in quotes.
#[must_use]
pub fn quote_ident(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// `schema.name`, both in quotes.
#[must_use]
pub fn quote_name(name: &QualifiedName) -> String {
    format!("{}.{}", quote_ident(&name.schema), quote_ident(&name.name))
}

/// `text` as an SQL string constant that means the same whatever `standard_conforming_strings` says.
#[must_use]
pub fn quote_literal(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    if quoted.contains('\\') {
        format!("E'{}'", quoted.replace('\\', "\\\\"))
    } else {
        format!("'{quoted}'")
    }
}
