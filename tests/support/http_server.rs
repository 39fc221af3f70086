//! A small HTTP/1.1 server on loopback for tests, plain or over TLS: a thread per connection, whole requests in, whole
//! answers out.
use super::tls::TlsIdentity;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// A request as it came, its body decoded from chunks where need be.
#[derive(Clone, Debug, Default)]
pub struct Request {
    pub method: String,
    /// The path without the query, still percent-encoded.
    pub path: String,
    /// The query without `?`, still percent-encoded; empty where there was none.
    pub query: String,
    /// Names in lower case, in the order they came.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// The query's parameters, decoded.
    pub fn parameters(&self) -> Vec<(String, String)> {
        pairs(self.query.as_bytes())
    }

    pub fn parameter(&self, name: &str) -> Option<String> {
        self.parameters().into_iter().find(|(n, _)| n == name).map(|(_, v)| v)
    }

    /// The body as a form, decoded.
    pub fn form(&self) -> Vec<(String, String)> {
        pairs(&self.body)
    }

    pub fn field(&self, name: &str) -> Option<String> {
        self.form().into_iter().find(|(n, _)| n == name).map(|(_, v)| v)
    }
}

fn pairs(encoded: &[u8]) -> Vec<(String, String)> {
    url::form_urlencoded::parse(encoded).into_owned().collect()
}

/// A part of an answer that is played.
#[derive(Clone, Debug)]
pub enum Act {
    Send(Vec<u8>),
    /// The bytes so many times, as fast as they are taken.
    Repeat(Vec<u8>, u64),
    Pause(Duration),
    /// Nothing more, until the other end leaves.
    Hold,
    /// The connection ends by a reset.
    Reset,
}

/// An answer. `Response::Drop` closes the connection without a byte; `Raw` sends bytes as they are and closes; `Drip`
/// sends them one at a time with a pause after each; `Huge` sends a 200 whose JSON body of that many bytes has no
/// announced length and no end.
#[derive(Clone, Debug)]
pub enum Response {
    Full {
        status: u16,
        headers: Vec<(String, String)>,
        body: Vec<u8>,
    },
    Raw(Vec<u8>),
    Drip(Vec<u8>, Duration),
    Huge(u64),
    /// Whatever these acts send, and then the end of the connection.
    Play(Arc<[Act]>),
    Drop,
}

impl Response {
    pub fn new(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        Self::Full { status, headers: vec![("content-type".into(), content_type.into())], body: body.into() }
    }

    pub fn json(status: u16, value: &serde_json::Value) -> Self {
        Self::new(status, "application/json", value.to_string())
    }

    pub fn text(status: u16, body: &str) -> Self {
        Self::new(status, "text/plain; charset=utf-8", body)
    }

    pub fn redirect(location: &str) -> Self {
        Self::text(302, "").with("location", location)
    }

    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        if let Self::Full { headers, .. } = &mut self {
            headers.push((name.into(), value.into()));
        }
        self
    }
}

type Handler = dyn Fn(&Request) -> Response + Send + Sync;

/// A running server. It stops when dropped.
pub struct HttpServer {
    address: SocketAddr,
    scheme: &'static str,
    stopping: Arc<AtomicBool>,
}

impl HttpServer {
    /// Listens on 127.0.0.1, on a port the OS picks, and answers each request with `handle`.
    pub fn start(handle: impl Fn(&Request) -> Response + Send + Sync + 'static) -> Self {
        Self::start_with(0, None, handle)
    }

    /// The same on `port`; 0 lets the OS pick.
    pub fn start_on(port: u16, handle: impl Fn(&Request) -> Response + Send + Sync + 'static) -> Self {
        Self::start_with(port, None, handle)
    }

    /// The same over TLS, with a certificate for 127.0.0.1 and localhost.
    pub fn start_tls(identity: &TlsIdentity, handle: impl Fn(&Request) -> Response + Send + Sync + 'static) -> Self {
        Self::start_with(0, Some(identity), handle)
    }

    /// On `port`, over TLS where there is an identity.
    pub fn start_with(
        port: u16,
        identity: Option<&TlsIdentity>,
        handle: impl Fn(&Request) -> Response + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).expect("a loopback port is free");
        let address = listener.local_addr().expect("a bound socket has an address");
        let stopping = Arc::new(AtomicBool::new(false));
        let (handle, stop): (Arc<Handler>, _) = (Arc::new(handle), Arc::clone(&stopping));
        let scheme = if identity.is_some() { "https" } else { "http" };
        let identity = identity.cloned();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                let (Ok(stream), handle, identity) = (stream, Arc::clone(&handle), identity.clone()) else { continue };
                std::thread::spawn(move || accept(stream, identity.as_ref(), handle.as_ref()));
            }
        });
        Self { address, scheme, stopping }
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// `http://127.0.0.1:PORT` or `https://127.0.0.1:PORT`, without a slash at the end.
    pub fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}

fn accept(stream: TcpStream, identity: Option<&TlsIdentity>, handle: &Handler) {
    let _ = stream.set_read_timeout(Some(Duration::from_secs(120)));
    let _ = stream.set_nodelay(true);
    match identity {
        None => {
            let mut reader = BufReader::new(stream);
            if serve(&mut reader, handle) == End::Reset {
                reset_at_end(reader.get_ref());
            }
        }
        Some(identity) => {
            let mut reader = BufReader::new(identity.accept(stream));
            serve(&mut reader, handle);
            reader.get_mut().conn.send_close_notify();
            let _ = reader.get_mut().flush();
        }
    }
}

