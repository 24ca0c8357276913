//! A session: messages in, answers out.

mod cursor;
mod extended;
mod own;
mod portal;
mod prepared;
mod refusal;
mod run;
mod set;
mod simple;
mod transaction;
mod understand;

use std::{collections::HashMap, sync::Arc};

use crate::{
    Engine, EngineSession,
    interrupt::Key,
    io::{Gone, Io, SEND_AT},
    protocol::{
        backend::{self, Status},
        frontend::Message,
    },
    report::{Report, Severity},
    state::State,
    statement::Cache,
};
use portal::Portal;
use transaction::{Phase, Transaction};

/// Everything of a session but its connection.
pub(crate) struct Session {
    engine: Box<dyn EngineSession>,
    source: Arc<dyn Engine>,
    state: State,
    transaction: Transaction,
    portals: HashMap<String, Portal>,
    cache: Cache,
    key: Key,
    /// Opened by the proxy itself.
    trusted: bool,
    /// An error came; everything up to the next Sync is ignored.
    skipping: bool,
}

/// A session with its connection.
struct Serving {
    session: Session,
    io: Io,
}

/// The session is over.
#[derive(Debug)]
struct Over;

type Served = Result<(), Over>;

impl Session {
    pub(crate) fn new(source: Arc<dyn Engine>, state: State, key: Key, trusted: bool) -> Session {
        Session {
            engine: source.session(),
            source,
            state,
            transaction: Transaction::default(),
            portals: HashMap::new(),
            cache: Cache::default(),
            key,
            trusted,
            skipping: false,
        }
    }

    /// Serves the client until one of them ends it.
    pub(crate) async fn run(self, io: Io) {
        let mut serving = Serving { session: self, io };
        while serving.step().await.is_ok() {}
        if serving.session.transaction.begun {
            serving.session.engine.rollback().await;
        }
        // The last words; the client may be gone.
        drop(serving.io.flush().await);
    }
}

impl Serving {
    /// One message.
    async fn step(&mut self) -> Served {
        let (kind, body) = self.next().await?;
        let message = match Message::read(kind, body) {
            Ok(message) => message,
            Err(report) => return self.failed_message(kind, report).await,
        };
        match message {
            Message::Terminate => return Err(Over),
            Message::Sync => return self.sync().await,
            _ if self.session.skipping => return Ok(()),
            Message::Query(sql) => return self.query(&sql).await,
            Message::Flush => return self.io.flush().await.map_err(|_| Over),
            Message::Call => {
                let told = Report::from(crossfade_values::Error::unsupported(
                    "a function call by the fast path",
                ));
                self.fail(told).await?;
                self.ready();
                return Ok(());
            }
            Message::Copy => return Ok(()),
            Message::Password(_) => {
                let told = Report::fatal("08P01", "invalid frontend message type 112");
                return self.fail(told).await;
            }
            Message::Parse(_)
            | Message::Bind(_)
            | Message::Describe(_)
            | Message::Execute { .. }
            | Message::Close(_) => {}
        }
        if let Err(report) = self.extended(message).await {
            self.fail(report).await?;
            self.session.skipping = true;
        }
        if self.io.broken { Err(Over) } else { Ok(()) }
    }

    /// The next message; a session that waits too long for it within a transaction is ended.
    async fn next(&mut self) -> Result<(u8, bytes::Bytes), Over> {
        if self.io.out.len() >= SEND_AT {
            self.io.flush().await.map_err(|_| Over)?;
        }
        let Serving { session, io } = self;
        let (limit, sqlstate, told) = match session.transaction.phase {
            Phase::None => (
                session.state.time("idle_session_timeout"),
                "57P05",
                "terminating connection due to idle-session timeout",
            ),
            Phase::Implicit | Phase::Block | Phase::Failed => (
                session.state.time("idle_in_transaction_session_timeout"),
                "25P03",
                "terminating connection due to idle-in-transaction timeout",
            ),
        };
        let next = match limit {
            None => io.next().await,
            Some(limit) => match tokio::time::timeout(limit, io.next()).await {
                Ok(next) => next,
                Err(_late) => Err(Gone::Malformed(Report::fatal(sqlstate, told))),
            },
        };
        match next {
            Ok(next) => Ok(next),
            Err(Gone::Closed) => Err(Over),
            Err(Gone::Malformed(report)) => {
                backend::report(&mut self.io.out, &report);
                Err(Over)
            }
        }
    }

    /// A message that cannot be read.
    async fn failed_message(&mut self, kind: u8, report: Report) -> Served {
        if self.session.skipping && report.severity != Severity::Fatal {
            return Ok(());
        }
        self.fail(report).await?;
        match kind {
            b'Q' | b'S' => self.ready(),
            _ => self.session.skipping = true,
        }
        Ok(())
    }

    /// Tells the client of an error, with all that follows for the transaction.
    async fn fail(&mut self, report: Report) -> Served {
        tracing::debug!(sqlstate = report.sqlstate(), message = %report.error.message, "a statement failed");
        self.session.abort().await;
        if self.io.broken {
            return Err(Over);
        }
        backend::report(&mut self.io.out, &report);
        if report.severity == Severity::Fatal {
            return Err(Over);
        }
        Ok(())
    }

    /// Warns the client, if it wants to hear it.
    fn warn(&mut self, report: &Report) {
        if self.session.state.settings.get("client_min_messages") != Some("error") {
            backend::report(&mut self.io.out, report);
        }
    }

    /// `ReadyForQuery`, after what there is to tell of settings.
    fn ready(&mut self) {
        for (name, value) in self.session.state.tell() {
            backend::parameter_status(&mut self.io.out, name, &value);
        }
        let status = match self.session.transaction.phase {
            Phase::None | Phase::Implicit => Status::Idle,
            Phase::Block => Status::InBlock,
            Phase::Failed => Status::Failed,
        };
        backend::ready(&mut self.io.out, status);
    }
}
