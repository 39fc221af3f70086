//! Signing out: the local copy goes in any case, and the server is asked to revoke.
use super::failed::{Class, Failed};
use super::worker::sign_in_hint;
use super::{Context, PATIENCE, record_of};
use crate::config::{AwsRole, Config, Login};
use crate::failure::{Failure, Kind};
use crate::oauth::Registration;
use crate::store::{Note, ReadError, RecordId, RecordLock, Store};
use crate::terminal;
use crate::token::TokenSet;
use helper_protocols::Secret;
use std::time::Duration;
use url::Url;

/// A refresh that is under way is waited for: what it brings has to be revoked as well.
const RENEWAL: Duration = Duration::from_secs(40);

/// What became of one login.
#[derive(Debug)]
pub(crate) enum SignedOut {
    /// There was nothing.
    Nothing,
    /// Gone here, and revoked at the server.
    Revoked,
    /// Gone here; whether the server knows is said in the sentence.
    Here(String),
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
    let record = match store.read(&id) {
        Ok(record) => record,
        Err(ReadError::Damaged(_) | ReadError::AnotherKey(_)) => None,
        Err(other) => return Err(other.into()),
    };
    let tokens = record.and_then(|record| record.payload).and_then(|payload| TokenSet::read(&payload).ok());
    store.clear_note(&lock, Note::Failed)?;
    let signing_in = store.try_sign_in_lock(&id, &lock)?.is_none();
    if store.has_record(&id) || signing_in {
        store.bury(&lock)?;
        tell_those_who_wait(store, &lock, login, (context.now_ms)());
    }
    drop(lock);
    let roles = forget_roles(config, store, login);
    let outcome = match tokens.map(|tokens| revoke(login, &tokens)) {
        None => SignedOut::Nothing,
        Some(Ok(())) => SignedOut::Revoked,
        Some(Err(reason)) => SignedOut::Here(reason),
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
fn forget_roles(config: &Config, store: &Store, login: &Login) -> Result<(), Failure> {
    let forget = |role: &AwsRole| {
        let id = super::role::record_of_role(store, login, role);
        // an exchange may be about to write the first one
        let lock = lock(store, &id, login)?;
        store.recover(&lock)?;
        if store.has_record(&id) { store.bury(&lock) } else { Ok(()) }
    };
    config.routes.aws_roles_of(&login.name).map(forget).fold(Ok(()), Result::and)
}

fn revoke(login: &Login, tokens: &TokenSet) -> Result<(), String> {
    let endpoint = tokens.revocation_endpoint.as_deref().and_then(|text| Url::parse(text).ok());
    let Some(endpoint) = endpoint else {
        return Err("the server offers no revocation, so its tokens live on until they expire".into());
    };
    let client = tokens.client_id.as_ref().unwrap_or(&login.client_id);
    let registration = Registration::of_client(login, client).map_err(|failure| failure.message)?;
    let ask = |token: &Secret, hint: &str| {
        registration.revoke(&endpoint, token, hint).map_err(|failure| format!("the server was not told: {}", failure.message))
    };
    // the refresh token first: where it goes, the whole grant goes
    tokens.refresh_token.as_ref().map_or(Ok(()), |token| ask(token, "refresh_token"))?;
    tokens.access_token.as_ref().map_or(Ok(()), |token| ask(&token.value, "access_token"))
}
