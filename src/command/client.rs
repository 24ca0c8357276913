//! The admin port of a running proxy, as commands use it.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use crossfade_config::Config;
use http_body_util::{BodyExt as _, Empty};
use hyper::{Method, Request, body::Bytes, client::conn::http1, header::HOST};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::{net::TcpStream, time::timeout};

use crate::{
    admin::asks::{ErrorAnswer, HEADER, query},
    failure::Failure,
};

/// Longest wait for the port to take a connection.
const CONNECT: Duration = Duration::from_secs(2);
/// Longest wait for an answer: a guard on trial may look at large catalogs.
const ANSWER: Duration = Duration::from_secs(120);

/// A running proxy.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    address: SocketAddr,
}

impl Client {
    /// The proxy that serves this file; `None` when nothing listens on its admin port.
    ///
    /// # Errors
    /// When something listens there that does not answer as a proxy does.
    pub(crate) async fn of(config: &Config) -> Result<Option<Client>, Failure> {
        match config.admin {
            Some(address) => Client::at(address).await,
            None => Ok(None),
        }
    }

    /// The proxy whose admin port is there.
    ///
    /// # Errors
    /// As [`Client::of`].
    pub(crate) async fn at(address: SocketAddr) -> Result<Option<Client>, Failure> {
        let address = reachable(address);
        match timeout(CONNECT, TcpStream::connect(address)).await {
            Ok(Ok(_)) => {
                let client = Client { address };
                let alive = client.text("/healthz").await?;
                if alive.trim() == "ok" {
                    Ok(Some(client))
                } else {
                    Err(client.stranger("something else"))
                }
            }
            Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(None),
            Ok(Err(error)) => Err(Failure::broken(format!(
                "the admin port {address} cannot be reached: {error}; correct `admin` in the file"
            ))),
            Err(_) => Err(Failure::broken(format!(
                "the admin port {address} takes no connection; look at the log of `crossfade serve`"
            ))),
        }
    }

    /// `GET` of a path with a query.
    ///
    /// # Errors
    /// What the proxy says, or that it does not answer.
    pub(crate) async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        parts: &[(&str, &str)],
    ) -> Result<T, Failure> {
        self.json(Method::GET, &with_query(path, parts)).await
    }

    /// `POST` to a path with a query.
    ///
    /// # Errors
    /// What the proxy says, or that it does not answer.
    pub(crate) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        parts: &[(&str, &str)],
    ) -> Result<T, Failure> {
        self.json(Method::POST, &with_query(path, parts)).await
    }

    /// The text of a page.
    ///
    /// # Errors
    /// When the proxy does not answer.
    pub(crate) async fn text(&self, path: &str) -> Result<String, Failure> {
        let (_, body) = self.ask(Method::GET, path).await?;
        Ok(String::from_utf8_lossy(&body).into_owned())
    }

    async fn json<T: DeserializeOwned>(&self, method: Method, target: &str) -> Result<T, Failure> {
        let (status, body) = self.ask(method, target).await?;
        if status.is_success() {
            return serde_json::from_slice(&body)
                .map_err(|error| self.stranger(&format!("another release ({error})")));
        }
        match serde_json::from_slice::<ErrorAnswer>(&body) {
            Ok(answer) if status.is_client_error() => Err(Failure::usage(answer.error)),
            Ok(answer) => Err(Failure::broken(answer.error)),
            Err(_) => Err(self.stranger("something else")),
        }
    }

    async fn ask(
        &self,
        method: Method,
        target: &str,
    ) -> Result<(hyper::StatusCode, Bytes), Failure> {
        let gone = |why: String| {
            Failure::broken(format!(
                "the proxy on {} does not answer: {why}; look at the log of `crossfade serve`",
                self.address
            ))
        };
        let exchange = async {
            let tcp = TcpStream::connect(self.address)
                .await
                .map_err(|error| error.to_string())?;
            let (mut sender, connection) = http1::handshake(TokioIo::new(tcp))
                .await
                .map_err(|error| error.to_string())?;
            // It ends with the answer.
            tokio::spawn(connection);
            let request = Request::builder()
                .method(method)
                .uri(target)
                .header(HOST, self.address.to_string())
                .header(HEADER, "1");
            let request = request
                .body(Empty::<Bytes>::new())
                .map_err(|error| error.to_string())?;
            let response = sender
                .send_request(request)
                .await
                .map_err(|error| error.to_string())?;
            let status = response.status();
            let body = response
                .into_body()
                .collect()
                .await
                .map_err(|error| error.to_string())?
                .to_bytes();
            Ok::<_, String>((status, body))
        };
        match timeout(ANSWER, exchange).await {
            Ok(outcome) => outcome.map_err(gone),
            Err(_) => Err(gone(format!("nothing came within {} s", ANSWER.as_secs()))),
        }
    }

    fn stranger(&self, what: &str) -> Failure {
        Failure::usage(format!(
            "{what} than this release's proxy answers on the admin port {}; correct `admin` in the file",
            self.address
        ))
    }
}

fn with_query(path: &str, parts: &[(&str, &str)]) -> String {
    if parts.is_empty() {
        path.to_owned()
    } else {
        format!("{path}?{}", query(parts))
    }
}

/// The address to reach a listener at: one that listens everywhere listens on loopback.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        IpAddr::V4(_) | IpAddr::V6(_) => {}
    }
    address
}
