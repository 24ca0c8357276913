//! What the server answers, and what is done about its errors.

use std::{io, mem};

use postgres_protocol::message::{backend::Message, frontend};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{PostgresSecondary, State, Verb, over, statement_name};
use crate::{StoreError, StoreResult, TableId, postgres::conn::rejected};

/// Room for one read, in bytes. Enough for the answers to a window.
const READ_BUFFER: usize = 4096;

impl PostgresSecondary {
    pub(super) async fn await_completions(&mut self, count: usize) -> StoreResult<()> {
        let mut left = count;
        while left > 0 {
            match self.receive().await? {
                Message::CommandComplete(_) => left -= 1,
                Message::ErrorResponse(body) => {
                    return Err(rejected(&self.endpoint.config.url, &body));
                }
                Message::ParseComplete
                // Of statements that an earlier failed batch had prepared.
                | Message::CloseComplete
                | Message::BindComplete
                // Of a lock.
                | Message::DataRow(_)
                | Message::NoticeResponse(_)
                | Message::ParameterStatus(_) => {}
                _ => {
                    return Err(self.unexpected("a message that has no place in a batch of writes"));
                }
            }
        }
        Ok(())
    }

    /// After an error of the server: ends the failed transaction, so that the connection can be used again.
    pub(super) async fn recover(
        &mut self,
        error: StoreError,
        fresh: &[(TableId, Verb)],
    ) -> StoreResult<()> {
        self.ahead.clear();
        if matches!(error, StoreError::Rejected { .. }) {
            frontend::sync(&mut self.out);
            self.send().await?;
            // A Parse behind the one that failed was skipped; which ones took effect is not worth telling apart.
            for (table, verb) in fresh {
                self.prepared.remove(&(*table, *verb));
                frontend::close(b'S', &statement_name(*table, *verb), &mut self.out)
                    .map_err(|error| self.broken(&error))?;
            }
            self.await_ready().await?;
            over(&mut self.under_way);
            self.state = State::Idle;
        }
        Err(error)
    }

    /// Sends a Sync behind what is in the buffer and waits for the end of the transaction.
    pub(super) async fn finish(&mut self) -> StoreResult<()> {
        let before = mem::replace(&mut self.state, State::Lost);
        self.ahead.clear();
        if before != State::Staged {
            return Err(self.unexpected("nothing is staged"));
        }
        frontend::sync(&mut self.out);
        self.send().await?;
        let outcome = self.await_ready().await;
        if matches!(outcome, Ok(()) | Err(StoreError::Rejected { .. })) {
            over(&mut self.under_way);
        }
        outcome?;
        self.state = State::Idle;
        Ok(())
    }

    pub(super) async fn await_ready(&mut self) -> StoreResult<()> {
        let mut outcome = Ok(());
        loop {
            match self.receive().await? {
                Message::ReadyForQuery(_) => return outcome,
                Message::ErrorResponse(body) => {
                    self.state = State::Idle;
                    outcome = Err(rejected(&self.endpoint.config.url, &body));
                }
                Message::ParseComplete
                | Message::BindComplete
                | Message::CloseComplete
                | Message::CommandComplete(_)
                | Message::NoticeResponse(_)
                | Message::ParameterStatus(_) => {}
                _ => {
                    return Err(
                        self.unexpected("a message that has no place at the end of a transaction")
                    );
                }
            }
        }
    }

    pub(super) async fn send(&mut self) -> StoreResult<()> {
        let sent = async {
            self.stream.write_all(&self.out).await?;
            self.stream.flush().await
        };
        sent.await
            .map_err(|error| StoreError::unreachable(&self.endpoint.config.url, &error))?;
        self.out.clear();
        Ok(())
    }

    pub(super) async fn receive(&mut self) -> StoreResult<Message> {
        loop {
            if let Some(message) =
                Message::parse(&mut self.inbound).map_err(|error| self.broken(&error))?
            {
                return Ok(message);
            }
            // Room for all that a batch is answered with: a buffer that grows by itself takes a call for each step.
            self.inbound.reserve(READ_BUFFER);
            if self
                .stream
                .read_buf(&mut self.inbound)
                .await
                .map_err(|error| self.broken(&error))?
                == 0
            {
                return Err(self.broken(&io::ErrorKind::UnexpectedEof.into()));
            }
        }
    }

    pub(super) fn broken(&self, error: &io::Error) -> StoreError {
        StoreError::unreachable(&self.endpoint.config.url, error)
    }

    pub(super) fn unexpected(&self, what: &str) -> StoreError {
        StoreError::unexpected(&self.endpoint.config.url, what)
    }
}
