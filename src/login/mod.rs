//! A login's life: what is cached, when it is renewed, and who waits for whom.
mod account;
pub(crate) mod asker;
mod browser;
mod device;
pub(crate) mod entries;
pub(crate) mod failed;
pub(crate) mod hand_off;
pub(crate) mod interaction;
mod notice;
mod overdue;
mod pages;
pub(crate) mod pending;
pub(crate) mod refresh;
pub(crate) mod revoke;
pub(crate) mod role;
pub(crate) mod scopes;
pub(crate) mod sight;
pub(crate) mod sign_in;
pub(crate) mod sign_out;
pub(crate) mod spend;
pub(crate) mod wait;
pub(crate) mod worker;

use crate::audit::{self, Entry, Event};
use crate::config::{Config, Environment, Flow, Interactive, Login};
use crate::exchange::aws::RoleCredentials;
use crate::failure::{Failure, Kind};
use crate::os;
use crate::store::{Asking, Note, RecordId, Settings, SourceKind, Store};
use crate::token::{Habits, Moment, Need, Step, Token, TokenSet, next_step};
use helper_protocols::Secret;
use interaction::{Facts, Refusal};
use sight::Sight;
use std::time::Duration;
use wait::{Goal, Ready};

/// How long a write by the caller itself waits for the record's lock.
pub(crate) const PATIENCE: Duration = Duration::from_secs(2);
/// A token that is refused within so many seconds of being issued because of another refusal is not replaced again.
const JUST_ISSUED: i64 = 60;

/// What comes from outside: the environment and the clock.
#[derive(Clone, Debug)]
pub(crate) struct Context {
    pub(crate) environment: Environment,
    /// Milliseconds since the epoch.
    pub(crate) now_ms: fn() -> i64,
    /// Seconds that the machine has run, sleep included.
    pub(crate) uptime: fn() -> i64,
}

impl Context {
    /// Returns the time in seconds since the epoch.
    pub(crate) fn now(&self) -> i64 {
        (self.now_ms)() / 1000
    }

    /// Returns the present, by which the life of a token is judged.
    pub(crate) fn moment(&self) -> Moment {
        Moment { now: self.now(), uptime: (self.uptime)() }
    }

    /// Returns where state lives and which key seals it. `config` is absent on the cached path, where the store itself knows.
    pub(crate) fn settings(&self, config: Option<&Config>, attended: bool) -> Result<Settings, Failure> {
        let store = config.map(|config| &config.store);
        let named = self.environment.key_file()?;
        let credential = if named.is_none() { self.environment.credential() } else { None };
        Ok(Settings {
            state_dir: self.environment.state_dir()?,
            runtime_dir: self.environment.runtime_dir(),
            handed_over: credential.is_some(),
            key_file: named.or(credential).or_else(|| store.and_then(|store| store.key_file.clone())),
            source: store.and_then(|store| store.key.as_deref()).and_then(SourceKind::from_word),
            machine_id: os::machine_id(),
            attended,
            tell: crate::terminal::tell,
            asking: Asking::Nobody(String::new()),
        })
    }

    /// Returns how a person is asked for what the key needs: at the terminal, where nothing forbids it. `explicit`: they typed a command of
    /// ours.
    pub(crate) fn asking(&self, explicit: bool) -> Asking {
        let terminal = crate::terminal::is_attended();
        let sight = Sight { is_seen: true, ..Sight::default() };
        let facts = Facts { said: self.environment.interaction(), terminal, sight, explicit, flow: Flow::Auto };
        match interaction::refusal(&facts, Interactive::Auto) {
            Some(refusal) => Asking::Nobody(refusal.reason),
            None => Asking::By(crate::terminal::ask_unseen),
        }
    }

    /// Reports `event` to a person who asked for that with `KEYFOB_TRACE`. Only fixed words and names of ours go in, never a value
    /// that came from elsewhere.
    pub(crate) fn trace(&self, event: impl FnOnce() -> String) {
        if self.environment.trace() {
            let event = event();
            crate::terminal::report(format!("keyfob: trace: {event}\n").as_bytes());
        }
    }

    /// Returns 0 to 25 for this process.
    pub(crate) fn jitter(&self) -> i64 {
        i64::from(std::process::id().wrapping_mul(2_654_435_761) >> 16) % 26
    }
}

/// Returns the address of the server that `login` is registered at.
pub(crate) fn server_of(login: &Login) -> String {
    login.issuer.as_ref().or(login.endpoints.token.as_ref()).map(ToString::to_string).unwrap_or_default()
}

/// Returns the record of `login`'s token set: of what it is registered as, not of what it is called here.
pub(crate) fn record_of(store: &Store, login: &Login) -> RecordId {
    let server = server_of(login);
    let mut scopes = login.scopes.clone();
    scopes.sort();
    store.record_id("login", &[&server, &login.client_id, &scopes.join(" "), login.account.as_deref().unwrap_or_default()])
}

