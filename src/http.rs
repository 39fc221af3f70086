//! HTTP towards authorization servers and exchanges: one client with limits that hold, and no redirects.
mod proxy;
mod reason;
mod tls;

use self::proxy::Proxies;
use self::reason::{Fault, Reason, explain, unauthorised};
use crate::config::Environment;
use crate::failure::{Failure, Kind};
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
pub(crate) const TOTAL: Duration = Duration::from_secs(30);
/// The most that is read of an answer's body, in bytes.
const BODY: u64 = 1 << 20;

/// A client for the servers of one login or exchange.
#[derive(Debug)]
pub(crate) struct Client {
    http: reqwest::blocking::Client,
    proxies: Proxies,
}

/// An answer, whatever its status.
pub(crate) struct Response {
    pub(crate) status: u16,
    /// What the server took for the present, in seconds since the epoch (RFC 9110 §6.6.1).
    pub(crate) date: Option<i64>,
    /// For how many seconds the server wants to be left alone (RFC 9110 §10.2.3).
    pub(crate) retry_after: Option<i64>,
    pub(crate) body: Zeroizing<Vec<u8>>,
}

impl std::fmt::Debug for Response {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Response")
            .field("status", &self.status)
            .field("body", &format_args!("[{} bytes]", self.body.len()))
            .finish()
    }
}

/// That no whole answer came.
#[derive(Debug)]
pub(crate) struct NoAnswer {
    pub(crate) failure: Failure,
    /// The server may have got the request, and done what it asks for.
    pub(crate) sent: bool,
}

impl From<NoAnswer> for Failure {
    fn from(no_answer: NoAnswer) -> Self {
        no_answer.failure
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
    /// Proxies are those of this process's environment, else the system's. A server on this machine is never asked through one.
    ///
    /// # Errors
    /// [`Kind::Misconfigured`] where no authority is known at all, `ca_file` cannot be read, or a variable names no proxy.
    pub(crate) fn towards(url: &Url, ca_file: Option<&Path>) -> Result<Self, Failure> {
        let environment = Environment::process();
        tls::install_provider();
        let mut builder = reqwest::blocking::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT)
            .timeout(TOTAL)
            .pool_max_idle_per_host(0)
            .tls_backend_preconfigured(tls::settings(ca_file, &environment)?)
            .user_agent(concat!("keyfob/", env!("CARGO_PKG_VERSION")));
        let proxies = Proxies::read(&environment)?;
        builder = match &proxies {
            Some(proxies) => proxies.apply(builder)?,
            None if is_loopback(url) => builder.no_proxy(),
            None => builder,
        };
        let http = builder.build().map_err(|error| {
            Failure::new(Kind::Misconfigured, "cannot set up https").because(reason::causes(&error).join(": "))
        })?;
        Ok(Self { http, proxies: proxies.unwrap_or_default() })
    }

    /// Fetches `url` as JSON, and waits for the answer as long as `limit`, [`TOTAL`] at most.
    ///
    /// # Errors
    /// [`Kind::Unreachable`] where no whole answer came; the sentence names the host, never the query.
    pub(crate) fn get(&self, url: &Url, limit: Duration) -> Result<Response, NoAnswer> {
        self.send(url, self.http.get(url.clone()).header("accept", "application/json"), limit)
    }

    /// Fetches `url` as [`Client::get`] does, with `token` (RFC 6750 §2.1).
    ///
    /// # Errors
    /// Those of [`Client::get`].
    pub(crate) fn get_with(&self, url: &Url, token: &Secret, limit: Duration) -> Result<Response, NoAnswer> {
        let request = self.http.get(url.clone()).header("accept", "application/json").bearer_auth(token.expose());
        self.send(url, request, limit)
    }

    /// Posts `fields` as a form, and waits for the answer as long as `limit`, [`TOTAL`] at most.
    ///
    /// # Errors
    /// [`Kind::Unreachable`] as in [`Client::get`].
    pub(crate) fn post_form(
        &self,
        url: &Url,
        fields: &[(&str, &str)],
        proof: Proof<'_>,
        limit: Duration,
    ) -> Result<Response, NoAnswer> {
        let body: String = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let mut request = self
            .http
            .post(url.clone())
            .header("content-type", "application/x-www-form-urlencoded")
            .header("accept", "application/json")
            .body(body);
        if let Proof::Basic { id, secret } = proof {
            let encode = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
            request = request.basic_auth(encode(id), Some(encode(secret.expose())));
        }
        self.send(url, request, limit)
    }

