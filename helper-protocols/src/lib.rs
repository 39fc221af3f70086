//! Codecs for the credential helper protocols of git, docker and AWS, on the helper's side, without any IO.
//!
//! A protocol turns a caller's bytes into a [`Query`] that says nothing of wire formats, and an [`Answer`] back into the exact
//! bytes and exit code that caller expects. Nothing here knows of tokens, configuration, time, files or people.
#![no_std]
#![warn(missing_docs)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod aws;
pub mod docker;
pub mod git;
mod text;

pub use aws::Aws;
pub use docker::Docker;
pub use git::Git;

use alloc::{string::String, vec::Vec};
use core::fmt;
use zeroize::Zeroizing;

/// One helper protocol: how its requests are read and its answers written.
///
/// The functions are pure. `parse` tolerates what it does not know; `render` is total, because every outcome has a wire form.
pub trait Protocol {
    /// How the caller delivers its request.
    const FRAMING: Framing;

    /// What the caller asked, kept as faithfully as answering it needs.
    type Request;

    /// Returns how the request that these `arguments` announce arrives. Some operations of a protocol that uses standard input
    /// have none, and waiting for its end would hang at a terminal.
    fn framing(arguments: &[&str]) -> Framing {
        let _ = arguments;
        Self::FRAMING
    }

    /// Reads one request.
    ///
    /// # Errors
    /// [`Malformed`] says why the bytes cannot be a request; [`Protocol::refuse`] turns it into the caller's form.
    fn parse(input: Input<'_>) -> Result<Self::Request, Malformed>;

    /// Returns the neutral view of `request` that routing and storage work on.
    fn query(request: &Self::Request) -> Query<'_>;

    /// Writes `answer` as the reply to `request`.
    fn render(request: &Self::Request, answer: &Answer<'_>) -> Reply;

    /// Writes the reply to a request that [`Protocol::parse`] refused.
    fn refuse(malformed: &Malformed) -> Reply;
}

/// How a caller delivers its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Framing {
    /// In the arguments alone. Standard input belongs to somebody else and must not be read.
    Nothing,
    /// On standard input, up to its end.
    ToEof,
    /// On standard input, in lines up to a blank one or the end, whichever comes first. The caller may keep its side open.
    ToBlankLine,
}

/// The raw request: the arguments after the program's and the protocol's name, and standard input.
#[derive(Clone, Copy)]
pub struct Input<'a> {
    /// The words after the protocol's name, as `get` in `keyfob git get`.
    pub arguments: &'a [&'a str],
    /// Standard input as far as the [`Framing`] goes; empty where [`Framing::Nothing`] applies.
    pub stdin: &'a [u8],
}

impl fmt::Debug for Input<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Input")
            .field("arguments", &self.arguments)
            .field("stdin", &format_args!("[{} bytes]", self.stdin.len()))
            .finish()
    }
}

/// What a caller wants done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Operation {
    /// Hand out a credential.
    Get,
    /// Keep the credential that came with the request.
    Store,
    /// Forget a credential; where one came with the request, only that one.
    Erase,
    /// Name what is kept.
    List,
    /// Say what this helper is or can do; the codec answers by itself.
    Describe,
    /// An operation this version does not know; to be ended quietly.
    Unknown,
}

/// What a credential is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Resource<'a> {
    /// A URL in parts, as the caller wrote them. `host` may carry a port; `path` has no leading slash. An absent part is `None`,
    /// a part that was sent empty is `Some("")`.
    Url {
        /// `https`, `http`, `cert`, `smtp`, …
        protocol: Option<&'a str>,
        /// Host name, and port where the caller named one.
        host: Option<&'a str>,
        /// Path within the host.
        path: Option<&'a str>,
    },
    /// A registry as the client names it: `registry.example.com`, `https://index.docker.io/v1/`, `127.0.0.1:5000/team/app`.
    Registry(&'a str),
    /// A profile by name.
    Profile(&'a str),
    /// The whole of what is kept.
    Everything,
}

/// What a caller said it understands beyond the protocol's oldest form.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capabilities {
    /// It takes an authorization scheme and credential instead of user name and password.
    pub authtype: bool,
    /// It hands a [`Credential::mark`] back on its next call and honours `continue`.
    pub state: bool,
}

