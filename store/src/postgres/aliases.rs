//! Names through which SQL reaches mapped tables without naming them.

use std::collections::{BTreeMap, BTreeSet};

use crossfade_config::QualifiedName;

use super::{
    adapter::SHORT,
    catalog::table_oid,
    pool::{Lease, Pool},
    rows::Param,
};
use crate::{Alias, StoreResult, words::mentions};

/// Relations that reach the table by a view, a rule or inheritance, in any number of steps.
const REACHING: &str = "WITH RECURSIVE reach(oid) AS (SELECT $1::oid UNION SELECT next.oid FROM reach CROSS JOIN LATERAL ( \
        SELECT rw.ev_class AS oid FROM pg_depend d JOIN pg_rewrite rw ON rw.oid = d.objid \
        WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = reach.oid AND d.classid = 'pg_rewrite'::regclass \
        UNION ALL SELECT h.inhrelid FROM pg_inherits h WHERE h.inhparent = reach.oid \
        UNION ALL SELECT h.inhparent FROM pg_inherits h WHERE h.inhrelid = reach.oid) AS next) \
    SELECT c.relname::text AS name, c.relkind IN ('v', 'm') OR NOT EXISTS ( \
        SELECT FROM pg_inherits h WHERE c.oid IN (h.inhrelid, h.inhparent)) AS view \
    FROM reach JOIN pg_class c USING (oid) WHERE c.oid <> $1 AND c.relkind IN ('r', 'p', 'v', 'm', 'f') ORDER BY 1";

/// Schemas in which something else has the table's name. `to_regclass` finds indexes and sequences too.
const NAMESAKES: &str = "SELECT n.nspname::text AS schema FROM pg_class own JOIN pg_class c ON c.relname = own.relname AND c.oid <> own.oid \
    JOIN pg_namespace n ON n.oid = c.relnamespace \
    WHERE own.oid = $1 AND n.nspname NOT LIKE 'pg\\_temp\\_%' AND n.nspname NOT LIKE 'pg\\_toast%' ORDER BY 1";

/// Functions that users made, and whether their source has a word that writes. Those with a body in standard SQL keep no source text; the
/// server writes it out.
fn functions(version: u32) -> String {
    let body = if version >= 140_000 {
        "coalesce(pg_get_function_sqlbody(p.oid), p.prosrc)"
    } else {
        "p.prosrc"
    };
    format!(
        "SELECT name, source, source ~* '\\m(insert|update|delete|merge|truncate|copy|execute)\\M' AS writes FROM (SELECT p.proname::text AS name, {body} AS source FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace \
         WHERE n.nspname NOT IN ('pg_catalog', 'information_schema') AND p.prokind IN ('f', 'p') \
         AND p.prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype)) AS f \
         ORDER BY 1"
    )
}

/// For each table the names that reach it.
pub(super) async fn aliases(
    pool: &Pool,
    tables: &[QualifiedName],
) -> StoreResult<Vec<(QualifiedName, Alias)>> {
    let lease = pool.lease().await?;
    let sources = function_sources(&lease).await?;
    let mut found = Vec::new();
    for table in tables {
        let Some(oid) = table_oid(&lease, table).await? else {
            continue;
        };
        for row in lease.rows(REACHING, &[Param::oid(oid)], SHORT).await? {
            let name = lease.read(&row, "name")?;
            let alias = if lease.read(&row, "view")? {
                Alias::View(name)
            } else {
                Alias::Child(name)
            };
            found.push((table.clone(), alias));
        }
        for row in lease.rows(NAMESAKES, &[Param::oid(oid)], SHORT).await? {
            let schema = lease.read(&row, "schema")?;
            found.push((table.clone(), Alias::Namesake(schema)));
        }
        // A function that writes through a view or a partition names that.
        let mut names: Vec<String> = vec![table.name.clone()];
        let of_table = found.iter().filter(|(of, _)| of == table);
        names.extend(of_table.filter_map(|(_, alias)| match alias {
            Alias::View(name) | Alias::Child(name) | Alias::WritingFunction(name) => {
                Some(name.clone())
            }
            Alias::Namesake(_) => None,
        }));
        for function in writing(&sources, &names) {
            found.push((table.clone(), Alias::WritingFunction(function)));
        }
    }
    lease.done();
    Ok(found)
}

/// The functions that write one of the relations, themselves or by calling one that does.
fn writing(sources: &BTreeMap<String, Vec<Body>>, relations: &[String]) -> BTreeSet<String> {
    let mut found: BTreeSet<String> = BTreeSet::new();
    loop {
        let next: Vec<String> = sources
            .iter()
            .filter(|(name, _)| !found.contains(*name))
            .filter(|(_, bodies)| {
                bodies.iter().any(|body| {
                    let names = |name: &String| mentions(&body.source, name);
                    body.writes && relations.iter().any(names) || found.iter().any(names)
                })
            })
            .map(|(name, _)| name.clone())
            .collect();
        if next.is_empty() {
            return found;
        }
        found.extend(next);
    }
}

/// The source of a function.
struct Body {
    source: String,
    /// It has a word that writes.
    writes: bool,
}

/// Bodies of functions by name; one name may be overloaded.
async fn function_sources(lease: &Lease) -> StoreResult<BTreeMap<String, Vec<Body>>> {
    let version: Vec<_> = lease
        .rows(
            "SELECT current_setting('server_version_num')::int8 AS version",
            &[],
            SHORT,
        )
        .await?;
    let version = version
        .first()
        .map(|row| lease.read::<i64>(row, "version"))
        .transpose()?
        .unwrap_or(0);
    let mut sources: BTreeMap<String, Vec<Body>> = BTreeMap::new();
    for row in lease
        .rows(&functions(u32::try_from(version).unwrap_or(0)), &[], SHORT)
        .await?
    {
        sources
            .entry(lease.read(&row, "name")?)
            .or_default()
            .push(Body {
                source: lease.read(&row, "source")?,
                writes: lease.read(&row, "writes")?,
            });
    }
    Ok(sources)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_that_calls_a_writing_one_writes() {
        let body = |source: &str, writes| {
            let source = source.to_owned();
            vec![Body { source, writes }]
        };
        let sources = BTreeMap::from([
            ("deep".to_owned(), body("insert into orders", true)),
            ("middle".to_owned(), body("select deep(1)", false)),
            ("outer".to_owned(), body("perform Middle()", false)),
            ("reader".to_owned(), body("select from orders", false)),
            ("other".to_owned(), body("insert into others", true)),
        ]);
        let found = writing(&sources, &["orders".into()]);
        assert_eq!(
            found.into_iter().collect::<Vec<_>>(),
            ["deep", "middle", "outer"]
        );
    }
}
