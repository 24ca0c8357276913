//! TLS towards a store, with the meanings of libpq's `sslmode`.

use std::{fs::File, io::BufReader, sync::Arc};

use crossfade_config::{StoreUrl, TlsMode};
use rustls::{
    ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
};

use crate::StoreError;

/// The TLS settings for connections to `url`; `None` when TLS is switched off.
///
/// # Errors
/// When the root certificates cannot be read.
pub fn client_config(url: &StoreUrl) -> Result<Option<Arc<ClientConfig>>, StoreError> {
    let provider = Arc::new(ring::default_provider());
    let builder = || {
        ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| setup(url, error))
    };
    let config = match url.tls {
        TlsMode::Disable => return Ok(None),
        TlsMode::Prefer | TlsMode::Require => builder()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Lenient {
                chain: None,
                provider: provider.clone(),
            }))
            .with_no_client_auth(),
        TlsMode::VerifyCa => {
            let chain = WebPkiServerVerifier::builder_with_provider(
                Arc::new(roots(url)?),
                provider.clone(),
            )
            .build()
            .map_err(|error| setup(url, error))?;
            builder()?
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(Lenient {
                    chain: Some(chain),
                    provider: provider.clone(),
                }))
                .with_no_client_auth()
        }
        TlsMode::VerifyFull => builder()?
            .with_root_certificates(roots(url)?)
            .with_no_client_auth(),
    };
    Ok(Some(Arc::new(config)))
}

/// Whether a connection may go on in the clear when the server does not offer TLS.
pub(crate) fn may_be_plain(mode: TlsMode) -> bool {
    matches!(mode, TlsMode::Disable | TlsMode::Prefer)
}

fn setup(url: &StoreUrl, reason: impl ToString) -> StoreError {
    StoreError::Setup {
        store: url.to_string(),
        reason: reason.to_string(),
    }
}

fn roots(url: &StoreUrl) -> Result<RootCertStore, StoreError> {
    let Some(path) = &url.root_cert else {
        return Ok(RootCertStore {
            roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
        });
    };
    let name = |reason: String| {
        setup(
            url,
            format!("root certificates \"{}\": {reason}", path.display()),
        )
    };
    let file = File::open(path).map_err(|error| name(error.to_string()))?;
    let mut roots = RootCertStore::empty();
    for cert in rustls_pemfile::certs(&mut BufReader::new(file)) {
        let cert = cert.map_err(|error| name(error.to_string()))?;
        roots.add(cert).map_err(|error| name(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(name("no certificate in the file".to_owned()));
    }
    Ok(roots)
}

/// Checks signatures, and the chain where `chain` is there; never the host name.
#[derive(Debug)]
struct Lenient {
    chain: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Lenient {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(chain) = &self.chain else {
            return Ok(ServerCertVerified::assertion());
        };
        match chain.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            Err(Error::InvalidCertificate(
                rustls::CertificateError::NotValidForName
                | rustls::CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(
            message,
            cert,
            dss,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(
            message,
            cert,
            dss,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
