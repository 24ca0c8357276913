//! Questions of the session's own to a server over which nothing goes on.

use crossfade_phase::Side;

use super::{End, backend::Received, handover::values, managed::Managed};
use crate::{
    errors::ClientError,
    wire::{ProtocolError, backend, frontend},
};

/// Settings of the client's that are none of a question's business, and what they are meanwhile.
pub(super) const LIMITS: [(&str, &str); 2] = [("statement_timeout", "0"), ("lock_timeout", "0")];

/// A question that a cancel hits, or a limit before it is lifted, is asked again. So many in a row are no accident.
const MOST_TRIES: usize = 100;

/// A row's values, as the server sent them.
pub(super) type Values = Vec<Option<bytes::Bytes>>;

/// What the server says in place of an answer.
#[derive(Debug)]
pub(super) struct Refused {
    /// The server's SQLSTATE.
    pub(super) sqlstate: String,
    /// And its message.
    pub(super) message: String,
}

impl Refused {
    /// What the server would have said, had it been asked.
    pub(super) fn own(error: ClientError) -> Refused {
        Refused {
            sqlstate: error.sqlstate.to_owned(),
            message: error.message,
        }
    }
}

impl Managed {
    /// Asks the server of `side`, over whose connection nothing goes on, by a Query. The client sees nothing of it; its timeouts do not count, and what its cancel hits is asked again: it
    /// may come late, and was meant for something else.
    ///
    /// # Errors
    /// When the session is over, for the client's leaving too.
    pub(super) async fn ask(
        &mut self,
        side: Side,
        sql: &str,
    ) -> Result<Result<Vec<Values>, Refused>, End> {
        self.ask_beyond(&LIMITS, side, sql).await
    }

    /// As [`Managed::ask`], beyond these limits alone, whatever else they are.
    pub(super) async fn ask_beyond(
        &mut self,
        limits: &[(&str, &str)],
        side: Side,
        sql: &str,
    ) -> Result<Result<Vec<Values>, Refused>, End> {
        let lift = |(name, value): &(&str, &str)| {
            format!("SELECT pg_catalog.set_config('{name}', '{value}', true); ")
        };
        let whole: String = limits.iter().map(lift).collect();
        let whole = whole + sql;
        let mut tries = 0;
        loop {
            tries += 1;
            match self.ask_once(side, &whole).await? {
                Ok(mut rows) => {
                    rows.drain(..limits.len().min(rows.len()));
                    return Ok(Ok(rows));
                }
                Err(refused) if refused.sqlstate == "57014" && tries < MOST_TRIES => {
                    tracing::debug!(%side, "a question about the session was cancelled, and is asked again");
                }
                Err(refused) => return Ok(Err(refused)),
            }
        }
    }

    async fn ask_once(
        &mut self,
        side: Side,
        sql: &str,
    ) -> Result<Result<Vec<Values>, Refused>, End> {
        let backend = self.backend(side)?;
        // A Query takes the unnamed statement away: where the client's own is needed again, it is prepared again.
        backend.prepared.retain(|(name, _), _| !name.is_empty());
        frontend::query(&mut backend.out, sql.as_bytes());
        let mut rows = Vec::new();
        let mut refused = None;
        loop {
            while let Some(received) = self.backend(side)?.next()? {
                let Received::Message(frame) = received else {
                    return Err(End::ServerGone(side));
                };
                match frame.kind {
                    b'D' => {
                        rows.push(values(&frame.body()).ok_or(ProtocolError::Body { kind: b'D' })?)
                    }
                    b'E' => {
                        let field = |field| backend::error_field(&frame.body(), field);
                        refused = Some(Refused {
                            sqlstate: field(b'C').unwrap_or_default(),
                            message: field(b'M').unwrap_or_default(),
                        });
                    }
                    b'Z' => return Ok(refused.map_or(Ok(rows), Err)),
                    b'S' if side != self.home => self.parameter_status(side, &frame)?,
                    b'A' => self.client.out.extend_from_slice(&frame.whole),
                    _ => {}
                }
            }
            let Managed {
                client, backends, ..
            } = self;
            let backend = backends.get_mut(side).ok_or(End::ServerGone(side))?;
            let exchanged = tokio::select! {
                biased;
                exchanged = backend.exchange(true) => exchanged,
                () = client.gone() => return Err(End::ClientGone),
            };
            if !exchanged.unwrap_or(false) {
                return Err(End::ServerGone(side));
            }
        }
    }
}
