//! Questions of the session's own to a server over which nothing goes on.

use crossfade_phase::Side;

use super::{End, backend::Received, handover::values, managed::Managed};
use crate::wire::{ProtocolError, backend, frontend};

/// A row's values, as the server sent them.
pub(super) type Values = Vec<Option<bytes::Bytes>>;

/// Why there is no answer to a question, though the connection stands.
#[derive(Debug)]
pub(super) struct Refused {
    /// The server's SQLSTATE.
    pub(super) sqlstate: String,
    /// And its message.
    pub(super) message: String,
}

impl Managed {
    /// Asks the server of `side`, over whose connection nothing goes on, by a Query. The client sees nothing of it.
    ///
    /// # Errors
    /// When the session is over.
    pub(super) async fn ask(
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
            if !self.backend(side)?.exchange(true).await.unwrap_or(false) {
                return Err(End::ServerGone(side));
            }
        }
    }
}
