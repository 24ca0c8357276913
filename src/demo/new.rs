//! The store that the shop moves to.

use std::{collections::BTreeMap, path::Path};

use crossfade_phase::Side;
use crossfade_store::{Form, KeyRange, Store, mongo::MongoStore, postgres::PostgresStore, resolve};

use super::{
    compare::{self, Compared},
    halt::Halt,
    mongod::Mongod,
    server::{self, SHOP_USER, Server},
    tally::describe,
    traffic::Names,
};

/// Rows that are read at once for a comparison.
const PAGE: u32 = 2000;

/// One of the two kinds.
#[derive(Debug)]
pub(super) enum New {
    Postgres(Server),
    Mongo(Mongod),
}

impl New {
    /// Its process id.
    pub(super) fn id(&self) -> u32 {
        match self {
            New::Postgres(server) => server.id(),
            New::Mongo(server) => server.id(),
        }
    }

    /// How a PostgreSQL client reaches it without the proxy, where one can.
    pub(super) fn direct(&self) -> Option<tokio_postgres::Config> {
        match self {
            New::Postgres(server) => Some(server.config(SHOP_USER)),
            New::Mongo(_) => None,
        }
    }

    /// How an operator reaches it.
    pub(super) fn how_to_reach(&self) -> String {
        match self {
            New::Postgres(server) => format!(
                "psql postgres://{}:{}@127.0.0.1:{}/{}",
                server::PROXY_USER,
                server::PASSWORD,
                server.port(),
                server::DATABASE
            ),
            New::Mongo(server) => format!("mongosh {}", Mongod::url(server.port())),
        }
    }

    /// What it is, for a headline.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            New::Postgres(_) => "another PostgreSQL server",
            New::Mongo(_) => "MongoDB",
        }
    }

    /// How SQL names things in it, asked as [`New::direct`] or, where that cannot be, through the proxy.
    pub(super) fn names(&self) -> Names {
        match self {
            New::Postgres(_) => Names {
                amount: "amount",
                payments: "billing.payment",
            },
            New::Mongo(_) => Names {
                amount: "total",
                payments: "public.payments",
            },
        }
    }

    /// Rows that the old store has against those here. Nobody may write meanwhile.
    ///
    /// # Errors
    /// When a store refuses a question.
    pub(super) async fn compare(&self, old: &Server, file: &Path) -> Result<Compared, Halt> {
        let server = match self {
            New::Postgres(server) => server,
            New::Mongo(_) => return documents(file).await,
        };
        let (old, new) = (old.connect().await?, server.connect().await?);
        compare::stores(&old, &new)
            .await
            .map_err(|error| Halt::broken("the comparison", describe(&error)))
    }

    /// Rows of each of the demo's tables, by its old name.
    ///
    /// # Errors
    /// When the store refuses a question.
    pub(super) async fn counts(&self) -> Result<BTreeMap<&'static str, i64>, Halt> {
        match self {
            New::Postgres(server) => {
                let new = server.connect().await?;
                compare::counts(&new)
                    .await
                    .map_err(|error| Halt::broken("the last comparison", describe(&error)))
            }
            New::Mongo(server) => {
                let mut counts = BTreeMap::new();
                for table in compare::names() {
                    counts.insert(table, server.count(table).await?);
                }
                Ok(counts)
            }
        }
    }
}

/// Every row of the old store against its document, read by the two adapters alone.
async fn documents(file: &Path) -> Result<Compared, Halt> {
    let broken = |why: String| Halt::broken("the comparison", why);
    let loaded = crossfade_config::Config::load(file).map_err(|why| broken(why.to_string()))?;
    let config = loaded.config;
    let old = PostgresStore::new(config.old.clone(), Side::Old);
    let new = MongoStore::new(config.new.clone(), Side::New);
    let mapping = resolve(&config, &old, Some(&new)).await;
    let mapping = mapping.map_err(|why| broken(why.to_string()))?;
    let mut compared = Compared::default();
    for table in &mapping.tables {
        let left = rows(&old, table)
            .await
            .map_err(|why| broken(why.to_string()))?;
        let right = rows(&new, table)
            .await
            .map_err(|why| broken(why.to_string()))?;
        let found = compare::differences(&table.old.name.name, &left, &right);
        compared.add(left.len().max(right.len()) as u64, found);
    }
    Ok(compared)
}

async fn rows(
    store: &dyn Store,
    table: &crossfade_store::TableMap,
) -> crossfade_store::StoreResult<BTreeMap<String, String>> {
    let mut all = BTreeMap::new();
    let mut range = KeyRange::default();
    loop {
        let rows = store.scan(table, &range, PAGE, Form::Comparable).await?;
        range.after = rows.last().and_then(|row| table.key_of(row));
        let last = u32::try_from(rows.len()).unwrap_or(PAGE) < PAGE;
        for row in rows {
            let text = |value: &Option<bytes::Bytes>| match value {
                Some(value) => String::from_utf8_lossy(value).into_owned(),
                None => "NULL".to_owned(),
            };
            let values: Vec<String> = row.0.iter().map(text).collect();
            let key = table.key_of(&row).map(|key| format!("{:?}", key.0));
            all.insert(key.unwrap_or_default(), values.join(", "));
        }
        if last {
            return Ok(all);
        }
    }
}
