//! The HTTP admin port: `/metrics`, `/healthz`, `/readyz`, `/status` and a page at `/`; guards on trial, overrides and jobs.

mod answer;
pub(crate) mod asks;
mod routes;

pub(crate) use routes::on_trial;

use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, time::Duration};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};

use crate::{app::App, serve::Readiness};

/// Longest that a client may take for its headers.
const HEADERS: Duration = Duration::from_secs(10);
/// Most memory of a connection's buffer, in bytes: a request is a line and a few headers.
const BUFFER_BYTES: usize = 16 << 10;
/// Pause after a failed accept, mostly for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Listens on the admin port.
///
/// # Errors
/// When the address cannot be bound.
pub(crate) async fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(address).await
}

/// Answers for as long as it is polled.
pub(crate) async fn serve(app: Arc<App>, listener: TcpListener) {
    let readiness = Arc::new(Readiness::default());
    loop {
        match listener.accept().await {
            Ok((tcp, _)) => drop(tokio::spawn(connection(
                app.clone(),
                readiness.clone(),
                tcp,
            ))),
            Err(error) => {
                tracing::warn!(%error, "a connection to the admin port could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn connection(app: Arc<App>, readiness: Arc<Readiness>, tcp: TcpStream) {
    let service = service_fn(|request| {
        let (app, readiness) = (app.clone(), readiness.clone());
        async move { Ok::<_, Infallible>(routes::answer(&app, &readiness, &request).await) }
    });
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS)
        .max_buf_size(BUFFER_BYTES);
    if let Err(error) = builder.serve_connection(TokioIo::new(tcp), service).await {
        tracing::debug!(%error, "a connection to the admin port ended");
    }
}
