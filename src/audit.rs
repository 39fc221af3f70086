//! The audit log: one line of JSON for each thing that happens to a token. Never a secret: tokens are named by a short hash.
use crate::config::Audit;
use crate::failure::Failure;
use crate::store::Store;
use crate::terminal::printable;
use helper_protocols::Secret;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use url::Url;

/// The journal in the folder of the records.
const NAME: &str = "audit.jsonl";

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Event {
    /// A person signed in, and the server issued tokens.
    Issued,
    /// The refresh token was traded for new tokens.
    Refreshed,
    /// A token was traded for another credential.
    Exchanged,
    /// The server, or the person at it, said no; or what came was not taken.
    Refused,
    /// A tool reported that its server refuses a token.
    Rejected,
    /// The server was told to end the tokens, and said that it did.
    Revoked,
    /// The tokens were forgotten here.
    SignedOut,
    /// A tool or a person got a token.
    HandedOut,
}

impl Event {
    /// Returns what a person reads.
    pub(crate) const fn words(self) -> &'static str {
        match self {
            Self::Issued => "issued",
            Self::Refreshed => "refreshed",
            Self::Exchanged => "exchanged",
            Self::Refused => "refused",
            Self::Rejected => "rejected",
            Self::Revoked => "revoked",
            Self::SignedOut => "signed out",
            Self::HandedOut => "handed out",
        }
    }
}

/// One line. Every text in it is printable, also where somebody else wrote the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// UTC, as RFC 3339 writes it, to the second.
    pub(crate) time: String,
    pub(crate) event: Event,
    pub(crate) login: String,
    /// The host of the authorization server, with its port where it names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) server: Option<String>,
    /// Whose token it is, as the server calls the account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) account: Option<String>,
    /// Twelve hexadecimal digits: the same for the same token, and of no use outside this store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) token: Option<String>,
    /// What the token is for: a host, a registry, a profile, a role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) resource: Option<String>,
    /// The tool that asked and its first word, as `git fetch`.
    pub(crate) asker: String,
    /// The process that asked.
    pub(crate) pid: u32,
    /// Why, where there is more to say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
}

impl Entry {
    /// Returns the line that says that `event` happened to `login` at `now` (seconds since the epoch), for process `pid` of `asker`.
    pub(crate) fn new(event: Event, login: &str, asker: &str, pid: u32, now: i64) -> Self {
        let time = chrono::DateTime::from_timestamp(now, 0).unwrap_or_default();
        Self {
            time: time.to_rfc3339_opts(chrono::SecondsFormat::Secs, true),
            event,
            login: login.to_owned(),
            server: None,
            account: None,
            token: None,
            resource: None,
            asker: printable(asker),
            pid,
            reason: None,
        }
    }

    /// Names the token that it is about, by a hash that `store` alone makes so.
    #[must_use]
    pub(crate) fn of(mut self, store: &Store, token: Option<&Secret>) -> Self {
        self.token = token.map(|token| store.name_of(token));
        self
    }

    /// Names the server that issued it, and whose it is.
    #[must_use]
    pub(crate) fn by(mut self, issuer: &str, account: Option<&str>) -> Self {
        self.server = Some(host_of(issuer));
        self.account = account.map(printable);
        self
    }

    /// Names what it is for.
    #[must_use]
    pub(crate) fn to(mut self, resource: &str) -> Self {
        self.resource = Some(printable(resource));
        self
    }

    /// Says why.
    #[must_use]
    pub(crate) fn because(mut self, reason: &str) -> Self {
        self.reason = Some(printable(reason));
        self
    }

    /// Reads a line that anybody may have written.
    fn read(line: &str) -> Option<Self> {
        let Self { time, event, login, server, account, token, resource, asker, pid, reason } =
            serde_json::from_str(line).ok()?;
        let shown = |text: Option<String>| text.map(|text| printable(&text));
        Some(Self {
            time: chrono::DateTime::parse_from_rfc3339(&time).is_ok().then_some(time)?,
            event,
            login: printable(&login),
            server: shown(server),
            account: shown(account),
            token: shown(token),
            resource: shown(resource),
            asker: printable(&asker),
            pid,
            reason: shown(reason),
        })
    }

    /// Returns when it happened, in seconds since the epoch.
    pub(crate) fn at(&self) -> i64 {
        chrono::DateTime::parse_from_rfc3339(&self.time).map_or(0, |time| time.timestamp())
    }
}

