//! One client's session: relayed where the phases allow it, managed statement by statement where they do not.

mod account;
mod across;
mod again;
mod ask;
mod backend;
mod bulk;
mod capture;
mod client;
mod commit;
mod early;
mod ending;
mod extended;
mod given_up;
mod guard;
mod handover;
mod managed;
mod merge;
mod merge_into;
mod names;
mod own;
mod plan;
mod pump;
mod relayed;
mod reworded;
mod settings;
mod simple;
mod skipped;
mod statements;
mod transaction;

use std::sync::Arc;

use bytes::BytesMut;
use crossfade_phase::Side;
use crossfade_store::postgres::conn::Stream;

pub(crate) use capture::Capture;
pub(crate) use managed::Managed;
pub(crate) use merge_into::MergeInto;
pub(crate) use transaction::Effect;

use crate::{
    cancel::CancelEntry,
    errors::ClientError,
    login::LoggedIn,
    pins::Pins,
    relay::{Exit, Relay, RelayState},
    shared::{Mode, Shared},
    wire::ProtocolError,
};

/// Why a session ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum End {
    /// The client closed its connection or said Terminate.
    #[error("the client is gone")]
    ClientGone,
    /// A server closed its connection, and the client has not been told why.
    #[error("the {0} store closed the connection")]
    ServerGone(Side),
    /// A server closed its connection. Whatever it said has been passed on, and nothing is added to it.
    #[error("the {0} store ended the connection")]
    ServerEnded(Side),
    /// Somebody broke the protocol.
    #[error(transparent)]
    Malformed(#[from] ProtocolError),
    /// The session cannot go on.
    #[error("{0}")]
    Fatal(ClientError),
    /// The proxy stops, and the session is between two transactions.
    #[error("crossfade stops")]
    Stopping,
}

/// Serves a client from the end of its login to its end.
pub(crate) async fn serve(shared: Arc<Shared>, worker: usize, logged_in: LoggedIn) {
    let LoggedIn {
        client,
        server,
        side,
        parameters,
        status,
        key,
        mapped,
    } = logged_in;
    if !mapped {
        return relay_only(&shared, client, server).await;
    }
    let value = |name: &str| {
        parameters
            .iter()
            .find(|(known, _)| known == name)
            .map_or("", |(_, value)| value.as_str())
    };
    let label = format!(
        "user {} application {} pid {}",
        value("user"),
        value("application_name"),
        pid(key.as_deref())
    );
    let cancel = key.map(|key| CancelEntry::new(shared.clone(), side, key));
    let pins = Pins::new(&shared, &label);
    let mut managed = Box::new(Managed::new(
        shared, worker, client, server, side, parameters, status, cancel, pins,
    ));
    let end = run(&mut managed).await;
    managed.end(end, &label).await;
}

fn pid(key: Option<&[u8]>) -> i32 {
    key.and_then(|key| key.first_chunk())
        .map_or(0, |pid| i32::from_be_bytes(*pid))
}

async fn relay_only(shared: &Shared, mut client: Stream, mut server: Stream) {
    let mut state = RelayState::default();
    let relay = Relay {
        client: &mut client,
        server: &mut server,
        state: &mut state,
        pins: None,
        tally: None,
        shared,
    };
    match relay.run(BytesMut::new()).await {
        Exit::Malformed(error) => tell_malformed(&mut client, &error).await,
        Exit::Changed(_) => tell(&mut client, &managed::stopping()).await,
        Exit::ClientGone | Exit::ServerGone => {}
    }
}

async fn run(managed: &mut Managed) -> End {
    loop {
        let outcome = match managed.enter().await {
            Ok(Mode::Relay(side)) => relay(managed, side).await,
            Ok(Mode::Managed) => managed.run().await,
            Err(end) => Err(end),
        };
        if let Err(end) = outcome {
            return end;
        }
    }
}

/// Relays until a toggle moves.
async fn relay(managed: &mut Managed, side: Side) -> Result<(), End> {
    let input = std::mem::take(&mut managed.client.inbound);
    let Some(backend) = managed.backends.get_mut(side) else {
        return Err(End::ServerGone(side));
    };
    let relay = Relay {
        client: &mut managed.client.stream,
        server: &mut backend.stream,
        state: &mut managed.relay,
        pins: Some(&mut managed.pins),
        tally: managed.tally.as_deref_mut(),
        shared: &managed.shared,
    };
    match relay.run(input).await {
        Exit::Changed(input) => {
            managed.client.inbound = input;
            Ok(())
        }
        Exit::ClientGone => Err(End::ClientGone),
        Exit::ServerGone => Err(End::ServerEnded(side)),
        Exit::Malformed(error) => Err(End::Malformed(error)),
    }
}

pub(crate) async fn tell_malformed(client: &mut Stream, error: &ProtocolError) {
    tell(client, &ClientError::new("08P01", error.to_string())).await;
}

/// The last words to a client.
async fn tell(client: &mut Stream, error: &ClientError) {
    use tokio::io::AsyncWriteExt as _;
    let mut out = BytesMut::new();
    error.write(&mut out, "FATAL");
    // The client may be gone already; what is worth it is in the log.
    if client.write_all(&out).await.is_ok() && client.shutdown().await.is_ok() {
        tracing::debug!(%error, "told the client why its connection ends");
    }
}
