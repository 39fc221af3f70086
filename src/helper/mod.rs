//! Serves one request from a tool: from its bytes to the bytes that go back.
mod cached;
mod handed_out;
mod routed;

use crate::config::{Config, Tool};
use crate::failure::{Failure, Kind};
use crate::login::entries::{self, Shelf};
use crate::login::{Context, role};
use crate::store::routes::NOTED;
use crate::store::{Settings, Store};
use cached::{Desk, Place};
use helper_protocols::{Answer, Credential, Framing, Input, Operation, Protocol, Query, Reply, Resource};
use std::io::{BufRead, ErrorKind, Read};
use zeroize::Zeroizing;

/// The most of a request that is read, in bytes: one more than the codecs take, so that they can tell.
const REQUEST: u64 = (1 << 20) + 1;
/// The prefix of marks that are ours.
const MARK: &str = "keyfob:";

/// What came of a request.
enum Outcome {
    Credential(Box<Credential>),
    Entries(Vec<(String, String)>),
    Nothing,
    Done,
}

/// A request that failed.
struct Failed {
    failure: Failure,
    /// It is ours alone to answer, so the caller should not ask elsewhere.
    ours: bool,
}

impl From<Failure> for Failed {
    fn from(failure: Failure) -> Self {
        Self { failure, ours: false }
    }
}

/// Serves the request in `arguments` and, where the protocol sends one there, on `stdin`.
pub(crate) fn serve<P: Protocol>(context: &Context, tool: Tool, arguments: &[&str], stdin: &mut dyn BufRead) -> Reply {
    let bytes = read(P::framing(arguments), stdin);
    let request = match P::parse(Input { arguments, stdin: &bytes }) {
        Ok(request) => request,
        Err(malformed) => return signed(P::refuse(&malformed)),
    };
    let query = P::query(&request);
    let outcome = match query.operation {
        Operation::Get => get(context, tool, &query),
        Operation::Store => store(context, tool, &query),
        Operation::Erase => erase(context, tool, &query),
        Operation::List => list(context, tool),
        _ => Ok(Outcome::Done),
    };
    match outcome {
        Ok(Outcome::Credential(credential)) => P::render(&request, &Answer::Credential(&credential)),
        Ok(Outcome::Entries(entries)) => P::render(&request, &Answer::Entries(&entries)),
        Ok(Outcome::Nothing) => P::render(&request, &Answer::NotFound),
        Ok(Outcome::Done) => P::render(&request, &Answer::Done),
        Err(Failed { failure, ours }) => {
            let message = if ours { failure.lines() } else { failure.line() };
            P::render(&request, &Answer::Failed { message: &message, stop: ours })
        }
    }
}

/// Reads a request as far as `framing` goes. What cannot be read is judged like a request that broke off.
fn read(framing: Framing, stdin: &mut dyn BufRead) -> Zeroizing<Vec<u8>> {
    let mut bytes = Zeroizing::new(Vec::new());
    match framing {
        Framing::ToEof => drop(stdin.take(REQUEST).read_to_end(&mut bytes)),
        Framing::ToBlankLine => read_to_blank_line(stdin, &mut bytes),
        _ => {}
    }
    bytes
}

