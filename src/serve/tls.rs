//! TLS towards clients.

use std::{fs, io, path::Path, sync::Arc};

use crossfade_config::ServerTls;
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer},
};

use crate::failure::Failure;

/// The server's side of handshakes with clients.
///
/// # Errors
/// When the certificate or the key cannot be read or do not belong together.
pub(super) fn server_config(tls: &ServerTls) -> Result<Arc<ServerConfig>, Failure> {
    let chain = certificates(&tls.cert)?;
    let key = private_key(&tls.key)?;
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions();
    let config =
        builder.and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key));
    config.map(Arc::new).map_err(|error| {
        Failure::usage(format!("the certificate of tls.cert and the key of tls.key cannot be used: {error}; name a chain and the key that it was issued for"))
    })
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let pem = fs::read(path).map_err(|error| unreadable("tls.cert", path, &error))?;
    let chain: Vec<_> = rustls_pemfile::certs(&mut pem.as_slice())
        .collect::<Result<_, _>>()
        .map_err(|error| unreadable("tls.cert", path, &error))?;
    if chain.is_empty() {
        Err(holds_none("tls.cert", path, "CERTIFICATE"))
    } else {
        Ok(chain)
    }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, Failure> {
    let pem = fs::read(path).map_err(|error| unreadable("tls.key", path, &error))?;
    let key = rustls_pemfile::private_key(&mut pem.as_slice())
        .map_err(|error| unreadable("tls.key", path, &error))?;
    key.ok_or_else(|| holds_none("tls.key", path, "PRIVATE KEY"))
}

fn unreadable(setting: &str, path: &Path, error: &io::Error) -> Failure {
    Failure::usage(format!(
        "cannot read \"{}\": {error}; correct `{setting}` or the rights of the file",
        path.display()
    ))
}

fn holds_none(setting: &str, path: &Path, what: &str) -> Failure {
    Failure::usage(format!(
        "\"{}\" holds no {what} in PEM form; correct `{setting}`",
        path.display()
    ))
}
