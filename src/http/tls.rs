//! Which authorities vouch for a server, and who signed the certificate that none of them vouches for.
use crate::config::Environment;
use crate::failure::{Failure, Kind};
use crate::terminal::printable;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, OtherError, SignatureScheme};
use rustls_platform_verifier::Verifier;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

/// The largest file of authorities that is read, in bytes: twenty times what a platform's own bundle has.
const LARGEST: u64 = 4 << 20;

/// Returns how servers have to prove who they are: to one of the platform's authorities (or those that `SSL_CERT_FILE` and
/// `SSL_CERT_DIR` name instead), or one in `ca_file` (PEM).
///
/// # Errors
/// [`Kind::Misconfigured`] where `ca_file` cannot be used, or no authority is known at all.
pub(super) fn settings(ca_file: Option<&Path>, environment: &Environment) -> Result<ClientConfig, Failure> {
    let provider = Arc::new(ring::default_provider());
    let further = ca_file.map(|path| read_authorities(path, "ca_file")).transpose()?.unwrap_or_default();
    let verifier =
        Verifier::new_with_extra_roots(further, Arc::clone(&provider)).map_err(|error| no_authority(&error, environment))?;
    let mut settings = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Failure::new(Kind::Bug, "cannot set up https").because(error))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(NamingIssuers(verifier)))
        .with_no_client_auth();
    settings.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(settings)
}

/// Makes the library's choice of cryptography known to whoever asks for it; a second call changes nothing.
pub(super) fn install_provider() {
    let _ = CryptoProvider::install_default(ring::default_provider());
}

fn no_authority(error: &Error, environment: &Environment) -> Failure {
    let named = ["SSL_CERT_FILE", "SSL_CERT_DIR"].into_iter().find_map(|name| environment.text(name).map(|path| (name, path)));
    match named {
        Some((name @ "SSL_CERT_FILE", path)) => match read_authorities(Path::new(&path), name) {
            Err(failure) => failure,
            Ok(_) => unusable(Path::new(&path), name, "none of its certificates can be used"),
        },
        Some((name, path)) => unusable(Path::new(&path), name, "it holds no certificate that can be used"),
        None => {
            Failure::new(Kind::Misconfigured, "cannot set up https: this machine knows no certificate authority").because(error).hint(
                "install the system's CA certificates (the package `ca-certificates`), or name a PEM file in `ca_file` or SSL_CERT_FILE",
            )
        }
    }
}

fn unusable(path: &Path, key: &str, reason: &str) -> Failure {
    let what = if key == "SSL_CERT_DIR" { "folder of CA certificates" } else { "CA file" };
    let further = if key == "ca_file" { " (or, for AWS, in AWS_CA_BUNDLE)" } else { "" };
    Failure::new(Kind::Misconfigured, format!("cannot use the {what} `{}`", printable(&path.to_string_lossy())))
        .because(reason)
        .hint(format!("name certificates in PEM form in `{key}`{further}, or leave it out"))
}

/// Reads the certificates of a PEM file that `key` names.
fn read_authorities(path: &Path, key: &str) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let failure = |reason: &str| unusable(path, key, reason);
    // whatever else it is could have no end
    let size = std::fs::metadata(path)
        .map_err(|error| failure(&error.to_string()))
        .and_then(|facts| if facts.is_file() { Ok(facts.len()) } else { Err(failure("it is no file")) })?;
    if size > LARGEST {
        return Err(failure("it is larger than 4 MiB"));
    }
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(LARGEST).read_to_end(&mut bytes));
    read.map_err(|error| failure(&error.to_string()))?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) if bytes.starts_with(&[SEQUENCE]) => {
            Err(failure("it is in DER form; `openssl x509 -inform der -in FILE -out FILE.pem` makes it PEM"))
        }
        Ok(_) => Err(failure("it holds no certificate")),
        Err(_) => Err(failure("a certificate in it cannot be read")),
    }
}

/// The platform's verifier, which says of a certificate that it does not trust who signed it.
#[derive(Debug)]
struct NamingIssuers(Verifier);

impl ServerCertVerifier for NamingIssuers {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.0.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now).map_err(|error| {
            // another authority of the same name shows by its signature
            let unknown =
                matches!(error, Error::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature));
            match issuer(end_entity).filter(|_| unknown) {
                Some(name) => Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(Untrusted(name))))),
                None => error,
            }
        })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

/// Nobody who is trusted vouches for a certificate; who signed it.
struct Untrusted(String);

impl std::fmt::Display for Untrusted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "it is signed by `{}`, which nobody here trusts", self.0)
    }
}

