//! One sign-in by a person: what its ways share, from the lock to the tokens in the store.
use super::failed::Class;
use super::interaction::{self, Way, ways};
use super::worker::{Broken, Done, Work, other_account, passing, sign_in_hint, warn};
use super::{browser, device, scopes};
use crate::config::Login;
use crate::failure::{Failure, Kind};
use crate::oauth::Registration;
use crate::oauth::metadata::{self, Metadata};
use crate::oauth::token_endpoint::Grant;
use crate::store::{Note, ReadError, RecordLock, Reservation, SignInLock};
use crate::terminal;
use crate::token::{Need, TokenSet};
use std::time::Duration;
use url::Url;

/// How long the record's lock is waited for once the person is through.
const PATIENCE: Duration = Duration::from_secs(40);

/// A sign-in that this worker alone is at.
#[derive(Debug)]
pub(super) struct Session<'w> {
    pub(super) work: &'w Work<'w>,
    pub(super) login: &'w Login,
    pub(super) lock: SignInLock,
    pub(super) before: Before,
}

/// What the record was when the sign-in began.
#[derive(Debug)]
pub(super) struct Before {
    pub(super) tokens: Option<TokenSet>,
    generation: u64,
}

/// Why one way brought no tokens.
#[derive(Debug)]
pub(super) enum Miss {
    /// It cannot be gone here; the next one may.
    NotThisWay(Failure),
    Ended(Broken),
}

impl From<Broken> for Miss {
    fn from(broken: Broken) -> Self {
        Self::Ended(broken)
    }
}

/// Signs a person in for `work`. The record's `lock` is given up while the person is at it.
///
/// # Errors
/// What ended it, and how far others share that.
pub(crate) fn run(work: &Work<'_>, login: &Login, lock: &mut Option<RecordLock>) -> Result<Done, Broken> {
    let outcome = attempt(work, login, lock);
    // taken, so that nobody writes a failure of a sign-in as one that concerns who can do without
    if let (Err(broken), Some(held)) = (&outcome, lock.take()) {
        work.leave_failure(&held, &work.failed(broken).of_sign_in());
    }
    outcome
}

fn attempt(work: &Work<'_>, login: &Login, lock: &mut Option<RecordLock>) -> Result<Done, Broken> {
    let Some(held) = lock.as_ref() else { return Ok(Done::Kept) };
    let Some(sign_in_lock) = work.store.try_sign_in_lock(&work.record, held).map_err(passing)? else {
        // somebody else's is open: whoever started us waits for that one
        return Ok(Done::Kept);
    };
    let before = Before { tokens: work.read(&work.record).map_err(passing)?, generation: generation(work).map_err(passing)? };
    let session = Session { work, login, lock: sign_in_lock, before };
    let outcome = session.go_on(lock).unwrap_or_else(|| session.begin(lock));
    // who still holds the record's lock leaves it by that, afterwards
    if let (Err(broken), None) = (&outcome, &*lock) {
        work.leave_failure(&session.lock, &work.failed(broken).of_sign_in());
    }
    session.close();
    outcome
}

