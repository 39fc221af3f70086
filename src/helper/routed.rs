//! Answers for a configured resource when the cache cannot: with a renewal, a sign-in, or a rejection.
use super::cached::{Desk, Found, aws_credential, credential, mark_of, need};
use super::{MARK, handed_out};
use crate::config::environment::is_no;
use crate::config::{Config, Login, Route, Tool};
use crate::failure::{Failure, Kind};
use crate::login::interaction::{self, Facts, Refusal};
use crate::login::{Context, Keeper, PATIENCE, asker, find_login, record_of, role};
use crate::setup::git::Git;
use crate::store::{Asking, RecordId, Store};
use crate::token::{Habits, Step, TokenSet, next_step, short_hash};
use helper_protocols::{Credential, Proof, Query, Resource, Secret};
use std::time::Duration;

/// The longest that another's renewal can hold a record.
const RENEWAL: Duration = Duration::from_secs(75);

/// Answers `query`, renewing or signing in as it takes.
///
/// # Errors
/// Those of [`Keeper::tokens`] and [`Keeper::role`].
pub(super) fn answer(context: &Context, mut desk: Desk, tool: Tool, query: &Query<'_>) -> Result<Credential, Failure> {
    let (typed, store) = (typed(&desk), desk.store.take());
    let config = config(context, desk)?;
    let route = route_for(&config, store, query)?;
    let login = find_login(&config, &route.login)?;
    let mut keeper = keeper(context, &config, login, (tool, context.asking(false), typed), query)?;
    super::say_how_long(&keeper.store);
    if tool == Tool::Git && keeper.refusal.is_none() {
        keeper.refusal = forbidden_by_git(context).then(Refusal::of_git);
    }
    let found = find(&keeper, route, tool, query)?;
    if let Err(failure) = handed_out::note(context, &config, &keeper.store, login, &keeper.asker, query, &found) {
        crate::terminal::warn(&failure);
    }
    Ok(found.credential)
}

/// Whether git's configuration for this user or machine, which git tells no helper, forbids to ask a person. What git cannot tell forbids
/// nothing.
fn forbidden_by_git(context: &Context) -> bool {
    let settings = Git::find(&context.environment).and_then(|git| git.settings_of_anybody()).unwrap_or_default();
    let last = settings.iter().rfind(|setting| setting.key == b"credential.interactive");
    last.and_then(|setting| setting.value.as_ref()).is_some_and(|value| std::str::from_utf8(value).is_ok_and(is_no))
}

fn find(keeper: &Keeper<'_>, route: &Route, tool: Tool, query: &Query<'_>) -> Result<Found, Failure> {
    if let (Tool::Aws, Resource::Profile(profile)) = (tool, query.resource) {
        return keeper.role(profile).map(|role| Found { credential: aws_credential(role), account: None, renew: false });
    }
    let login = find_login(keeper.config, &route.login)?;
    if let Some(mark) = query.marks.iter().find(|mark| mark.starts_with(MARK)) {
        keeper.reject(login, RENEWAL, &|token| mark_of(token) == **mark)?;
    }
    let tokens = keeper.tokens(login, need(tool), false)?;
    let credential = credential(&tokens, &route.username, route.bearer, query).ok_or_else(|| {
        Failure::new(Kind::Refused, format!("login `{}` has no access token", login.name))
            .hint(format!("run `keyfob login {}`", login.name))
    })?;
    Ok(Found { credential, account: tokens.account, renew: false })
}

/// Starts what renews an ageing answer, after it was found good.
pub(super) fn renew_behind(context: &Context, desk: Desk, tool: Tool, query: &Query<'_>) {
    // the answer stands, whatever comes of this
    let _ = try_renew_behind(context, desk, tool, query);
}