/// The TLS library shows what is not its own by this.
impl std::fmt::Debug for Untrusted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Untrusted {}

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OBJECT: u8 = 0x06;
const VERSION: u8 = 0xa0;
/// `id-at-commonName` and `id-at-organizationName` (RFC 5280 appendix A.1).
const NAMES: [&[u8]; 2] = [&[0x55, 4, 3], &[0x55, 4, 10]];

/// Returns the common name, else the organization, of who signed a certificate (RFC 5280 §4.1), printable.
fn issuer(certificate: &[u8]) -> Option<String> {
    let (_, mut inner) = element(element(certificate)?.1)?;
    if inner.first() == Some(&VERSION) {
        inner = after(inner)?;
    }
    // behind the serial number and the algorithm
    let (_, mut rest) = element(after(after(inner)?)?)?;
    let mut found = [None, None];
    while let Some((SET, attribute)) = element(rest) {
        rest = after(rest)?;
        let (_, pair) = element(attribute)?;
        let (kind, id) = element(pair)?;
        let (_, text) = element(after(pair)?)?;
        for (place, known) in NAMES.into_iter().enumerate() {
            if kind == OBJECT && id == known {
                found[place] = Some(printable(&String::from_utf8_lossy(text)));
            }
        }
    }
    found.into_iter().flatten().find(|name| !name.is_empty())
}

/// Returns the tag and the content of the DER element that `bytes` begins with (X.690 §8.1).
fn element(bytes: &[u8]) -> Option<(u8, &[u8])> {
    let (tag, head, length) = header(bytes)?;
    Some((tag, bytes.get(head..head.checked_add(length)?)?))
}

/// Returns what comes behind the first element.
fn after(bytes: &[u8]) -> Option<&[u8]> {
    let (_, head, length) = header(bytes)?;
    bytes.get(head.checked_add(length)?..)
}

/// Returns the tag, how many bytes stand before the content, and how many are the content.
fn header(bytes: &[u8]) -> Option<(u8, usize, usize)> {
    let (tag, first) = (*bytes.first()?, *bytes.get(1)?);
    if first < 0x80 {
        return Some((tag, 2, first.into()));
    }
    let digits = bytes.get(2..2 + usize::from(first & 0x7f)).filter(|digits| (1..=4).contains(&digits.len()))?;
    let length = digits.iter().fold(0_usize, |length, digit| (length << 8) | usize::from(*digit));
    Some((tag, 2 + digits.len(), length))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DnType, Issuer, KeyPair};

    fn signed_by(names: &[(DnType, &str)]) -> Vec<u8> {
        let mut authority = CertificateParams::default();
        authority.distinguished_name = rcgen::DistinguishedName::new();
        for (kind, name) in names {
            authority.distinguished_name.push(kind.clone(), *name);
        }
        let issuer = Issuer::new(authority, KeyPair::generate().unwrap());
        let key = KeyPair::generate().unwrap();
        CertificateParams::new(vec!["sso.example.com".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap().der().to_vec()
    }

    #[test]
    fn who_signed_a_certificate_is_read_from_it() {
        let long = "x".repeat(300);
        type Row = (&'static [(DnType, &'static str)], Option<&'static str>);
        let rows: [Row; 5] = [
            (&[(DnType::CommonName, "Corp TLS Inspection")], Some("Corp TLS Inspection")),
            (&[(DnType::OrganizationName, "Corp"), (DnType::CountryName, "DE"), (DnType::CommonName, "Root")], Some("Root")),
            (&[(DnType::CountryName, "DE"), (DnType::OrganizationName, "Corp\u{1b}[2J")], Some("Corp[2J")),
            (&[(DnType::CountryName, "DE")], None),
            (&[], None),
        ];
        for (names, expected) in rows {
            assert_eq!(issuer(&signed_by(names)).as_deref(), expected, "{names:?}");
        }
        assert_eq!(issuer(&signed_by(&[(DnType::CommonName, &long)])).unwrap().chars().count(), 201);
    }

    #[test]
    fn no_certificate_that_is_cut_or_bent_is_read_beyond_its_end() {
        let whole = signed_by(&[(DnType::CommonName, "Corp TLS Inspection")]);
        for end in 0..whole.len() {
            let _ = issuer(&whole[..end]);
        }
        for place in 0..whole.len().min(200) {
            for value in [0, 0x30, 0x7f, 0x80, 0x84, 0xff] {
                let mut bent = whole.clone();
                bent[place] = value;
                let _ = issuer(&bent);
            }
        }
        assert_eq!(issuer(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff]), None);
    }
}