/// Reads no more than it takes to have the first blank line, for whoever keeps standard input open waits for the answer.
fn read_to_blank_line(stdin: &mut dyn BufRead, bytes: &mut Vec<u8>) {
    while (bytes.len() as u64) < REQUEST {
        let length = match stdin.fill_buf() {
            Ok(more) => {
                bytes.extend_from_slice(more);
                more.len()
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(_) => 0,
        };
        stdin.consume(length);
        let blank = |bytes: &[u8]| bytes.ends_with(b"\n\n") || bytes.windows(2).any(|pair| pair == b"\n\n");
        if length == 0 || bytes.starts_with(b"\n") || blank(&bytes[bytes.len().saturating_sub(length + 1)..]) {
            break;
        }
    }
}

/// Says who speaks, where a codec that does not know wrote to standard error.
fn signed(mut reply: Reply) -> Reply {
    if !reply.stderr.is_empty() {
        reply.stderr.splice(..0, *b"keyfob: error: ");
    }
    reply
}

fn get(context: &Context, tool: Tool, query: &Query<'_>) -> Result<Outcome, Failed> {
    let mut desk = match Desk::open(context) {
        Err(failure) if tool == Tool::Git => return shut(context, query, failure),
        desk => desk?,
    };
    if let (Some(shelf), Some(store)) = (entries::shelf(query), desk.store.as_mut()) {
        // what a person gave docker for a registry wins over a route; git replays every helper's credential, so there it does not
        if tool == Tool::Docker
            && store.has_record(&shelf.record(store))
            && unlocked_by_anyone(context, store)?
            && let Some(credential) = shelf.get(store, query, context.now())?
        {
            return Ok(Outcome::Credential(Box::new(credential)));
        }
    }
    match desk.place(query)? {
        Place::Routed(hint) => {
            let ours = |failure| Failed { failure, ours: true };
            if let Some(found) = cached::answer(context, &mut desk, query, &hint) {
                if hint.flags & NOTED != 0 {
                    handed_out::note_cached(context, &desk, tool, query, &found);
                }
                if found.renew {
                    routed::renew_behind(context, desk, tool, query);
                }
                context.trace(|| "answered from the cache".into());
                return Ok(Outcome::Credential(Box::new(found.credential)));
            }
            context.trace(|| "nothing good enough is cached".into());
            let credential = routed::answer(context, desk, tool, query).map_err(ours)?;
            Ok(Outcome::Credential(Box::new(credential)))
        }
        Place::Unrouted if tool == Tool::Git && desk.is_minted_here(query) => {
            let credential = routed::answer(context, desk, tool, query).map_err(|failure| Failed { failure, ours: true })?;
            Ok(Outcome::Credential(Box::new(credential)))
        }
        Place::Unrouted => {
            context.trace(|| "no route".into());
            if let Resource::Profile(profile) = query.resource {
                let config = desk.config.map_or_else(|| Config::load(&context.environment), Ok)?;
                return Err(role::find_profile(&config, profile).map_or_else(Failed::from, |_| routed::changed().into()));
            }
            let in_the_open = desk.is_for_https_alone(query);
            match from_shelf(context, desk.store.take(), query)? {
                Outcome::Nothing => match desk.accounts(context, query)?[..] {
                    // somebody else may still have something for it
                    [] if in_the_open => Err(routed::plain_http(query).into()),
                    [] => Ok(Outcome::Nothing),
                    ref accounts => Err(routed::several(query, accounts).into()),
                },
                found => Ok(found),
            }
        }
    }
}

/// Answers git where nothing opens because of `failure`: of a host that has no route there is nothing to say.
fn shut(context: &Context, query: &Query<'_>, failure: Failure) -> Result<Outcome, Failed> {
    let config = Config::load(&context.environment)?;
    match config.routes.find(&query.resource, query.username) {
        Some(_) => Err(Failed { failure, ours: true }),
        None => Ok(Outcome::Nothing),
    }
}

fn from_shelf(context: &Context, store: Option<Store>, query: &Query<'_>) -> Result<Outcome, Failed> {
    let (Some(shelf), Some(mut store)) = (entries::shelf(query), store) else { return Ok(Outcome::Nothing) };
    if !store.has_record(&shelf.record(&store)) {
        return Ok(Outcome::Nothing);
    }
    // git asks by itself where we have nothing for it; docker fails
    let has_key = match query.resource {
        Resource::Registry(_) => unlocked_by_anyone(context, &mut store)?,
        _ => unlocked(context, &mut store, |store| store.unlock(false))?,
    };
    if !has_key {
        return Ok(Outcome::Nothing);
    }
    let found = shelf.get(&store, query, context.now())?;
    Ok(found.map_or(Outcome::Nothing, |credential| Outcome::Credential(Box::new(credential))))
}

fn store(context: &Context, tool: Tool, query: &Query<'_>) -> Result<Outcome, Failed> {
    let mut desk = Desk::open(context)?;
    if let Place::Routed(hint) = desk.place(query)? {
        // git hands every helper's credential to all helpers, and docker hands back what it got: neither is news
        if tool != Tool::Docker || cached::is_ours(context, &mut desk, query, &hint)? {
            return Ok(Outcome::Done);
        }
    } else if tool == Tool::Git && desk.is_minted_here(query) {
        return Ok(Outcome::Done);
    }
    let Some(shelf) = entries::shelf(query) else { return Ok(Outcome::Done) };
    // git hands back what it was answered each time, so most of it is no news
    if let Some(store) = &mut desk.store
        && store.has_record(&shelf.record(store))
        && matches!(store.unlock(false), Ok(true))
        && shelf.has(store, query, context.now())
    {
        return Ok(Outcome::Done);
    }
    keep(context, desk, tool, &shelf, query)
}

fn keep(context: &Context, desk: Desk, tool: Tool, shelf: &Shelf, query: &Query<'_>) -> Result<Outcome, Failed> {
    // where a first key is to be is said in the configuration alone, which a store that was found does not know
    let config = desk.config.map_or_else(|| Config::load(&context.environment), Ok)?;
    let settings = context.settings(Some(&config), false)?;
    // git replays what others answered, so it is no person that asks; `docker login` is
    let asking = if tool == Tool::Docker { context.asking(false) } else { settings.asking.clone() };
    let typed = desk.store.as_ref().and_then(Store::key_to_hand_over);
    let mut store = Store::open_or_create(&Settings { asking, ..settings })?;
    if let Some(key) = &typed {
        store.accept_key(key)?;
    }
    if !store.unlock(true)? {
        if tool == Tool::Docker {
            return Err(Failure::new(Kind::Misconfigured, "nothing can be kept: there is no key to seal it with")
                .hint("name a key file in `KEYFOB_KEY_FILE`")
                .into());
        }
        return Ok(Outcome::Done);
    }
    shelf.put(&store, query, context.now())?;
    say_how_long(&store);
    Ok(Outcome::Done)
}

/// Says, when a key is made and so once, that what is kept with it does not outlast this run of the machine, where that is so.
fn say_how_long(store: &Store) {
    if store.has_made_passing_key() {
        crate::terminal::tell(
            "this lasts until this machine starts again, at the latest: the key is in the kernel's keyring alone; to change that, see \
             `keyfob setup key --help`",
        );
    }
}

fn erase(context: &Context, tool: Tool, query: &Query<'_>) -> Result<Outcome, Failed> {
    let mut desk = Desk::open(context)?;
    let ours = tool == Tool::Git
        && match desk.place(query)? {
            Place::Routed(hint) if cached::is_ours(context, &mut desk, query, &hint)? => true,
            _ => desk.is_minted_here(query),
        };
    if ours {
        return routed::reject(context, desk, tool, query)
            .map(|()| Outcome::Done)
            .map_err(|failure| Failed { failure, ours: true });
    }
    let (Some(shelf), Some(mut store)) = (entries::shelf(query), desk.store) else { return Ok(Outcome::Done) };
    if store.has_record(&shelf.record(&store)) && unlocked(context, &mut store, Store::unlock_to_write)? {
        shelf.erase(&store, query)?;
    }
    Ok(Outcome::Done)
}

/// Gets the key of `store` as [`unlocked`] does, from a person where it cannot be had without one.
fn unlocked_by_anyone(context: &Context, store: &mut Store) -> Result<bool, Failure> {
    match unlocked(context, store, |store| store.unlock(false)) {
        Err(failure) if failure.kind == Kind::NeedsPerson => {
            store.may_ask(context.asking(false));
            store.unlock(false)
        }
        done => done,
    }
}

/// Gets the key of `store` with `unlock`; whether there is one. What is recorded of the key's place is enough, unless a person
/// moved its file: then the configuration tells.
fn unlocked(context: &Context, store: &mut Store, unlock: impl Fn(&mut Store) -> Result<bool, Failure>) -> Result<bool, Failure> {
    match unlock(store) {
        Ok(has_key) => Ok(has_key),
        Err(failure) => {
            let told = || -> Result<Option<Store>, Failure> {
                let config = Config::load(&context.environment)?;
                let Some(mut store) = Store::open(&context.settings(Some(&config), false)?)? else { return Ok(None) };
                Ok(unlock(&mut store)?.then_some(store))
            };
            *store = told().ok().flatten().ok_or(failure)?;
            Ok(true)
        }
    }
}

/// Names what can be answered now without a person. It never asks for the key where that could open a prompt.
fn list(context: &Context, tool: Tool) -> Result<Outcome, Failed> {
    let Some(mut store) = Desk::open(context)?.store else { return Ok(Outcome::Entries(Vec::new())) };
    if !matches!(store.unlock(false), Ok(true)) {
        return Ok(Outcome::Entries(Vec::new()));
    }
    let mut found = if tool == Tool::Docker { entries::list(&store, "docker", context.now())? } else { Vec::new() };
    let config = Config::load(&context.environment)?;
    for (host, username) in routed::answerable(context, &config, &store, tool) {
        if found.iter().all(|(known, _)| *known != host) {
            found.push((host, username));
        }
    }
    Ok(Outcome::Entries(found))
}
