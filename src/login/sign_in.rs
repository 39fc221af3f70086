//! One sign-in by a person, from the open listener to the tokens in the store.
use super::failed::Class;
use super::pending::Pending;
use super::worker::{Broken, Done, Work, other_account, passing, sign_in_hint};
use crate::config::Login;
use crate::failure::{Failure, Kind};
use crate::oauth::Registration;
use crate::oauth::authorization_code::{Attempt, Ended, Received, begin};
use crate::oauth::loopback::Browser;
use crate::oauth::metadata::{self, Metadata};
use crate::oauth::result_page::{Page, sentence};
use crate::oauth::token_endpoint::{Denial, Grant};
use crate::store::{Note, ReadError, RecordLock, SignInLock};
use crate::terminal;
use crate::token::{Need, TokenSet};
use std::time::Duration;
use url::Url;

/// How long a person may take.
const LIMIT: Duration = Duration::from_secs(300);
/// How long the record's lock is waited for once the person is through.
const PATIENCE: Duration = Duration::from_secs(40);

/// Signs a person in for `work`. The record's `lock` is given up while the person is at it.
///
/// # Errors
/// What ended it, and how far others share that.
pub(crate) fn run(work: &Work<'_>, registration: &Registration<'_>, lock: &mut Option<RecordLock>) -> Result<Done, Broken> {
    let Some(held) = lock.as_ref() else { return Ok(Done::Kept) };
    let Some(sign_in_lock) = work.store.try_sign_in_lock(&work.record, held).map_err(passing)? else {
        // somebody else's is open: whoever started us waits for that one
        return Ok(Done::Kept);
    };
    let before = Before { tokens: work.read(&work.record).map_err(passing)?, generation: generation(work).map_err(passing)? };
    let metadata = metadata::find(registration).map_err(passing)?;
    let attempt = begin(registration, &metadata).map_err(passing)?;
    let mut pending = notice(work, registration.login, &metadata, &attempt);
    pending.why = before.tokens.as_ref().and_then(|tokens| tokens.ended).map(|ended| ended.sentence().to_owned());
    work.store.clear_note(&sign_in_lock, Note::Failed).map_err(passing)?;
    // written before the lock is free, so that nobody finds neither the one nor the other
    work.write_pending(&sign_in_lock, &pending).map_err(passing)?;
    drop(lock.take());
    pending.browser_opened = open_browser(work, &attempt.start_address);
    let outcome = announce(work, &sign_in_lock, &pending, registration.login).and_then(|()| {
        match attempt.wait(LIMIT, &mut || work.should_stop()) {
            Ok(received) => finish(work, registration, &metadata, received, &before),
            Err(ended) => Err(give_up(registration.login, ended)),
        }
    });
    if let Err(broken) = &outcome {
        work.leave_failure(&sign_in_lock, &work.failed(broken).of_sign_in());
    }
    close(work, sign_in_lock);
    outcome
}

/// Tells everybody who waits how it stands; ends it where nobody could see the browser or the address.
fn announce(work: &Work<'_>, held: &SignInLock, pending: &Pending, login: &Login) -> Result<(), Broken> {
    if !pending.browser_opened && !work.job.attended {
        return Err((Class::NeedsPerson, nobody_sees(login)));
    }
    work.announce(held, pending).map_err(passing)
}

