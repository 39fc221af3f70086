//! The cached path: from a query to an answer with a few reads, and no lock, network, thread or child.
use super::routed::{hands_back, minted, offered};
use super::{MARK, unlocked_by_anyone};
use crate::config::route::over_https;
use crate::config::{Audit, Config, Tool};
use crate::exchange::aws::RoleCredentials;
use crate::failure::Failure;
use crate::login::role::{MIN_LIFE, record_of_role};
use crate::login::{Context, record_of};
use crate::os;
use crate::store::routes::{self, AWS, BEARER, Compiled, Entry, LATE, NOTED, Setting};
use crate::store::{ReadError, RecordId, Store};
use crate::token::{Freshness, Habits, Need, Step, TokenSet, freshness, next_step, short_hash};
use helper_protocols::{Credential, Proof, Query, Resource};

/// The compiled table in the state folder.
const TABLE: &str = "routes";
/// The largest table that is read, in bytes.
const TABLE_SIZE: u64 = 4 << 20;
/// What a table depends on beside the configuration.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What docker's clients keep an answer for: buildx nearly five minutes, so a token should have six left. In seconds.
pub(super) const DOCKER_LIFE: i64 = 360;
pub(super) const GIT_LIFE: i64 = 60;

/// Where a query leads.
pub(super) enum Place {
    Routed(Entry),
    Unrouted,
}

/// A cached answer.
pub(super) struct Found {
    pub(super) credential: Credential,
    /// Whose it is, where that is known.
    pub(super) account: Option<String>,
    /// It should be renewed behind this answer.
    pub(super) renew: bool,
}

/// What is open: the store where one was ever made, and either the compiled routes or the configuration itself.
pub(super) struct Desk {
    pub(super) store: Option<Store>,
    compiled: Option<Compiled>,
    /// Read only where no compiled table could be trusted.
    pub(super) config: Option<Config>,
}

impl Desk {
    /// Opens what there is. Reads the configuration only where the compiled table is missing or not up to date, and leaves a new one.
    ///
    /// # Errors
    /// Those of a store that cannot be trusted, and of a configuration that cannot be read.
    pub(super) fn open(context: &Context) -> Result<Self, Failure> {
        let store = Store::open(&context.settings(None, false)?)?;
        let compiled = store.as_ref().and_then(|store| read_table(context, store));
        let mut desk = Self { store, compiled, config: None };
        if desk.compiled.is_none() {
            let config = Config::load(&context.environment)?;
            if let Some(store) = &desk.store {
                write_table(context, store, &config);
            }
            desk.config = Some(config);
        }
        Ok(desk)
    }

    /// Finds where `query` leads.
    ///
    /// # Errors
    /// Those of making a store where a routed host is asked for the first time.
    pub(super) fn place(&mut self, query: &Query<'_>) -> Result<Place, Failure> {
        Ok(self.find(&query.resource, query.username).map_or(Place::Unrouted, Place::Routed))
    }

    /// Whether `query`, which leads nowhere, is over plain http for what is answered over https.
    pub(super) fn is_for_https_alone(&self, query: &Query<'_>) -> bool {
        over_https(&query.resource).is_some_and(|resource| self.find(&resource, query.username).is_some())
    }

    fn find(&self, resource: &Resource<'_>, username: Option<&str>) -> Option<Entry> {
        match (&self.compiled, &self.config, &self.store) {
            (Some(compiled), _, Some(store)) => compiled.find(resource, username, &|text| store.digest("routes", text)),
            (_, Some(config), store) => {
                config.routes.find(resource, username).and_then(|route| entry_of(config, store.as_ref(), route))
            }
            _ => None,
        }
    }

