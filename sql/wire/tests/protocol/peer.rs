//! A client that writes its messages by hand and reads the answers as short lines.

use std::{sync::Arc, time::Duration};

use bytes::{Buf as _, Bytes, BytesMut};
use crossfade_sql_wire::{Config, Server, Users};
use postgres_protocol::{IsNull, message::frontend};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

use crate::toy::{Toy, ToyEngine};

/// A server over a toy.
pub(crate) struct World {
    pub(crate) server: Arc<Server>,
    pub(crate) toy: Arc<Toy>,
}

pub(crate) fn world() -> World {
    world_with(None)
}

pub(crate) fn world_with(users: Option<Users>) -> World {
    let toy = Arc::new(Toy::default());
    let config = Config {
        server_version: "17.4".to_owned(),
        server_version_num: 170_004,
        schemas: vec!["public".to_owned(), "shop".to_owned()],
        settings: vec![("TimeZone".to_owned(), "Europe/Berlin".to_owned())],
        users,
    };
    let server = Server::new(Arc::new(ToyEngine(toy.clone())), config);
    World { server, toy }
}

impl World {
    /// A session of the proxy's own account.
    pub(crate) async fn peer(&self) -> Peer {
        self.peer_with(&[]).await
    }

    pub(crate) async fn peer_with(&self, settings: &[(&str, &str)]) -> Peer {
        let mut peer = Peer::new(self.server.connect(true));
        peer.start(settings);
        let answers = peer.go().await;
        assert_eq!(
            answers.last().map(|line| &line[..]),
            Some("Z I"),
            "{answers:?}"
        );
        peer
    }
}

/// A connection.
pub(crate) struct Peer {
    pub(crate) stream: DuplexStream,
    pub(crate) out: BytesMut,
    inbound: BytesMut,
    /// Body of `BackendKeyData`.
    pub(crate) key: (i32, i32),
    pub(crate) closed: bool,
}

impl Peer {
    pub(crate) fn new(stream: DuplexStream) -> Peer {
        Peer {
            stream,
            out: BytesMut::new(),
            inbound: BytesMut::new(),
            key: (0, 0),
            closed: false,
        }
    }

    pub(crate) fn start(&mut self, settings: &[(&str, &str)]) {
        let mut all = vec![("user", "app"), ("database", "shop")];
        all.extend_from_slice(settings);
        frontend::startup_message(all, &mut self.out).unwrap();
    }

    pub(crate) fn parse(&mut self, name: &str, sql: &str, types: &[u32]) -> &mut Self {
        frontend::parse(name, sql, types.iter().copied(), &mut self.out).unwrap();
        self
    }

    pub(crate) fn bind(&mut self, portal: &str, name: &str, values: &[Option<&str>]) -> &mut Self {
        self.bind_in(portal, name, values, [0])
    }

    pub(crate) fn bind_in(
        &mut self,
        portal: &str,
        name: &str,
        values: &[Option<&str>],
        results: impl IntoIterator<Item = i16>,
    ) -> &mut Self {
        let write = |value: &Option<&str>, out: &mut BytesMut| match value {
            Some(value) => {
                out.extend_from_slice(value.as_bytes());
                Ok(IsNull::No)
            }
            None => Ok(IsNull::Yes),
        };
        frontend::bind(portal, name, [0], values, write, results, &mut self.out)
            .unwrap_or_else(|_| panic!());
        self
    }

    pub(crate) fn describe(&mut self, kind: u8, name: &str) -> &mut Self {
        frontend::describe(kind, name, &mut self.out).unwrap();
        self
    }

    pub(crate) fn execute(&mut self, portal: &str, rows: i32) -> &mut Self {
        frontend::execute(portal, rows, &mut self.out).unwrap();
        self
    }

    pub(crate) fn close(&mut self, kind: u8, name: &str) -> &mut Self {
        frontend::close(kind, name, &mut self.out).unwrap();
        self
    }

    pub(crate) fn sync(&mut self) -> &mut Self {
        frontend::sync(&mut self.out);
        self
    }

    pub(crate) fn flush(&mut self) -> &mut Self {
        frontend::flush(&mut self.out);
        self
    }

    /// Parse, Bind, Describe and Execute of the unnamed statement.
    pub(crate) fn run(&mut self, sql: &str, values: &[Option<&str>]) -> &mut Self {
        self.parse("", sql, &[]).bind("", "", values).execute("", 0)
    }

