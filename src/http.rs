//! HTTP towards authorization servers and exchanges: one client with limits that hold, and no redirects.
use crate::failure::{Failure, Kind};
use crate::terminal::printable;
use helper_protocols::Secret;
use std::io::Read;
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;
use url::Url;
use zeroize::Zeroizing;

/// The longest that connecting may take.
const CONNECT: Duration = Duration::from_secs(10);
/// The longest that a whole exchange may take, from the first byte out to the last one in.
const TOTAL: Duration = Duration::from_secs(30);
/// The most that is read of an answer's body, in bytes.
const BODY: u64 = 1 << 20;

/// A client for the servers of one login or exchange.
#[derive(Debug)]
pub(crate) struct Client(reqwest::blocking::Client);

/// An answer, whatever its status.
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) body: Zeroizing<Vec<u8>>,
    /// For how many seconds the server does not want to be asked again (RFC 9110 §10.2.3), 0 or more.
    pub(crate) retry_after: Option<i64>,
}

impl std::fmt::Debug for Response {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Response")
            .field("status", &self.status)
            .field("body", &format_args!("[{} bytes]", self.body.len()))
            .finish()
    }
}

/// How a request proves which client sends it (RFC 6749 §2.3.1).
#[derive(Clone, Copy, Debug)]
pub(crate) enum Proof<'a> {
    None,
    Basic { id: &'a str, secret: &'a Secret },
}

impl Client {
    /// Makes the client for servers like the one at `url`. `ca_file` names further authorities in PEM beside the platform's.
    ///
    /// A server on this machine is never asked through a proxy.
    ///
    /// # Errors
    /// [`Kind::Misconfigured`] where no authority is known at all, or `ca_file` cannot be read.
    pub(crate) fn towards(url: &Url, ca_file: Option<&Path>) -> Result<Self, Failure> {
        // a second installation fails and changes nothing
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = reqwest::blocking::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT)
            .timeout(TOTAL)
            .pool_max_idle_per_host(0)
            .user_agent(concat!("keyfob/", env!("CARGO_PKG_VERSION")));
        if let Some(path) = ca_file {
            builder = builder.tls_certs_merge(read_authorities(path)?);
        }
        if is_loopback(url) {
            builder = builder.no_proxy();
        }
        builder.build().map(Self).map_err(|error| {
            Failure::new(Kind::Misconfigured, "cannot set up https").because(innermost(&error)).hint(
                "install the system's CA certificates (the package `ca-certificates`), or name a PEM file in `ca_file` or SSL_CERT_FILE",
            )
        })
    }

    /// Fetches `url` as JSON.
    ///
    /// # Errors
    /// [`Kind::Unreachable`] where no whole answer came; the sentence names the host, never the query.
    pub(crate) fn get(&self, url: &Url) -> Result<Response, Failure> {
        self.send(url, self.0.get(url.clone()).header("accept", "application/json"))
    }

    /// Posts `fields` as a form.
    ///
    /// # Errors
    /// [`Kind::Unreachable`] as in [`Client::get`].
    pub(crate) fn post_form(&self, url: &Url, fields: &[(&str, &str)], proof: Proof<'_>) -> Result<Response, Failure> {
        let body: String = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let mut request = self
            .0
            .post(url.clone())
            .header("content-type", "application/x-www-form-urlencoded")
            .header("accept", "application/json")
            .body(body);
        if let Proof::Basic { id, secret } = proof {
            let encode = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
            request = request.basic_auth(encode(id), Some(encode(secret.expose())));
        }
        self.send(url, request)
    }

    fn send(&self, url: &Url, request: reqwest::blocking::RequestBuilder) -> Result<Response, Failure> {
        let host = url.host_str().unwrap_or_default().to_owned();
        let (sender, receiver) = mpsc::channel();
        // the client's own time limit starts anew with each read of the body, so the whole is bounded here
        let started = std::thread::Builder::new().spawn(move || sender.send(exchange(request)));
        started.map_err(|error| {
            Failure::new(Kind::Misconfigured, "cannot start a thread").because(error).hint("check the limits (`ulimit -u`)")
        })?;
        let answer = receiver.recv_timeout(TOTAL);
        answer.unwrap_or_else(|_| Err(format!("no whole answer within {} seconds", TOTAL.as_secs()))).map_err(|reason| {
            let hint = if reason.contains("certificate") {
                "name the authority that signed it in the login's `ca_file`, or in SSL_CERT_FILE"
            } else {
                "check the network, `https_proxy` and the issuer in the configuration; you are still signed in where you were"
            };
            Failure::new(Kind::Unreachable, format!("cannot reach `{host}`")).because(reason).hint(hint)
        })
    }
}

