//! A client of the simple protocol that writes down everything that an answer says.

use std::{collections::BTreeMap, fmt::Write as _, sync::Arc};

use bytes::BytesMut;
use fallible_iterator::FallibleIterator as _;
use postgres_protocol::message::{backend::Message, frontend};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// A connection.
pub(crate) struct Peer<S> {
    stream: S,
    inbound: BytesMut,
    names: Arc<BTreeMap<u32, String>>,
    /// As `ReadyForQuery` says it.
    pub(crate) state: u8,
}

/// What a COPY FROM is sent.
#[derive(Debug, Clone)]
pub(crate) enum Data {
    Bytes(Vec<u8>),
    /// The client gives up.
    Fail(String),
}

/// What a statement was answered.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    /// Names, types and modifiers of the columns.
    pub(crate) head: Option<String>,
    /// Rows as lines of text.
    pub(crate) rows: Vec<String>,
    /// Tags, errors, notices.
    pub(crate) end: String,
    pub(crate) sqlstate: Option<String>,
}

impl Answer {
    /// As it stands in a file.
    pub(crate) fn text(&self, as_set: bool) -> String {
        let mut rows = self.rows.clone();
        if as_set {
            rows.sort();
        }
        // How much comes before an error depends on the plan: PostgreSQL computes constants, RETURNING, and what it sorts before it tells the columns.
        if self.sqlstate.is_some() {
            return self.end.clone();
        }
        let told = self.head.as_ref();
        let head = told.map(|head| format!("> {head}\n")).into_iter();
        let rows = rows.iter().map(|row| format!("| {row}\n"));
        head.chain(rows).chain([self.end.clone()]).collect()
    }