    pub(crate) async fn send(&mut self) {
        self.stream.write_all(&self.out).await.unwrap();
        self.out.clear();
    }

    /// Sends what there is and reads up to `ReadyForQuery` or the end.
    pub(crate) async fn go(&mut self) -> Vec<String> {
        self.send().await;
        self.read_until(|line| line.starts_with("Z ")).await
    }

    pub(crate) async fn query(&mut self, sql: &str) -> Vec<String> {
        frontend::query(sql, &mut self.out).unwrap();
        self.go().await
    }

    /// The answers to a Query that is expected to work, without the description and the `ReadyForQuery`.
    pub(crate) async fn ask(&mut self, sql: &str) -> Vec<String> {
        let mut answers = self.query(sql).await;
        assert!(
            !answers.iter().any(|line| line.starts_with('E')),
            "{sql}: {answers:?}"
        );
        answers.retain(|line| !line.starts_with(['T', 'Z']));
        answers
    }

    pub(crate) async fn read_until(&mut self, last: impl Fn(&str) -> bool) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            let Some(line) = self.next().await else {
                self.closed = true;
                return lines;
            };
            lines.push(line);
            if last(&lines[lines.len() - 1]) {
                return lines;
            }
        }
    }

    pub(crate) async fn next(&mut self) -> Option<String> {
        loop {
            if let Some(header) = self.inbound.first_chunk::<5>() {
                let length = u32::from_be_bytes(header[1..].try_into().unwrap()) as usize;
                if self.inbound.len() > length {
                    let kind = self.inbound[0];
                    let body = self.inbound.split_to(length + 1).freeze().slice(5..);
                    return Some(self.line(kind, body));
                }
            }
            let read = self.stream.read_buf(&mut self.inbound);
            let read = tokio::time::timeout(Duration::from_secs(20), read).await;
            if read.expect("an answer in time").unwrap() == 0 {
                return None;
            }
        }
    }

    fn line(&mut self, kind: u8, mut body: Bytes) -> String {
        let text = |body: &mut Bytes| {
            let end = body.iter().position(|&byte| byte == 0).unwrap();
            let text = body.split_to(end);
            body.advance(1);
            String::from_utf8_lossy(&text).into_owned()
        };
        let name = char::from(kind).to_string();
        match kind {
            b'Z' => format!("Z {}", char::from(body[0])),
            b'C' => format!("C {}", text(&mut body)),
            b'S' => format!("S {}={}", text(&mut body), text(&mut body)),
            b'R' => format!("R {}", body.get_u32()),
            b'K' => {
                self.key = (body.get_i32(), body.get_i32());
                name
            }
            b'E' | b'N' => {
                let mut fields = Vec::new();
                while body[0] != 0 {
                    let code = char::from(body.get_u8());
                    let value = text(&mut body);
                    match code {
                        'V' => {}
                        'S' if value == "ERROR" => {}
                        'S' | 'C' | 'M' => fields.push(value),
                        code => fields.push(format!("{code}={value}")),
                    }
                }
                format!("{name} {}", fields.join(" | "))
            }
            b'T' => {
                let count = body.get_u16();
                let fields: Vec<String> = (0..count)
                    .map(|_| {
                        let name = text(&mut body);
                        body.advance(6);
                        let oid = body.get_u32();
                        body.advance(6);
                        format!("{name}:{oid}:{}", body.get_u16())
                    })
                    .collect();
                format!("T {}", fields.join(" "))
            }
            b't' => {
                let count = body.get_u16();
                let types: Vec<String> = (0..count).map(|_| body.get_u32().to_string()).collect();
                format!("t {}", types.join(" "))
            }
            b'D' => {
                let count = body.get_u16();
                let values: Vec<String> = (0..count)
                    .map(|_| match usize::try_from(body.get_i32()) {
                        Ok(length) => {
                            let value = body.split_to(length);
                            match std::str::from_utf8(&value) {
                                Ok(text) if !text.contains('\0') => text.to_owned(),
                                _ => format!("{:?}", &value[..]),
                            }
                        }
                        Err(_) => "NULL".to_owned(),
                    })
                    .collect();
                format!("D {}", values.join(","))
            }
            _ => name,
        }
    }
}
