//! A certificate authority of one test and the server certificate it signs, good or bad in one chosen way.
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose, date_time_ymd};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::net::TcpStream;
use std::sync::Arc;

/// How the authority of these tests is called.
pub const AUTHORITY: &str = "keyfob test authority";

/// What a TLS server shows, and what its clients must trust.
#[derive(Clone)]
pub struct TlsIdentity {
    authority_pem: String,
    config: Arc<ServerConfig>,
}

/// What is wrong with a server's certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    Nothing,
    /// It ended in 2001.
    Expired,
    /// It begins in 2126.
    Early,
    /// It signed itself.
    SelfSigned,
    /// It signed itself, and is an authority's, as `openssl req -x509` makes them.
    Authority,
}

impl TlsIdentity {
    /// For 127.0.0.1 and localhost.
    pub fn generate() -> Self {
        Self::with(&["127.0.0.1", "localhost"], Wrong::Nothing)
    }

    /// For these hosts.
    pub fn with(hosts: &[&str], wrong: Wrong) -> Self {
        let mut authority = CertificateParams::default();
        authority.distinguished_name.push(DnType::CommonName, AUTHORITY);
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let authority_key = KeyPair::generate().expect("a key");
        let authority_pem = authority.self_signed(&authority_key).expect("an authority").pem();
        let issuer = Issuer::new(authority, authority_key);
        let key = KeyPair::generate().expect("a key");
        let mut leaf = CertificateParams::new(hosts.iter().map(|host| (*host).to_owned()).collect::<Vec<_>>()).expect("names");
        leaf.distinguished_name.push(DnType::CommonName, "keyfob test server");
        match wrong {
            Wrong::Expired => (leaf.not_before, leaf.not_after) = (date_time_ymd(2000, 1, 1), date_time_ymd(2001, 1, 1)),
            Wrong::Early => (leaf.not_before, leaf.not_after) = (date_time_ymd(2126, 1, 1), date_time_ymd(2127, 1, 1)),
            Wrong::Authority => leaf.is_ca = IsCa::Ca(BasicConstraints::Unconstrained),
            Wrong::Nothing | Wrong::SelfSigned => {}
        }
        let by_itself = matches!(wrong, Wrong::SelfSigned | Wrong::Authority);
        let leaf = if by_itself { leaf.self_signed(&key) } else { leaf.signed_by(&key, &issuer) }.expect("a certificate");
        let authority_pem = if by_itself { leaf.pem() } else { authority_pem };
        Self { authority_pem, config: server(leaf.der().clone(), &key) }
    }

    /// The certificate of who signed, as a file for `SSL_CERT_FILE` holds it.
    pub fn authority_pem(&self) -> &str {
        &self.authority_pem
    }

    pub(super) fn accept(&self, stream: TcpStream) -> StreamOwned<ServerConnection, TcpStream> {
        let connection = ServerConnection::new(Arc::clone(&self.config)).expect("the configuration is whole");
        StreamOwned::new(connection, stream)
    }
}

fn server(leaf: CertificateDer<'static>, key: &KeyPair) -> Arc<ServerConfig> {
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider knows the default versions")
        .with_no_client_auth()
        .with_single_cert(vec![leaf], key)
        .expect("certificate and key fit");
    Arc::new(config)
}
