use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use thiserror::Error;

/// Why TLS could not be set up. It names the part, and never shows a key.
#[derive(Debug, Error)]
#[error("{what}: {why}")]
pub struct TlsError {
    what: &'static str,
    why: String,
}

impl TlsError {
    pub(super) fn new(what: &'static str, why: impl std::fmt::Display) -> Self {
        Self { what, why: why.to_string() }
    }
}

/// ring, as everywhere in this program.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// The first certificate of a PEM text.
pub(super) fn certificate(what: &'static str, pem: &str) -> Result<CertificateDer<'static>, TlsError> {
    CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|error| TlsError::new(what, error))
}

/// A certificate with its key, which is checked to be its key.
pub(super) fn pair(what: &'static str, certificate: &str, key: &str) -> Result<CertifiedKey, TlsError> {
    let certificate = self::certificate(what, certificate)?;
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|error| TlsError::new(what, error))?;
    CertifiedKey::from_der(vec![certificate], key, &provider()).map_err(|error| TlsError::new(what, error))
}

/// How a client trusts: these authorities alone, and TLS 1.3. An error says what is wrong with the PEM text.
pub fn client_config(ca: &str) -> Result<ClientConfig, TlsError> {
    let what = "the certificate authority of the operator";
    let config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .map_err(|error| TlsError::new(what, error))?;
    Ok(config.with_root_certificates(roots(what, ca)?).with_no_client_auth())
}

/// What a server shows.
pub(super) fn server_config(shown: CertifiedKey) -> Result<ServerConfig, TlsError> {
    let what = "the certificate of the operator";
    let config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .map_err(|error| TlsError::new(what, error))?;
    let resolver = rustls::sign::SingleCertAndKey::from(shown);
    let mut config = config.with_no_client_auth().with_cert_resolver(Arc::new(resolver));
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn roots(what: &'static str, ca: &str) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(ca.as_bytes()) {
        let certificate = certificate.map_err(|error| TlsError::new(what, error))?;
        roots.add(certificate).map_err(|error| TlsError::new(what, error))?;
    }
    if roots.is_empty() {
        return Err(TlsError::new(what, "there is no certificate in it"));
    }
    Ok(roots)
}

/// Whether a client that trusts `ca` takes a server's certificate for all of these names at this time.
pub(super) fn trusted(ca: &str, certificate: &CertificateDer<'_>, names: &[String], at: UnixTime) -> bool {
    let Ok(roots) = roots("the certificate authority", ca) else { return false };
    let Ok(verifier) = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider()).build() else {
        return false;
    };
    names.iter().all(|name| {
        let Ok(name) = ServerName::try_from(name.as_str()) else { return false };
        verifier.verify_server_cert(certificate, &[], &name, &[], at).is_ok()
    })
}
