//! The journal's rows in a PostgreSQL primary.

use futures::{FutureExt as _, future::BoxFuture};
use tokio_postgres::{
    Row,
    types::{ToSql, Type},
};

use super::{
    PostgresStore,
    adapter::{CHUNK, SHORT},
    pool::Lease,
};
use crate::{
    StoreError, StoreResult,
    journal::{CleanRow, DirtyRow, IntentRow, JournalChanges, JournalRows},
};

/// Rows of one statement.
const ROWS: usize = 10_000;

/// What has to be there, in the order of making. A session's transaction runs with its client's role: the function alone lets it insert an intent, and
/// nothing else. Intents come and go all the time: vacuum must not wait for a fifth of the table.
const MAKE: &str = "BEGIN; \
    SELECT pg_catalog.pg_advisory_xact_lock(7165057841206259042); \
    CREATE SCHEMA IF NOT EXISTS crossfade; \
    CREATE TABLE IF NOT EXISTS crossfade.journal_owner (owner bigint PRIMARY KEY, beat bigint NOT NULL); \
    CREATE TABLE IF NOT EXISTS crossfade.journal_intent (owner bigint NOT NULL, id bigint NOT NULL, body bytea NOT NULL, PRIMARY KEY (owner, id)) \
        WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000, autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 20000); \
    CREATE TABLE IF NOT EXISTS crossfade.journal_dirty (owner bigint NOT NULL, table_name text NOT NULL, key bytea NOT NULL, toggle text NOT NULL, \
        generation bigint NOT NULL, reason smallint NOT NULL, stale smallint NOT NULL, since_s bigint NOT NULL, PRIMARY KEY (owner, table_name, key)); \
    CREATE OR REPLACE FUNCTION crossfade.intend(bigint, bigint, bytea) RETURNS void LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = '' \
        AS $$ BEGIN INSERT INTO crossfade.journal_intent (owner, id, body) VALUES ($1, $2, $3); END $$; \
    GRANT USAGE ON SCHEMA crossfade TO PUBLIC; \
    GRANT EXECUTE ON FUNCTION crossfade.intend(bigint, bigint, bytea) TO PUBLIC; \
    COMMIT";

/// Whether it is all there, and may be used; `lacks` names what may not.
const LOOK: &str = "SELECT pg_catalog.to_regclass('crossfade.journal_owner') IS NOT NULL \
        AND pg_catalog.to_regclass('crossfade.journal_intent') IS NOT NULL \
        AND pg_catalog.to_regclass('crossfade.journal_dirty') IS NOT NULL \
        AND pg_catalog.to_regprocedure('crossfade.intend(bigint,bigint,bytea)') IS NOT NULL AS there, \
    pg_catalog.to_regnamespace('crossfade') IS NOT NULL AS schema, \
    COALESCE(pg_catalog.has_schema_privilege(pg_catalog.to_regnamespace('crossfade'), 'CREATE'), false) AS may_fill, \
    pg_catalog.has_database_privilege(pg_catalog.current_database(), 'CREATE') AS may_make, \
    current_user::text AS account, pg_catalog.quote_ident(pg_catalog.current_database()) AS database, \
    (SELECT pg_catalog.string_agg(name, ', ' ORDER BY name) FROM pg_catalog.unnest('{journal_owner,journal_intent,journal_dirty}'::text[]) AS name \
        WHERE NOT pg_catalog.has_table_privilege(pg_catalog.to_regclass('crossfade.' || name), 'SELECT, DELETE') \
        OR (name <> 'journal_intent' AND NOT pg_catalog.has_table_privilege(pg_catalog.to_regclass('crossfade.' || name), 'INSERT, UPDATE'))) AS lacks";

const BEAT: &str = "INSERT INTO crossfade.journal_owner VALUES ($1, 1) ON CONFLICT (owner) DO UPDATE SET beat = journal_owner.beat + 1";
const BEATS: &str = "SELECT owner, beat FROM crossfade.journal_owner";

