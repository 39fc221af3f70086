//! What can go wrong at an endpoint, and for how many requests it does.
use crate::support::http_server::{Act, Response};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// An endpoint of the server. `Consent` is where the consent page's form goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    Metadata,
    Authorize,
    Consent,
    Token,
    /// Where device codes are asked for.
    Device,
    /// Where a person enters one.
    DevicePage,
    Revoke,
    Jwks,
    Introspect,
    Userinfo,
}

impl Endpoint {
    /// The endpoint at `path` of a server whose issuer has the path `base`, and some at other `paths`.
    pub(super) fn of(path: &str, base: &str, paths: &[(&str, Self)]) -> Option<Self> {
        if let Some((_, endpoint)) = paths.iter().find(|(known, _)| *known == path) {
            return Some(*endpoint);
        }
        if path.contains("/.well-known/") {
            return Some(Self::Metadata);
        }
        Some(match path.strip_prefix(base)? {
            "/authorize" => Self::Authorize,
            "/consent" => Self::Consent,
            "/token" => Self::Token,
            "/device_authorization" => Self::Device,
            "/device" => Self::DevicePage,
            "/revoke" => Self::Revoke,
            "/jwks" => Self::Jwks,
            "/introspect" => Self::Introspect,
            "/userinfo" => Self::Userinfo,
            _ => return None,
        })
    }
}

/// A misbehaviour. `Delay` processes the request at once and answers so many milliseconds later, `Until` when it is told to; `AfterDrop` processes it
/// and then loses the answer; all others do not process it, and `Late` is one of them when it is told to.
#[derive(Clone, Debug)]
pub enum Fault {
    Delay(u64),
    Until(Arc<AtomicBool>),
    Late(Arc<AtomicBool>, Box<Fault>),
    Status(u16, Vec<(String, String)>, Vec<u8>),
    /// Bytes that replace the whole answer, status line included.
    Raw(Vec<u8>),
    /// The connection closes without a byte.
    Drop,
    AfterDrop,
    /// A whole answer of status 200, one byte a second.
    Drip,
    /// A JSON string of so many bytes, without an announced length and without its end.
    Huge(u64),
    /// These acts instead of an answer.
    Play(Arc<[Act]>),
    /// Processes the request, and sends what is made of the answer's headers and body.
    Around(Frame),
}

/// What keeps an answer back. It goes out when this is dropped, so that no server waits for a test that has failed.
#[derive(Default)]
pub struct Hold(Arc<AtomicBool>);

impl Hold {
    pub(super) fn told(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.0)
    }

    /// What returns when this was released.
    pub fn wait(&self) -> impl Fn() + Send + Sync + 'static {
        let told = self.told();
        move || wait(&told)
    }

    /// Lets the answer go out.
    pub fn release(self) {
        drop(self);
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Returns when it was told to.
pub(super) fn wait(told: &AtomicBool) {
    while !told.load(Ordering::SeqCst) {
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Makes acts of an answer that would have had these headers and this body.
pub type Frame = fn(&[(String, String)], &[u8]) -> Vec<Act>;

impl Fault {
    /// An answer of this status with a JSON body.
    pub fn json(status: u16, body: &serde_json::Value) -> Self {
        Self::Status(status, vec![("content-type".into(), "application/json".into())], body.to_string().into_bytes())
    }

    pub(super) fn response(self) -> Response {
        match self {
            Self::Status(status, headers, body) => Response::Full { status, headers, body },
            Self::Raw(bytes) => Response::Raw(bytes),
            Self::Drip => Response::Drip(DRIPPED.into(), Duration::from_secs(1)),
            Self::Huge(length) => Response::Huge(length),
            Self::Play(acts) => Response::Play(acts),
            Self::Late(told, fault) => {
                wait(&told);
                fault.response()
            }
            Self::Drop | Self::AfterDrop | Self::Delay(_) | Self::Until(_) | Self::Around(_) => Response::Drop,
        }
    }
}

const DRIPPED: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}";

/// A fault that waits for requests.
pub(super) struct Planned {
    pub endpoint: Endpoint,
    pub fault: Fault,
    pub times: usize,
}

/// Takes the next fault of `endpoint` out of the queue.
pub(super) fn next(queue: &mut Vec<Planned>, endpoint: Endpoint) -> Option<Fault> {
    let place = queue.iter().position(|planned| planned.endpoint == endpoint)?;
    let planned = &mut queue[place];
    planned.times = planned.times.saturating_sub(usize::from(planned.times != usize::MAX));
    let fault = planned.fault.clone();
    if planned.times == 0 {
        queue.remove(place);
    }
    Some(fault)
}