/// Everything that answering from a login needs, opened.
#[derive(Debug)]
pub(crate) struct Keeper<'a> {
    pub(crate) context: &'a Context,
    pub(crate) config: &'a Config,
    pub(crate) store: Store,
    /// Whether anything can be kept: there is a key.
    pub(crate) keeps: bool,
    /// Who asks, as `git fetch`.
    pub(crate) asker: String,
    /// Why no person may be asked; none where one may.
    pub(crate) refusal: Option<Refusal>,
    /// A terminal is there.
    pub(crate) attended: bool,
    /// The flow that was asked for by hand; none leaves it to the login.
    pub(crate) flow: Option<Flow>,
    /// The person asked to choose an account, which may be another one.
    pub(crate) switch_account: bool,
    /// What it is for, as it is shown: a host, a registry, a profile.
    pub(crate) resource: String,
    /// The repository that git is at work in, by a hash; none where that is not known.
    pub(crate) repository: Option<String>,
    pub(crate) since_ms: i64,
}

impl<'a> Keeper<'a> {
    /// Opens the store with its key for `asker`; mints both where there are none yet. `asking` is for a key that a person has to type,
    /// unless they did so already: `typed`, as [`Store::key_to_hand_over`] has it.
    ///
    /// # Errors
    /// Those of the store: permissions, a full disk, a key that is gone or does not answer.
    pub(crate) fn open(
        context: &'a Context,
        config: &'a Config,
        asker: String,
        asking: Asking,
        typed: Option<&Secret>,
    ) -> Result<Self, Failure> {
        let attended = crate::terminal::is_attended();
        let mut store = Store::open_or_create(&Settings { asking, ..context.settings(Some(config), attended)? })?;
        if let Some(key) = typed {
            store.accept_key(key)?;
        }
        let keeps = store.unlock(true)?;
        Ok(Self {
            context,
            config,
            store,
            keeps,
            asker,
            refusal: None,
            attended,
            flow: None,
            switch_account: false,
            resource: String::new(),
            repository: None,
            since_ms: (context.now_ms)(),
        })
    }

    /// Returns a token set that meets `need`, renewing or signing in as it takes.
    ///
    /// # Errors
    /// [`Kind::NeedsPerson`] where none may be asked, [`Kind::Refused`] and [`Kind::Unreachable`] as the server was.
    pub(crate) fn tokens(&self, login: &Login, need: Need, force: bool) -> Result<TokenSet, Failure> {
        let habits = Habits { late: login.late_refresh, jitter: self.context.jitter() };
        let record = record_of(&self.store, login);
        let former_ms = if force { self.read_tokens(&record).ok().flatten().map(|tokens| tokens.signed_in_at_ms) } else { None };
        let goal = Goal {
            record,
            target: hand_off::Target::Login(login.name.clone()),
            login,
            need,
            force,
            former_ms,
            judge: &|bytes, moment| {
                let mut tokens = TokenSet::read(bytes)?;
                if self.is_refused_elsewhere(&record, &tokens)
                    && let Some(token) = tokens.access_token.as_mut()
                {
                    token.rejected = false;
                }
                let renewed_for_us = if force {
                    former_ms != Some(tokens.signed_in_at_ms)
                } else {
                    moment.covers(self.since_ms, tokens.renewed_at_ms)
                };
                let usable = tokens.usable(need, moment).is_some();
                let step = next_step(Some(&tokens), need, habits, moment);
                Ok(match step {
                    _ if force && !renewed_for_us => Ready::No { fallback: None, renewable: false },
                    Step::Use => Ready::Yes { value: tokens, renew: false },
                    Step::UseAndRenew => Ready::Yes { value: tokens, renew: !habits.late },
                    Step::Renew | Step::SignIn if usable && renewed_for_us => Ready::Yes { value: tokens, renew: false },
                    Step::Renew | Step::SignIn => {
                        Ready::No { renewable: step == Step::Renew, fallback: usable.then_some(tokens) }
                    }
                })
            },
        };
        wait::obtain(self, &goal).map_err(|failure| self.store.explain_lack(failure))
    }

    /// Returns credentials of the AWS role of `profile`, exchanging a token of its login as it takes.
    ///
    /// # Errors
    /// Those of [`Keeper::tokens`], and the refusal of the token service.
    pub(crate) fn role(&self, profile: &str) -> Result<RoleCredentials, Failure> {
        role::obtain(self, profile)
    }

    /// Starts a renewal of `login`'s tokens that nobody waits for.
    pub(crate) fn renew_behind(&self, login: &Login, need: Need) {
        let judge = |_: &[u8], _| Ok(Ready::<()>::No { fallback: None, renewable: true });
        let target = hand_off::Target::Login(login.name.clone());
        let record = record_of(&self.store, login);
        wait::renew_behind(self, &Goal { record, target, login, need, force: false, former_ms: None, judge: &judge });
    }

