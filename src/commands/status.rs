//! `keyfob status`: who is signed in where, until when, and what protects it.
use super::{choose, distance, say, setup};
use crate::audit;
use crate::config::{Audit, Config, Login};
use crate::failure::{Failure, Kind};
use crate::login::interaction::{self, Facts};
use crate::login::{Context, record_of, scopes};
use crate::os;
use crate::store::{self, Asking, ReadError, Settings, Store};
use crate::token::{Habits, Need, Step, TokenSet, next_step};
use serde_json::{Value, json};

/// What is known of one login.
enum State {
    SignedOut,
    /// The record is there and does not open.
    Unreadable(String),
    SignedIn(Box<TokenSet>),
}

/// Shows every login, as text or as JSON.
///
/// # Errors
/// Those of configuration and store.
pub(crate) fn run(context: &Context, as_json: bool) -> anyhow::Result<()> {
    let config = Config::load(&context.environment)?;
    // a program that reads JSON is no person who could answer
    let asking = if as_json { Asking::Nobody("this is for programs".into()) } else { context.asking(true) };
    let store = open(context, &config, crate::terminal::is_attended(), asking)?;
    let states =
        config.logins.values().map(|login| Ok((login, state(store.as_ref(), login)?))).collect::<Result<Vec<_>, Failure>>()?;
    if as_json {
        let logins: Vec<Value> = states
            .iter()
            .map(|(login, state)| {
                let mut value = describe(context, login, state);
                value["sign_in"] = json!(how(context, &config, login));
                value
            })
            .collect();
        let key = store.as_ref().map(Store::describe_source);
        let log = store.as_ref().map(|store| os::shown(&audit::path(store)));
        say(&format!("{}\n", json!({"logins": logins, "key": key, "audit": {"holds": config.audit.word(), "file": log}})));
        return Ok(());
    }
    let signed_in = states.iter().any(|(_, state)| !matches!(state, State::SignedOut));
    if let Some(others) = store::others_beside(&context.settings(Some(&config), false)?).filter(|_| !signed_in) {
        say(&format!("elsewhere: {others}\n"));
    }
    if states.is_empty() {
        say("no login is configured: see `[login.NAME]` in the README\n");
    }
    for (login, state) in &states {
        say(&format!("{}: {}\n", login.name, sentence(context, login, state)));
        say(&format!("  sign-in: {}\n", how(context, &config, login)));
    }
    if store.as_ref().is_some_and(|store| !store.has_machine_id()) {
        say("machine: it has no id, so a random one is kept; a copy of the state folder opens elsewhere, with the key\n");
    }
    say(&format!(
        "key: {}\n",
        store.as_ref().map_or_else(|| "none yet; it is made at the first sign-in".to_owned(), Store::describe_source)
    ));
    say(&format!("audit: {}\n", log(&config, store.as_ref())));
    for line in setup::git::beside(&context.environment, &config) {
        say(&format!("git: {line}\n"));
    }
    Ok(())
}

/// Says what the audit log holds and whether it can be read.
fn log(config: &Config, store: Option<&Store>) -> String {
    let what = match config.audit {
        Audit::Off => return "off: nothing is noted".to_owned(),
        Audit::Tokens => "what happens to tokens is noted",
        Audit::All => "what happens to tokens, and who gets them, is noted",
    };
    match store.map(|store| (audit::read(store), audit::path(store))) {
        None => what.to_owned(),
        Some((Ok(_), path)) => format!("{what} in `{}` (`keyfob log`)", os::shown(&path)),
        Some((Err(failure), _)) => {
            format!("{what}, but {failure}{}", failure.hints.iter().map(|hint| format!(" ({hint})")).collect::<String>())
        }
    }
}

/// Succeeds where `name` can answer now or after a renewal, without a person.
///
/// # Errors
/// [`Kind::NeedsPerson`] where it cannot.
pub(crate) fn check(context: &Context, name: &str) -> anyhow::Result<()> {
    let config = Config::load(&context.environment)?;
    let login = choose(&config, Some(name))?;
    let store = open(context, &config, false, Asking::Nobody("the question is whether it works without".into()))?;
    let answers = match state(store.as_ref(), login)? {
        State::SignedIn(tokens) => step(context, login, &tokens) != Step::SignIn,
        _ => false,
    };
    if answers {
        Ok(())
    } else {
        Err(Failure::new(Kind::NeedsPerson, format!("you are not signed in to `{name}`"))
            .hint(format!("run `keyfob login {name}`"))
            .into())
    }
}