impl Session<'_> {
    /// Resumes what a worker that was killed has left open; none where there is nothing, or another way has to be gone.
    fn go_on(&self, lock: &mut Option<RecordLock>) -> Option<Result<Done, Broken>> {
        match device::resume(self, lock)? {
            Ok(done) => Some(Ok(done)),
            Err(Miss::Ended(broken)) => Some(Err(broken)),
            Err(Miss::NotThisWay(_)) => None,
        }
    }

    fn begin(&self, lock: &mut Option<RecordLock>) -> Result<Done, Broken> {
        let metadata = metadata::find(&Registration::new(self.login).map_err(passing)?).map_err(passing)?;
        self.work.store.clear_note(&self.lock, Note::Failed).map_err(passing)?;
        let device = metadata.device_authorization_endpoint.is_some();
        let ways = ways(self.work.job.flow, self.sees_a_browser(), self.work.job.attended, device);
        let mut rest = ways.iter();
        while let Some(way) = rest.next() {
            let last = rest.as_slice().is_empty();
            self.work.context.trace(|| format!("signing in: {way:?}"));
            let outcome = match way {
                Way::Browser => browser::run(self, &metadata, lock, last),
                Way::Device => device::run(self, &metadata, lock),
            };
            match outcome {
                Ok(done) => return Ok(done),
                Err(Miss::Ended(broken)) => return Err(broken),
                Err(Miss::NotThisWay(failure)) if last => return Err(passing(failure)),
                Err(Miss::NotThisWay(_)) => self.lock_again(lock)?,
            }
        }
        Ok(Done::Kept)
    }

    /// Takes the record's lock again, where it was given up.
    ///
    /// # Errors
    /// A cancellation, where a sign-out came in between.
    pub(super) fn lock_again(&self, lock: &mut Option<RecordLock>) -> Result<(), Broken> {
        if lock.is_none() {
            let taken = self.work.store.lock(&self.work.record, PATIENCE).map_err(passing)?;
            if self.work.is_called_off() {
                return Err(self.stopped());
            }
            *lock = Some(taken);
        }
        Ok(())
    }

    fn sees_a_browser(&self) -> bool {
        let environment = &self.work.context.environment;
        !interaction::browser_commands(environment, self.work.config).is_empty() || interaction::shows_a_browser(environment)
    }

    /// Opens `address` where a person sees it; says whether that could be done.
    pub(super) fn open_browser(&self, address: &Url) -> bool {
        let environment = &self.work.context.environment;
        let commands = interaction::browser_commands(environment, self.work.config);
        self.sees_a_browser() && terminal::open_browser(&commands, address, &environment.for_worker()).is_ok()
    }

    fn close(self) {
        // the code first: what is resumed has to be waited for by somebody
        let _ = self.work.store.clear_note(&self.lock, Note::Device);
        let _ = self.work.store.clear_note(&self.lock, Note::Pending);
    }

    /// Returns why a person is asked again, where there was a sign-in before.
    pub(super) fn why(&self) -> Option<String> {
        self.before.tokens.as_ref().and_then(|tokens| tokens.ended).map(|ended| ended.sentence().to_owned())
    }

    pub(super) fn stopped(&self) -> Broken {
        let failure = Failure::new(Kind::Refused, format!("the sign-in to `{}` was stopped", self.login.name));
        (Class::Cancelled, failure.hint(sign_in_hint(self.login)))
    }

    /// Takes the record's lock for what is about to bring tokens.
    pub(super) fn lock_to_redeem(&self) -> Result<RecordLock, Broken> {
        self.work.store.lock(&self.work.record, PATIENCE).map_err(passing)
    }

    /// Reserves the place for tokens that are about to be asked for: a full disk is met before anything is spent. None where nothing can
    /// be kept.
    ///
    /// # Errors
    /// A cancellation, where the login was signed out meanwhile; those of the store.
    pub(super) fn reserve<'l>(&'l self, lock: &'l RecordLock) -> Result<Option<Reservation<'l>>, Broken> {
        let work = self.work;
        if !work.keeps {
            return Ok(None);
        }
        work.store.recover(lock).map_err(passing)?;
        if was_signed_out(work, &self.before).map_err(passing)? {
            return Err((
                Class::Cancelled,
                Failure::new(Kind::Refused, format!("`{}` was signed out meanwhile", self.login.name))
                    .hint(sign_in_hint(self.login)),
            ));
        }
        work.store.reserve(lock).map(Some).map_err(passing)
    }

    /// Checks what a server granted, and writes it to the reserved place; returns whose account it is, too.
    ///
    /// # Errors
    /// Another account, or one that is not what is needed; then the tokens are revoked. Those of the store.
    pub(super) fn keep(
        &self,
        registration: &Registration<'_>,
        metadata: &Metadata,
        slot: Option<Reservation<'_>>,
        grant: &Grant,
        nonce: Option<&str>,
    ) -> Result<(Done, Option<String>), Broken> {
        let (work, login) = (self.work, self.login);
        let mut tokens = fresh(work, metadata, registration);
        work.merge(&mut tokens, grant, was_rejected(self.before.tokens.as_ref()));
        let checked = work
            .note_id_token(&mut tokens, grant, &registration.client_id, nonce)
            .and_then(|()| same_account(login, &self.before, &tokens));
        if let Err(failure) = checked {
            give_back(registration, metadata, &tokens);
            return Err((Class::Denied, failure));
        }
        let (form, account) = (tokens.stored_form(), tokens.account.clone());
        let done = match slot {
            Some(slot) => work.done(&self.lock, slot.commit(&form), form, true),
            None => Done::Unkept(form),
        };
        // what came is kept, but asking a person again would bring no more of it
        if tokens.usable(work.job.need, work.context.moment()).is_none() {
            return Err((Class::Denied, not_what_is_needed(login, work.job.need)));
        }
        let missing = scopes::missing(&login.scopes, &tokens.scope);
        if !missing.is_empty() {
            warn(work.context, &scopes::warning(login, &missing));
        }
        Ok((done, account))
    }
}

