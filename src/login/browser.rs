//! Signing in by browser, here or elsewhere: the authorization code grant, from the open listener to the page that says what came of it.
use super::failed::Class;
use super::pending::{Paste, Pending};
use super::sign_in::{Miss, Session};
use super::worker::{Broken, Done, passing, sign_in_hint};
use super::{overdue, pages};
use crate::config::Login;
use crate::failure::{Failure, Kind};
use crate::oauth::Registration;
use crate::oauth::authorization_code::{Attempt, Ended, Manner, Received, Sent, begin};
use crate::oauth::loopback::Browser;
use crate::oauth::metadata::Metadata;
use crate::oauth::token_endpoint::{Claims, Denial};
use crate::store::{Note, RecordLock};
use crate::terminal;
use std::time::{Duration, Instant};

/// How long a person may take.
const LIMIT: Duration = Duration::from_secs(300);
/// How long one may take who carries an address to another machine, and what it ends at back.
const CARRYING_LIMIT: Duration = Duration::from_secs(600);
/// How many tabs one sign-in may open by itself: one, and one more where its worker was killed.
const TABS: u32 = 2;

/// Opens a browser at the server that `metadata` describes, and waits for what it brings. Where this is the `last` way and no browser
/// opens, the address is shown on the terminal.
///
/// # Errors
/// See [`Miss`].
pub(super) fn run(session: &Session<'_>, metadata: &Metadata, lock: &mut Option<RecordLock>, last: bool) -> Result<Done, Miss> {
    let (work, login) = (session.work, session.login);
    let registration = Registration::new(login).map_err(passing)?;
    let mut pending = notice(session, metadata, LIMIT);
    if pending.tabs > TABS {
        return Err(Miss::Ended((Class::NobodyCame, broken_off(login))));
    }
    // who sits at a terminal reads there who asks; elsewhere our page says it before the server's asks for a password
    let question = (!work.job.attended).then(|| pages::asks(&pending));
    let attempt = attempt(session, &registration, metadata, Manner { question, ..Manner::default() })?;
    pending.address = attempt.start_address.to_string();
    // written before the lock is free, so that nobody finds neither the one nor the other
    work.write_pending(&session.lock, &pending).map_err(passing)?;
    drop(lock.take());
    if work.should_stop() {
        // the person left while the server was slow: no tab comes after them
        return Err(Miss::Ended(session.stopped()));
    }
    pending.browser_opened = session.open_browser(&attempt.start_address);
    if !pending.browser_opened && !last {
        return Err(Miss::NotHere(Failure::new(Kind::NeedsPerson, "no browser could be opened")));
    }
    if !pending.browser_opened && !work.job.attended {
        return Err(Miss::Ended((Class::NeedsPerson, nobody_sees(login))));
    }
    work.announce(&session.lock, &pending).map_err(passing)?;
    conclude(session, &registration, metadata, attempt, pending, LIMIT)
}

/// Has the terminals that wait show the address at the server that `metadata` describes, and waits for what a browser brings, or a
/// person pastes of what one ended at.
///
/// # Errors
/// See [`Miss`].
pub(super) fn paste(session: &Session<'_>, metadata: &Metadata, lock: &mut Option<RecordLock>) -> Result<Done, Miss> {
    let work = session.work;
    let registration = Registration::new(session.login).map_err(passing)?;
    let attempt = attempt(session, &registration, metadata, Manner { pasted: true, ..Manner::default() })?;
    let mut pending = notice(session, metadata, CARRYING_LIMIT);
    pending.browser_opened = false;
    pending.paste = carried(&attempt);
    // written before the lock is free, so that nobody finds neither the one nor the other
    work.write_pending(&session.lock, &pending).map_err(passing)?;
    drop(lock.take());
    if work.should_stop() {
        return Err(Miss::Ended(session.stopped()));
    }
    work.announce(&session.lock, &pending).map_err(passing)?;
    conclude(session, &registration, metadata, attempt, pending, CARRYING_LIMIT)
}

fn attempt(session: &Session<'_>, registration: &Registration<'_>, metadata: &Metadata, manner: Manner) -> Result<Attempt, Miss> {
    let claims = manner.claims.or_else(|| session.claims.clone());
    begin(registration, metadata, Manner { switches: session.work.job.switch_account, claims, ..manner }).map_err(|failure| {
        match metadata.authorization_endpoint {
            None => Miss::NotThisGrant(failure),
            Some(_) => Miss::Ended(passing(failure)),
        }
    })
}

