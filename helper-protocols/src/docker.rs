//! The credential helper protocol of docker, podman and their kin: an action in the arguments, a server or JSON on standard
//! input, JSON or one line of text back.
mod server;

pub use server::normalize;

use crate::text::{self, Json};
use crate::{Answer, Credential, Framing, Input, Malformed, Operation, Proof, Protocol, Query, Reply, Resource, Secret};
use alloc::{borrow::ToOwned, collections::BTreeSet, format, string::String};
use serde::{Deserialize, Deserializer};

const USAGE: &str = "usage: docker-credential-keyfob get|store|erase|list|version";
const VERSION: &str = concat!("docker-credential-keyfob (keyfob) ", env!("CARGO_PKG_VERSION"), "\n");

/// Clients compare these three texts; the first must be the same for every server.
const NOT_FOUND: &str = "credentials not found in native keychain";
const NO_SERVER: &str = "no credentials server URL";
const NO_USERNAME: &str = "no credentials username";

/// The protocol behind `credsStore` and `credHelpers`. Exactly one argument: `get`, `store`, `erase`, `list` or `version`.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Docker;

/// One request: an action and what it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request(Action);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Action {
    Get { server: String },
    Store { server: String, username: String, secret: Secret },
    Erase { server: String },
    List,
    Version,
    Help,
}

impl Protocol for Docker {
    const FRAMING: Framing = Framing::ToEof;
    type Request = Request;

    /// Only `get`, `store` and `erase` have something on standard input; some clients never close it for `list`.
    fn framing(arguments: &[&str]) -> Framing {
        if matches!(arguments, ["get" | "store" | "erase"]) { Framing::ToEof } else { Framing::Nothing }
    }

    fn parse(input: Input<'_>) -> Result<Request, Malformed> {
        let &[action] = input.arguments else {
            return Err(Malformed::new(USAGE));
        };
        Ok(Request(match action {
            "get" => Action::Get { server: server_line(input.stdin)? },
            "erase" => Action::Erase { server: server_line(input.stdin)? },
            "store" => stored(input.stdin)?,
            "list" => Action::List,
            "version" | "--version" | "-v" => Action::Version,
            "--help" | "-h" => Action::Help,
            unknown => {
                let shown: String = unknown.chars().take(64).map(|c| if c.is_control() { '?' } else { c }).collect();
                return Err(Malformed::new(format!("docker-credential-keyfob: unknown action: {shown}")));
            }
        }))
    }

    /// The resource is the server exactly as the client wrote it; [`normalize`] says which registry that is.
    fn query(request: &Request) -> Query<'_> {
        match &request.0 {
            Action::Get { server } => Query::new(Operation::Get, Resource::Registry(server)),
            Action::Erase { server } => Query::new(Operation::Erase, Resource::Registry(server)),
            Action::Store { server, username, secret } => Query {
                username: Some(username),
                offered: Some(Credential::new(Some(username.clone()), Some(Proof::Password(secret.clone())))),
                ..Query::new(Operation::Store, Resource::Registry(server))
            },
            Action::List => Query::new(Operation::List, Resource::Everything),
            Action::Version | Action::Help => Query::new(Operation::Describe, Resource::Everything),
        }
    }

    /// Every failure exits with 1: other codes are taken for success by some clients. `erase` never fails, because a failing one
    /// crashes old clients and is hidden by the others; its reason goes to standard error.
    fn render(request: &Request, answer: &Answer<'_>) -> Reply {
        match (&request.0, answer) {
            (Action::Version, _) => text::output(VERSION, 0),
            (Action::Help, _) => text::output(format!("{USAGE}\n"), 0),
            (Action::Erase { .. }, Answer::Failed { message, .. }) => text::complaint(message, 0),
            (_, Answer::Failed { message, .. }) => failed(message),
            (Action::Get { server }, Answer::Credential(credential)) => found(server, credential),
            (Action::Get { .. }, _) => not_found(),
            (Action::List, Answer::Entries(entries)) => listed(entries),
            (Action::List, _) => listed(&[]),
            (Action::Store { .. }, Answer::NotFound) => not_found(),
            (Action::Store { .. } | Action::Erase { .. }, _) => text::silence(0),
        }
    }

    /// The reason stands on standard output, where clients look for it and compare it.
    fn refuse(malformed: &Malformed) -> Reply {
        text::output(text::bounded(&malformed.message), 1)
    }
}

