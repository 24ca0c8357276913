//! TLS that trusts the test servers' certificate and no other.

use std::{fs::File, io, io::BufReader, sync::Arc};

use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
use tokio_rustls::TlsConnector;

use super::client::Stream;
use crate::Tls;

/// The handshake.
pub(super) async fn connect(stream: Box<dyn Stream>) -> io::Result<Box<dyn Stream>> {
    let mut roots = RootCertStore::empty();
    let mut pem = BufReader::new(File::open(Tls::get().cert)?);
    for cert in rustls_pemfile::certs(&mut pem) {
        roots.add(cert?).map_err(io::Error::other)?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = builder
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
    Ok(Box::new(
        TlsConnector::from(Arc::new(config))
            .connect(name, stream)
            .await?,
    ))
}