fn try_renew_behind(context: &Context, desk: Desk, tool: Tool, query: &Query<'_>) -> Result<(), Failure> {
    // the answer is in hand and must not wait; the next one is in time as well
    if desk.store.as_ref().is_some_and(Store::key_is_moving) {
        return Ok(());
    }
    let typed = typed(&desk);
    let config = config(context, desk)?;
    let route = route(&config, query)?;
    let login = find_login(&config, &route.login)?;
    let keeper = keeper(context, &config, login, (tool, Asking::Nobody(String::new()), typed), query)?;
    match query.resource {
        Resource::Profile(profile) => role::renew_behind(&keeper, profile),
        _ => {
            keeper.renew_behind(login, need(tool));
            Ok(())
        }
    }
}

/// Marks the access token that came with `query` as refused, and says so where git does not come back for another one.
///
/// # Errors
/// Those of [`Keeper::reject`].
pub(super) fn reject(context: &Context, mut desk: Desk, tool: Tool, query: &Query<'_>) -> Result<(), Failure> {
    let (typed, store) = (typed(&desk), desk.store.take());
    let config = config(context, desk)?;
    let route = route_for(&config, store, query)?;
    let login = find_login(&config, &route.login)?;
    let keeper = keeper(context, &config, login, (tool, Asking::Nobody(String::new()), typed), query)?;
    let refused = |token: &Secret| offered(query) == Some(token);
    if keeper.reject(login, PATIENCE, &refused)? && !query.capabilities.state {
        let said = format!("keyfob: {} refused the token: run the command again, which renews it\n", resource(query));
        crate::terminal::report(said.as_bytes());
    }
    Ok(())
}

/// Names the configured resources of `tool` that can be answered without a person, with their accounts.
pub(super) fn answerable(context: &Context, config: &Config, store: &Store, tool: Tool) -> Vec<(String, String)> {
    let can = |login: &Login| {
        let payload = store.read(&record_of(store, login)).ok().flatten().and_then(|record| record.payload);
        let tokens = payload.and_then(|payload| TokenSet::read(&payload).ok());
        next_step(tokens.as_ref(), need(tool), Habits { late: login.late_refresh, jitter: 0 }, context.moment()) != Step::SignIn
    };
    let routes = config.routes.iter().filter(|(_, route)| route.tool == tool);
    routes
        .filter_map(|(key, route)| {
            let host = key.split_once(' ')?.1;
            let login = config.logins.get(&route.login)?;
            (!host.contains('*') && can(login)).then(|| (host.to_owned(), route.username.clone()))
        })
        .collect()
}

/// Returns the key that a person typed for this request, so that they need not do so twice.
fn typed(desk: &Desk) -> Option<Secret> {
    desk.store.as_ref().and_then(Store::key_to_hand_over)
}

fn config(context: &Context, desk: Desk) -> Result<Config, Failure> {
    desk.config.map_or_else(|| Config::load(&context.environment), Ok)
}

fn route<'c>(config: &'c Config, query: &Query<'_>) -> Result<&'c Route, Failure> {
    config.routes.find(&query.resource, query.username).ok_or_else(changed)
}

/// Returns the secret that came with `query`.
pub(super) fn offered<'q>(query: &'q Query<'_>) -> Option<&'q Secret> {
    match query.offered.as_ref()?.proof.as_ref()? {
        Proof::Password(secret) | Proof::Authorization { credential: secret, .. } => Some(secret),
        _ => None,
    }
}

/// Whether `query` hands something back that a login may have minted: a secret, or one of our marks.
pub(super) fn hands_back(query: &Query<'_>) -> bool {
    offered(query).is_some() || query.marks.iter().any(|mark| mark.starts_with(MARK))
}

/// Returns the route whose login minted what `query` hands back, as far as `store` opens.
///
/// git names the user that it was answered, and where the host wants one fixed name, every account is answered as that.
fn minter<'c>(config: &'c Config, store: &Store, query: &Query<'_>) -> Option<&'c Route> {
    let named = config.routes.find(&query.resource, query.username);
    let alike = config.routes.answering_as(&query.resource, query.username.unwrap_or_default());
    let login_of = |route: &Route| config.logins.get(&route.login);
    named
        .into_iter()
        .chain(alike)
        .find(|route| login_of(route).is_some_and(|login| minted(store, &record_of(store, login), query)))
}