fn not_found() -> Reply {
    text::output(format!("{NOT_FOUND}\n"), 1)
}

/// Clients show either standard output or standard error, so the reason goes to both.
fn failed(message: &str) -> Reply {
    let first = message.lines().next().unwrap_or_default();
    Reply { stdout: text::output(text::bounded(first), 1).stdout, ..text::complaint(message, 1) }
}

fn found(server: &str, credential: &Credential) -> Reply {
    let Some(Proof::Password(secret)) = &credential.proof else {
        return not_found();
    };
    let (username, secret) = (credential.username.as_deref().unwrap_or_default(), secret.expose());
    let mut json = Json::object(server.len() + username.len() + secret.len() + 32, 3);
    json.string("ServerURL", server);
    json.string("Username", username);
    json.string("Secret", secret);
    json.finish()
}

/// Writes one member a server; of several accounts the first counts, as the protocol knows only one.
fn listed(entries: &[(String, String)]) -> Reply {
    let mut json = Json::object(entries.iter().map(|(server, username)| server.len() + username.len()).sum(), entries.len());
    let mut seen = BTreeSet::new();
    for (server, username) in entries {
        if seen.insert(server) {
            json.string(server, username);
        }
    }
    json.finish()
}

/// Reads the server that `get` and `erase` name: the whole input, without the white space around it.
fn server_line(stdin: &[u8]) -> Result<String, Malformed> {
    text::check_length(stdin)?;
    let server = core::str::from_utf8(stdin).map_err(|_| Malformed::new("the server is not UTF-8"))?;
    checked_server(server)
}

fn checked_server(server: &str) -> Result<String, Malformed> {
    let server = server.trim();
    if server.is_empty() {
        return Err(Malformed::new(NO_SERVER));
    }
    if text::has_control(server) {
        return Err(Malformed::new("the server holds a control character"));
    }
    Ok(server.to_owned())
}

/// What `store` sends. Members of other names and whatever follows the object are passed over.
#[derive(Deserialize)]
struct Stored {
    #[serde(rename = "ServerURL")]
    server: Option<String>,
    #[serde(rename = "Username")]
    username: Option<String>,
    #[serde(rename = "Secret", default, deserialize_with = "secret")]
    secret: Option<Secret>,
}

fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Secret>, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.map(Secret::new))
}

fn stored(stdin: &[u8]) -> Result<Action, Malformed> {
    text::check_length(stdin)?;
    if !stdin.trim_ascii_start().starts_with(b"{") {
        return Err(Malformed::new("the credentials are not a JSON object"));
    }
    let Stored { server, username, secret } =
        Stored::deserialize(&mut serde_json::Deserializer::from_slice(stdin)).map_err(|error| {
            // The error's own text quotes the input, which holds the secret.
            let fault = match error.classify() {
                serde_json::error::Category::Data => "`ServerURL`, `Username` and `Secret` must be one string each",
                serde_json::error::Category::Eof => "the JSON object breaks off",
                serde_json::error::Category::Syntax | serde_json::error::Category::Io => "invalid JSON",
            };
            Malformed::new(format!("cannot read the credentials: {fault} (line {}, column {})", error.line(), error.column()))
        })?;
    let server = checked_server(server.as_deref().unwrap_or_default())?;
    let username = username.filter(|username| !username.is_empty()).ok_or_else(|| Malformed::new(NO_USERNAME))?;
    Ok(Action::Store { server, username, secret: secret.unwrap_or_else(|| Secret::new(String::new())) })
}

#[cfg(test)]
mod tests;
