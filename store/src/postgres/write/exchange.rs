//! Rows that get each other's unique values.

use crossfade_crash::{self as crash, Point};

use super::{begin, bind_row, put};
use crate::{
    Aside, Change, Exchanged, LetGo, Row, StoreError, StoreResult, TableMap,
    postgres::{
        PostgresStore,
        adapter::{CHUNK, SHORT},
        pool::Lease,
        rows::Param,
        sql,
    },
};

/// As [`crate::Store::exchange`].
pub(in crate::postgres) async fn exchange(
    store: &PostgresStore,
    table: &TableMap,
    way: &LetGo,
    changes: &[Change],
) -> StoreResult<Exchanged> {
    let deletes: Vec<Change> = match way {
        LetGo::Aside(_) => Vec::new(),
        LetGo::Anew => changes.iter().filter_map(|c| c.delete(table)).collect(),
    };
    let all = [&deletes[..], changes].concat();
    let lease = store.pool.lease().await?;
    let tries: usize = match way {
        LetGo::Aside(asides) => asides.iter().map(|aside| aside.tries.len()).sum(),
        LetGo::Anew => 0,
    };
    let own = store.own.of(table).begin((tries + all.len()) as u64);
    begin(&lease, store, table, &all).await?;
    let refusal = match way {
        LetGo::Aside(asides) => set_aside(&lease, store, table, asides).await?,
        LetGo::Anew => taken_along(&lease, store, table).await?,
    };
    if let Some(why) = refusal {
        lease.batch("ROLLBACK", SHORT).await?;
        own.over();
        lease.done();
        return Ok(Exchanged::Refused(why));
    }
    put(&lease, store, table, &deletes).await?;
    crash::at(Point::ValuesFree);
    put(&lease, store, table, changes).await?;
    lease.batch("COMMIT", CHUNK).await?;
    own.over();
    lease.done();
    Ok(Exchanged::Written)
}

/// What keeps one of the rows from taking another value.
async fn set_aside(
    lease: &Lease,
    store: &PostgresStore,
    table: &TableMap,
    asides: &[Aside],
) -> StoreResult<Option<String>> {
    for aside in asides {
        if let Some(why) = set_one_aside(lease, store, table, aside).await? {
            return Ok(Some(why));
        }
    }
    Ok(None)
}

/// Other rows, the type, the constraints and the triggers decide on a value: nobody but the server knows of them all.
async fn set_one_aside(
    lease: &Lease,
    store: &PostgresStore,
    table: &TableMap,
    aside: &Aside,
) -> StoreResult<Option<String>> {
    let mut first = None;
    for (place, value) in &aside.tries {
        let statement = sql::set_value(table, store.side, &table.columns[*place]);
        let key = table.key.iter().map(|&part| aside.row.0[part].clone());
        let values = Row(std::iter::once(value.clone()).chain(key).collect());
        let params = bind_row(lease, &statement, &values)?;
        lease.batch("SAVEPOINT aside", SHORT).await?;
        match lease.run(&statement.sql, &params, CHUNK).await {
            Ok(changed) => {
                lease.batch("RELEASE aside", SHORT).await?;
                if changed > 0 {
                    return Ok(None);
                }
                // That is the value that it has.
            }
            Err(StoreError::Rejected {
                sqlstate, message, ..
            }) if is_of_value(&sqlstate) => {
                lease.batch("ROLLBACK TO aside", SHORT).await?;
                first.get_or_insert(message);
            }
            Err(error) => return Err(error),
        }
    }
    let tried = aside.tries.len();
    Ok(Some(match first {
        // Without the detail, which has the whole row.
        Some(first) => {
            let first = first.split("; ").next().unwrap_or_default();
            format!("none of {tried} other values was taken: {first}")
        }
        None => "its columns have no other values that are known".to_owned(),
    }))
}

/// Class 22 (the type), 23 (a constraint), 44 (a view's) or P0 (a trigger): the next value may be better.
fn is_of_value(sqlstate: &str) -> bool {
    ["22", "23", "44", "P0"]
        .iter()
        .any(|class| sqlstate.starts_with(class))
}

/// From here on nobody adds a foreign key, a trigger or a part to the table or to a part of it, until the transaction ends. Clients go on writing.
const KEEP_AS_IT_IS: &str = "SHARE UPDATE EXCLUSIVE";

/// What a DELETE and an INSERT of a row would do beside: actions of foreign keys, which are triggers on the table that they point to, or on a part of it
/// alone; triggers and rules; rows of tables that inherit, which would change their table; columns that are not carried, which would lose their values.
const TAKEN_ALONG: &str = "WITH RECURSIVE parts(oid) AS (SELECT $1::text::regclass::oid \
    UNION SELECT h.inhrelid FROM parts JOIN pg_inherits h ON h.inhparent = parts.oid) \
    SELECT what::text FROM (\
    SELECT 'the foreign key ' || quote_ident(k.conname) || ' of ' || k.conrelid::regclass || ' points to ' || t.tgrelid::regclass AS what \
        FROM pg_trigger t JOIN parts ON parts.oid = t.tgrelid JOIN pg_constraint k ON k.oid = t.tgconstraint \
        WHERE t.tgisinternal AND k.contype = 'f' AND t.tgtype & 8 <> 0 AND t.tgenabled <> 'D' \
    UNION ALL SELECT t.tgrelid::regclass || ' has the trigger ' || quote_ident(t.tgname) FROM pg_trigger t JOIN parts ON parts.oid = t.tgrelid \
        WHERE NOT t.tgisinternal AND t.tgtype & 12 <> 0 AND t.tgenabled <> 'D' \
    UNION ALL SELECT r.ev_class::regclass || ' has the rule ' || quote_ident(r.rulename) FROM pg_rewrite r JOIN parts ON parts.oid = r.ev_class \
        WHERE r.ev_enabled <> 'D' \
    UNION ALL SELECT c.oid::regclass || ' inherits from it' FROM pg_inherits h JOIN parts ON parts.oid = h.inhparent JOIN pg_class c ON c.oid = h.inhrelid \
        WHERE NOT c.relispartition \
    UNION ALL SELECT 'the column ' || quote_ident(a.attname) || ' is not carried' FROM pg_attribute a WHERE a.attrelid = $1::text::regclass \
        AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '' AND a.attname::text <> ALL ($2::text::text[])) AS found ORDER BY 1 LIMIT 1";

/// What keeps rows of the table from being deleted and put in again: looked up by the transaction that does so, as the catalog that the mapping was made
/// from is an old one.
async fn taken_along(
    lease: &Lease,
    store: &PostgresStore,
    table: &TableMap,
) -> StoreResult<Option<String>> {
    let name = sql::quote_name(&table.on(store.side).name);
    let lock = format!("LOCK TABLE {name} IN {KEEP_AS_IT_IS} MODE");
    lease.batch(&lock, SHORT).await?;
    let carried: Vec<String> = table
        .columns
        .iter()
        .map(|column| in_array(&column.on(store.side).name))
        .collect();
    let params = [
        Param::text(name),
        Param::text(format!("{{{}}}", carried.join(","))),
    ];
    let found = lease.rows(TAKEN_ALONG, &params, SHORT).await?;
    found.first().map(|row| lease.read(row, "what")).transpose()
}

/// As an element of an array's text.
fn in_array(name: &str) -> String {
    format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\""))
}
