//! Signing out: the local copy goes in any case, and the server is asked to revoke.
use super::failed::{Class, Failed};
use super::revoke::{self, AtServer};
use super::worker::sign_in_hint;
use super::{Context, PATIENCE, record_of, server_of};
use crate::audit::{self, Entry, Event};
use crate::config::{AwsRole, Config, Login};
use crate::failure::{Failure, Kind};
use crate::store::{Note, ReadError, RecordId, RecordLock, Store};
use crate::terminal;
use crate::token::TokenSet;
use std::time::Duration;

/// A refresh that is under way is waited for: what it brings has to be revoked as well.
const RENEWAL: Duration = Duration::from_secs(40);
/// Who asks, as the audit log has it.
const ASKER: &str = "keyfob logout";

/// What became of one login.
#[derive(Debug)]
pub(crate) enum SignedOut {
    /// There was nothing.
    Nothing,
    /// Gone here; what became of it at the server.
    Gone(AtServer),
    /// Gone here, though nobody could read what it was.
    Unopened,
    /// Nothing can be kept here, and a sign-in is open that only whoever began it can stop.
    Open,
}

/// Signs `login` out, whose records `store` has the key for where it `keeps` any: stops an open sign-in, buries its record and those of its exchanges, then revokes refresh and access token.
///
/// The local copy goes first, so that it is gone even where the server is not reached (RFC 7009 leaves that to the client).
///
/// # Errors
/// Those of the store; a server that does not answer is no error.
pub(crate) fn run(context: &Context, config: &Config, store: &Store, keeps: bool, login: &Login) -> Result<SignedOut, Failure> {
    let id = record_of(store, login);
    let lock = lock(store, &id, login)?;
    if !keeps {
        let is_open = store.try_sign_in_lock(&id, &lock)?.is_none();
        return Ok(if is_open { SignedOut::Open } else { SignedOut::Nothing });
    }
    // an open sign-in sees that its notice is gone, and ends
    store.clear_note(&lock, Note::Pending)?;
    store.clear_note(&lock, Note::Device)?;
    if let Some(warning) = store.recover(&lock)? {
        crate::terminal::warn(&warning);
    }
    let tokens = match store.read(&id) {
        Ok(record) => {
            let payload = record.and_then(|record| record.payload);
            payload.map(|payload| TokenSet::read(&payload)).transpose().map_err(drop)
        }
        Err(ReadError::Damaged(_) | ReadError::AnotherKey(_)) => Err(()),
        Err(other) => return Err(other.into()),
    };
    store.clear_note(&lock, Note::Failed)?;
    let signing_in = store.try_sign_in_lock(&id, &lock)?.is_none();
    if store.has_record(&id) || signing_in {
        store.bury(&lock)?;
        tell_those_who_wait(store, &lock, login, (context.now_ms)());
    }
    drop(lock);
    let roles = forget_roles(config, store, login);
    let outcome = match tokens {
        Ok(Some(tokens)) => SignedOut::Gone(revoke(context, config, store, login, &tokens)),
        Ok(None) => SignedOut::Nothing,
        Err(()) => {
            let entry = Entry::new(Event::SignedOut, &login.name, ASKER, std::process::id(), context.now());
            note(config, store, &entry.by(&server_of(login), None).because("its record did not open"));
            SignedOut::Unopened
        }
    };
    roles.map(|()| outcome)
}

/// Takes the lock of a record of `login`, and says what is waited for where that takes long.
fn lock(store: &Store, id: &RecordId, login: &Login) -> Result<RecordLock, Failure> {
    match store.lock(id, PATIENCE) {
        Err(busy) if busy.kind == Kind::Unreachable => {
            let name = &login.name;
            terminal::tell(&format!(
                "`{name}` is being renewed; waiting, so that what comes is revoked as well - Ctrl-C to stop"
            ));
            store.lock(id, RENEWAL)
        }
        other => other,
    }
}

/// Lets commands that already wait for this login fail: they would take the missing record for a reason to open a browser.
fn tell_those_who_wait(store: &Store, lock: &RecordLock, login: &Login, now_ms: i64) {
    let failure = Failure::new(Kind::Refused, format!("`{}` was signed out meanwhile", login.name)).hint(sign_in_hint(login));
    if let Ok(form) = serde_json::to_vec(&Failed::new(Class::Passing, &failure, now_ms)) {
        let _ = store.write_note(lock, Note::Failed, &form);
    }
}

/// Buries what was exchanged with `login`, all that can be.
///
/// # Errors
/// The first one.
pub(super) fn forget_roles(config: &Config, store: &Store, login: &Login) -> Result<(), Failure> {
    let forget = |role: &AwsRole| {
        let id = super::role::record_of_role(store, login, role);
        // an exchange may be about to write the first one
        let lock = lock(store, &id, login)?;
        store.recover(&lock)?;
        if store.has_record(&id) { store.bury(&lock) } else { Ok(()) }
    };
    config.routes.aws_roles_of(&login.name).map(forget).fold(Ok(()), Result::and)
}

/// Asks the server to revoke `tokens`, which are gone here, and notes both.
fn revoke(context: &Context, config: &Config, store: &Store, login: &Login, tokens: &TokenSet) -> AtServer {
    let entry = |event| {
        let token = tokens.access_token.as_ref().map(|token| &token.value);
        let entry = Entry::new(event, &login.name, ASKER, std::process::id(), context.now());
        entry.by(&tokens.issuer, tokens.account.as_deref()).of(store, token)
    };
    note(config, store, &entry(Event::SignedOut));
    let at_server = revoke::stored(login, tokens);
    if at_server.is_revoked() {
        note(config, store, &entry(Event::Revoked));
    }
    at_server
}

fn note(config: &Config, store: &Store, entry: &Entry) {
    if let Err(failure) = audit::note(store, config.audit, entry) {
        terminal::warn(&failure);
    }
}