fn conclude(
    session: &Session<'_>,
    registration: &Registration<'_>,
    metadata: &Metadata,
    mut attempt: Attempt,
    mut pending: Pending,
    limit: Duration,
) -> Result<Done, Miss> {
    let (begun, mut may_repeat) = (Instant::now(), true);
    loop {
        let sent = attempt.sent.clone();
        let received = match attempt.wait(limit.saturating_sub(begun.elapsed()), &mut || session.work.should_stop()) {
            Ok(received) => received,
            Err(Ended::NotThisGrant(failure, browser)) if session.has_another_grant.get() => {
                if let Some(browser) = browser {
                    browser.show(&pages::not_this_way(&pending, &failure));
                }
                return Err(Miss::NotThisGrant(failure));
            }
            Err(ended) => return Err(Miss::Ended(give_up(session, ended, &pending, &sent, limit))),
        };
        match finish(session, registration, metadata, received, &pending, may_repeat) {
            Finished::Done(outcome) => return Ok(outcome?),
            Finished::Again(next, browser) => {
                may_repeat = false;
                lead_on(session, &mut pending, &next, browser)?;
                attempt = *next;
            }
        }
    }
}

/// Tells whoever waits where the sign-in goes on, and sends the browser there that came back.
fn lead_on(session: &Session<'_>, pending: &mut Pending, next: &Attempt, browser: Option<Browser>) -> Result<(), Broken> {
    pending.address = next.start_address.to_string();
    pending.paste = carried(next);
    pending.instead = Some("the server did not take that code".to_owned());
    if pending.paste.is_some() || !pending.browser_opened {
        session.work.announce(&session.lock, pending).map_err(passing)?;
    }
    if let Some(browser) = browser {
        browser.lead_to(&next.start_address);
    }
    Ok(())
}

/// Returns what a person carries elsewhere, where the answer may be pasted.
fn carried(attempt: &Attempt) -> Option<Paste> {
    let address = attempt.paste_address.as_ref()?;
    Some(Paste { url: attempt.authorization_url().clone(), address: address.clone() })
}

/// Returns what an open sign-in says of itself, but for its address.
fn notice(session: &Session<'_>, metadata: &Metadata, limit: Duration) -> Pending {
    let (work, login) = (session.work, session.login);
    // one that is still there was left by a worker that was killed, for the lock of the sign-in is ours
    let left = if work.keeps { work.store.read_note(&work.record, Note::Pending).ok().flatten() } else { None };
    let tabs = match left.and_then(|note| Pending::read(&note)) {
        _ if work.job.attended => 0,
        Some(left) if !work.job.force => left.tabs.saturating_add(1),
        _ => 1,
    };
    let server = metadata.authorization_endpoint.as_ref().and_then(|url| url.host_str()).unwrap_or_default();
    Pending {
        login: login.name.clone(),
        server: terminal::printable(server),
        address: String::new(),
        browser_opened: true,
        code: None,
        paste: None,
        why: session.why(),
        instead: session.instead.borrow().clone(),
        asker: terminal::printable(&work.job.asker),
        pid: work.job.pid,
        ends_at: work.context.now() + i64::try_from(limit.as_secs()).unwrap_or(i64::MAX),
        tabs,
    }
}

fn broken_off(login: &Login) -> Failure {
    Failure::new(
        Kind::NeedsPerson,
        format!("tabs were opened to sign in to `{}`, and each time the sign-in was killed", login.name),
    )
    .hint(sign_in_hint(login))
}

/// Lets a sign-in whose tab opened by itself be the last one until a person acts, however it ended, unless they signed out.
fn settle(session: &Session<'_>, pending: &Pending, (class, mut failure): Broken) -> Broken {
    if pending.tabs == 0 || session.work.is_called_off() {
        return (class, failure);
    }
    let hint = sign_in_hint(session.login);
    failure.hints.retain(|known| *known != hint);
    (Class::NobodyCame, failure.hint(format!("no other tab opens by itself: {hint}")))
}

fn nobody_sees(login: &Login) -> Failure {
    Failure::new(
        Kind::NeedsPerson,
        format!("no browser could be opened to sign in to `{}`, and there is no terminal to show the address on", login.name),
    )
    .hint("name a browser in `KEYFOB_BROWSER` or in `browser` of the configuration")
    .hint(format!("or, in a terminal, {}", sign_in_hint(login)))
}