/// What stands in the log.
#[derive(Debug, Default)]
pub(crate) struct Log {
    /// Oldest first.
    pub(crate) entries: Vec<Entry>,
    /// How many lines are none of this version's: torn, damaged or newer.
    pub(crate) unreadable: usize,
}

/// Adds `entry` to the log of `store`, if `wanted` is to hold it.
///
/// # Errors
/// That it cannot be written, as the store says it. It keeps nobody from a token: whoever is told of it warns and goes on.
pub(crate) fn note(store: &Store, wanted: Audit, entry: &Entry) -> Result<(), Failure> {
    let holds = match wanted {
        Audit::Off => false,
        Audit::Tokens => entry.event != Event::HandedOut,
        Audit::All => true,
    };
    if !holds {
        return Ok(());
    }
    let line = serde_json::to_string(entry).expect("a line holds only text and numbers");
    store.add_line(NAME, &line).map_err(|mut failure| {
        failure.message = format!("the audit log lacks a line: {failure}");
        failure
    })
}

/// Returns what stands in the log of `store`.
///
/// # Errors
/// Those of the store.
pub(crate) fn read(store: &Store) -> Result<Log, Failure> {
    let mut log = Log::default();
    for line in store.lines(NAME)? {
        match line.as_deref().and_then(Entry::read) {
            Some(entry) => log.entries.push(entry),
            None => log.unreadable += 1,
        }
    }
    Ok(log)
}

/// Returns the file that the log of `store` is in.
pub(crate) fn path(store: &Store) -> PathBuf {
    store.journal_path(NAME)
}

fn host_of(issuer: &str) -> String {
    let host = Url::parse(issuer).ok().and_then(|url| {
        let host = url.host_str()?.to_owned();
        Some(url.port().map_or_else(|| host.clone(), |port| format!("{host}:{port}")))
    });
    printable(host.as_deref().unwrap_or(issuer))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_names_what_whose_and_who_asked() {
        let entry = Entry::new(Event::HandedOut, "corp", "git fetch\u{1b}[2J", 4121, 1_795_266_917)
            .by("https://sso.example.com:8443/realms/dev", Some("al\u{202e}ice"))
            .to("git.example.com")
            .because("line\nbreak");
        assert_eq!(
            serde_json::to_string(&entry).unwrap(),
            r#"{"time":"2026-11-21T13:15:17Z","event":"handed-out","login":"corp","server":"sso.example.com:8443","account":"alice","resource":"git.example.com","asker":"git fetch[2J","pid":4121,"reason":"line break"}"#
        );
        let bare = serde_json::to_string(&Entry::new(Event::SignedOut, "corp", "keyfob", 1, 0)).unwrap();
        assert_eq!(bare, r#"{"time":"1970-01-01T00:00:00Z","event":"signed-out","login":"corp","asker":"keyfob","pid":1}"#);
        assert_eq!(Entry::read(&bare).map(|entry| entry.at()), Some(0));
        assert_eq!(Entry::read(&serde_json::to_string(&entry).unwrap()), Some(entry));
    }

    #[test]
    fn what_somebody_else_wrote_is_read_as_what_can_be_shown_or_not_at_all() {
        let line = |time: &str, event: &str, asker: &str| {
            serde_json::json!({"time": time, "event": event, "login": "corp", "asker": asker, "pid": 1}).to_string()
        };
        let good = "2026-11-21T13:15:17Z";
        assert_eq!(Entry::read(&line(good, "issued", "\u{9b}31mgit\u{1b}]0;x\u{7}")).unwrap().asker, "31mgit]0;x");
        for line in [line("yesterday", "issued", "git"), line(good, "stolen", "git"), "{".into(), "[]".into(), "\u{0}".into()] {
            assert_eq!(Entry::read(&line), None, "{line:?}");
        }
    }

    #[test]
    fn every_event_reads_the_same_to_persons_and_programs() {
        for event in [
            Event::Issued,
            Event::Refreshed,
            Event::Exchanged,
            Event::Refused,
            Event::Rejected,
            Event::Revoked,
            Event::SignedOut,
            Event::HandedOut,
        ] {
            assert_eq!(serde_json::to_value(event).unwrap(), event.words().replace(' ', "-"));
        }
    }
}