    /// Marks `login`'s access token as refused by the server of [`Keeper::resource`], if it is still the one that `is_it` recognises;
    /// waits for another's write for as long as `patience`. Returns whether that is news, and the next caller gets another one without a
    /// person.
    ///
    /// # Errors
    /// [`Kind::Refused`] where that token was issued a moment ago in place of another refused one: a further one would fare no better.
    pub(crate) fn reject(&self, login: &Login, patience: Duration, is_it: &dyn Fn(&Secret) -> bool) -> Result<bool, Failure> {
        let id = record_of(&self.store, login);
        // others had the same token refused and may be renewing it already: then there is nothing to write and no lock to wait for
        let stored = self.read_tokens(&id)?;
        let news = |token: &Token| is_it(&token.value) && (!token.rejected || token.after_rejection);
        if !stored.is_some_and(|tokens| tokens.access_token.as_ref().is_some_and(news)) {
            return Ok(false);
        }
        let lock = self.store.lock(&id, patience)?;
        self.store.recover(&lock)?;
        let Some(mut tokens) = self.read_tokens(&id)? else { return Ok(false) };
        let now = self.context.now();
        let issuer = tokens.issuer.clone();
        let Some(token) = tokens.access_token.as_mut().filter(|token| is_it(&token.value)) else { return Ok(false) };
        let just_issued = token.after_rejection && now.saturating_sub(token.obtained_at) < JUST_ISSUED;
        let is_news = !token.rejected;
        if is_news {
            token.rejected = true;
            self.store.write(&lock, &tokens.stored_form())?;
            let token = tokens.access_token.as_ref().map(|token| &token.value);
            self.note(&self.entry(Event::Rejected, login, &tokens).of(&self.store, token).to(&self.resource));
        }
        if !just_issued {
            return Ok(is_news && tokens.is_renewable());
        }
        let resource = &self.resource;
        let failure = Failure::new(Kind::Refused, format!("{resource} rejects a token that {issuer} has just issued"))
            .hint("check that the account may use it, and that `scopes` of the login ask for what it needs")
            .hint(format!("it is tried again after a minute, or after `keyfob login {}`", login.name));
        let (resource, repository) = self.wanted();
        let failed = failed::Failed::new(failed::Class::Rejected, &failure, (self.context.now_ms)()).about(resource, repository);
        let form = serde_json::to_vec(&failed).expect("a failure holds only text and numbers");
        self.store.write_note(&lock, Note::Failed, &form)?;
        Err(failure)
    }

    /// Returns what this is for: the resource, and the repository where it is known.
    fn wanted(&self) -> (&str, Option<&str>) {
        (&self.resource, self.repository.as_deref())
    }

    /// Whether the newest access token of `tokens` was refused for another repository alone, just after it was issued: a further one would
    /// fare no better there, and for this one nobody has tried it.
    fn is_refused_elsewhere(&self, record: &RecordId, tokens: &TokenSet) -> bool {
        if !tokens.access_token.as_ref().is_some_and(|token| token.rejected && token.after_rejection) {
            return false;
        }
        let note = self.store.read_note(record, Note::Failed).ok().flatten().and_then(|bytes| failed::Failed::read(&bytes));
        note.is_some_and(|failed| failed.is_of_another(self.wanted(), (self.context.now_ms)()))
    }

    /// Returns the line of the audit log that says what happened to `tokens` of `login`, asked for by whoever this is for.
    pub(crate) fn entry(&self, event: Event, login: &Login, tokens: &TokenSet) -> Entry {
        let entry = Entry::new(event, &login.name, &self.asker, std::process::id(), self.context.now());
        entry.by(&tokens.issuer, tokens.account.as_deref())
    }

    /// Notes `entry` in the audit log. That it cannot be written is told, and stands in nobody's way.
    pub(crate) fn note(&self, entry: &Entry) {
        if let Err(failure) = audit::note(&self.store, self.config.audit, entry) {
            crate::terminal::warn(&failure);
        }
    }

    /// Whether the record of `login` holds `tokens`, and not those of before: what was paid for is handed out even where it cannot be kept.
    pub(crate) fn is_kept(&self, login: &Login, tokens: &TokenSet) -> bool {
        let facts = |tokens: &TokenSet| (tokens.signed_in_at_ms, tokens.renewed_at_ms);
        let stored = self.read_tokens(&record_of(&self.store, login)).ok().flatten();
        stored.is_some_and(|stored| facts(&stored) == facts(tokens))
    }

    fn read_tokens(&self, id: &RecordId) -> Result<Option<TokenSet>, Failure> {
        let payload = if self.keeps { self.store.read(id)?.and_then(|record| record.payload) } else { None };
        payload.map(|payload| TokenSet::read(&payload)).transpose()
    }
}

/// Finds a configured login by name.
///
/// # Errors
/// [`Kind::Unrouted`] naming those that there are.
pub(crate) fn find_login<'c>(config: &'c Config, name: &str) -> Result<&'c Login, Failure> {
    config.logins.get(name).ok_or_else(|| {
        let known: Vec<&str> = config.logins.keys().map(String::as_str).collect();
        let hint = if known.is_empty() {
            "configure one: see `[login.NAME]` in the README".to_owned()
        } else {
            format!("configured are: {}", known.join(", "))
        };
        Failure::new(Kind::Unrouted, format!("there is no login `{}`", crate::terminal::printable(name))).hint(hint)
    })
}
