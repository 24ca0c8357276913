//! The few lines of HTTP that the admin port needs.

use std::{io, net::SocketAddr};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// Status and body of `GET path`.
pub(super) async fn get(addr: SocketAddr, path: &str) -> io::Result<(u16, String)> {
    let mut stream = TcpStream::connect(addr).await?;
    let request = format!("GET {path} HTTP/1.0\r\nHost: {addr}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let parsed = answer
        .split_once("\r\n\r\n")
        .and_then(|(head, body)| Some((head.split(' ').nth(1)?, body)));
    let malformed = || io::Error::other(format!("not an HTTP answer: {answer}"));
    let (status, body) = parsed.ok_or_else(malformed)?;
    Ok((status.parse().map_err(|_| malformed())?, body.to_owned()))
}