/// A request without its wire format.
#[derive(Debug)]
#[non_exhaustive]
pub struct Query<'a> {
    /// What is wanted.
    pub operation: Operation,
    /// What it is for.
    pub resource: Resource<'a>,
    /// The account the caller named.
    pub username: Option<&'a str>,
    /// The credential that came along: to keep on `Store`, the refused one on `Erase`.
    pub offered: Option<Credential>,
    /// Marks that this or another helper handed out before, in the order they came. The helper tells its own by their prefix.
    pub marks: Vec<&'a str>,
    /// What the caller understands.
    pub capabilities: Capabilities,
    /// The longest that a stored credential may live, in seconds, where the caller limits it.
    pub lifetime: Option<u32>,
}

impl<'a> Query<'a> {
    /// Returns a query for `operation` on `resource` with everything else absent.
    #[must_use]
    pub fn new(operation: Operation, resource: Resource<'a>) -> Self {
        Self {
            operation,
            resource,
            username: None,
            offered: None,
            marks: Vec::new(),
            capabilities: Capabilities::default(),
            lifetime: None,
        }
    }
}

/// The secret part of a credential.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Proof {
    /// A password, or a token in the place of one.
    Password(Secret),
    /// The value of an `Authorization` header in two words.
    Authorization {
        /// The scheme, as `Bearer`.
        scheme: String,
        /// What follows the scheme.
        credential: Secret,
    },
    /// Temporary AWS credentials.
    Aws {
        /// `AccessKeyId`.
        access_key_id: String,
        /// `SecretAccessKey`.
        secret_access_key: Secret,
        /// `SessionToken`.
        session_token: Secret,
        /// `AccountId`, twelve digits.
        account_id: Option<String>,
    },
}

/// A credential on its way to or from a caller.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Credential {
    /// The account it belongs to.
    pub username: Option<String>,
    /// What proves it. Absent where a caller named only an account.
    pub proof: Option<Proof>,
    /// When it ends, in seconds since the epoch.
    pub expires_at: Option<i64>,
    /// A refresh token that came with a stored credential and goes back with it; never one of the helper's own.
    pub refresh_token: Option<Secret>,
    /// Whether it must not be kept by anybody.
    pub ephemeral: bool,
    /// An opaque word that the caller returns on its next call. Setting it asks the caller to come back if the credential is
    /// refused, so set it only where [`Capabilities::state`] is given and no mark of the helper's own came with the request.
    pub mark: Option<String>,
}

impl Credential {
    /// Returns a credential of `username` and `proof` with everything else absent.
    #[must_use]
    pub fn new(username: Option<String>, proof: Option<Proof>) -> Self {
        Self { username, proof, expires_at: None, refresh_token: None, ephemeral: false, mark: None }
    }
}

/// The outcome of a request, without its wire format.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Answer<'a> {
    /// Here it is.
    Credential(&'a Credential),
    /// What is kept: resource and account name.
    Entries(&'a [(String, String)]),
    /// Done, with nothing to say.
    Done,
    /// Nothing is known of this resource: the caller goes on without.
    NotFound,
    /// It is ours to answer, and we cannot.
    Failed {
        /// One or more lines for the person, without a final newline. The first says what failed.
        message: &'a str,
        /// Whether the caller should stop instead of asking elsewhere.
        stop: bool,
    },
}

/// What goes back to the caller, byte for byte.
#[derive(Clone, PartialEq, Eq)]
pub struct Reply {
    /// For standard output, in one write.
    pub stdout: Zeroizing<Vec<u8>>,
    /// For standard error: never a secret.
    pub stderr: Vec<u8>,
    /// The process's exit code.
    pub exit_code: u8,
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply")
            .field("stdout", &format_args!("[{} bytes]", self.stdout.len()))
            .field("stderr", &String::from_utf8_lossy(&self.stderr))
            .field("exit_code", &self.exit_code)
            .finish()
    }
}

/// Why bytes cannot be a request. The text names the fault and never quotes a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// One line, lower case, no full stop.
    pub message: String,
}

impl Malformed {
    /// Returns the refusal that says `message`.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into() }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl core::error::Error for Malformed {}

/// A value that must not be shown: redacted in `Debug`, without `Display`, wiped when dropped.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes `value` into keeping.
    #[must_use]
    pub fn new(value: String) -> Self {
        Self(Zeroizing::new(value))
    }

    /// Returns the value itself. Call it only where the value has to leave: a rendered reply, a sealed file, a request.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

impl PartialEq for Secret {
    /// Compares in a time that depends on the lengths alone.
    fn eq(&self, other: &Self) -> bool {
        let (a, b) = (self.0.as_bytes(), other.0.as_bytes());
        a.len() == b.len() && a.iter().zip(b).fold(0, |difference, (x, y)| difference | (x ^ y)) == 0
    }
}

impl Eq for Secret {}

impl From<String> for Secret {
    fn from(value: String) -> Self {
        Self::new(value)
    }
}