/// Opens the store with its key. Without the key each record says by itself that it cannot be read.
fn open(context: &Context, config: &Config, attended: bool, asking: Asking) -> Result<Option<Store>, Failure> {
    let mut store = Store::open(&Settings { asking, ..context.settings(Some(config), attended)? })?;
    if let Some(store) = &mut store {
        store.unlock(false)?;
    }
    Ok(store)
}

fn state(store: Option<&Store>, login: &Login) -> Result<State, Failure> {
    let Some(store) = store else { return Ok(State::SignedOut) };
    let id = record_of(store, login);
    if !store.has_record(&id) {
        return Ok(State::SignedOut);
    }
    match store.read(&id) {
        Ok(record) => match record.and_then(|record| record.payload) {
            Some(payload) => Ok(State::SignedIn(Box::new(TokenSet::read(&payload)?))),
            None => Ok(State::SignedOut),
        },
        Err(ReadError::Damaged(failure) | ReadError::AnotherKey(failure)) => Ok(State::Unreadable(failure.message)),
        Err(other) => Err(other.into()),
    }
}

fn step(context: &Context, login: &Login, tokens: &TokenSet) -> Step {
    next_step(Some(tokens), Need::Access { min_life: 0 }, Habits { late: login.late_refresh, jitter: 0 }, context.moment())
}

/// Says in which way a tool that needs `login` would ask a person here, or why it would not.
fn how(context: &Context, config: &Config, login: &Login) -> String {
    let facts = Facts::of(&context.environment, crate::terminal::is_attended(), config, false, interaction::flow_of(login, None));
    match interaction::refusal(&facts, login.interactive) {
        Some(refusal) => format!("nobody is asked here: {}", refusal.reason),
        None => interaction::reason(&facts, interaction::has_device_endpoint(login)),
    }
}

fn sentence(context: &Context, login: &Login, state: &State) -> String {
    let tokens = match state {
        State::SignedOut => return format!("not signed in (`keyfob login {}`)", login.name),
        State::Unreadable(reason) => return format!("{reason}: sign in again (`keyfob login {}`)", login.name),
        State::SignedIn(tokens) => tokens,
    };
    let account = tokens.account.as_ref().map(|account| format!(" as {account}")).unwrap_or_default();
    let end = tokens.access_token.as_ref().and_then(|token| token.expires_at);
    let life = match (step(context, login, tokens), end) {
        (Step::SignIn, _) => {
            let why = tokens.ended.map(|ended| format!(", because {}", ended.sentence())).unwrap_or_default();
            format!("has ended{why} (`keyfob login {}`)", login.name)
        }
        (Step::Renew, _) => "is renewed at the next use".to_owned(),
        (_, Some(end)) if tokens.is_renewable() => format!("good, renewed {}", distance(context, end)),
        (_, Some(end)) => format!("good, ends {}", distance(context, end)),
        (_, None) => "good, no end is known".to_owned(),
    };
    let missing = scopes::missing(&login.scopes, &tokens.scope);
    let less = if missing.is_empty() { String::new() } else { format!("; without {}, which it asks for", missing.join(", ")) };
    format!("signed in{account} at {} {}; {life}{less}", tokens.issuer, distance(context, tokens.signed_in_at_ms / 1000))
}

fn describe(context: &Context, login: &Login, state: &State) -> Value {
    let mut value = json!({"name": login.name, "signed_in": false, "server": login.issuer.as_ref().map(ToString::to_string)});
    match state {
        State::SignedOut => {}
        State::Unreadable(reason) => value["problem"] = json!(reason),
        State::SignedIn(tokens) => {
            value["signed_in"] = json!(step(context, login, tokens) != Step::SignIn);
            value["account"] = json!(tokens.account);
            value["signed_in_at"] = json!(tokens.signed_in_at_ms / 1000);
            value["expires_at"] = json!(tokens.access_token.as_ref().and_then(|token| token.expires_at));
            value["renewable"] = json!(tokens.is_renewable());
            value["scope"] = json!(tokens.scope);
        }
    }
    value
}