    /// Whether a login minted what `query` hands back, for whichever account is answered under the name it has, as far as the key is at
    /// hand. Of a host with a single route it says no: that is found by [`Desk::place`].
    pub(super) fn is_minted_here(&mut self, query: &Query<'_>) -> bool {
        let Some(store) = self.store.as_mut().filter(|_| hands_back(query)) else { return false };
        let username = query.username.unwrap_or_default();
        let entries: Vec<Entry> = match (&self.compiled, &self.config) {
            (Some(compiled), _) => compiled.all_answering(&query.resource, username, &|text| store.digest("routes", text)),
            (None, Some(config)) => {
                let routes = config.routes.answering_as(&query.resource, username);
                routes.filter_map(|route| entry_of(config, Some(store), route)).collect()
            }
            (None, None) => Vec::new(),
        };
        !entries.is_empty()
            && matches!(store.unlock(false), Ok(true))
            && entries.iter().any(|entry| minted(store, &RecordId(entry.record), query))
    }

    /// Returns the accounts of which `query` would have to name one for an answer, as [`crate::config::Routes::accounts`] does; none where
    /// it names one. The configuration is read only where it has accounts at all.
    ///
    /// # Errors
    /// Those of reading it.
    pub(super) fn accounts(&mut self, context: &Context, query: &Query<'_>) -> Result<Vec<(String, String)>, Failure> {
        let can_name = matches!(query.resource, Resource::Url { .. }) && query.username.is_none_or(str::is_empty);
        if !can_name || self.compiled.as_ref().is_some_and(|compiled| !compiled.has_accounts()) {
            return Ok(Vec::new());
        }
        let config = match self.config.take() {
            Some(config) => config,
            None => Config::load(&context.environment)?,
        };
        Ok(self.config.insert(config).routes.accounts(&query.resource))
    }
}

fn setting() -> Setting<'static> {
    Setting { version: VERSION, euid: os::effective_uid() }
}

fn read_table(context: &Context, store: &Store) -> Option<Compiled> {
    let bytes = store.read_plain(TABLE, TABLE_SIZE).ok()??;
    Compiled::open(bytes, setting(), &context.environment.config_paths(), os::facts_at, &|text| store.digest("routes", text))
}

/// Leaves a table for the next call. Where that fails, the next call reads the configuration as this one did.
fn write_table(context: &Context, store: &Store, config: &Config) {
    let routes = config.routes.iter().chain(config.routes.answers());
    let rows = routes.filter_map(|(key, route)| entry_of(config, Some(store), route).map(|entry| (key.to_owned(), entry)));
    let now_ns = i128::from((context.now_ms)()) * 1_000_000;
    let digest = |text: &str| store.digest("routes", text);
    if let Some(bytes) = routes::compile(&config.sources, setting(), config.routes.shape(), rows, &digest, now_ns) {
        let _ = store.replace_plain(TABLE, &bytes);
    }
}

/// Returns what the compiled table says of `route`. Without a store there is no record yet, and none is looked for.
fn entry_of(config: &Config, store: Option<&Store>, route: &crate::config::Route) -> Option<Entry> {
    let login = config.logins.get(&route.login)?;
    let record = match (store, &route.aws) {
        (Some(store), Some(role)) => record_of_role(store, login, role).0,
        (Some(store), None) => record_of(store, login).0,
        (None, _) => [0; 16],
    };
    let flag = |set: bool, bit: u8| if set { bit } else { 0 };
    let flags = flag(route.bearer, BEARER)
        | flag(route.aws.is_some(), AWS)
        | flag(login.late_refresh, LATE)
        | flag(config.audit == Audit::All, NOTED);
    Some(Entry { record, username: route.username.clone(), flags, tool: route.tool })
}

