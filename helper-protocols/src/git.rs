//! The credential helper protocol of git: an operation in the arguments, `key=value` lines both ways.
mod attributes;
mod reply;
mod url;

use crate::{Answer, Credential, Framing, Input, Malformed, Operation, Protocol, Query, Reply, Resource, text};
use alloc::{format, string::String};
use attributes::Attributes;

/// The protocol behind `credential.helper`. The arguments are `get`, `store`, `erase` or `capability`, with `--timeout=SECONDS`
/// before it where the life of what is stored shall be limited.
///
/// git ignores the exit code and goes on with whatever was printed, so every reply exits with 0 and prints all or nothing.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Git;

/// One request: the operation and the attributes that came with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    operation: Operation,
    lifetime: Option<u32>,
    attributes: Attributes,
}

impl Request {
    /// Returns the `WWW-Authenticate` headers of the server's refusal, in its order. They are the server's words: not to be
    /// trusted. Bytes that are not UTF-8 have become replacement characters.
    #[must_use]
    pub fn wwwauth(&self) -> &[String] {
        &self.attributes.wwwauth
    }
}

impl Protocol for Git {
    const FRAMING: Framing = Framing::ToBlankLine;
    type Request = Request;

    /// Only `get`, `store` and `erase` have something on standard input: attributes up to a blank line (git-credential(1), "INPUT/OUTPUT
    /// FORMAT"), behind which the caller may keep it open.
    fn framing(arguments: &[&str]) -> Framing {
        match command_line(arguments) {
            Ok((Operation::Get | Operation::Store | Operation::Erase, _)) => Framing::ToBlankLine,
            _ => Framing::Nothing,
        }
    }

    fn parse(input: Input<'_>) -> Result<Request, Malformed> {
        let (operation, lifetime) = command_line(input.arguments)?;
        let attributes = match operation {
            // git itself accepts a last line without its end. What changes a store must not: a caller that died while it wrote
            // leaves half a value behind.
            Operation::Get => Attributes::read(input.stdin, attributes::End::Lenient)?,
            Operation::Store | Operation::Erase => Attributes::read(input.stdin, attributes::End::Whole)?,
            _ => Attributes::default(),
        };
        Ok(Request { operation, lifetime, attributes })
    }

    /// A `store` or an `erase` always offers a credential; its parts are absent where the caller sent none. A request without
    /// protocol or host names nothing: callers die while they write, and what they left out must not be guessed.
    fn query(request: &Request) -> Query<'_> {
        let Attributes { protocol, host, path, username, .. } = &request.attributes;
        let resource = match request.operation {
            Operation::Get | Operation::Store | Operation::Erase => {
                Resource::Url { protocol: protocol.as_deref(), host: host.as_deref(), path: path.as_deref() }
            }
            _ => Resource::Everything,
        };
        let offered = matches!(request.operation, Operation::Store | Operation::Erase).then(|| request.attributes.offered());
        Query {
            username: username.as_deref(),
            offered,
            marks: request.attributes.marks.iter().map(String::as_str).collect(),
            capabilities: request.attributes.capabilities,
            lifetime: request.lifetime,
            ..Query::new(request.operation, resource)
        }
    }

    /// Prints on standard output only for `get` and `capability`. A credential that holds a line break or NUL is not printed.
    fn render(request: &Request, answer: &Answer<'_>) -> Reply {
        match (request.operation, answer) {
            (Operation::Unknown, _) => text::silence(0),
            (Operation::Describe, _) => text::output("version 0\ncapability authtype\ncapability state\n", 0),
            (Operation::Get, Answer::Credential(credential)) => reply::credential(credential, request.attributes.capabilities),
            (Operation::Get, Answer::Failed { message, stop: true }) => {
                Reply { stdout: text::output("quit=1\n", 0).stdout, ..text::complaint(message, 0) }
            }
            (_, Answer::Failed { message, .. }) => text::complaint(message, 0),
            _ => text::silence(0),
        }
    }

    fn refuse(malformed: &Malformed) -> Reply {
        text::complaint(&format!("malformed request: {malformed}"), 0)
    }
}

/// Reads the operation and the limit before it. Whatever follows the operation is passed over, as an unknown operation is.
fn command_line(arguments: &[&str]) -> Result<(Operation, Option<u32>), Malformed> {
    let seconds = |value: &str| text::number(value).ok_or_else(|| Malformed::new("`--timeout` takes a whole number of seconds"));
    let (lifetime, rest) = match arguments {
        ["--timeout", value, rest @ ..] => (Some(seconds(value)?), rest),
        ["--timeout"] => (Some(seconds("")?), &[][..]),
        [first, rest @ ..] => match first.strip_prefix("--timeout=") {
            Some(value) => (Some(seconds(value)?), rest),
            None => (None, arguments),
        },
        [] => (None, arguments),
    };
    let operation = match rest.first() {
        Some(&"get") => Operation::Get,
        Some(&"store") => Operation::Store,
        Some(&"erase") => Operation::Erase,
        Some(&"capability") => Operation::Describe,
        _ => Operation::Unknown,
    };
    Ok((operation, lifetime))
}

impl Attributes {
    /// Returns the credential that these attributes carry; a scheme with its credential goes before a password.
    fn offered(&self) -> Credential {
        Credential {
            expires_at: self.expires_at,
            refresh_token: self.refresh_token.clone(),
            ephemeral: self.ephemeral,
            ..Credential::new(self.username.clone(), self.proof())
        }
    }
}

#[cfg(test)]
mod tests;