/// How a connection ends.
#[derive(PartialEq)]
enum End {
    Closed,
    Reset,
}

#[cfg(unix)]
#[allow(unsafe_code, reason = "the standard library cannot ask for a reset yet")]
fn reset_at_end(stream: &TcpStream) {
    use std::os::fd::AsRawFd;
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    let length = libc::socklen_t::try_from(size_of::<libc::linger>()).expect("it is a few bytes");
    // SAFETY: the socket is open, and the option is as long as is said
    let set =
        unsafe { libc::setsockopt(stream.as_raw_fd(), libc::SOL_SOCKET, libc::SO_LINGER, (&raw const linger).cast(), length) };
    assert_eq!(set, 0, "a socket takes SO_LINGER");
}

#[cfg(not(unix))]
fn reset_at_end(_: &TcpStream) {}

fn serve<S: Read + Write>(reader: &mut BufReader<S>, handle: &Handler) -> End {
    while let Some(request) = read_request(reader) {
        let close = request.header("connection").is_some_and(|v| v.eq_ignore_ascii_case("close"));
        let response = handle(&request);
        if let Response::Play(acts) = &response {
            return play(reader, acts).unwrap_or(End::Closed);
        }
        if !write_response(reader.get_mut(), &request, &response) || close {
            return End::Closed;
        }
    }
    End::Closed
}

/// Plays `acts` to their end, or until the other end does not take any more.
fn play<S: Read + Write>(stream: &mut BufReader<S>, acts: &[Act]) -> std::io::Result<End> {
    for act in acts {
        match act {
            Act::Send(bytes) => stream.get_mut().write_all(bytes)?,
            Act::Repeat(bytes, times) => {
                for _ in 0..*times {
                    stream.get_mut().write_all(bytes)?;
                }
            }
            Act::Pause(pause) => {
                stream.get_mut().flush()?;
                std::thread::sleep(*pause);
            }
            Act::Hold => {
                stream.get_mut().flush()?;
                while stream.read(&mut [0; 512])? > 0 {}
            }
            Act::Reset => return Ok(End::Reset),
        }
    }
    stream.get_mut().flush()?;
    Ok(End::Closed)
}

fn read_request<S: Read + Write>(reader: &mut BufReader<S>) -> Option<Request> {
    let line = read_line(reader)?;
    let mut words = line.split_ascii_whitespace();
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let mut request = Request { method, path: path.into(), query: query.into(), ..Request::default() };
    loop {
        let line = read_line(reader)?;
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':')?;
        request.headers.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
    }
    if request.header("expect").is_some_and(|v| v.eq_ignore_ascii_case("100-continue")) {
        reader.get_mut().write_all(b"HTTP/1.1 100 Continue\r\n\r\n").ok()?;
        reader.get_mut().flush().ok()?;
    }
    request.body = if request.header("transfer-encoding").is_some_and(|v| v.to_ascii_lowercase().contains("chunked")) {
        read_chunks(reader)?
    } else {
        let length = request.header("content-length").and_then(|v| v.parse().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        body
    };
    Some(request)
}

fn read_line(reader: &mut impl BufRead) -> Option<String> {
    let mut line = Vec::new();
    if reader.read_until(b'\n', &mut line).ok()? == 0 {
        return None;
    }
    Some(String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned())
}

fn read_chunks(reader: &mut impl BufRead) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let size = usize::from_str_radix(read_line(reader)?.split(';').next()?.trim(), 16).ok()?;
        let mut chunk = vec![0; size];
        reader.read_exact(&mut chunk).ok()?;
        body.append(&mut chunk);
        if size == 0 {
            while !read_line(reader)?.is_empty() {}
            return Some(body);
        }
        read_line(reader)?;
    }
}

fn write_response(writer: &mut impl Write, request: &Request, response: &Response) -> bool {
    match response {
        Response::Drop | Response::Play(_) => false,
        Response::Raw(bytes) => {
            let _ = writer.write_all(bytes).and_then(|()| writer.flush());
            false
        }
        Response::Drip(bytes, pause) => {
            for byte in bytes {
                if writer.write_all(&[*byte]).and_then(|()| writer.flush()).is_err() {
                    break;
                }
                std::thread::sleep(*pause);
            }
            false
        }
        Response::Huge(length) => {
            let _ = write_huge(writer, *length);
            false
        }
        Response::Full { status, headers, body } => {
            let date = chrono::Utc::now().format("%a, %d %b %Y %H:%M:%S GMT");
            let mut head = format!("HTTP/1.1 {status} {}\r\ndate: {date}\r\ncontent-length: {}\r\n", reason(*status), body.len());
            for (name, value) in headers {
                head.push_str(&format!("{name}: {value}\r\n"));
            }
            head.push_str("\r\n");
            let mut bytes = head.into_bytes();
            if request.method != "HEAD" {
                bytes.extend_from_slice(body);
            }
            writer.write_all(&bytes).and_then(|()| writer.flush()).is_ok()
        }
    }
}

fn write_huge(writer: &mut impl Write, length: u64) -> std::io::Result<()> {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n{\"padding\":\"";
    writer.write_all(head.as_bytes())?;
    std::io::copy(&mut std::io::repeat(b'a').take(length), writer)?;
    writer.flush()
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        302 | 303 => "Found",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        429 => "Too Many Requests",
        503 => "Service Unavailable",
        _ => "Answer",
    }
}
