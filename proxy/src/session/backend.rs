//! A server's end of a managed session: the connection, and what it still owes an answer to.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    future::poll_fn,
    io,
    ops::Range,
    sync::Arc,
    task::{Poll, ready},
};

use bytes::{Bytes, BytesMut};
use crossfade_store::postgres::conn::Stream;
use tokio::io::AsyncReadExt as _;

use super::{
    account::ActsAs,
    capture::Capture,
    client::{Frame, write_now},
    transaction::Effect,
};
use crate::{
    login::header,
    route::Variant,
    wire::{
        HEADER, ProtocolError,
        backend::Status,
        frontend::{self, Target},
    },
};

/// A message of this size or more is passed on in pieces where nobody has to look inside.
const STREAM_FROM: usize = 64 * 1024;

/// What the server was sent and has not answered yet, in order.
#[derive(Debug)]
pub(crate) enum Expect {
    /// Parse.
    Parse {
        /// Whether the client sees the answer.
        show: bool,
    },
    /// Bind.
    Bind {
        /// Whether the client sees the answer.
        show: bool,
    },
    /// Close.
    Close {
        /// Whether the client sees the answer.
        show: bool,
    },
    /// Describe of a statement or portal.
    Describe {
        /// Columns at the end that the client did not ask for.
        strip: usize,
        /// Whether the client sees `NoData` (it does not where a Query was taken apart).
        show_none: bool,
    },
    /// Describe of a statement, for the types of its parameters alone.
    Types,
    /// Execute.
    Execute(Execute),
    /// Sync.
    Sync {
        /// Whether the client sees the `ReadyForQuery`.
        show: bool,
    },
    /// A Query passed on whole.
    Query {
        /// What each of its statements does to the transaction when it completes.
        effects: VecDeque<Option<Effect>>,
    },
    /// `FunctionCall`.
    Function,
}

/// An Execute and what is done with its rows.
#[derive(Debug, Default)]
pub(crate) struct Execute {
    /// Rows carry images at their end.
    pub(crate) capture: Option<Arc<Capture>>,
    /// The client asked for the rows (otherwise all there is of them is the image).
    pub(crate) show_rows: bool,
    /// The client sees the completion.
    pub(crate) show_complete: bool,
    /// The row is one store's part of a lookup in both; so many columns at its end are its version.
    pub(crate) lookup: Option<usize>,
    /// It inserts what was copied: to the client it is the COPY.
    pub(crate) copied: bool,
    /// The rows are an answer to the session itself; of a captured write, the last column of its own row is.
    pub(crate) own: bool,
    /// What its completion does to the transaction.
    pub(crate) effect: Option<Effect>,
    /// It inserts the transaction's intent.
    pub(crate) intent: bool,
    /// The client wants at most this many rows at once of a captured write: the rest waits in the portal of this name.
    pub(crate) portion: Option<(Bytes, usize)>,
}

/// Something that came from the server.
#[derive(Debug)]
pub(crate) enum Received {
    /// A whole message.
    Message(Frame),
    /// A piece of a large message that only passes through.
    Piece(Bytes),
}

/// One server connection of a session.
#[derive(Debug)]
pub(crate) struct Backend {
    pub(crate) stream: Stream,
    pub(crate) inbound: BytesMut,
    pub(crate) out: BytesMut,
    pub(crate) expect: VecDeque<Expect>,
    /// How many it has answered, or skipped.
    answered: u64,
    /// State of its transaction by the last `ReadyForQuery`, and by what statements have done to it since.
    pub(crate) status: Status,
    /// An error came, and no Sync was sent since: the server ignores what it gets.
    pub(crate) skipping: bool,
    /// Extended-protocol messages went out and no Sync after them: an implicit transaction may be open.
    pub(crate) batch: bool,
    /// The server takes `CopyData`.
    pub(crate) copy_in: bool,
    /// Prepared statements it has, by the client's name and the variant of the text; the value is the name they have there.
    pub(crate) prepared: HashMap<(Bytes, Variant), Bytes>,
    /// An error came, or a COMMIT was answered with ROLLBACK, since its last `ReadyForQuery`. Of this server alone: what another one says is no verdict on
    /// a commit that is under way here.
    pub(crate) batch_failed: bool,
    /// The error by which it ends the connection while nothing goes on over it.
    pub(crate) farewell: Option<Frame>,
    /// It may listen to channels, from a time when it was home.
    pub(crate) listens: bool,
    /// Statements that it has by these names and that were closed while the session was busy elsewhere.
    pub(crate) stale: HashSet<Bytes>,
    /// The intent of its transaction was refused: a block is to be rolled back as soon as the server listens again.
    pub(crate) intent_refused: bool,
    /// Who works on a connection that our own account has opened.
    pub(crate) acts_as: Option<ActsAs>,
    /// What the server has reported of its settings while the session was not at home in it.
    pub(crate) reported: Vec<(String, String)>,
    piece_left: usize,
}

