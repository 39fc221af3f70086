//! Stored entries: credentials that a tool gave us to keep, by the matching rules of the tools' own storage helpers.
use super::PATIENCE;
use crate::failure::{Failure, Kind};
use crate::store::{LARGEST_WRITTEN, ReadError, RecordId, Store};
use crate::terminal::{self, printable};
use crate::token::stored_optional_secret;
use helper_protocols::{Credential, Proof, Query, Resource, Secret};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// Which kept things a request is about: one record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shelf {
    tool: &'static str,
    protocol: String,
    host: String,
}

/// What a record of stored entries holds.
#[derive(Debug, Serialize, Deserialize)]
struct Contents {
    tool: String,
    protocol: String,
    host: String,
    entries: Vec<Entry>,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    path: Option<String>,
    username: Option<String>,
    #[serde(with = "stored_optional_secret")]
    password: Option<Secret>,
    scheme: Option<String>,
    #[serde(with = "stored_optional_secret")]
    credential: Option<Secret>,
    #[serde(with = "stored_optional_secret")]
    refresh_token: Option<Secret>,
    /// The end that the tool was told, which it gets back.
    expires_at: Option<i64>,
    /// The end of its stay here, where the tool limited that.
    #[serde(default)]
    leaves_at: Option<i64>,
}

/// Returns the shelf that `query` is about; none where it names no protocol or host.
pub(crate) fn shelf(query: &Query<'_>) -> Option<Shelf> {
    match query.resource {
        Resource::Url { protocol: Some(protocol), host: Some(host), .. }
            if !protocol.is_empty() && (!host.is_empty() || protocol == "cert") =>
        {
            Some(Shelf { tool: "git", protocol: protocol.to_ascii_lowercase(), host: host.to_ascii_lowercase() })
        }
        Resource::Registry(server) => {
            let host = helper_protocols::docker::normalize(server)?;
            Some(Shelf { tool: "docker", protocol: "registry".into(), host })
        }
        _ => None,
    }
}

impl Shelf {
    pub(crate) fn record(&self, store: &Store) -> RecordId {
        store.record_id("entries", &[self.tool, &self.protocol, &self.host])
    }

    /// Finds the credential that `query` asks for at `now` (seconds).
    ///
    /// # Errors
    /// Those of reading the record: it is damaged, or belongs to another key.
    pub(crate) fn get(&self, store: &Store, query: &Query<'_>, now: i64) -> Result<Option<Credential>, Failure> {
        let contents = read(store, &self.record(store))?;
        let wanted = Pattern::of(query, false);
        Ok(contents
            .entries
            .into_iter()
            .find(|entry| entry.is_alive(now) && wanted.matches(entry) && entry.fits(query))
            .map(Entry::into_credential))
    }

    /// Tells whether the credential that came with `query` is kept already, and what is answered first, as far as the record opens.
    pub(crate) fn has(&self, store: &Store, query: &Query<'_>, now: i64) -> bool {
        let first = read(store, &self.record(store)).ok().and_then(|contents| contents.entries.into_iter().next());
        first.is_some_and(|first| Entry::of(query, now).as_ref() == Some(&first))
    }

    /// Keeps the credential that came with `query` in place of the one for the same account and path. Where all of them take more than a
    /// record can hold, the oldest go, which is said.
    ///
    /// # Errors
    /// Those of reading and writing the record; refused, if this one alone is too large.
    pub(crate) fn put(&self, store: &Store, query: &Query<'_>, now: i64) -> Result<(), Failure> {
        let Some(entry) = Entry::of(query, now) else { return Ok(()) };
        let id = self.record(store);
        let lock = store.lock(&id, PATIENCE)?;
        store.recover(&lock)?;
        let mut contents = self.labelled(read_for_change(store, &id)?);
        let same = |kept: &Entry| {
            kept.path == entry.path && kept.username == entry.username && kept.scheme.is_some() == entry.scheme.is_some()
        };
        contents.entries.retain(|kept| kept.is_alive(now) && !same(kept));
        contents.entries.insert(0, entry);
        let (form, forgotten) = self.fit(contents)?;
        store.write(&lock, &form)?;
        if forgotten > 0 {
            let host = printable(&self.host);
            let what = format!("{host} has more stored credentials than can be kept, so the oldest of them went");
            terminal::warn(&Failure::new(Kind::Refused, what).hint("`git credential reject` forgets those that are not needed"));
        }
        Ok(())
    }

    /// Returns what is written of `contents`, without the oldest that do not fit, and how many those are.
    fn fit(&self, mut contents: Contents) -> Result<(Zeroizing<Vec<u8>>, usize), Failure> {
        let mut forgotten = 0;
        loop {
            let form = stored_form(&contents);
            if form.len() <= LARGEST_WRITTEN {
                return Ok((form, forgotten));
            }
            if contents.entries.len() <= 1 {
                let host = printable(&self.host);
                let what = format!("the credential for {host} is not kept: it takes {} bytes", form.len());
                return Err(Failure::new(Kind::Refused, what).hint(format!("no more than {LARGEST_WRITTEN} can be kept")));
            }
            contents.entries.pop();
            forgotten += 1;
        }
    }

    /// Forgets what `query` describes; with a secret, only where that is the secret kept. Nothing there is no failure.
    ///
    /// # Errors
    /// Those of reading and writing the record.
    pub(crate) fn erase(&self, store: &Store, query: &Query<'_>) -> Result<(), Failure> {
        let id = self.record(store);
        if !store.has_record(&id) {
            return Ok(());
        }
        let lock = store.lock(&id, PATIENCE)?;
        store.recover(&lock)?;
        let mut contents = self.labelled(read_for_change(store, &id)?);
        let before = contents.entries.len();
        let unwanted = Pattern::of(query, true);
        contents.entries.retain(|entry| !unwanted.matches(entry));
        if contents.entries.is_empty() {
            store.bury(&lock)
        } else if contents.entries.len() < before {
            store.write(&lock, &stored_form(&contents)).map(|_| ())
        } else {
            Ok(())
        }
    }

