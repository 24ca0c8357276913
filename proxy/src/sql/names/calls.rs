//! Which calls in a text may change what the session's later statements mean: those of functions that are not PostgreSQL's own.

use std::{collections::HashSet, sync::LazyLock};

/// What stands before a bracket and is no call of an unknown function: the grammar's words, and functions of PostgreSQL's own that are called every day and
/// change no setting. Whatever is left out costs a question.
const HARMLESS: &str = "
    all and any array as asc between bit by case cast char character check coalesce collate column conflict constraint cross cube current_time current_timestamp
    dec decimal default desc distinct else end except exists explain extract false filter first float following for foreign from full group grouping groups having if in include index inner
    insert intersect interval into is isnull join json key last lateral left like limit local localtime localtimestamp materialized merge_action natural nchar not notnull null nullif
    nulls numeric offset on only or order outer over overlaps overlay partition position preceding precision primary range references returning right rollup row rows select set sets similar
    some substring symmetric table tablesample then time timestamp timestamptz timetz to treat trim true truncate union unique update using values varbit varchar varying view when where window with within without xmlelement
    xmlforest zone

    abs acos age array_agg array_append array_cat array_dims array_fill array_length array_lower array_ndims array_position array_positions array_prepend array_remove array_replace array_to_json
    array_to_string array_upper ascii asin atan atan2 avg bit_and bit_length bit_or bool_and bool_or box btrim cardinality cbrt ceil ceiling char_length character_length chr
    circle clock_timestamp col_description concat concat_ws convert convert_from convert_to corr cos cot count covar_pop covar_samp cume_dist current_database current_query
    current_schema current_schemas current_setting currval date date_bin date_part date_trunc decode degrees dense_rank div encode every exp factorial first_value float4 float8 floor format format_type
    gen_random_bytes gen_random_uuid generate_series generate_subscripts get_bit get_byte greatest has_column_privilege has_schema_privilege has_table_privilege hashtext inet_client_addr initcap int2 int4 int8 isempty isfinite
    json_agg json_array json_array_elements json_array_elements_text json_array_length json_build_array json_build_object json_each json_each_text json_extract_path json_extract_path_text json_object
    json_object_agg json_object_keys json_populate_record json_populate_recordset json_query json_strip_nulls json_table json_to_record json_to_recordset json_typeof json_value jsonb_agg jsonb_array_elements
    jsonb_array_elements_text jsonb_array_length jsonb_build_array jsonb_build_object jsonb_each jsonb_each_text jsonb_exists jsonb_extract_path jsonb_extract_path_text jsonb_insert jsonb_object jsonb_object_agg
    jsonb_object_keys jsonb_path_exists jsonb_path_match jsonb_path_query jsonb_path_query_array jsonb_path_query_first jsonb_populate_record jsonb_populate_recordset jsonb_pretty jsonb_set
    jsonb_strip_nulls jsonb_to_record jsonb_to_recordset jsonb_typeof justify_days justify_hours justify_interval lag last_value lastval lead least left length ln log log10 lower
    lower_inc lower_inf lpad ltrim make_date make_interval make_time make_timestamp make_timestamptz max md5 min mod mode money multirange nextval now nth_value ntile num_nonnulls num_nulls numrange
    obj_description octet_length oid parse_ident percent_rank percentile_cont percentile_disc pg_advisory_lock pg_advisory_unlock pg_advisory_unlock_all pg_advisory_xact_lock pg_backend_pid pg_cancel_backend
    pg_column_size pg_database_size pg_encoding_to_char pg_export_snapshot pg_get_constraintdef pg_get_expr pg_get_indexdef pg_get_serial_sequence pg_get_userbyid pg_is_in_recovery pg_notify
    pg_relation_size pg_size_pretty pg_sleep pg_table_is_visible pg_table_size pg_terminate_backend pg_total_relation_size pg_try_advisory_lock pg_try_advisory_xact_lock pg_typeof
    phraseto_tsquery pi plainto_tsquery point polygon power quote_ident quote_literal quote_nullable radians random rank regexp_count regexp_instr regexp_like regexp_match regexp_matches regexp_replace
    regexp_split_to_array regexp_split_to_table regexp_substr regr_slope repeat replace reverse round row_number row_to_json rpad rtrim scale session_user set_bit set_byte set_config setseed setval setweight sha224
    sha256 sha384 sha512 shobj_description sign sin split_part sqrt starts_with statement_timestamp stddev stddev_pop stddev_samp string_agg string_to_array string_to_table strip strpos substr sum tan text
    timeofday timezone to_ascii to_char to_date to_hex to_json to_jsonb to_number to_regclass to_regtype to_timestamp to_tsquery to_tsvector transaction_timestamp translate trim_array trim_scale trunc
    ts_headline ts_rank ts_rank_cd tsrange tstzrange txid_current txid_current_if_assigned txid_current_snapshot unistr unnest upper upper_inc upper_inf uuidv4 uuidv7 uuid_generate_v1 uuid_generate_v4 var_pop
    var_samp variance version websearch_to_tsquery width_bucket xmlagg int4range int8range daterange pg_current_snapshot pg_current_xact_id pg_current_wal_lsn
";

static KNOWN: LazyLock<HashSet<&'static [u8], ahash::RandomState>> =
    LazyLock::new(|| HARMLESS.split_whitespace().map(str::as_bytes).collect());

/// Longest of them, and more.
const LONGEST: usize = 40;

/// Whether a call by this name changes nothing. `fold`: it stands without quotes.
pub(super) fn is_harmless(name: &[u8], fold: bool) -> bool {
    if !fold {
        return KNOWN.contains(name);
    }
    let mut folded = [0_u8; LONGEST];
    let Some(folded) = folded.get_mut(..name.len()) else {
        return false;
    };
    folded.copy_from_slice(name);
    folded.make_ascii_lowercase();
    KNOWN.contains(&*folded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit() {
        assert!(KNOWN.iter().all(|name| name.len() <= LONGEST));
        assert!(is_harmless(b"COUNT", true) && !is_harmless(b"COUNT", false));
        assert!(!is_harmless(&[b'x'; 99], true) && !is_harmless(b"set_tenant", true));
    }
}
