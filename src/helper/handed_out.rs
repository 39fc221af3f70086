//! Notes in the audit log who got a token, where the configuration wants that.
use super::cached::{Desk, Found};
use super::routed::{resource, tool_name};
use crate::audit::{self, Entry, Event};
use crate::config::{Audit, Config, Login, Tool};
use crate::failure::Failure;
use crate::login::{Context, asker, find_login, server_of};
use crate::store::Store;
use crate::terminal;
use helper_protocols::{Proof, Query};

/// Notes that `tool` gets `found` from the cache. Nothing that goes wrong here keeps the answer from it.
pub(super) fn note_cached(context: &Context, desk: &Desk, tool: Tool, query: &Query<'_>, found: &Found) {
    let Some(store) = &desk.store else { return };
    let noted = || -> Result<(), Failure> {
        let read;
        let config = match &desk.config {
            Some(config) => config,
            None => {
                read = Config::load(&context.environment)?;
                &read
            }
        };
        // gone from the configuration since it was read: the next request is not answered any more
        let Some(route) = config.routes.find(&query.resource, query.username) else { return Ok(()) };
        note(context, config, store, find_login(config, &route.login)?, &asker::find(tool_name(tool)), query, found)
    };
    if let Err(failure) = noted() {
        terminal::warn(&failure);
    }
}

/// Notes that `asker` gets `found`, of `login`, for `query`.
///
/// # Errors
/// Those of [`audit::note`].
pub(super) fn note(
    context: &Context,
    config: &Config,
    store: &Store,
    login: &Login,
    asker: &str,
    query: &Query<'_>,
    found: &Found,
) -> Result<(), Failure> {
    if config.audit != Audit::All {
        return Ok(());
    }
    let secret = match &found.credential.proof {
        Some(Proof::Password(secret) | Proof::Authorization { credential: secret, .. }) => Some(secret),
        Some(Proof::Aws { session_token, .. }) => Some(session_token),
        _ => None,
    };
    let entry = Entry::new(Event::HandedOut, &login.name, asker, std::process::id(), context.now());
    let entry = entry.by(&server_of(login), found.account.as_deref()).of(store, secret).to(&resource(query));
    audit::note(store, config.audit, &entry)
}
