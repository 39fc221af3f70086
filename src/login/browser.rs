//! Signing in by browser: the authorization code grant, from the open listener to the page that says what came of it.
use super::failed::Class;
use super::pending::Pending;
use super::sign_in::{Miss, Session};
use super::worker::{Broken, Done, Work, passing, sign_in_hint};
use crate::config::Login;
use crate::failure::{Failure, Kind};
use crate::oauth::Registration;
use crate::oauth::authorization_code::{Attempt, Ended, Received, begin};
use crate::oauth::loopback::Browser;
use crate::oauth::metadata::Metadata;
use crate::oauth::result_page::{Page, sentence};
use crate::oauth::token_endpoint::{Claims, Denial};
use crate::store::RecordLock;
use crate::terminal;
use std::time::Duration;

/// How long a person may take.
const LIMIT: Duration = Duration::from_secs(300);

/// Opens a browser at the server that `metadata` describes, and waits for what it brings. Where this is the `last` way and no browser
/// opens, the address is shown on the terminal.
///
/// # Errors
/// See [`Miss`].
pub(super) fn run(session: &Session<'_>, metadata: &Metadata, lock: &mut Option<RecordLock>, last: bool) -> Result<Done, Miss> {
    let (work, login) = (session.work, session.login);
    let registration = Registration::new(login).map_err(passing)?;
    let attempt =
        begin(&registration, metadata, session.claims.as_ref()).map_err(|failure| match metadata.authorization_endpoint {
            None if !last => Miss::NotThisWay(failure),
            _ => Miss::Ended(passing(failure)),
        })?;
    let mut pending = notice(session, metadata, &attempt);
    // written before the lock is free, so that nobody finds neither the one nor the other
    work.write_pending(&session.lock, &pending).map_err(passing)?;
    drop(lock.take());
    if work.should_stop() {
        // the person left while the server was slow: no tab comes after them
        return Err(Miss::Ended(session.stopped()));
    }
    pending.browser_opened = session.open_browser(&attempt.start_address);
    if !pending.browser_opened && !last {
        return Err(Miss::NotThisWay(nobody_sees(login)));
    }
    if !pending.browser_opened && !work.job.attended {
        return Err(Miss::Ended((Class::NeedsPerson, nobody_sees(login))));
    }
    work.announce(&session.lock, &pending).map_err(passing)?;
    let mut waited = attempt.wait(LIMIT, &mut || work.should_stop());
    let mut may_repeat = true;
    loop {
        let received = waited.map_err(|ended| give_up(session, ended, last))?;
        match finish(session, &registration, metadata, received, may_repeat) {
            Finished::Done(outcome) => return Ok(outcome?),
            Finished::Again(next, browser) => {
                may_repeat = false;
                browser.send_to(&next.start_address);
                waited = next.wait(LIMIT, &mut || work.should_stop());
            }
        }
    }
}

fn notice(session: &Session<'_>, metadata: &Metadata, attempt: &Attempt) -> Pending {
    let (work, login) = (session.work, session.login);
    let server = metadata.authorization_endpoint.as_ref().and_then(|url| url.host_str()).unwrap_or_default();
    Pending {
        login: login.name.clone(),
        server: terminal::printable(server),
        address: attempt.start_address.to_string(),
        browser_opened: true,
        code: None,
        why: session.why(),
        asker: terminal::printable(&work.job.asker),
        pid: work.job.pid,
        ends_at: work.context.now() + i64::try_from(LIMIT.as_secs()).unwrap_or(i64::MAX),
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

fn give_up(session: &Session<'_>, ended: Ended, last: bool) -> Miss {
    let login = session.login;
    Miss::Ended(match ended {
        Ended::Shut(failure, browser) if !last => {
            let lines = vec![sentence(&failure.message), "Your terminal goes on with another way to sign in.".into()];
            browser.show(&Page { succeeded: false, title: "Not signed in yet".into(), lines });
            return Miss::Shut(failure);
        }
        Ended::Shut(failure, browser) => {
            browser.show(&failed_page(&failure));
            (Class::Denied, failure)
        }
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
        Ended::Stopped => session.stopped(),
    })
}

/// What became of a code.
enum Finished {
    Done(Result<Done, Broken>),
    /// The server wants the browser to come once more: the listener for it, and the browser, which still waits.
    Again(Box<Attempt>, Browser),
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
    if let Some(claims) = repeat.filter(|_| may_repeat)
        && let Some(next) = begin_again(registration, metadata, claims.or_else(|| session.claims.clone()).as_ref())
    {
        session.work.context.trace(|| "the code was not taken; the same tab asks for another".to_owned());
        return Finished::Again(Box::new(next), browser);
    }
    show(browser, session.work, session.login, &outcome);
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
fn begin_again(registration: &Registration<'_>, metadata: &Metadata, claims: Option<&Claims>) -> Option<Attempt> {
    (0..50).find_map(|_| {
        let attempt = begin(registration, metadata, claims).ok();
        if attempt.is_none() {
            std::thread::sleep(Duration::from_millis(10));
        }
        attempt
    })
}

fn refused(login: &Login, denial: Denial) -> Broken {
    let class = if matches!(denial, Denial::Over(_) | Denial::Interact(..)) { Class::Denied } else { Class::Passing };
    let failure = denial.failure();
    (class, if failure.hints.is_empty() { failure.hint(sign_in_hint(login)) } else { failure })
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