/// By hops along the primary keys: there may be millions of rows, of a few owners.
const OWNERS: &str = "WITH RECURSIVE i(owner) AS (SELECT min(owner) FROM crossfade.journal_intent UNION ALL \
        SELECT (SELECT min(t.owner) FROM crossfade.journal_intent t WHERE t.owner > i.owner) FROM i WHERE i.owner IS NOT NULL), \
    d(owner) AS (SELECT min(owner) FROM crossfade.journal_dirty UNION ALL \
        SELECT (SELECT min(t.owner) FROM crossfade.journal_dirty t WHERE t.owner > d.owner) FROM d WHERE d.owner IS NOT NULL) \
    SELECT owner FROM i WHERE owner IS NOT NULL UNION SELECT owner FROM d WHERE owner IS NOT NULL \
    UNION SELECT owner FROM crossfade.journal_owner";
const DIRTY_OF: &str = "SELECT owner, toggle, table_name, key, generation, reason, stale, since_s FROM crossfade.journal_dirty WHERE owner = $1 \
    ORDER BY table_name, key LIMIT $2";
const DIRTY_AMONG: &str = "SELECT owner, toggle, table_name, key, generation, reason, stale, since_s FROM crossfade.journal_dirty \
    WHERE owner = ANY($1) AND table_name = $2 AND key = ANY($3)";
const INTENTS_OF: &str =
    "SELECT id, body FROM crossfade.journal_intent WHERE owner = $1 ORDER BY id LIMIT $2";
const FORGET: &str = "DELETE FROM crossfade.journal_owner WHERE owner = $1";

/// Whatever the server's setting: what is said to be durable is.
const PUT: &str = "WITH durable AS (SELECT pg_catalog.set_config('synchronous_commit', 'on', true) \
        WHERE pg_catalog.current_setting('synchronous_commit') = 'off') \
    INSERT INTO crossfade.journal_dirty (owner, table_name, key, toggle, generation, reason, stale, since_s) \
    SELECT l.owner, l.table_name, l.key, l.toggle, l.generation, l.reason, l.stale, l.since_s \
    FROM (SELECT count(*) FROM durable) AS d(n), \
        unnest($1::bigint[], $2::text[], $3::bytea[], $4::text[], $5::bigint[], $6::smallint[], $7::smallint[], $8::bigint[]) \
        AS l(owner, table_name, key, toggle, generation, reason, stale, since_s) \
    ON CONFLICT (owner, table_name, key) DO UPDATE SET toggle = excluded.toggle, generation = excluded.generation, reason = excluded.reason, \
        stale = excluded.stale, since_s = excluded.since_s";
const TAKE: &str = "DELETE FROM crossfade.journal_dirty AS t USING unnest($1::bigint[], $2::text[], $3::bytea[], $4::bigint[]) \
        AS l(owner, table_name, key, upto) \
    WHERE t.owner = l.owner AND t.table_name = l.table_name AND t.key = l.key AND t.generation <= l.upto";
const CLOSE: &str = "DELETE FROM crossfade.journal_intent AS t USING unnest($1::bigint[], $2::bigint[]) AS l(owner, id) \
    WHERE t.owner = l.owner AND t.id = l.id";

