//! The simple protocol: Query.

use std::sync::Arc;

use bytes::Bytes;

use super::{Phase, Served, Serving, understand::Pieces};
use crate::{
    parse::Parsed,
    protocol::{backend, frontend::utf8},
    report::Result,
    sink::Target,
    statement::{Statement, Work, is_exit},
};

impl Serving {
    pub(super) async fn query(&mut self, sql: &Bytes) -> Served {
        self.session.state.statements.remove("");
        self.session.portals.remove("");
        if let Err(report) = self.run_query(sql).await {
            self.fail(report).await?;
        }
        self.ready();
        if self.io.broken {
            Err(super::Over)
        } else {
            Ok(())
        }
    }

    async fn run_query(&mut self, sql: &[u8]) -> Result<()> {
        let sql = utf8(sql)?;
        let completion = match self.session.parse_all(sql)? {
            Pieces::Known(only) => self.run_known(sql, &only).await?,
            Pieces::Parsed(pieces) => self.run_pieces(sql, pieces).await?,
        };
        // To a client of the simple protocol the completion says that the statement is committed.
        if self.session.transaction.phase == Phase::Implicit {
            self.session.commit(false).await?;
        }
        match completion {
            Some(tag) => backend::command_complete(&mut self.io.out, &tag),
            None => backend::empty(&mut self.io.out, b'I'),
        }
        Ok(())
    }

    async fn run_known(&mut self, sql: &str, only: &Arc<Statement>) -> Result<Option<String>> {
        if !only.is_nothing() {
            self.admit(only.is_exit())?;
            self.session.start();
        }
        self.run_one(sql, only, true).await
    }

    /// All statements, in one implicit transaction as far as they make no block of it. Gives the last one's completion.
    async fn run_pieces(&mut self, sql: &str, pieces: Vec<Parsed>) -> Result<Option<String>> {
        let count = pieces.len();
        let mut completion: Option<String> = None;
        for (index, piece) in pieces.into_iter().enumerate() {
            if let Some(tag) = completion.take() {
                backend::command_complete(&mut self.io.out, tag.as_str());
            }
            self.admit(is_exit(&piece.node))?;
            self.session.start();
            self.session.transaction.many |= count > 1;
            let offset = piece.offset;
            let statement = self
                .session
                .understand(piece, &[])
                .map_err(|report| report.located(sql, offset))?;
            if count == 1 {
                self.session.cache.put(&statement.text, &statement);
            }
            completion = self.run_one(sql, &statement, index + 1 == count).await?;
        }
        Ok(completion)
    }

    async fn run_one(
        &mut self,
        sql: &str,
        statement: &Arc<Statement>,
        last: bool,
    ) -> Result<Option<String>> {
        if let Work::Engine(..) = statement.work
            && !statement.params.is_empty()
        {
            let told = "there is no parameter $1";
            return Err(crate::report::Report::new("42P02", told));
        }
        let mut target = Target {
            describe: true,
            ..Target::default()
        };
        self.run(statement, &[], &mut target, last)
            .await
            .map_err(|report| statement.locate(report, sql))
    }
}
