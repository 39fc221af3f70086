//! Signing in by browser: the authorization code grant, from the open listener to the page that says what came of it.
use super::failed::Class;
use super::pending::Pending;
use super::sign_in::{Miss, Session};
use super::worker::{Broken, Done, Work, passing, sign_in_hint};
use crate::config::{Login, Redirect};
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

/// Opens a browser at the server that `metadata` describes, and waits for what it brings. Where this is the `last` way and no browser
/// opens, the address is shown on the terminal.
///
/// # Errors
/// See [`Miss`].
pub(super) fn run(session: &Session<'_>, metadata: &Metadata, lock: &mut Option<RecordLock>, last: bool) -> Result<Done, Miss> {
    let (work, login) = (session.work, session.login);
    let registration = Registration::new(login).map_err(passing)?;
    let leads_here = metadata.authorization_endpoint.is_some() && matches!(login.redirect, Redirect::Loopback { .. });
    let attempt = begin(&registration, metadata).map_err(|failure| match leads_here || last {
        false => Miss::NotThisWay(failure),
        true => Miss::Ended(passing(failure)),
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
    match attempt.wait(LIMIT, &mut || work.should_stop()) {
        Ok(received) => Ok(finish(session, &registration, metadata, received)?),
        Err(ended) => Err(Miss::Ended(give_up(session, ended))),
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

fn give_up(session: &Session<'_>, ended: Ended) -> Broken {
    let login = session.login;
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
    show(browser, session.work, session.login, &outcome);
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
