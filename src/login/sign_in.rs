//! One sign-in by a person: what its ways share, from the lock to the tokens in the store.
use super::account::Former;
use super::failed::Class;
use super::interaction::{Way, ways};
use super::sight::Sight;
use super::worker::{Broken, Done, Work, lasting_hint, passing, sign_in_hint};
use super::{account, browser, device, revoke, scopes, server_of};
use crate::audit::{Entry, Event};
use crate::config::{Flow, Login};
use crate::failure::{Failure, Kind};
use crate::oauth::Registration;
use crate::oauth::metadata::{self, Metadata};
use crate::oauth::token_endpoint::{Claims, Grant};
use crate::store::{Note, ReadError, RecordLock, Reservation, SignInLock};
use crate::terminal;
use crate::token::{Ended, Need, TokenSet};
use std::cell::{Cell, RefCell};
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
    /// Whether a browser that is opened here is seen.
    sight: Sight,
    /// Why the way that was tried last could not be gone.
    pub(super) instead: RefCell<Option<String>>,
    /// Whether a way to another grant is left, should the server shut this one.
    pub(super) has_another_grant: Cell<bool>,
    /// What was replaced by the tokens that came.
    former: RefCell<Option<Former>>,
    /// The log says already why tokens were not taken.
    noted: Cell<bool>,
    /// What the server wants to be asked for, by its refusal of a renewal that was just tried.
    pub(super) claims: Option<Claims>,
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
    NotHere(Failure),
    /// The server, or this client there, does not do it anywhere; a way to another grant may be gone.
    NotThisGrant(Failure),
    Ended(Broken),
}

impl From<Broken> for Miss {
    fn from(broken: Broken) -> Self {
        Self::Ended(broken)
    }
}

/// Signs a person in for `work`, asking the server for `claims` where there are any. The record's `lock` is given up while the person is
/// at it.
///
/// # Errors
/// What ended it, and how far others share that.
pub(crate) fn run(work: &Work<'_>, login: &Login, lock: &mut Option<RecordLock>, claims: Option<Claims>) -> Result<Done, Broken> {
    let outcome = attempt(work, login, lock, claims);
    // taken, so that nobody writes a failure of a sign-in as one that concerns who can do without
    if let (Err(broken), Some(held)) = (&outcome, lock.take()) {
        work.leave_failure(&held, &work.failed(broken).of_sign_in());
    }
    outcome
}

fn attempt(work: &Work<'_>, login: &Login, lock: &mut Option<RecordLock>, claims: Option<Claims>) -> Result<Done, Broken> {
    let Some(held) = lock.as_ref() else { return Ok(Done::Kept) };
    let Some(sign_in_lock) = work.store.try_sign_in_lock(&work.record, held).map_err(passing)? else {
        // somebody else's is open: whoever started us waits for that one
        return Ok(Done::Kept);
    };
    let before = Before { tokens: work.read(&work.record).map_err(passing)?, generation: generation(work).map_err(passing)? };
    let sight = Sight::here(&work.context.environment, work.config);
    let session = Session {
        work,
        login,
        lock: sign_in_lock,
        before,
        sight,
        instead: RefCell::default(),
        has_another_grant: Cell::default(),
        former: RefCell::default(),
        noted: Cell::default(),
        claims,
    };
    let outcome = session.go_on(lock).unwrap_or_else(|| session.begin(lock));
    // who still holds the record's lock leaves it by that, afterwards
    if let (Err(broken), None) = (&outcome, &*lock) {
        work.leave_failure(&session.lock, &work.failed(broken).of_sign_in());
    }
    let refused = |(class, failure): &&Broken| failure.kind == Kind::Refused && *class != Class::Cancelled;
    if let (Some((_, failure)), false) = (outcome.as_ref().err().filter(refused), session.noted.get()) {
        let entry = Entry::new(Event::Refused, &login.name, &work.job.asker, work.job.pid, work.context.now());
        work.note(&entry.by(&server_of(login), None).because(&failure.message));
    }
    let former = session.former.take();
    session.close();
    if let Some(former) = former {
        former.retire(work, login);
    }
    outcome
}