impl Backend {
    pub(crate) fn new(stream: Stream) -> Backend {
        Backend {
            stream,
            inbound: BytesMut::new(),
            out: BytesMut::new(),
            expect: VecDeque::new(),
            answered: 0,
            status: Status::Idle,
            skipping: false,
            batch: false,
            copy_in: false,
            prepared: HashMap::new(),
            batch_failed: false,
            farewell: None,
            listens: false,
            stale: HashSet::new(),
            intent_refused: false,
            acts_as: None,
            reported: Vec::new(),
            piece_left: 0,
        }
    }

    /// Takes note of a `ParameterStatus`.
    pub(crate) fn note_parameter(&mut self, name: &str, value: &str) {
        self.reported.retain(|(known, _)| known != name);
        self.reported.push((name.to_owned(), value.to_owned()));
    }

    /// Whether the server owes nothing.
    pub(crate) fn settled(&self) -> bool {
        self.expect.is_empty() && self.piece_left == 0
    }

    /// Takes what it owes first off the list: it has answered that, or skips it.
    pub(crate) fn answer(&mut self) -> Option<Expect> {
        let expect = self.expect.pop_front()?;
        self.answered += 1;
        Some(expect)
    }

    /// The number of what it owes first, of all that it was ever sent.
    pub(crate) fn first_owed(&self) -> u64 {
        self.answered
    }

    /// The numbers of what it skips when it fails at what it owes first: of a Query nothing but itself, otherwise everything up to the next Sync.
    pub(crate) fn skipped(&self) -> Range<u64> {
        let first = self.answered;
        let is_sync = |expect: &Expect| matches!(expect, Expect::Sync { .. });
        let count = match self.fails_alone() {
            true => Some(1),
            false => self.expect.iter().position(is_sync),
        };
        let count = count.unwrap_or(self.expect.len() + 1);
        first..first + u64::try_from(count).unwrap_or(u64::MAX - first)
    }

    /// Whether what it owes first fails without anything behind it being skipped.
    fn fails_alone(&self) -> bool {
        matches!(
            self.expect.front(),
            Some(Expect::Query { .. } | Expect::Function)
        )
    }

    /// Takes what it [skips](Backend::skipped) off the list. Of a Query the `ReadyForQuery` is still to come.
    pub(crate) fn skip(&mut self) {
        if self.fails_alone() {
            return;
        }
        while !matches!(self.expect.front(), None | Some(Expect::Sync { .. })) {
            self.answer();
        }
        self.skipping = self.expect.is_empty();
    }

    /// The number of what it will owe next.
    pub(crate) fn next_owed(&self) -> u64 {
        self.answered + u64::try_from(self.expect.len()).unwrap_or(0)
    }

    /// Whether nothing goes on over it, no transaction and no request.
    pub(crate) fn is_idle(&self) -> bool {
        self.settled() && self.out.is_empty() && self.status == Status::Idle && !self.batch
    }

    /// Adds a statement of the session's own to the batch. The client sees none of its answers but an error. `name` is what its statement and
    /// portal go by; an earlier statement of that name is replaced.
    pub(crate) fn push_own(&mut self, name: &[u8], sql: &str, execute: Execute) {
        self.push_bound(name, sql, &[], &[0, 0, 0, 0], execute);
    }

