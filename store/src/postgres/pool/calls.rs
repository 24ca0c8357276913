//! Calls on a connection on loan, each with a bound on its time.

use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::time::timeout;
use tokio_postgres::Row;

use super::{Idle, Lease, errors::with_source};
use crate::{StoreError, StoreResult, postgres::rows};

impl Lease {
    /// Gives the connection back; only after everything on it is over, its transaction included.
    pub(in crate::postgres) fn done(self) {
        let Lease {
            conn,
            shared,
            _permit,
        } = self;
        shared.idle().push(Idle {
            conn,
            since: Instant::now(),
        });
    }

    /// Waits for `call` for at most `within`.
    pub(in crate::postgres) async fn within<T>(
        &self,
        within: Duration,
        call: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> StoreResult<T> {
        match timeout(within, call).await {
            Ok(outcome) => outcome.map_err(|error| self.shared.error(&error)),
            Err(_) => Err(StoreError::TimedOut {
                store: self.shared.store(),
                after: within,
            }),
        }
    }

    /// Runs one statement and collects its rows.
    pub(in crate::postgres) async fn rows(
        &self,
        sql: &str,
        params: &[rows::Param],
        within: Duration,
    ) -> StoreResult<Vec<Row>> {
        let params: Vec<_> = params.iter().map(rows::Param::typed).collect();
        self.within(within, self.query_typed(sql, &params)).await
    }

    /// Runs one statement and says how many rows it changed.
    pub(in crate::postgres) async fn run(
        &self,
        sql: &str,
        params: &[rows::Param],
        within: Duration,
    ) -> StoreResult<u64> {
        let params: Vec<_> = params.iter().map(rows::Param::typed).collect();
        self.within(within, self.execute_typed(sql, &params)).await
    }

    /// Has the server read a statement that will run many times.
    pub(in crate::postgres) async fn ready(
        &self,
        sql: &str,
        within: Duration,
    ) -> StoreResult<tokio_postgres::Statement> {
        self.within(within, self.prepare(sql)).await
    }

    /// As [`Lease::run`], for a statement that the server has read.
    pub(in crate::postgres) async fn run_ready(
        &self,
        statement: &tokio_postgres::Statement,
        params: &[rows::Param],
        within: Duration,
    ) -> StoreResult<u64> {
        self.within(within, self.execute_raw(statement, params))
            .await
    }

    /// Runs statements without parameters.
    pub(in crate::postgres) async fn batch(&self, sql: &str, within: Duration) -> StoreResult<()> {
        self.within(within, self.batch_execute(sql)).await
    }

    /// Sends `rows` as the body of `copy`, each chunk as it is.
    pub(in crate::postgres) async fn copy(
        &self,
        copy: &str,
        chunks: Vec<Bytes>,
        within: Duration,
    ) -> StoreResult<u64> {
        let call = async {
            let sink = self.copy_in::<_, Bytes>(copy).await?;
            let mut sink = std::pin::pin!(sink);
            for chunk in chunks {
                futures::SinkExt::feed(&mut sink, chunk).await?;
            }
            sink.as_mut().finish().await
        };
        self.within(within, call).await
    }

    /// An answer that the store's protocol or catalog does not allow.
    pub(in crate::postgres) fn unexpected(&self, what: impl ToString) -> StoreError {
        self.shared.unexpected(what)
    }

    /// A row, or none, of a catalog question.
    pub(in crate::postgres) fn read<'a, T: tokio_postgres::types::FromSql<'a>>(
        &self,
        row: &'a Row,
        column: &str,
    ) -> StoreResult<T> {
        row.try_get(column)
            .map_err(|error| self.unexpected(format!("column {column}: {}", with_source(&error))))
    }
}