impl Session<'_> {
    /// Resumes what a worker that was killed has left open; none where there is nothing, or another way has to be gone.
    fn go_on(&self, lock: &mut Option<RecordLock>) -> Option<Result<Done, Broken>> {
        match device::resume(self, lock)? {
            Ok(done) => Some(Ok(done)),
            Err(Miss::Ended(broken)) => Some(Err(broken)),
            Err(Miss::NotHere(_) | Miss::NotThisGrant(_)) => None,
        }
    }

    fn begin(&self, lock: &mut Option<RecordLock>) -> Result<Done, Broken> {
        let metadata = metadata::find(&Registration::new(self.login).map_err(passing)?).map_err(passing)?;
        self.work.store.clear_note(&self.lock, Note::Failed).map_err(passing)?;
        let device = metadata.device_authorization_endpoint.is_some();
        let mut ways = ways(self.work.job.flow, self.sight.is_seen, self.work.job.attended, device).to_vec();
        while !ways.is_empty() {
            let way = ways.remove(0);
            self.work.context.trace(|| format!("signing in: {way:?}"));
            self.has_another_grant.set(ways.iter().any(|other| !other.shares_grant(way)));
            let outcome = match way {
                Way::Browser => browser::run(self, &metadata, lock, ways.is_empty()),
                Way::Device => device::run(self, &metadata, lock),
                Way::Paste => browser::paste(self, &metadata, lock),
            };
            let (class, failure) = match outcome {
                Ok(done) => return Ok(done),
                Err(Miss::Ended((class, failure))) => {
                    return Err((class, self.with_reason(class, self.with_former(failure), way)));
                }
                Err(Miss::NotHere(failure)) => (Class::Passing, failure),
                Err(Miss::NotThisGrant(failure)) => {
                    ways.retain(|other| !other.shares_grant(way));
                    (Class::Denied, failure)
                }
            };
            if ways.is_empty() {
                return Err((class, self.with_reason(class, self.with_former(failure), way)));
            }
            self.lock_again(lock)?;
            *self.instead.borrow_mut() = Some(failure.message);
        }
        Ok(Done::Kept)
    }

    /// Adds why the way before could not be gone.
    fn with_former(&self, failure: Failure) -> Failure {
        self.instead.take().into_iter().fold(failure, |failure, before| failure.hint(format!("before that: {before}")))
    }

    /// Adds which way was gone and why, where another place might have had a better one.
    fn with_reason(&self, class: Class, failure: Failure, way: Way) -> Failure {
        match class {
            Class::NobodyCame | Class::NeedsPerson if self.work.job.flow == Flow::Auto => {
                failure.hint(format!("it was asked by {}: {}", way.words(), self.sight.because))
            }
            _ => failure,
        }
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

    /// Opens `address` where a person sees it; says whether that could be done.
    pub(super) fn open_browser(&self, address: &Url) -> bool {
        let Sight { commands, is_seen, without_browser_variable, .. } = &self.sight;
        let mut environment = self.work.context.environment.for_worker();
        environment.retain(|(name, _)| !without_browser_variable || name != "BROWSER");
        *is_seen && terminal::open_browser(commands, address, &environment).is_ok()
    }

    fn close(self) {
        // the code first: what is resumed has to be waited for by somebody
        let _ = self.work.store.clear_note(&self.lock, Note::Device);
        let _ = self.work.store.clear_note(&self.lock, Note::Pending);
    }

    /// Returns why a person is asked again, where there was a sign-in before.
    pub(super) fn why(&self) -> Option<String> {
        let ended = self.before.tokens.as_ref().and_then(|tokens| tokens.ended)?;
        Some(match ended {
            Ended::NotGiven => format!("{}: {}", ended.sentence(), lasting_hint(self.login)),
            ended => ended.sentence().to_owned(),
        })
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
        let before = self.before.tokens.as_ref();
        work.merge(&mut tokens, grant, was_rejected(before));
        let checked = work
            .note_id_token(&mut tokens, grant, &registration.client_id, nonce)
            .and_then(|()| account::settle(registration, metadata, before, &mut tokens, work.job.switch_account));
        let doubt = checked.map_err(|failure| {
            self.give_back(registration, metadata, &tokens, &failure);
            (Class::Denied, failure)
        })?;
        // others may have renewed it while the person was at it; the newest is what is replaced
        let former = if work.job.switch_account { work.read(&work.record).ok().flatten() } else { None };
        let lasts = tokens.access_token.as_ref().is_none_or(|token| token.expires_at.is_none());
        tokens.ended = (tokens.refresh_token.is_none() && !lasts).then_some(Ended::NotGiven);
        let (form, account) = (tokens.stored_form(), tokens.account.clone());
        let done = match slot {
            Some(slot) => work.done(&self.lock, slot.commit(&form), form, true),
            None => Done::Unkept(form),
        };
        if matches!(done, Done::Kept) {
            self.former.replace(former.map(|former| Former::new(former, &tokens)));
        }
        work.note(&work.entry(Event::Issued, login, &tokens));
        // what came is kept, but asking a person again would bring no more of it
        if tokens.usable(work.job.need, work.context.moment()).is_none() {
            return Err((Class::Denied, not_what_is_needed(login, work.job.need)));
        }
        for warning in doubt.into_iter().chain(scopes::warning(login, &tokens.scope)) {
            work.warn(&warning);
        }
        Ok((done, account))
    }

    /// Ends what the tokens of another account were exchanged for, as soon as those of this one are kept.
    pub(super) fn forget_roles_of_former(&self) {
        if let Some(former) = &*self.former.borrow() {
            former.forget_roles(self.work, self.login);
        }
    }

    /// Keeps what ends now out of the audit log: nobody refused anything.
    pub(super) fn leave_unnoted(&self) {
        self.noted.set(true);
    }

    /// Revokes tokens that are not going to be kept, because of `failure`. A server that cannot be reached ends them by itself, later.
    fn give_back(&self, registration: &Registration<'_>, metadata: &Metadata, tokens: &TokenSet, failure: &Failure) {
        let (work, login) = (self.work, self.login);
        work.note(&work.entry(Event::Refused, login, tokens).because(&failure.message));
        self.noted.set(true);
        if revoke::at(registration, metadata.revocation_endpoint.as_ref(), tokens).is_revoked() {
            work.note(&work.entry(Event::Revoked, login, tokens).because("they were not taken"));
        }
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
