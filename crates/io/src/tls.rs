//! TLS by rustls, with ring.

use crate::end_point::end_point;
use postrider_core::TlsInfo;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, CommonState, ConnectionCommon, DigitallySignedStruct, ProtocolVersion, RootCertStore, ServerConfig,
    SignatureScheme,
};
use std::sync::Arc;

/// What the driver does when the session asks for TLS.
#[derive(Clone)]
pub enum Tls {
    /// Nothing: a handshake that is asked for fails.
    None,
    /// Be the server; see [`server_config`].
    Server(ServerTls),
    /// Be the client of the server with this name.
    Client {
        /// How; see [`client_config`].
        config: Arc<ClientConfig>,
        /// The name to ask for and to verify.
        name: ServerName<'static>,
        /// Whether `config` verifies the server's certificate. Reported in [`TlsInfo::verified`].
        verified: bool,
    },
}

/// How to be a server, and the hash of its certificate, which rustls does not tell of its own side.
#[derive(Clone, Debug)]
pub struct ServerTls {
    pub(crate) config: Arc<ServerConfig>,
    end_point: Option<Arc<[u8]>>,
}

impl ServerTls {
    /// The configuration itself.
    pub fn config(&self) -> &Arc<ServerConfig> {
        &self.config
    }
}

/// A configuration made by other means: which certificate it shows is not known, so that nothing can be bound to it
/// ([`TlsInfo::server_end_point`]).
impl From<Arc<ServerConfig>> for ServerTls {
    fn from(config: Arc<ServerConfig>) -> Self {
        Self { config, end_point: None }
    }
}

/// A TLS configuration cannot be made of what was given.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The PEM text of the certificate chain is not usable.
    #[error("the certificate is not usable: {0}")]
    Certificate(String),
    /// The PEM text of the private key is not usable.
    #[error("the private key is not usable: {0}")]
    Key(String),
    /// The key and the certificate do not fit, or rustls refuses them.
    #[error("the certificate and its key do not work together: {0}")]
    Pair(rustls::Error),
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, ConfigError> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|error| ConfigError::Certificate(error.to_string()))?;
    if chain.is_empty() {
        return Err(ConfigError::Certificate("there is no CERTIFICATE section in it".into()));
    }
    Ok(chain)
}

/// A server's configuration from a certificate chain and its key, both PEM.
///
/// # Errors
/// [`ConfigError`] says which of the two is wrong.
pub fn server_config(chain: &[u8], key: &[u8]) -> Result<ServerTls, ConfigError> {
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| ConfigError::Key(error.to_string()))?;
    let chain = certificates(chain)?;
    let end_point = chain.first().and_then(|own| end_point(own)).map(Arc::from);
    let config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("ring supports the default versions")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(ConfigError::Pair)?;
    Ok(ServerTls { config: Arc::new(config), end_point })
}

/// A client's configuration that trusts `roots`.
//= 4954-14-2, 4954-14-1, 2595-2.4-1, 2595-2.4-2, 5034-4-19
pub fn client_config(roots: RootCertStore) -> Arc<ClientConfig> {
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("ring supports the default versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config)
}

/// The certificates of a PEM text as roots to trust.
///
/// # Errors
/// [`ConfigError::Certificate`] if there is none in it, or one that cannot be a root.
pub fn roots(pem: &[u8]) -> Result<RootCertStore, ConfigError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem)? {
        roots.add(certificate).map_err(|error| ConfigError::Certificate(error.to_string()))?;
    }
    Ok(roots)
}

/// A client's configuration that takes any certificate: opportunistic TLS between mail servers (RFC 7435), where the
/// alternative is no TLS at all. Protects against listeners, not against impostors.
pub fn dangerous_unverified_client_config() -> Arc<ClientConfig> {
    let provider = provider();
    let config = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .expect("ring supports the default versions")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
        .with_no_client_auth();
    Arc::new(config)
}

#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// What the session is told of a finished handshake.
pub(crate) fn info<D>(connection: &ConnectionCommon<D>, server_name: Option<&str>, tls: &Tls) -> TlsInfo {
    let state: &CommonState = connection;
    let mut info = TlsInfo::default();
    info.version = match state.protocol_version() {
        Some(ProtocolVersion::TLSv1_3) => "TLSv1.3".into(),
        Some(ProtocolVersion::TLSv1_2) => "TLSv1.2".into(),
        _ => "TLS".into(),
    };
    if let Some(suite) = state.negotiated_cipher_suite() {
        let name = format!("{:?}", suite.suite());
        info.cipher = name.replacen("TLS13_", "TLS_", 1).into();
    }
    info.server_name = server_name.map(str::to_owned);
    info.verified = matches!(tls, Tls::Client { verified: true, .. });
    info.server_end_point = match tls {
        Tls::None => None,
        Tls::Server(own) => own.end_point.as_deref().map(<[u8]>::to_vec),
        Tls::Client { .. } => state.peer_certificates().and_then(|chain| end_point(chain.first()?)),
    };
    // RFC 9266, 2: only where the exporter is bound to the whole handshake, which TLS 1.3 is.
    if state.protocol_version() == Some(ProtocolVersion::TLSv1_3) {
        info.exporter = connection.export_keying_material(vec![0; 32], b"EXPORTER-Channel-Binding", Some(b"")).ok();
    }
    info
}
