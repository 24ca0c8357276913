//! What an engine that runs statements on documents needs: the driver's own handles, and where a table's columns are.

use crossfade_config::QualifiedName;
use mongodb::{
    ClientSession, Database,
    bson::{Bson, Document, doc},
    error::Error,
    options::{ReturnDocument, WriteConcern},
};

use super::{
    MongoStore,
    conn::Deployment,
    sequences::{COUNTERS, VALUE, counter},
    value::Kind,
};
use crate::{StoreError, StoreResult, TableMap};

/// Where a column is in its documents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// `_id`, `_id.part`, `field` or `a.path`.
    pub path: String,
    /// How its values are kept.
    pub kind: Kind,
    /// Place in the key.
    pub key: Option<usize>,
}

/// One table's documents.
#[derive(Debug, Clone)]
pub struct Documents {
    /// The collection.
    pub collection: String,
    /// By the table's carried columns.
    pub fields: Vec<Field>,
    /// Columns of the key, in key order.
    pub key: Vec<usize>,
}

/// A failed command.
#[derive(Debug)]
pub struct Failed {
    /// Nothing has happened, and trying again may help: somebody else has written what this wanted to write.
    pub transient: bool,
    /// The server does not know the transaction (any more).
    pub transaction_gone: bool,
    /// A commit whose outcome nobody knows.
    pub outcome_unknown: bool,
    /// Name of the unique index, and the values, of a duplicate.
    pub duplicate: Option<Duplicate>,
    /// What to tell.
    pub error: StoreError,
}

/// Which unique index refused a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Duplicate {
    /// The index.
    pub index: String,
    /// Which document of the command it is about, where that is known.
    pub document: Option<usize>,
}

/// Server errors of a transaction that is gone: NoSuchTransaction, TransactionTooOld, and a session that was killed.
const GONE: [i32; 3] = [251, 225, 228];

impl MongoStore {
    /// The mapped database, through the driver.
    ///
    /// # Errors
    /// When no server answers.
    pub async fn database(&self) -> StoreResult<Database> {
        self.conn.database().await
    }

    /// A session of the driver's, for one transaction at a time.
    ///
    /// # Errors
    /// When no server answers.
    pub async fn session(&self) -> StoreResult<ClientSession> {
        self.conn.session().await
    }

    /// Whether the deployment has transactions.
    ///
    /// # Errors
    /// When no server answers.
    pub async fn has_transactions(&self) -> StoreResult<bool> {
        Ok(self.conn.deployment().await? == Deployment::Transactions)
    }

    /// Waits before a transaction that met another's is tried again, and ends those that were left behind.
    pub async fn pause(&self, attempt: u32) {
        self.conn.pause(attempt).await;
    }

    /// What a driver's error means.
    #[must_use]
    pub fn failed(&self, error: &Error) -> Failed {
        let failed = self.conn.write_error(error);
        Failed {
            transient: failed.transient,
            transaction_gone: self
                .conn
                .code(error)
                .is_some_and(|code| GONE.contains(&code)),
            outcome_unknown: error
                .contains_label(mongodb::error::UNKNOWN_TRANSACTION_COMMIT_RESULT),
            duplicate: duplicate(&failed.error, None),
            error: failed.error,
        }
    }

    /// Runs a command that writes.
    ///
    /// # Errors
    /// The command's error, or the first of its documents'.
    pub async fn write(
        &self,
        database: &Database,
        command: mongodb::bson::RawDocumentBuf,
        session: Option<&mut ClientSession>,
    ) -> Result<Document, Failed> {
        self.conn
            .write(database, command, session)
            .await
            .map_err(|failed| Failed {
                transient: failed.transient,
                transaction_gone: matches!(&failed.error, StoreError::Rejected { sqlstate, .. } if GONE.iter().any(|code| code.to_string() == *sqlstate)),
                outcome_unknown: failed.error.outcome_unknown(),
                duplicate: duplicate(&failed.error, failed.document),
                error: failed.error,
            })
    }

    /// Where a table's rows are.
    #[must_use]
    pub fn documents(&self, table: &TableMap) -> Documents {
        let fields = table.columns.iter().enumerate().map(|(index, column)| {
            let name = &column.on(self.side).name;
            let key = table.key.iter().position(|part| *part == index);
            Field {
                path: match key {
                    Some(_) if table.key.len() == 1 => "_id".to_owned(),
                    Some(_) => format!("_id.{name}"),
                    None => name.clone(),
                },
                kind: Kind::of(&column.old),
                key,
            }
        });
        Documents {
            collection: table.on(self.side).name.name.clone(),
            fields: fields.collect(),
            key: table.key.clone(),
        }
    }

    /// Moves the counter that stands for a sequence on; its value then. `None` where there is no counter, which
    /// only the flip to phase 5 makes.
    ///
    /// `written_next`: what follows is a write with majority write concern. A set keeps its writes in one order, so that a majority which has that one has
    /// this one as well, and this one need not be waited for. Where the server crashes in between and that one is tried again, the values are handed out once more.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn advance_counter(
        &self,
        sequence: &QualifiedName,
        by: i64,
        written_next: bool,
    ) -> StoreResult<Option<i64>> {
        let counters = self.conn.database().await?.collection::<Document>(COUNTERS);
        let moved = counters
            .find_one_and_update(
                doc! { "_id": counter(sequence) },
                doc! { "$inc": { VALUE: by } },
            )
            .return_document(ReturnDocument::After)
            .write_concern(match written_next {
                true => WriteConcern::nodes(1),
                false => WriteConcern::majority(),
            })
            .await
            .map_err(|error| self.conn.error(&error))?;
        Ok(moved.and_then(|counter| counter.get_i64(VALUE).ok()))
    }
}

impl Documents {
    /// `_id` from the key's parts, in key order.
    #[must_use]
    pub fn id(&self, parts: Vec<Bson>) -> Bson {
        if parts.len() == 1 {
            return parts.into_iter().next().unwrap_or(Bson::Null);
        }
        let mut id = Document::new();
        for (&column, part) in std::iter::zip(&self.key, parts) {
            let path = &self.fields[column].path;
            id.insert(path.strip_prefix("_id.").unwrap_or(path), part);
        }
        id.into()
    }
}

/// "E11000 duplicate key error collection: db.c index: NAME dup key: …"
fn duplicate(error: &StoreError, document: Option<usize>) -> Option<Duplicate> {
    let StoreError::Rejected {
        sqlstate, message, ..
    } = error
    else {
        return None;
    };
    let index = message.split_once(" index: ")?.1;
    let index = index.split_once(" dup key").map_or(index, |(name, _)| name);
    (sqlstate == "23505").then(|| Duplicate {
        index: index.trim().to_owned(),
        document,
    })
}