/// Whether the login whose record is `id` minted what `query` hands back, as far as `store` opens.
pub(super) fn minted(store: &Store, id: &RecordId, query: &Query<'_>) -> bool {
    let payload = store.read(id).ok().flatten().and_then(|record| record.payload);
    let Some(tokens) = payload.and_then(|payload| TokenSet::read(&payload).ok()) else { return false };
    let marked = |hash: &str| tokens.minted.iter().any(|known| known == hash);
    offered(query).is_some_and(|secret| tokens.minted(secret))
        || query.marks.iter().filter_map(|mark| mark.strip_prefix(MARK)).any(marked)
}

/// Returns the route of whoever minted what `query` hands back, else the one that answers it.
fn route_for<'c>(config: &'c Config, store: Option<Store>, query: &Query<'_>) -> Result<&'c Route, Failure> {
    let minter = store.filter(|_| hands_back(query)).and_then(|mut store| match store.unlock(false) {
        Ok(true) => minter(config, &store, query),
        _ => None,
    });
    minter.map_or_else(|| route(config, query), Ok)
}

/// What is said where `query` names none of the `accounts`, each as it is called and as a URL spells it, and no other answers.
pub(super) fn several(query: &Query<'_>, accounts: &[(String, String)]) -> Failure {
    let scheme = match query.resource {
        Resource::Url { protocol: Some("http" | "HTTP"), .. } => "http",
        _ => "https",
    };
    let (host, printable) = (resource(query), crate::terminal::printable);
    let names: Vec<String> = accounts.iter().map(|(name, _)| printable(name)).collect();
    let first = accounts.first().map_or("", |(_, spelt)| spelt);
    let is_plain = |name: &&String| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~@".contains(&byte));
    let set = names
        .first()
        .filter(is_plain)
        .map(|name| format!(", or run `git config --global credential.{scheme}://{host}.username {name}`"));
    let which = format!("{host} has the accounts {}: name one in the URL, as {scheme}://{first}@{host}/", names.join(", "));
    Failure::new(Kind::Unrouted, which + &set.unwrap_or_default())
}

/// What is said where the configuration and what was made of it do not agree.
pub(super) fn changed() -> Failure {
    Failure::new(Kind::Misconfigured, "the configuration changed while it was read").hint("run the command again")
}

/// What is said where `query` is over plain http for what is configured for https.
pub(super) fn plain_http(query: &Query<'_>) -> Failure {
    let url = format!("http://{}", resource(query));
    Failure::new(Kind::Unrouted, format!("`{url}` is not answered: over http the token crosses the network for all to read"))
        .hint(format!("write https, or add `[git.\"{url}\"]` with its `login` and `allow_http = true`"))
}

fn keeper<'a>(
    context: &'a Context,
    config: &'a Config,
    login: &Login,
    (tool, asking, typed): (Tool, Asking, Option<Secret>),
    query: &Query<'_>,
) -> Result<Keeper<'a>, Failure> {
    let mut keeper = Keeper::open(context, config, asker::find(tool_name(tool)), asking, typed.as_ref())?;
    let facts = Facts::of(&context.environment, keeper.attended, config, false, interaction::flow_of(login, None));
    keeper.refusal = interaction::refusal(&facts, login.interactive);
    if !keeper.keeps && !keeper.attended {
        // each call would be a sign-in of its own
        keeper.refusal.get_or_insert_with(Refusal::of_keylessness);
    }
    keeper.resource = resource(query);
    let repository = context.environment.git_repository().filter(|_| tool == Tool::Git);
    keeper.repository = repository.map(|path| short_hash(&Secret::new(path)));
    Ok(keeper)
}

pub(super) const fn tool_name(tool: Tool) -> &'static str {
    match tool {
        Tool::Git => "git",
        Tool::Docker => "docker",
        Tool::Aws => "aws",
    }
}

/// Names what `query` is about, printable.
pub(super) fn resource(query: &Query<'_>) -> String {
    let text = match query.resource {
        Resource::Url { host: Some(host), .. } => host,
        Resource::Registry(server) => server,
        Resource::Profile(profile) => profile,
        _ => "the server",
    };
    crate::terminal::printable(text)
}