    /// As [`Backend::push_own`], with parameters of these types as they stand in a Bind.
    pub(crate) fn push_bound(
        &mut self,
        name: &[u8],
        sql: &str,
        types: &[u32],
        parameters: &[u8],
        execute: Execute,
    ) {
        frontend::target(&mut self.out, b'C', Target::Statement, name);
        frontend::parse(&mut self.out, name, sql.as_bytes(), types);
        frontend::bind(&mut self.out, name, name, parameters, &[]);
        frontend::execute(&mut self.out, name, 0);
        // A named portal would stand in the way of the next one of that name until the transaction ends.
        frontend::target(&mut self.out, b'C', Target::Portal, name);
        self.batch = true;
        self.expect.extend([
            Expect::Close { show: false },
            Expect::Parse { show: false },
            Expect::Bind { show: false },
            Expect::Execute(execute),
            Expect::Close { show: false },
        ]);
    }

    /// Adds what makes the functions that a statement calls, so that the server knows them when it comes to it. Sent each time: whatever was made may have
    /// gone with a transaction, or by DISCARD.
    pub(crate) fn push_functions(&mut self, functions: &[std::sync::Arc<str>]) {
        for create in functions {
            self.push_own(b"crossfade_function", create, Execute::default());
        }
    }

    /// The next thing the server sent, as far as it has been read.
    pub(crate) fn next(&mut self) -> Result<Option<Received>, ProtocolError> {
        if self.piece_left > 0 {
            let here = self.piece_left.min(self.inbound.len());
            if here == 0 {
                return Ok(None);
            }
            self.piece_left -= here;
            return Ok(Some(Received::Piece(self.inbound.split_to(here).freeze())));
        }
        let Some((kind, length)) = header(&self.inbound)? else {
            return Ok(None);
        };
        let whole = HEADER + length;
        if self.inbound.len() >= whole {
            return Ok(Some(Received::Message(Frame {
                kind,
                whole: self.inbound.split_to(whole).freeze(),
            })));
        }
        if length >= STREAM_FROM && matches!(kind, b'D' | b'd') && self.passes_rows() {
            let here = self.inbound.split().freeze();
            self.piece_left = whole - here.len();
            return Ok(Some(Received::Piece(here)));
        }
        Ok(None)
    }

    fn passes_rows(&self) -> bool {
        match self.expect.front() {
            Some(Expect::Query { .. }) => true,
            Some(Expect::Execute(execute)) => execute.capture.is_none() && execute.show_rows,
            _ => false,
        }
    }

    /// Writes what is kept for the server as far as it takes it, and reads what it sends: until something was read or, when
    /// nothing is `wanted`, all is written. `false` when the server has closed. Cancel-safe.
    pub(crate) async fn exchange(&mut self, wanted: bool) -> io::Result<bool> {
        let Backend {
            stream,
            inbound,
            out,
            ..
        } = self;
        poll_fn(|cx| {
            write_now(cx, stream, out)?;
            if out.is_empty() {
                out.clear();
                if !wanted {
                    return Poll::Ready(Ok(true));
                }
            }
            poll_fill(cx, stream, inbound)
        })
        .await
    }

    /// Waits until the server sends something. `false` when it has closed. Cancel-safe.
    pub(crate) async fn fill(&mut self) -> io::Result<bool> {
        let Backend {
            stream, inbound, ..
        } = self;
        poll_fn(|cx| poll_fill(cx, stream, inbound)).await
    }

    /// Frees what an idle session need not hold.
    pub(crate) fn shrink(&mut self) {
        if self.inbound.is_empty() {
            self.inbound = BytesMut::new();
        }
        if self.out.is_empty() {
            self.out = BytesMut::new();
        }
    }
}

fn poll_fill(
    cx: &mut std::task::Context<'_>,
    stream: &mut Stream,
    inbound: &mut BytesMut,
) -> Poll<io::Result<bool>> {
    const CHUNK: usize = 16 * 1024;
    inbound.reserve(CHUNK / 4);
    let before = inbound.len();
    // Reading into initialised memory costs a memset; `read_buf` of tokio does the same without one.
    let mut read = std::pin::pin!(stream.read_buf(inbound));
    let count = ready!(std::future::Future::poll(read.as_mut(), cx))?;
    debug_assert_eq!(before + count, inbound.len());
    Poll::Ready(Ok(count > 0))
}