/// Answers from the record that `entry` names, where what is there is good enough.
///
/// A key that is not at hand, or a record that does not open, is no error here: the slow path says what becomes of it.
pub(super) fn answer(context: &Context, desk: &mut Desk, query: &Query<'_>, entry: &Entry) -> Option<Found> {
    let store = desk.store.as_mut()?;
    // one of our own marks coming back is the tool's word that what is cached was refused
    // a key that cannot be had without a person or a new one is the slow path's business
    if query.marks.iter().any(|mark| mark.starts_with(MARK)) || !matches!(store.unlock(false), Ok(true)) {
        return None;
    }
    let payload = store.read(&RecordId(entry.record)).ok()??.payload?;
    let (moment, habits) = (context.moment(), Habits { late: entry.flags & LATE != 0, jitter: context.jitter() });
    if entry.flags & AWS != 0 {
        let role = RoleCredentials::read(&payload).ok()?;
        let freshness = freshness(role.life(), MIN_LIFE, Habits { late: false, ..habits }, moment);
        let credential = aws_credential(role);
        let found = Found { credential, account: None, renew: freshness == Freshness::Ageing };
        return (freshness != Freshness::Stale).then_some(found);
    }
    let tokens = TokenSet::read(&payload).ok()?;
    let step = next_step(Some(&tokens), need(entry.tool), habits, moment);
    let renew = step == Step::UseAndRenew;
    if !matches!(step, Step::Use | Step::UseAndRenew) {
        return None;
    }
    let credential = credential(&tokens, &entry.username, entry.flags & BEARER != 0, query)?;
    Some(Found { credential, account: tokens.account, renew })
}

/// Returns what a tool's answer should still last.
pub(super) fn need(tool: Tool) -> Need {
    Need::Access { min_life: if tool == Tool::Docker { DOCKER_LIFE } else { GIT_LIFE } }
}

/// Whether the secret that came with `query` is one that this entry's login minted; a person is asked for the key where that takes one. Of
/// a record that does not open nobody can tell.
///
/// # Errors
/// Misconfigured, where the system does not let the record be read; those of getting the key.
pub(super) fn is_ours(context: &Context, desk: &mut Desk, query: &Query<'_>, entry: &Entry) -> Result<bool, Failure> {
    let Some(secret) = offered(query) else { return Ok(false) };
    let Some(store) = desk.store.as_mut() else { return Ok(false) };
    let id = RecordId(entry.record);
    if !store.has_record(&id) || !unlocked_by_anyone(context, store)? {
        return Ok(false);
    }
    let payload = match store.read(&id) {
        Ok(record) => record.and_then(|record| record.payload),
        Err(ReadError::Damaged(_) | ReadError::AnotherKey(_)) => None,
        Err(other) => return Err(other.into()),
    };
    Ok(payload.and_then(|payload| TokenSet::read(&payload).ok()).is_some_and(|tokens| tokens.minted(secret)))
}

/// Makes the credential that a tool gets of `tokens`.
pub(super) fn credential(tokens: &TokenSet, username: &str, bearer: bool, query: &Query<'_>) -> Option<Credential> {
    let token = tokens.access_token.as_ref()?;
    let as_bearer = bearer && query.capabilities.authtype;
    let proof = if as_bearer {
        Proof::Authorization { scheme: "Bearer".into(), credential: token.value.clone() }
    } else {
        Proof::Password(token.value.clone())
    };
    let mut credential = Credential::new(Some(username.to_owned()), Some(proof));
    credential.expires_at = token.expires_at;
    credential.ephemeral = as_bearer;
    let first = !query.marks.iter().any(|mark| mark.starts_with(MARK));
    if query.capabilities.state && first {
        credential.mark = Some(mark_of(&token.value));
    }
    Some(credential)
}

/// Returns the mark by which git tells that this token was refused.
pub(super) fn mark_of(token: &helper_protocols::Secret) -> String {
    format!("{MARK}{}", short_hash(token))
}

/// Makes the credential that an AWS client gets.
pub(super) fn aws_credential(role: RoleCredentials) -> Credential {
    let RoleCredentials { access_key_id, secret_access_key, session_token, account_id, expires_at, .. } = role;
    let mut credential = Credential::new(None, Some(Proof::Aws { access_key_id, secret_access_key, session_token, account_id }));
    credential.expires_at = Some(expires_at);
    credential
}