type Params<'a> = &'a [(&'a (dyn ToSql + Sync), Type)];

fn dirty_row(lease: &Lease, row: &Row) -> StoreResult<DirtyRow> {
    Ok(DirtyRow {
        owner: lease.read(row, "owner")?,
        toggle: lease.read(row, "toggle")?,
        table: lease.read(row, "table_name")?,
        key: lease.read(row, "key")?,
        generation: lease.read(row, "generation")?,
        reason: lease.read(row, "reason")?,
        stale: lease.read(row, "stale")?,
        since_s: lease.read(row, "since_s")?,
    })
}

impl JournalRows for PostgresStore {
    fn prepare(&self) -> BoxFuture<'_, StoreResult<()>> {
        async move {
            let lease = self.pool.lease().await?;
            let there = look(&lease).await?.there;
            if !there {
                lease.batch(MAKE, SHORT).await?;
            }
            lease.done();
            Ok(())
        }
        .boxed()
    }

    fn obstacle(&self) -> BoxFuture<'_, StoreResult<Option<String>>> {
        async move {
            let lease = self.pool.lease().await?;
            let obstacle = look(&lease).await?.obstacle();
            lease.done();
            Ok(obstacle)
        }
        .boxed()
    }

    fn beat(&self, owner: i64) -> BoxFuture<'_, StoreResult<Vec<(i64, i64)>>> {
        async move {
            let lease = self.pool.lease().await?;
            run(&lease, BEAT, &[(&owner, Type::INT8)]).await?;
            let rows = query(&lease, BEATS, &[]).await?;
            let beats = rows
                .iter()
                .map(|row| Ok((lease.read(row, "owner")?, lease.read(row, "beat")?)))
                .collect::<StoreResult<_>>()?;
            lease.done();
            Ok(beats)
        }
        .boxed()
    }

    fn owners(&self) -> BoxFuture<'_, StoreResult<Vec<i64>>> {
        async move {
            let lease = self.pool.lease().await?;
            let rows = query(&lease, OWNERS, &[]).await?;
            let owners = rows
                .iter()
                .map(|row| lease.read(row, "owner"))
                .collect::<StoreResult<_>>()?;
            lease.done();
            Ok(owners)
        }
        .boxed()
    }

    fn dirty_of(&self, owner: i64, limit: u32) -> BoxFuture<'_, StoreResult<Vec<DirtyRow>>> {
        async move {
            let lease = self.pool.lease().await?;
            let limit = i64::from(limit);
            let params: Params<'_> = &[(&owner, Type::INT8), (&limit, Type::INT8)];
            let rows = query(&lease, DIRTY_OF, params).await?;
            let dirty = rows.iter().map(|row| dirty_row(&lease, row));
            let dirty = dirty.collect::<StoreResult<_>>()?;
            lease.done();
            Ok(dirty)
        }
        .boxed()
    }

    fn dirty_among<'a>(
        &'a self,
        owners: &'a [i64],
        table: &'a str,
        keys: &'a [Vec<u8>],
    ) -> BoxFuture<'a, StoreResult<Vec<DirtyRow>>> {
        async move {
            let lease = self.pool.lease().await?;
            let params: Params<'_> = &[
                (&owners, Type::INT8_ARRAY),
                (&table, Type::TEXT),
                (&keys, Type::BYTEA_ARRAY),
            ];
            let rows = query(&lease, DIRTY_AMONG, params).await?;
            let dirty = rows.iter().map(|row| dirty_row(&lease, row));
            let dirty = dirty.collect::<StoreResult<_>>()?;
            lease.done();
            Ok(dirty)
        }
        .boxed()
    }

    fn intents_of(&self, owner: i64, limit: u32) -> BoxFuture<'_, StoreResult<Vec<IntentRow>>> {
        async move {
            let lease = self.pool.lease().await?;
            let limit = i64::from(limit);
            let params: Params<'_> = &[(&owner, Type::INT8), (&limit, Type::INT8)];
            let rows = query(&lease, INTENTS_OF, params).await?;
            let intents = rows
                .iter()
                .map(|row| {
                    Ok(IntentRow {
                        owner,
                        id: lease.read(row, "id")?,
                        body: lease.read(row, "body")?,
                    })
                })
                .collect::<StoreResult<_>>()?;
            lease.done();
            Ok(intents)
        }
        .boxed()
    }

    fn write<'a>(&'a self, changes: &'a JournalChanges) -> BoxFuture<'a, StoreResult<()>> {
        async move {
            let lease = self.pool.lease().await?;
            // Each a transaction of its own, in this order: what dies in between leaves more than is needed, never less.
            for rows in changes.dirty.chunks(ROWS) {
                put(&lease, rows).await?;
            }
            for rows in changes.clean.chunks(ROWS) {
                take(&lease, rows).await?;
            }
            for rows in changes.closed.chunks(ROWS) {
                let (owners, ids): (Vec<i64>, Vec<i64>) = rows.iter().copied().unzip();
                let params: Params<'_> = &[(&owners, Type::INT8_ARRAY), (&ids, Type::INT8_ARRAY)];
                run(&lease, CLOSE, params).await?;
            }
            lease.done();
            Ok(())
        }
        .boxed()
    }

    fn forget(&self, owner: i64) -> BoxFuture<'_, StoreResult<()>> {
        async move {
            let lease = self.pool.lease().await?;
            run(&lease, FORGET, &[(&owner, Type::INT8)]).await?;
            lease.done();
            Ok(())
        }
        .boxed()
    }
}