fn exchange(request: reqwest::blocking::RequestBuilder) -> Result<Response, String> {
    let response = request.send().map_err(|error| describe(&error))?;
    let status = response.status().as_u16();
    let retry_after = retry_after(response.headers());
    let mut body = Zeroizing::new(Vec::new());
    response.take(BODY + 1).read_to_end(&mut body).map_err(|error| format!("its answer broke off ({})", error.kind()))?;
    if body.len() as u64 > BODY {
        return Err("its answer is larger than 1 MiB".into());
    }
    Ok(Response { status, body, retry_after })
}

/// Reads `Retry-After`: seconds, or a date, which is compared with the server's own clock.
fn retry_after(headers: &reqwest::header::HeaderMap) -> Option<i64> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let date = |text: &str| chrono::DateTime::parse_from_rfc2822(text).ok().map(|date| date.timestamp());
    let wanted = text("retry-after")?;
    let seconds = wanted.parse::<i64>().ok().or_else(|| Some(date(wanted)?.saturating_sub(date(text("date")?)?)));
    seconds.map(|seconds| seconds.max(0))
}

/// The client's own sentences carry the URL, whose query can hold secrets; only what kind of fault it was is said.
fn describe(error: &reqwest::Error) -> String {
    let cause = innermost(error);
    if error.is_timeout() {
        "it did not answer in time".into()
    } else if error.is_connect() {
        cause
    } else {
        format!("the exchange failed ({cause})")
    }
}

fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    printable(&cause.to_string())
}

fn read_authorities(path: &Path) -> Result<Vec<reqwest::Certificate>, Failure> {
    let failure = |reason: String| {
        Failure::new(Kind::Misconfigured, format!("cannot use the CA file `{}`", path.display()))
            .because(reason)
            .hint("name a readable file of PEM certificates in `ca_file`")
    };
    let pem = std::fs::read(path).map_err(|error| failure(error.to_string()))?;
    let certificates = reqwest::Certificate::from_pem_bundle(&pem).map_err(|error| failure(innermost(&error)))?;
    if certificates.is_empty() {
        return Err(failure("it holds no certificate".into()));
    }
    Ok(certificates)
}

/// Whether `url` names this machine: 127.0.0.0/8, `[::1]` or `localhost`.
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::header::{HeaderMap, HeaderValue};

    #[test]
    fn how_long_a_server_wants_to_be_left_alone_is_read_by_its_own_clock() {
        let date = Some("Wed, 21 Oct 2015 07:28:00 GMT");
        let rows = [
            (Some("120"), None, Some(120)),
            (Some(" 0 "), None, Some(0)),
            (Some("-5"), None, Some(0)),
            (Some("Wed, 21 Oct 2015 07:29:30 GMT"), date, Some(90)),
            (Some("Wed, 21 Oct 2015 07:27:00 GMT"), date, Some(0)),
            (Some("Wed, 21 Oct 2015 07:29:30 GMT"), None, None),
            (Some("later"), date, None),
            (None, date, None),
        ];
        for (wanted, date, expected) in rows {
            let mut headers = HeaderMap::new();
            for (name, value) in [("retry-after", wanted), ("date", date)] {
                if let Some(value) = value {
                    headers.insert(name, HeaderValue::from_static(value));
                }
            }
            assert_eq!(retry_after(&headers), expected, "{wanted:?} {date:?}");
        }
    }
}
