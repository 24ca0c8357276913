//! Statements for documents, which keep the old table's names and types whatever their fields are called.

use super::rewrite::rewrite_for;
use crate::sql::{Target, testing::mapping};

fn sent(text: &str, target: Target) -> Result<String, String> {
    let mut mapping = mapping();
    for table in &mut mapping.tables {
        table.new.shapeless = true;
    }
    let rewritten = rewrite_for(mapping, text, target).map_err(|refusal| refusal.to_string())?;
    let sql = String::from_utf8(rewritten.sql).map_err(|error| error.to_string())?;
    assert!(pg_query::parse(&sql, 0).is_ok(), "{sql}");
    Ok(sql)
}

#[test]
fn a_table_without_dropped_columns_is_asked_as_the_client_wrote_it() {
    for text in [
        "SELECT sku FROM items WHERE order_id = 1 ORDER BY line",
        "INSERT INTO items VALUES (1, 2, 'a') ON CONFLICT (order_id, line) DO NOTHING",
        "UPDATE public.items SET sku = 'b' WHERE order_id = 1",
        "DELETE FROM items i WHERE i.line > 1",
    ] {
        assert_eq!(sent(text, Target::New).as_deref(), Ok(text));
    }
    assert_eq!(
        sent("DELETE FROM items", Target::NewCapture).as_deref(),
        Ok(
            r#"DELETE FROM items RETURNING ("items"."order_id")::pg_catalog.text, ("items"."line")::pg_catalog.text, ("items"."sku")::pg_catalog.text"#
        )
    );
}

#[test]
fn images_have_the_old_columns_and_types() {
    let image = r#"("sales"."id")::pg_catalog.text, ("sales"."code")::pg_catalog.text, ("sales"."total")::pg_catalog.text, ("sales"."label")::pg_catalog.text, pg_catalog.encode(pg_catalog.timestamptz_send("sales"."at"), 'hex')"#;
    assert_eq!(
        sent(
            "UPDATE sales SET total = total + 1 WHERE id = 5",
            Target::NewCapture
        ),
        Ok(format!(
            "UPDATE sales SET total = total + 1 WHERE id = 5 RETURNING {image}"
        ))
    );
}

#[test]
fn columns_that_are_not_carried_are_left_for_the_engine_to_refuse() {
    for sql in ["SELECT * FROM sales", "SELECT note FROM sales"] {
        assert_eq!(
            sent(sql, Target::New).unwrap_or_else(|_| sql.to_owned()),
            sql
        );
    }
}