    fn labelled(&self, contents: Contents) -> Contents {
        Contents { tool: self.tool.into(), protocol: self.protocol.clone(), host: self.host.clone(), entries: contents.entries }
    }
}

/// Lists `tool`'s kept entries: host and account. Records that do not open are passed over, for a list must never fail as a whole.
///
/// # Errors
/// Those of reading the state folder.
pub(crate) fn list(store: &Store, tool: &str, now: i64) -> Result<Vec<(String, String)>, Failure> {
    let mut found = Vec::new();
    for id in store.ids()? {
        let Ok(Some(record)) = store.read(&id) else { continue };
        let Some(contents) = record.payload.and_then(|bytes| serde_json::from_slice::<Contents>(&bytes).ok()) else { continue };
        if contents.tool == tool {
            let alive = contents.entries.into_iter().filter(|entry| entry.is_alive(now));
            found.extend(alive.map(|entry| (contents.host.clone(), entry.username.unwrap_or_default())));
        }
    }
    found.sort();
    Ok(found)
}

/// What an entry must have to match, by git's rule: what the request names must be equal, what it leaves out matches all.
struct Pattern {
    path: Option<String>,
    username: Option<String>,
    password: Option<Secret>,
    credential: Option<Secret>,
}

impl Pattern {
    fn of(query: &Query<'_>, with_secret: bool) -> Self {
        let path = match query.resource {
            Resource::Url { path, .. } => path.map(ToOwned::to_owned),
            _ => None,
        };
        let (mut password, mut credential) = (None, None);
        if with_secret {
            match query.offered.as_ref().and_then(|offered| offered.proof.clone()) {
                Some(Proof::Password(secret)) => password = Some(secret),
                Some(Proof::Authorization { credential: secret, .. }) => credential = Some(secret),
                _ => {}
            }
        }
        Self { path, username: query.username.map(ToOwned::to_owned), password, credential }
    }

    fn matches(&self, entry: &Entry) -> bool {
        fn agrees<T: PartialEq>(wanted: Option<&T>, kept: Option<&T>) -> bool {
            wanted.is_none_or(|wanted| kept == Some(wanted))
        }
        agrees(self.path.as_ref(), entry.path.as_ref())
            && agrees(self.username.as_ref(), entry.username.as_ref())
            && agrees(self.password.as_ref(), entry.password.as_ref())
            && agrees(self.credential.as_ref(), entry.credential.as_ref())
    }
}

impl Entry {
    fn of(query: &Query<'_>, now: i64) -> Option<Self> {
        let offered = query.offered.as_ref()?;
        if offered.ephemeral || offered.expires_at.is_some_and(|end| end <= now) {
            return None;
        }
        let (password, scheme, credential) = match offered.proof.clone()? {
            Proof::Password(secret) => (Some(secret), None, None),
            Proof::Authorization { scheme, credential } => (None, Some(scheme), Some(credential)),
            _ => return None,
        };
        let path = match query.resource {
            Resource::Url { path, .. } => path.map(ToOwned::to_owned),
            _ => None,
        };
        let leaves_at = query.lifetime.map(|seconds| now.saturating_add(i64::from(seconds)));
        Some(Self {
            path,
            username: offered.username.clone(),
            password,
            scheme,
            credential,
            refresh_token: offered.refresh_token.clone(),
            expires_at: offered.expires_at,
            leaves_at,
        })
    }

    fn is_alive(&self, now: i64) -> bool {
        [self.expires_at, self.leaves_at].into_iter().flatten().all(|end| end > now)
    }

    /// Whether the caller understands this kind of entry.
    fn fits(&self, query: &Query<'_>) -> bool {
        self.scheme.is_none() || query.capabilities.authtype
    }

    fn into_credential(self) -> Credential {
        let proof = match (self.scheme, self.credential, self.password) {
            (Some(scheme), Some(credential), _) => Some(Proof::Authorization { scheme, credential }),
            (_, _, Some(password)) => Some(Proof::Password(password)),
            _ => None,
        };
        let mut credential = Credential::new(self.username, proof);
        credential.expires_at = self.expires_at;
        credential.refresh_token = self.refresh_token;
        credential
    }
}

fn stored_form(contents: &Contents) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(serde_json::to_vec(contents).expect("entries hold only text and numbers"))
}

fn parse(bytes: Option<&[u8]>) -> Result<Contents, Failure> {
    let empty = Contents { tool: String::new(), protocol: String::new(), host: String::new(), entries: Vec::new() };
    let Some(bytes) = bytes else { return Ok(empty) };
    serde_json::from_slice(bytes).map_err(|_| {
        Failure::new(Kind::Misconfigured, "a stored credential is of a form that this version does not know")
            .hint("use the newer keyfob that wrote it")
    })
}

fn read(store: &Store, id: &RecordId) -> Result<Contents, Failure> {
    let record = store.read(id)?;
    parse(record.and_then(|record| record.payload).as_deref().map(Vec::as_slice))
}

/// Reads in order to write: what is damaged counts as empty, because writing keeps it aside.
fn read_for_change(store: &Store, id: &RecordId) -> Result<Contents, Failure> {
    match store.read(id) {
        Ok(record) => parse(record.and_then(|record| record.payload).as_deref().map(Vec::as_slice)),
        Err(ReadError::Damaged(_) | ReadError::AnotherKey(_)) => parse(None),
        Err(other) => Err(other.into()),
    }
}
