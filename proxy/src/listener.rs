//! Threads that serve clients: each with its own runtime and its own listening socket on the shared address.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, atomic::Ordering},
    thread,
    time::Duration,
};

use bytes::BytesMut;
use rustls::ServerConfig;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpListener, TcpStream},
    sync::watch,
};
use tokio_rustls::TlsAcceptor;

use crate::{
    errors::ClientError,
    login::{self, LoginError},
    session,
    shared::Shared,
};

/// Length of the kernel's queue of connections not yet accepted.
const BACKLOG: i32 = 1024;

/// Pause after a failed accept, mostly for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The listening threads.
#[derive(Debug)]
pub struct Listeners {
    threads: Vec<thread::JoinHandle<()>>,
    stop: watch::Sender<bool>,
    /// The address that is listened on (with the port that was chosen, when 0 was asked for).
    pub address: SocketAddr,
}

impl Listeners {
    /// Binds the configured address and starts the threads.
    ///
    /// # Errors
    /// When the address cannot be bound or a thread cannot be started.
    pub fn start(shared: &Arc<Shared>, tls: Option<Arc<ServerConfig>>) -> io::Result<Listeners> {
        let config = shared.config.load_full();
        let (stop, stopped) = watch::channel(false);
        // Before sockets with SO_REUSEPORT: a port that somebody else listens on in the same way would be shared without a word.
        let probe = bind(config.listen, false)?;
        let address = probe.local_addr()?.as_socket().unwrap_or(config.listen);
        drop(probe);
        let mut threads = Vec::with_capacity(config.workers);
        for worker in 0..config.workers {
            let socket = bind(address, true)?;
            socket.listen(BACKLOG)?;
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            let (shared, tls, stopped) = (shared.clone(), tls.clone(), stopped.clone());
            let run = move || {
                if let Err(error) =
                    runtime.block_on(accept_all(shared, worker, tls, socket, stopped))
                {
                    tracing::error!(%error, "a listening thread ended");
                }
            };
            threads.push(
                thread::Builder::new()
                    .name(format!("relay-{worker}"))
                    .spawn(run)?,
            );
        }
        Ok(Listeners {
            threads,
            stop,
            address,
        })
    }

    /// Stops accepting, and waits for the threads, which end with the last session; `within` bounds the wait. May be called again for those that are left.
    pub fn stop(&self, within: Duration) {
        self.stop.send_replace(true);
        let end = std::time::Instant::now() + within;
        for thread in &self.threads {
            while !thread.is_finished() && std::time::Instant::now() < end {
                thread::sleep(Duration::from_millis(5));
            }
        }
    }
}

fn bind(address: SocketAddr, shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

async fn accept_all(
    shared: Arc<Shared>,
    worker: usize,
    tls: Option<Arc<ServerConfig>>,
    socket: Socket,
    mut stopped: watch::Receiver<bool>,
) -> io::Result<()> {
    let listener = TcpListener::from_std(socket.into())?;
    let acceptor = tls.map(TlsAcceptor::from);
    loop {
        let tcp = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((tcp, _)) => tcp,
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            },
            _ = stopped.wait_for(|stopped| *stopped) => break,
        };
        tokio::spawn(serve(shared.clone(), worker, acceptor.clone(), tcp));
    }
    drop(listener);
    // Sessions end by themselves between two transactions; whoever asked for the stop bounds the wait.
    while shared.clients() > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

/// Counts a client for as long as it is served.
struct Counted(Arc<Shared>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.clients.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn serve(
    shared: Arc<Shared>,
    worker: usize,
    acceptor: Option<TlsAcceptor>,
    mut tcp: TcpStream,
) {
    let clients = &shared.config.load().clients.clone();
    let before = shared.clients.fetch_add(1, Ordering::Relaxed);
    let counted = Counted(shared.clone());
    if before >= clients.max_connections {
        let mut out = BytesMut::new();
        ClientError::new("53300", "crossfade has no room for another client")
            .hint("clients.max_connections in the configuration file bounds it")
            .write(&mut out, "FATAL");
        if let Err(error) = tcp.write_all(&out).await {
            tracing::debug!(%error, "a client over the limit was gone before it was told");
        }
        return;
    }
    if let Err(error) = tcp.set_nodelay(true) {
        tracing::debug!(%error, "a client was gone before it was greeted");
        return;
    }
    let logged_in = tokio::time::timeout(
        clients.login_timeout,
        login::login(&shared, acceptor.as_ref(), tcp),
    )
    .await;
    match logged_in {
        Ok(Ok(Some(logged_in))) => Box::pin(session::serve(shared, worker, logged_in)).await,
        Ok(Ok(None)) => {}
        Ok(Err(LoginError::ByServer)) => tracing::info!("a login was refused by the server"),
        Ok(Err(error @ LoginError::Store(_))) => {
            tracing::warn!(%error, "a client could not be served")
        }
        Ok(Err(error)) => tracing::info!(%error, "a client did not get as far as a session"),
        Err(_) => tracing::info!(
            after_ms = clients.login_timeout.as_millis(),
            "a client took too long to log in"
        ),
    }
    drop(counted);
}
