//! Signing in by browser, here or elsewhere: the authorization code grant, from the open listener to the page that says what came of it.
use super::failed::Class;
use super::pending::{Paste, Pending};
use super::sign_in::{Miss, Session};
use super::worker::{Broken, Done, Work, passing, sign_in_hint};
use crate::config::Login;
use crate::failure::{Failure, Kind};
use crate::oauth::Registration;
use crate::oauth::authorization_code::{Attempt, Ended, Received, begin};
use crate::oauth::loopback::Browser;
use crate::oauth::metadata::Metadata;
use crate::oauth::result_page::{Page, sentence};
use crate::oauth::token_endpoint::Denial;
use crate::store::RecordLock;
use crate::terminal;
use std::time::Duration;

/// How long a person may take.
const LIMIT: Duration = Duration::from_secs(300);
/// How long one may take who carries an address to another machine, and what it ends at back.
const CARRYING_LIMIT: Duration = Duration::from_secs(600);

/// Opens a browser at the server that `metadata` describes, and waits for what it brings. Where this is the `last` way and no browser
/// opens, the address is shown on the terminal.
///
/// # Errors
/// See [`Miss`].
pub(super) fn run(session: &Session<'_>, metadata: &Metadata, lock: &mut Option<RecordLock>, last: bool) -> Result<Done, Miss> {
    let (work, login) = (session.work, session.login);
    let registration = Registration::new(login).map_err(passing)?;
    let attempt = attempt(&registration, metadata, false)?;
    let mut pending = notice(session, metadata, &attempt, LIMIT);
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
    conclude(session, &registration, metadata, attempt, LIMIT)
}

/// Has the terminals that wait show the address at the server that `metadata` describes, and waits for what a browser brings, or a
/// person pastes of what one ended at.
///
/// # Errors
/// See [`Miss`].
pub(super) fn paste(session: &Session<'_>, metadata: &Metadata, lock: &mut Option<RecordLock>) -> Result<Done, Miss> {
    let work = session.work;
    let registration = Registration::new(session.login).map_err(passing)?;
    let attempt = attempt(&registration, metadata, true)?;
    let mut pending = notice(session, metadata, &attempt, CARRYING_LIMIT);
    pending.browser_opened = false;
    pending.paste = attempt
        .paste_address
        .as_ref()
        .map(|address| Paste { url: attempt.authorization_url().clone(), address: address.clone() });
    // written before the lock is free, so that nobody finds neither the one nor the other
    work.write_pending(&session.lock, &pending).map_err(passing)?;
    drop(lock.take());
    if work.should_stop() {
        return Err(Miss::Ended(session.stopped()));
    }
    work.announce(&session.lock, &pending).map_err(passing)?;
    conclude(session, &registration, metadata, attempt, CARRYING_LIMIT)
}

fn attempt(registration: &Registration<'_>, metadata: &Metadata, pasted: bool) -> Result<Attempt, Miss> {
    begin(registration, metadata, pasted).map_err(|failure| match metadata.authorization_endpoint {
        None => Miss::NotThisGrant(failure),
        Some(_) => Miss::Ended(passing(failure)),
    })
}

fn conclude(
    session: &Session<'_>,
    registration: &Registration<'_>,
    metadata: &Metadata,
    attempt: Attempt,
    limit: Duration,
) -> Result<Done, Miss> {
    match attempt.wait(limit, &mut || session.work.should_stop()) {
        Ok(received) => Ok(finish(session, registration, metadata, received)?),
        Err(Ended::NotThisGrant(failure, browser)) => {
            if let Some(browser) = browser {
                browser.show(&failed_page(&failure));
            }
            Err(Miss::NotThisGrant(failure))
        }
        Err(ended) => Err(Miss::Ended(give_up(session, ended, limit))),
    }
}

fn notice(session: &Session<'_>, metadata: &Metadata, attempt: &Attempt, limit: Duration) -> Pending {
    let (work, login) = (session.work, session.login);
    let server = metadata.authorization_endpoint.as_ref().and_then(|url| url.host_str()).unwrap_or_default();
    Pending {
        login: login.name.clone(),
        server: terminal::printable(server),
        address: attempt.start_address.to_string(),
        browser_opened: true,
        code: None,
        paste: None,
        why: session.why(),
        instead: session.instead.borrow().clone(),
        asker: terminal::printable(&work.job.asker),
        pid: work.job.pid,
        ends_at: work.context.now() + i64::try_from(limit.as_secs()).unwrap_or(i64::MAX),
    }
}

fn nobody_sees(login: &Login) -> Failure {
    Failure::new(
        Kind::NeedsPerson,
        format!("no browser could be opened to sign in to `{}`, and there is no terminal to show the address on", login.name),
    )
    .hint("name a browser in `KEYFOB_BROWSER` or in `browser` of the configuration")
    .hint(format!("or, in a terminal, {}", sign_in_hint(login)))
}

fn give_up(session: &Session<'_>, ended: Ended, limit: Duration) -> Broken {
    let login = session.login;
    match ended {
        Ended::Refused(mut failure, browser) | Ended::NotThisGrant(mut failure, browser) => {
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
                format!("nobody signed in to `{}` within {} minutes", login.name, limit.as_secs() / 60),
            )
            .hint(format!(
                "if the server showed an error page: it must know the redirect {}",
                login.redirect.registered(&login.redirect_ports)
            ))
            .hint(sign_in_hint(login)),
        ),
        Ended::Stopped => session.stopped(),
    }
}

/// Redeems the code and keeps the tokens, then tells the person's browser what came of it.
fn finish(
    session: &Session<'_>,
    registration: &Registration<'_>,
    metadata: &Metadata,
    received: Received,
) -> Result<Done, Broken> {
    let Received { code, checks, browser } = received;
    let redeem = || {
        let lock = session.lock_to_redeem()?;
        let slot = session.reserve(&lock)?;
        let grant = registration
            .redeem(&metadata.token_endpoint, &code, &checks.verifier, &checks.redirect_uri)
            .map_err(|denial| refused(session.login, denial))?;
        session.keep(registration, metadata, slot, &grant, checks.nonce.as_ref().map(|nonce| nonce.expose()))
    };
    let outcome = redeem();
    if let Some(browser) = browser {
        show(browser, session.work, session.login, &outcome);
    }
    outcome.map(|(done, _)| done)
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