/// What is there, and what may be done about it.
struct Look {
    there: bool,
    schema: bool,
    may_fill: bool,
    may_make: bool,
    account: String,
    database: String,
    lacks: Option<String>,
}

async fn look(lease: &Lease) -> StoreResult<Look> {
    let rows = query(lease, LOOK, &[]).await?;
    let row = rows
        .first()
        .ok_or_else(|| lease.unexpected("no row for the journal's tables"))?;
    Ok(Look {
        there: lease.read(row, "there")?,
        schema: lease.read(row, "schema")?,
        may_fill: lease.read(row, "may_fill")?,
        may_make: lease.read(row, "may_make")?,
        account: lease.read(row, "account")?,
        database: lease.read(row, "database")?,
        lacks: lease.read(row, "lacks")?,
    })
}

impl Look {
    fn obstacle(&self) -> Option<String> {
        let Look {
            account, database, ..
        } = self;
        if self.there {
            let lacks = self.lacks.as_ref()?;
            return Some(format!(
                "the account \"{account}\" may not read and write the journal's tables in schema crossfade ({lacks}): let it own them, or drop the schema and let it make them"
            ));
        }
        if self.schema {
            return (!self.may_fill).then(|| {
                format!("the account \"{account}\" may not make the journal's tables: GRANT CREATE, USAGE ON SCHEMA crossfade TO \"{account}\"")
            });
        }
        (!self.may_make).then(|| {
            format!("the account \"{account}\" may not make the schema crossfade for the journal: GRANT CREATE ON DATABASE {database} TO \"{account}\"")
        })
    }
}

async fn put(lease: &Lease, rows: &[DirtyRow]) -> StoreResult<()> {
    let owners: Vec<i64> = rows.iter().map(|row| row.owner).collect();
    let tables: Vec<&str> = rows.iter().map(|row| row.table.as_str()).collect();
    let keys: Vec<&[u8]> = rows.iter().map(|row| row.key.as_slice()).collect();
    let toggles: Vec<&str> = rows.iter().map(|row| row.toggle.as_str()).collect();
    let generations: Vec<i64> = rows.iter().map(|row| row.generation).collect();
    let reasons: Vec<i16> = rows.iter().map(|row| row.reason).collect();
    let stale: Vec<i16> = rows.iter().map(|row| row.stale).collect();
    let since: Vec<i64> = rows.iter().map(|row| row.since_s).collect();
    let params: Params<'_> = &[
        (&owners, Type::INT8_ARRAY),
        (&tables, Type::TEXT_ARRAY),
        (&keys, Type::BYTEA_ARRAY),
        (&toggles, Type::TEXT_ARRAY),
        (&generations, Type::INT8_ARRAY),
        (&reasons, Type::INT2_ARRAY),
        (&stale, Type::INT2_ARRAY),
        (&since, Type::INT8_ARRAY),
    ];
    run(lease, PUT, params).await
}

async fn take(lease: &Lease, rows: &[CleanRow]) -> StoreResult<()> {
    let owners: Vec<i64> = rows.iter().map(|row| row.owner).collect();
    let tables: Vec<&str> = rows.iter().map(|row| row.table.as_str()).collect();
    let keys: Vec<&[u8]> = rows.iter().map(|row| row.key.as_slice()).collect();
    let upto: Vec<i64> = rows.iter().map(|row| row.generation).collect();
    let params: Params<'_> = &[
        (&owners, Type::INT8_ARRAY),
        (&tables, Type::TEXT_ARRAY),
        (&keys, Type::BYTEA_ARRAY),
        (&upto, Type::INT8_ARRAY),
    ];
    run(lease, TAKE, params).await
}

async fn run(lease: &Lease, sql: &str, params: Params<'_>) -> Result<(), StoreError> {
    lease
        .within(CHUNK, lease.execute_typed(sql, params))
        .await
        .map(drop)
}

async fn query(
    lease: &Lease,
    sql: &str,
    params: Params<'_>,
) -> StoreResult<Vec<tokio_postgres::Row>> {
    lease.within(CHUNK, lease.query_typed(sql, params)).await
}
