//! Whether the rows that a MERGE is going to write may be looked for once before, to lock them.

use crate::sql::{analyse::SCALAR_FUNCTIONS, tree::Node};

/// Functions without effects beside [`SCALAR_FUNCTIONS`].
const OTHERS: [&str; 42] = [
    "array_agg",
    "array_remove",
    "avg",
    "bool_and",
    "bool_or",
    "clock_timestamp",
    "coalesce",
    "count",
    "current_setting",
    "date_bin",
    "dense_rank",
    "every",
    "first_value",
    "gen_random_uuid",
    "generate_series",
    "json_agg",
    "json_array_elements",
    "json_each",
    "json_populate_recordset",
    "json_to_record",
    "json_to_recordset",
    "jsonb_agg",
    "jsonb_array_elements",
    "jsonb_array_elements_text",
    "jsonb_each",
    "jsonb_populate_recordset",
    "jsonb_to_record",
    "jsonb_to_recordset",
    "lag",
    "last_value",
    "lead",
    "make_interval",
    "max",
    "min",
    "now",
    "rank",
    "regexp_replace",
    "row_number",
    "string_agg",
    "string_to_array",
    "sum",
    "unnest",
];

/// Whether nothing but PostgreSQL's own functions without effects is called. A function of the application's may write: it is called once, as the client
/// meant it, and the rows are not locked before.
pub(super) fn is_free_of_effects(tree: &Node) -> bool {
    let mut free = true;
    tree.walk(&mut |node| free &= node.kind != "FuncCall" || is_known(node));
    free
}

/// Whether a call is one of a function of PostgreSQL's own without effects.
pub(super) fn is_known(call: &Node) -> bool {
    match call.names("funcname")[..] {
        [name] | ["pg_catalog", name] => SCALAR_FUNCTIONS.contains(&name) || OTHERS.contains(&name),
        _ => false,
    }
}