/// What the record was when the sign-in began.
struct Before {
    tokens: Option<TokenSet>,
    generation: u64,
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

fn notice(work: &Work<'_>, login: &Login, metadata: &Metadata, attempt: &Attempt) -> Pending {
    let server = metadata.authorization_endpoint.host_str().unwrap_or_default();
    Pending {
        login: login.name.clone(),
        server: terminal::printable(server),
        address: attempt.start_address.to_string(),
        browser_opened: true,
        why: None,
        asker: terminal::printable(&work.job.asker),
        pid: work.job.pid,
        ends_at: work.context.now() + i64::try_from(LIMIT.as_secs()).unwrap_or(i64::MAX),
    }
}

fn open_browser(work: &Work<'_>, address: &Url) -> bool {
    let environment = &work.context.environment;
    let mut commands = environment.browser_commands();
    if commands.is_empty() {
        commands.extend(work.config.browser.clone());
    }
    let visible = !commands.is_empty() || super::interaction::shows_a_browser(environment);
    visible && terminal::open_browser(&commands, address, &environment.for_worker()).is_ok()
}

fn nobody_sees(login: &Login) -> Failure {
    Failure::new(
        Kind::NeedsPerson,
        format!("no browser could be opened to sign in to `{}`, and there is no terminal to show the address on", login.name),
    )
    .hint("name a browser in `KEYFOB_BROWSER` or in `browser` of the configuration")
    .hint(format!("or, in a terminal, {}", sign_in_hint(login)))
}

fn close(work: &Work<'_>, lock: SignInLock) {
    let _ = work.store.clear_note(&lock, Note::Pending);
    drop(lock);
}

fn give_up(login: &Login, ended: Ended) -> Broken {
    match ended {
        Ended::Refused(mut failure, browser) => {
            if failure.hints.is_empty() {
                failure = failure.hint(sign_in_hint(login));
            }
            if let Some(browser) = browser {
                browser.show(&failed_page(&failure));
            }
            let class = if failure.kind == Kind::Unreachable { Class::Passing } else { Class::Denied };
            (class, failure)
        }
        Ended::TimedOut => (
            Class::NobodyCame,
            Failure::new(
                Kind::NeedsPerson,
                format!("nobody signed in to `{}` within {} minutes", login.name, LIMIT.as_secs() / 60),
            )
            .hint("if the server showed an error page: it must know the redirect `http://127.0.0.1/callback` with any port")
            .hint(sign_in_hint(login)),
        ),
        Ended::Stopped => (
            Class::Cancelled,
            Failure::new(Kind::Refused, format!("the sign-in to `{}` was stopped", login.name)).hint(sign_in_hint(login)),
        ),
    }
}

/// Redeems the code and keeps the tokens, then tells the person's browser what came of it.
fn finish(
    work: &Work<'_>,
    registration: &Registration<'_>,
    metadata: &Metadata,
    received: Received,
    before: &Before,
) -> Result<Done, Broken> {
    let Received { code, checks, browser } = received;
    let outcome = keep(
        work,
        registration,
        metadata,
        before,
        &mut || registration.redeem(&metadata.token_endpoint, &code, &checks.verifier, &checks.redirect_uri),
        checks.nonce.as_ref().map(|nonce| nonce.expose()),
    );
    show(browser, work, registration.login, &outcome);
    outcome.map(|(done, _)| done)
}

/// Reserves the place, redeems, checks, and writes, in that order: a full disk is met before the code is spent.
fn keep(
    work: &Work<'_>,
    registration: &Registration<'_>,
    metadata: &Metadata,
    before: &Before,
    redeem: &mut dyn FnMut() -> Result<Grant, Denial>,
    nonce: Option<&str>,
) -> Result<(Done, Option<String>), Broken> {
    let login = registration.login;
    let lock = work.store.lock(&work.record, PATIENCE).map_err(passing)?;
    let slot = if work.keeps {
        work.store.recover(&lock).map_err(passing)?;
        if was_signed_out(work, before).map_err(passing)? {
            return Err((
                Class::Cancelled,
                Failure::new(Kind::Refused, format!("`{}` was signed out meanwhile", login.name)).hint(sign_in_hint(login)),
            ));
        }
        Some(work.store.reserve(&lock).map_err(passing)?)
    } else {
        None
    };
    let grant = redeem().map_err(|denial| refused(login, denial))?;
    let mut tokens = fresh(work, metadata, login);
    work.merge(&mut tokens, &grant, was_rejected(before.tokens.as_ref()));
    let checked =
        work.note_id_token(&mut tokens, &grant, &login.client_id, nonce).and_then(|()| same_account(login, before, &tokens));
    if let Err(failure) = checked {
        give_back(registration, metadata, &tokens);
        return Err((Class::Denied, failure));
    }
    let (form, account) = (tokens.stored_form(), tokens.account.clone());
    let done = match slot {
        Some(slot) => work.done(slot.commit(&form), form),
        None => Done::Unkept(form),
    };
    // what came is kept, but asking a person again would bring no more of it
    if tokens.usable(work.job.need, work.context.moment()).is_none() {
        return Err((Class::Denied, not_what_is_needed(login, work.job.need)));
    }
    Ok((done, account))
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

fn fresh(work: &Work<'_>, metadata: &Metadata, login: &Login) -> TokenSet {
    TokenSet {
        issuer: metadata.issuer.clone(),
        token_endpoint: metadata.token_endpoint.to_string(),
        revocation_endpoint: metadata.revocation_endpoint.as_ref().map(ToString::to_string),
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

fn refused(login: &Login, denial: Denial) -> Broken {
    match denial {
        Denial::InvalidGrant(said) => (
            Class::Denied,
            Failure::new(Kind::Refused, format!("the sign-in server did not take its own code back ({said})"))
                .hint(format!("codes last about a minute: {}", sign_in_hint(login))),
        ),
        // a code is not sent twice: that would end what it had brought (RFC 6749 §4.1.2)
        other => (Class::Passing, other.failure()),
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

fn show(browser: Browser, work: &Work<'_>, login: &Login, outcome: &Result<(Done, Option<String>), Broken>) {
    let page = match outcome {
        Ok((_, account)) => {
            let account = account.as_ref().map(|account| format!(" as {account}")).unwrap_or_default();
            Page {
                succeeded: true,
                title: format!("Signed in to {}{account}", login.name),
                lines: vec![format!(
                    "`{}` asked for it and goes on now. You can close this tab.",
                    terminal::printable(&work.job.asker)
                )],
            }
        }
        Err((_, failure)) => failed_page(failure),
    };
    browser.show(&page);
}

fn failed_page(failure: &Failure) -> Page {
    let lines = std::iter::once(&failure.message).chain(&failure.hints).map(|text| sentence(text)).collect();
    Page { succeeded: false, title: "Not signed in".into(), lines }
}