fn generation(work: &Work<'_>) -> Result<u64, Failure> {
    if !work.keeps {
        return Ok(0);
    }
    match work.store.read(&work.record) {
        Ok(record) => Ok(record.map_or(0, |record| record.generation)),
        Err(ReadError::Damaged(_) | ReadError::AnotherKey(_)) => Ok(0),
        Err(other) => Err(other.into()),
    }
}

/// A newer tombstone is a sign-out. A newer token set is not: others may refresh or mark it while the person is at it.
fn was_signed_out(work: &Work<'_>, before: &Before) -> Result<bool, Failure> {
    match work.store.read(&work.record) {
        Ok(record) => Ok(record.is_some_and(|record| record.payload.is_none() && record.generation > before.generation)),
        Err(ReadError::Damaged(_) | ReadError::AnotherKey(_)) => Ok(false),
        Err(other) => Err(other.into()),
    }
}

pub(crate) fn not_what_is_needed(login: &Login, need: Need) -> Failure {
    match need {
        Need::IdToken { .. } => {
            Failure::new(Kind::Misconfigured, format!("the server gave `{}` no ID token that is still good", login.name))
                .hint("its `scopes` must have `openid`; if they do, check this machine's clock")
        }
        Need::Access { .. } => {
            Failure::new(Kind::Refused, format!("the server gave `{}` a token that had already ended", login.name))
                .hint("check this machine's clock")
        }
    }
}

fn was_rejected(tokens: Option<&TokenSet>) -> bool {
    tokens.and_then(|tokens| tokens.access_token.as_ref()).is_some_and(|token| token.rejected)
}

fn fresh(work: &Work<'_>, metadata: &Metadata, registration: &Registration<'_>) -> TokenSet {
    let (login, client) = (registration.login, &registration.client_id);
    TokenSet {
        issuer: metadata.issuer.clone(),
        token_endpoint: metadata.token_endpoint.to_string(),
        revocation_endpoint: metadata.revocation_endpoint.as_ref().map(ToString::to_string),
        client_id: (*client != login.client_id).then(|| client.clone()),
        subject: None,
        account: None,
        email: None,
        scope: login.scopes.clone(),
        access_token: None,
        refresh_token: None,
        id_token: None,
        signed_in_at_ms: (work.context.now_ms)(),
        renewed_at_ms: 0,
        minted: Vec::new(),
        ended: None,
    }
}

fn same_account(login: &Login, before: &Before, tokens: &TokenSet) -> Result<(), Failure> {
    if let Some(wanted) = &login.account {
        let names = [&tokens.account, &tokens.subject, &tokens.email];
        if !names.into_iter().flatten().any(|name| name == wanted) {
            return Err(Failure::new(
                Kind::Refused,
                format!(
                    "the server signed in another account than `{}`, which `{}` is for",
                    terminal::printable(wanted),
                    login.name
                ),
            )
            .hint("choose that account at the server, or change `account` of the login"));
        }
    }
    let known = before.tokens.as_ref().and_then(|tokens| tokens.subject.as_ref());
    match (known, &tokens.subject) {
        (Some(known), Some(subject)) if known != subject => Err(other_account(login)),
        // it may be anybody's
        (Some(_), None) => {
            Err(Failure::new(Kind::Refused, format!("the server did not say which account it signed in to `{}`", login.name))
                .hint(format!("run `keyfob logout {}` first to take whichever it is", login.name)))
        }
        _ => Ok(()),
    }
}

/// Revokes tokens that are not going to be kept. A server that cannot be reached ends them by itself, later.
fn give_back(registration: &Registration<'_>, metadata: &Metadata, tokens: &TokenSet) {
    let Some(endpoint) = &metadata.revocation_endpoint else { return };
    if let Some(refresh_token) = &tokens.refresh_token {
        let _ = registration.revoke(endpoint, refresh_token, "refresh_token");
    }
    if let Some(access_token) = &tokens.access_token {
        let _ = registration.revoke(endpoint, &access_token.value, "access_token");
    }
}
