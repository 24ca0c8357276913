//! The few lines of HTTP that the admin port needs.

use std::{io, net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// Longest that an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Status and body of `GET path`. Cancel-safe.
///
/// # Errors
/// When there is no answer in time, or none that is HTTP.
pub(super) async fn get(addr: SocketAddr, path: &str) -> io::Result<(u16, String)> {
    let late = |_| {
        io::Error::new(
            io::ErrorKind::TimedOut,
            format!("{path}: no answer within {} s", PATIENCE.as_secs()),
        )
    };
    tokio::time::timeout(PATIENCE, ask(addr, path))
        .await
        .map_err(late)?
}

async fn ask(addr: SocketAddr, path: &str) -> io::Result<(u16, String)> {
    let mut stream = TcpStream::connect(addr).await?;
    let request = format!("GET {path} HTTP/1.0\r\nHost: {addr}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    let answer = String::from_utf8_lossy(&answer);
    parse(&answer).ok_or_else(|| io::Error::other(format!("{path}: not an HTTP answer")))
}

fn parse(answer: &str) -> Option<(u16, String)> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some((status, body.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn status_and_body_are_told_apart() {
        assert_eq!(
            parse("HTTP/1.1 503 Not ready\r\nA: b\r\n\r\nwait"),
            Some((503, "wait".to_owned()))
        );
        assert_eq!(parse("garbage"), None);
    }
}