fn give_up(session: &Session<'_>, ended: Ended, pending: &Pending, sent: &Sent, limit: Duration) -> Broken {
    let login = session.login;
    let (broken, browser) = match ended {
        Ended::Refused(mut failure, browser) | Ended::NotThisGrant(mut failure, browser) => {
            if failure.hints.is_empty() {
                failure = failure.hint(sign_in_hint(login));
            }
            let class = if failure.kind == Kind::Unreachable { Class::Passing } else { Class::Denied };
            ((class, failure), browser)
        }
        Ended::TimedOut(seen) => {
            let registered = login.redirect.registered(&login.redirect_ports);
            let failure = overdue::failure(pending, &registered, sent, &seen, limit.as_secs() / 60);
            ((Class::NobodyCame, failure.hint(sign_in_hint(login))), None)
        }
        Ended::Stopped => {
            session.leave_unnoted();
            (session.stopped(), None)
        }
    };
    let broken = settle(session, pending, broken);
    if let Some(browser) = browser {
        browser.show(&pages::failed(pending, &broken.1));
    }
    broken
}

/// What became of a code.
enum Finished {
    Done(Result<Done, Broken>),
    /// The server wants the browser to come once more: the listener for it, and the browser, which still waits.
    Again(Box<Attempt>, Option<Browser>),
}

/// Redeems the code and keeps the tokens, then tells the person's browser what came of it.
///
/// A code that had ended, or that the server wants more for, is not sent twice: that would end what it had brought (RFC 6749 §4.1.2).
/// Where it `may_repeat`, the same tab is sent through a new attempt instead.
fn finish(
    session: &Session<'_>,
    registration: &Registration<'_>,
    metadata: &Metadata,
    received: Received,
    pending: &Pending,
    may_repeat: bool,
) -> Finished {
    let Received { code, checks, browser } = received;
    let mut repeat = None;
    let mut redeem = || {
        let lock = session.lock_to_redeem()?;
        let slot = session.reserve(&lock)?;
        let answer = registration.redeem(&metadata.token_endpoint, &code, &checks.verifier, &checks.redirect_uri);
        let grant = answer.map_err(|denial| {
            repeat = wants_another(&denial);
            refused(session.login, denial)
        })?;
        session.keep(registration, metadata, slot, &grant, checks.nonce.as_ref().map(|nonce| nonce.expose()))
    };
    let outcome = redeem();
    session.forget_roles_of_former();
    if let Some(claims) = repeat.filter(|_| may_repeat)
        && let Some(next) = begin_again(session, registration, metadata, claims.as_ref(), pending.paste.is_some())
    {
        session.work.context.trace(|| "the code was not taken; the same tab asks for another".to_owned());
        return Finished::Again(Box::new(next), browser);
    }
    let outcome = outcome.map_err(|broken| settle(session, pending, broken));
    if let Some(browser) = browser {
        show(browser, pending, &outcome);
    }
    Finished::Done(outcome.map(|(done, _)| done))
}

/// Whether another code may bring what this one did not; the claims to ask for with it.
fn wants_another(denial: &Denial) -> Option<Option<Claims>> {
    match denial {
        Denial::Over(_) => Some(None),
        Denial::Interact(_, claims) => Some(claims.clone()),
        _ => None,
    }
}

/// Starts to listen again. The port may be a fixed one, which is free as soon as the listener before has noticed its end.
fn begin_again(
    session: &Session<'_>,
    registration: &Registration<'_>,
    metadata: &Metadata,
    claims: Option<&Claims>,
    pasted: bool,
) -> Option<Attempt> {
    (0..50).find_map(|_| {
        let next = attempt(session, registration, metadata, Manner { claims: claims.cloned(), pasted, ..Manner::default() }).ok();
        if next.is_none() {
            std::thread::sleep(Duration::from_millis(10));
        }
        next
    })
}

fn refused(login: &Login, denial: Denial) -> Broken {
    let class = if matches!(denial, Denial::Over(_) | Denial::Interact(..)) { Class::Denied } else { Class::Passing };
    let failure = denial.failure();
    (class, if failure.hints.is_empty() { failure.hint(sign_in_hint(login)) } else { failure })
}

fn show(browser: Browser, pending: &Pending, outcome: &Result<(Done, Option<String>), Broken>) {
    let page = match outcome {
        Ok((_, account)) => pages::signed_in(pending, account.as_deref()),
        Err((_, failure)) => pages::failed(pending, failure),
    };
    browser.show(&page);
}