    fn send(&self, url: &Url, request: reqwest::blocking::RequestBuilder, limit: Duration) -> Result<Response, NoAnswer> {
        let host = url.host_str().unwrap_or_default().to_owned();
        let proxy = self.proxies.of(url);
        let (sender, receiver) = mpsc::channel();
        // the client's own time limit starts anew with each read of the body, so the whole is bounded here
        let started = std::thread::Builder::new().spawn(move || sender.send(exchange(request)));
        started.map_err(|error| NoAnswer {
            failure: Failure::new(Kind::Misconfigured, "cannot start a thread")
                .because(error)
                .hint("check the limits (`ulimit -u`)"),
            sent: false,
        })?;
        let (reason, sent) = match (receiver.recv_timeout(limit), proxy) {
            // a proxy's own answer, where it can read the request
            (Ok(Ok(Response { status: 407, .. })), Some(proxy)) if url.scheme() == "http" => (unauthorised(proxy), false),
            (Ok(Ok(response)), _) => return Ok(response),
            (Ok(Err(Broken::Client(fault))), _) => (explain(&fault, &host, proxy), !fault.connecting),
            (Ok(Err(Broken::Answer(text))), _) => (Reason::of_the_network(text, proxy), true),
            (Err(_), _) => (Reason::of_the_network(format!("no whole answer within {} seconds", limit.as_secs()), proxy), true),
        };
        let failure = Failure::new(Kind::Unreachable, format!("cannot reach `{host}`")).because(reason.text);
        Err(NoAnswer { failure: failure.hint(reason.remedy), sent })
    }
}

/// Why there is no whole answer.
enum Broken {
    Client(Fault),
    Answer(String),
}

fn exchange(request: reqwest::blocking::RequestBuilder) -> Result<Response, Broken> {
    let response = request.send().map_err(|error| Broken::Client(Fault::of(&error)))?;
    let status = response.status().as_u16();
    let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
    // nothing was asked for but chunks; what else there is would be read wrong, or unpacked without a bound
    let only = |name: &str, usual: &str| {
        response.headers().get_all(name).iter().all(|value| value.as_bytes().trim_ascii().eq_ignore_ascii_case(usual.as_bytes()))
    };
    if !only("content-encoding", "identity") || !only("transfer-encoding", "chunked") {
        return Err(Broken::Answer("its answer is packed in a way that was not asked for".into()));
    }
    let date = header("date").and_then(read_date);
    let retry_after = header("retry-after").and_then(|value| read_wait(value, date));
    let mut body = Zeroizing::new(Vec::new());
    let read = response.take(BODY + 1).read_to_end(&mut body);
    read.map_err(|error| Broken::Answer(format!("its answer broke off ({})", error.kind())))?;
    if body.len() as u64 > BODY {
        return Err(Broken::Answer("its answer is larger than 1 MiB".into()));
    }
    Ok(Response { status, date, retry_after, body })
}

/// Reads a number of seconds, or a date that is so far after the answer's own.
fn read_wait(text: &str, date: Option<i64>) -> Option<i64> {
    let seconds = text.trim().parse().ok().or_else(|| Some(read_date(text)?.saturating_sub(date?)));
    seconds.map(|seconds: i64| seconds.max(0))
}

fn read_date(text: &str) -> Option<i64> {
    chrono::DateTime::parse_from_rfc2822(text).ok().map(|date| date.timestamp())
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

    #[test]
    fn a_wait_is_a_number_or_a_date() {
        let date = read_date("Sat, 21 Nov 2026 13:15:17 GMT");
        assert_eq!(date, Some(1_795_266_917));
        let rows = [
            ("120", Some(120)),
            (" 0 ", Some(0)),
            ("-5", Some(0)),
            ("Sat, 21 Nov 2026 13:16:17 GMT", Some(60)),
            ("Sat, 21 Nov 2026 13:00:00 GMT", Some(0)),
            ("soon", None),
            ("", None),
            ("99999999999999999999", None),
        ];
        for (text, expected) in rows {
            assert_eq!(read_wait(text, date), expected, "{text}");
        }
        assert_eq!(read_wait("Sat, 21 Nov 2026 13:16:17 GMT", None), None);
    }
}