    /// The only value.
    pub(crate) fn value(&self) -> String {
        assert_eq!(self.rows.len(), 1, "{self:?}");
        self.rows[0].clone()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Peer<S> {
    pub(crate) async fn start(
        stream: S,
        user: &str,
        database: &str,
        names: Arc<BTreeMap<u32, String>>,
    ) -> Peer<S> {
        let mut peer = Peer {
            stream,
            inbound: BytesMut::new(),
            names,
            state: b'I',
        };
        let mut out = BytesMut::new();
        let parameters = [
            ("user", user),
            ("database", database),
            ("client_encoding", "UTF8"),
            ("TimeZone", "Europe/Berlin"),
        ];
        frontend::startup_message(parameters, &mut out).unwrap();
        peer.stream.write_all(&out).await.unwrap();
        let answer = peer.answer(&[]).await;
        assert!(answer.sqlstate.is_none(), "{}", answer.end);
        peer
    }

    /// Runs one statement.
    pub(crate) async fn run(&mut self, sql: &str) -> Answer {
        self.run_with(sql, &[]).await
    }

    /// Runs one statement, with the data that it asks for.
    pub(crate) async fn run_with(&mut self, sql: &str, data: &[Data]) -> Answer {
        let mut out = BytesMut::new();
        frontend::query(sql, &mut out).unwrap();
        self.stream.write_all(&out).await.unwrap();
        self.answer(data).await
    }

    async fn send(&mut self, data: &[Data]) {
        let mut out = BytesMut::new();
        let mut fails = false;
        for data in data {
            match data {
                Data::Bytes(bytes) => frontend::CopyData::new(&bytes[..]).unwrap().write(&mut out),
                Data::Fail(why) => {
                    fails = true;
                    frontend::copy_fail(why, &mut out).unwrap();
                }
            }
        }
        if !fails {
            frontend::copy_done(&mut out);
        }
        self.stream.write_all(&out).await.unwrap();
    }

    /// Runs one that has to succeed.
    pub(crate) async fn ok(&mut self, sql: &str) -> Answer {
        let answer = self.run(sql).await;
        assert!(answer.sqlstate.is_none(), "{sql}\n{}", answer.end);
        answer
    }

    async fn answer(&mut self, data: &[Data]) -> Answer {
        let mut answer = Answer::default();
        loop {
            match self.message().await {
                Message::RowDescription(body) => {
                    let names = &self.names;
                    let name =
                        |oid: u32| names.get(&oid).cloned().unwrap_or_else(|| oid.to_string());
                    let fields = body.fields().map(|field| {
                        let mut text = format!("{} {}", field.name(), name(field.type_oid()));
                        if field.type_modifier() != -1 {
                            write!(text, "({})", field.type_modifier()).unwrap();
                        }
                        // Columns of the catalogs themselves have other places in every version.
                        if field.table_oid() >= 16_384 {
                            write!(text, " {}.{}", name(field.table_oid()), field.column_id())
                                .unwrap();
                        }
                        Ok(text)
                    });
                    let fields: Vec<String> = fields.collect().unwrap();
                    answer.head = Some(fields.join(", "));
                }
                Message::DataRow(body) => {
                    let ranges: Vec<_> = body.ranges().collect().unwrap();
                    let values = ranges.into_iter().map(|range| match range {
                        Some(range) => escaped(&body.buffer()[range]),
                        None => "\\N".to_owned(),
                    });
                    answer.rows.push(values.collect::<Vec<_>>().join("\t"));
                }
                Message::CommandComplete(body) => {
                    writeln!(answer.end, "= {}", body.tag().unwrap()).unwrap()
                }
                Message::CopyInResponse(body) => {
                    writeln!(answer.end, "< format {}", body.format()).unwrap();
                    self.send(data).await;
                }
                Message::CopyOutResponse(body) => {
                    answer.head = Some(format!("format {}", body.format()));
                }
                Message::CopyData(body) => answer.rows.push(escaped(body.data())),
                Message::EmptyQueryResponse => answer.end.push_str("= (empty)\n"),
                Message::ErrorResponse(body) => self.report("!", body.fields(), &mut answer),
                Message::NoticeResponse(body) => self.report("#", body.fields(), &mut answer),
                Message::ReadyForQuery(body) => {
                    self.state = body.status();
                    return answer;
                }
                _ => {}
            }
        }
    }

    fn report(
        &self,
        mark: &str,
        fields: postgres_protocol::message::backend::ErrorFields<'_>,
        answer: &mut Answer,
    ) {
        let fields: Vec<(u8, String)> = fields
            .map(|field| {
                Ok((
                    field.type_(),
                    String::from_utf8_lossy(field.value_bytes()).into_owned(),
                ))
            })
            .collect()
            .unwrap();
        let get = |kind: u8| {
            fields
                .iter()
                .find(|(known, _)| *known == kind)
                .map(|(_, value)| value.as_str())
        };
        writeln!(
            answer.end,
            "{mark} {} {} {}",
            get(b'S').unwrap_or(""),
            get(b'C').unwrap_or(""),
            get(b'M').unwrap_or("")
        )
        .unwrap();
        if mark == "!" {
            answer.sqlstate = get(b'C').map(str::to_owned);
        }
        let told = [
            (b'D', "detail"),
            (b'H', "hint"),
            (b'P', "position"),
            (b's', "schema"),
            (b't', "table"),
            (b'c', "column"),
            (b'd', "datatype"),
            (b'n', "constraint"),
        ];
        // Of everything else PostgreSQL tells a context that is its own affair.
        if let Some((_, context)) = get(b'W').and_then(|context| context.split_once("COPY ")) {
            writeln!(answer.end, "{mark}   context: COPY {context}").unwrap();
        }
        for (kind, word) in told {
            if let Some(value) = get(kind) {
                writeln!(answer.end, "{mark}   {word}: {value}").unwrap();
            }
        }
    }

    async fn message(&mut self) -> Message {
        loop {
            if let Some(message) = Message::parse(&mut self.inbound).unwrap() {
                return message;
            }
            let read = self.stream.read_buf(&mut self.inbound).await.unwrap();
            assert!(read > 0, "the server has closed the connection");
        }
    }
}

fn escaped(value: &[u8]) -> String {
    String::from_utf8_lossy(value)
        .replace('\\', "\\\\")
        .replace('\t', "\\t")
        .replace('\n', "\\n")
        .replace('\r', "\\r")
        .replace('\0', "\\0")
}
