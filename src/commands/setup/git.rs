//! `keyfob setup git`: lets git ask keyfob, and no other helper, for the hosts that have a route.
use crate::commands::{say, show};
use crate::config::{Config, Environment, Place};
use crate::failure::{Failure, Kind};
use crate::login::Context;
use crate::os::{self, SharedFile};
use crate::setup::git::{Git, Other, others, user_file};
use crate::setup::git_lines::{self, Section};
use crate::setup::git_urls::Wanted;
use crate::setup::{diff, file, program};
use crate::terminal::{printable, warn};
use std::collections::{BTreeMap, BTreeSet};
use url::Url;

/// How often it is begun anew because somebody else changed the file meanwhile.
pub(super) const ATTEMPTS: usize = 10;

/// The first git that knows `http.proactiveAuth`.
const PROACTIVE: (u32, u32) = (2, 46);

/// What the command line says.
#[derive(Debug)]
pub(crate) struct Options {
    /// The hosts or URLs it is about; all where it is empty.
    pub(crate) hosts: Vec<String>,
    /// Every host, also those without a route.
    pub(crate) all_hosts: bool,
    /// git is to send the token without being asked for one.
    pub(crate) proactive_auth: bool,
    /// Nothing is to be changed.
    pub(crate) dry_run: bool,
}

/// Does it.
///
/// # Errors
/// [`Kind::Unrouted`] where no route is for what was named; [`Kind::Misconfigured`] where git is missing, or its configuration cannot be
/// read or changed. Then nothing was changed.
pub(crate) fn run(context: &Context, options: &Options) -> anyhow::Result<()> {
    let git = Git::find(&context.environment)?;
    let path = user_file(&context.environment)?;
    let shown = os::shown(&path);
    let places = places(&Config::load(&context.environment)?);
    let helper = helper(&context.environment)?;
    for _ in 0..ATTEMPTS {
        let found = file::read(&path)?;
        let old = found.bytes();
        let wanted = wanted(context, options, &places, &git_lines::ours(old.unwrap_or_default()))?;
        let new = git_lines::with(old, &wanted.sections(&helper));
        if let Some(new) = &new {
            check(&git, &found, Some(new), Some(wanted.sections(&helper)))?;
            // what is said afterwards needs them, and a failure must come before the change
            git.settings_of_anybody()?;
        }
        match &new {
            Some(new) if options.dry_run => {
                show(&diff::unified(&found.path().to_string_lossy(), old, Some(new)));
                return Ok(());
            }
            Some(new) if !file::write(&found, Some(new))? => continue,
            _ => {}
        }
        report(&git, &shown, &wanted, &helper, new.is_some(), &places)?;
        if options.proactive_auth {
            warn_of_an_old(&git);
        }
        return Ok(());
    }
    Err(changed_all_the_time(&shown).into())
}

/// Returns the value by which git asks this program.
///
/// # Errors
/// As [`program::this`].
pub(super) fn helper(environment: &Environment) -> Result<Vec<u8>, Failure> {
    Ok([b"!exec ", program::shell_word(&program::this(environment)?).as_slice(), b" git"].concat())
}

pub(super) fn changed_all_the_time(shown: &str) -> Failure {
    Failure::new(Kind::Misconfigured, format!("`{shown}` is changed all the time")).hint("run the command again")
}

/// Returns what `options` ask for, together with what `ours` ask for already. `places` have routes.
fn wanted(context: &Context, options: &Options, places: &[Place], ours: &[Section]) -> Result<Wanted, Failure> {
    let before = Wanted::of(ours);
    let chosen = chosen(places, &options.hosts)?;
    if chosen.is_empty() && !options.all_hosts && !before.all_hosts {
        let file = context.environment.config_paths().first().map_or_else(String::new, |path| format!(" in {}", os::shown(path)));
        return Err(Failure::new(Kind::Unrouted, "no git host is configured")
            .hint(format!("name one{file}: see `[git.\"https://…\"]` in the README"))
            .hint("or run `keyfob setup git --all-hosts`, for what you type in to be kept"));
    }
    let mut wanted = Wanted { all_hosts: options.all_hosts || before.all_hosts, places: Vec::new() };
    for place in chosen {
        wanted.add(&place.url(), options.proactive_auth);
    }
    for (url, proactive) in before.places {
        // one that lost its route goes when all are set up, and stays when others are
        if !options.hosts.is_empty() || wanted.places.iter().any(|(known, _)| *known == url) {
            wanted.add(&url, proactive);
        }
    }
    Ok(wanted)
}

/// Returns the place of each git route, in order.
fn places(config: &Config) -> Vec<Place> {
    let routes = config.routes.iter().filter(|(key, route)| *key == route.key);
    routes.filter_map(|(key, _)| Place::of_route(key)).collect()
}

/// Returns those of `places` that `hosts` name, all where none is named.
fn chosen<'p>(places: &'p [Place], hosts: &[String]) -> Result<Vec<&'p Place>, Failure> {
    if hosts.is_empty() {
        return Ok(places.iter().collect());
    }
    let mut chosen = Vec::new();
    for host in hosts {
        let before = chosen.len();
        chosen.extend(places.iter().filter(|place| is_named(place, host)));
        if chosen.len() == before {
            return Err(without_route(places, host));
        }
    }
    Ok(chosen)
}

/// Returns why nothing is set up for `host`, which names none of `places`.
fn without_route(places: &[Place], host: &str) -> Failure {
    let covers = |place: &&Place| place_named(host, place.scheme).is_some_and(|named| is_named(&named, &place.url()));
    if let Some(place) = places.iter().filter(covers).max_by_key(|place| place.path.len()) {
        let (host, url) = (printable(host), place.url());
        let failure = Failure::new(Kind::Unrouted, format!("`{host}` has no route of its own: the one for {url} answers it"));
        return failure.hint(format!("run `keyfob setup git {url}`"));
    }
    let known: Vec<String> = places.iter().map(Place::url).collect();
    let failure = Failure::new(Kind::Unrouted, format!("no git route is for `{}`", printable(host)));
    match known.as_slice() {
        [] => failure.hint("none is configured: see `[git.\"https://…\"]` in the README"),
        _ => failure.hint(format!("there are routes for: {}", known.join(", "))),
    }
}

/// Returns what `host`, a host or a URL, names; a host alone is one of `scheme`.
pub(super) fn place_named(host: &str, scheme: &str) -> Option<Place> {
    let url = if host.contains("://") { host.to_owned() } else { format!("{scheme}://{host}") };
    Place::parse(&url).ok()
}

/// Tells whether `host`, a host or a URL, names `place` or what it is below.
pub(super) fn is_named(place: &Place, host: &str) -> bool {
    place_named(host, place.scheme).is_some_and(|named| {
        let below = place.path.strip_prefix(named.path.strip_suffix(".git").unwrap_or(&named.path));
        named.scheme == place.scheme
            && named.host == place.host
            && below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || named.path.is_empty())
    })
}

/// Lets git itself read the content before and after: everything else must mean what it meant, and `wanted` must come last.
///
/// # Errors
/// [`Kind::Misconfigured`] where that is not so, or git cannot read one of them.
pub(super) fn check(git: &Git<'_>, found: &SharedFile, new: Option<&[u8]>, wanted: Option<Vec<Section>>) -> Result<(), Failure> {
    let read = |text: &[u8]| git.settings_in(text, found.path());
    let own = |sections: &[Section]| read(&git_lines::render(sections, b"\n"));
    let (old, new) = (found.bytes().unwrap_or_default(), new.unwrap_or_default());
    let (mut before, mut after) = (read(old)?, read(new)?);
    let comes_last = match wanted {
        Some(wanted) => after.ends_with(&own(&wanted)?),
        None => true,
    };
    before.extend(own(&git_lines::ours(new))?);
    after.extend(own(&git_lines::ours(old))?);
    before.sort_by(|one, other| one.content().cmp(&other.content()));
    after.sort_by(|one, other| one.content().cmp(&other.content()));
    if comes_last && before == after {
        return Ok(());
    }
    let shown = os::shown(found.path());
    Err(Failure::new(Kind::Misconfigured, format!("git would read something else in `{shown}` afterwards, so it is not changed"))
        .hint("does its last line end with a backslash? then end the value, or remove the backslash"))
}

/// Says what git does from now on, and what stands in the way.
fn report(git: &Git<'_>, shown: &str, wanted: &Wanted, helper: &[u8], changed: bool, places: &[Place]) -> Result<(), Failure> {
    let settings = git.settings_of_anybody()?;
    let all_hosts = wanted.all_hosts.then_some((None, "all hosts"));
    let each = wanted.places.iter().filter_map(|(url, _)| Some((Some(Place::parse(url).ok()?), url.as_str())));
    let asked: Vec<_> =
        all_hosts.into_iter().chain(each).map(|(place, name)| (name, others(&settings, place.as_ref(), helper))).collect();
    let alone = asked.iter().all(|(_, others)| others.as_ref().is_some_and(Vec::is_empty));
    let begin = match (changed, alone) {
        (true, true) => "git now asks keyfob, and nobody else, for",
        (true, false) => "git's configuration now names keyfob for",
        (false, _) => "nothing to change, git's configuration names keyfob already for",
    };
    let mut text = format!("{shown}: {begin}\n");
    if wanted.all_hosts {
        text.push_str("  all hosts\n");
    }
    for (url, _) in &wanted.places {
        text.push_str(&format!("  {url}{}\n", accounts(places, url)));
    }
    say(&text);
    for (name, others) in asked {
        warn_of_others(others, name);
    }
    Ok(())
}

/// Returns what is said behind `url` of the accounts that it has routes for.
fn accounts(places: &[Place], url: &str) -> String {
    let here = || places.iter().filter(|place| place.url() == url);
    let users: Vec<&str> = here().filter_map(|place| place.user.as_deref()).collect();
    let names = printable(&users.join(", "));
    match users.as_slice() {
        [] | [_] => String::new(),
        _ if here().any(|place| place.user.is_none()) => format!(", and as {names} where the URL names one"),
        [first, ..] => {
            let mut example = Url::parse(url).ok();
            let written = example.as_mut().is_some_and(|example| example.set_username(first).is_ok());
            let example = example.filter(|_| written).map_or_else(String::new, |example| format!(", as {example}"));
            format!(" as {names}: name one in the URL{}", example.trim_end_matches('/'))
        }
    }
}

/// Says so where `git` is too old to send a token before it is asked for one.
fn warn_of_an_old(git: &Git<'_>) {
    if let Some((major, minor)) = git.version().filter(|version| *version < PROACTIVE) {
        let what = format!("git {major}.{minor} ignores `http.proactiveAuth`, so it sends no token at once");
        warn(&Failure::new(Kind::Misconfigured, what).hint("install git 2.46 or newer; until then all works as without"));
    }
}

/// Returns to which helpers beside ours git hands tokens of its routes in `config`, a line each; none where git is missing, does not tell,
/// or asks nobody of ours.
pub(crate) fn beside(environment: &Environment, config: &Config) -> Vec<String> {
    let places = places(config);
    let settings = Git::find(environment).ok().filter(|_| !places.is_empty()).and_then(|git| git.settings_of_anybody().ok());
    let (Some(settings), Ok(helper)) = (settings, helper(environment)) else { return Vec::new() };
    let mut told: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for place in places {
        for other in others(&settings, Some(&place), &helper).unwrap_or_default() {
            told.entry(other.helper).or_default().insert(place.url());
        }
    }
    let urls = |urls: BTreeSet<String>| urls.into_iter().collect::<Vec<_>>().join(", ");
    let line = |(helper, places)| format!("it hands the token for {} to {helper}, too (`keyfob setup git`)", urls(places));
    told.into_iter().map(line).collect()
}

/// Warns of each of `others`, which git asks for what is called `name` beside us; `None` where it does not ask us.
fn warn_of_others(others: Option<Vec<Other>>, name: &str) {
    let Some(others) = others else {
        warn(
            &Failure::new(Kind::Misconfigured, format!("git does not ask keyfob for {name}: a later setting takes that back"))
                .hint("see `git config --show-origin --get-regexp '^credential'`"),
        );
        return;
    };
    for other in others {
        let failure = Failure::new(Kind::Misconfigured, format!("git hands the token for {name} to {}, too", other.helper));
        warn(&failure.hint(format!("take that helper out of {}, which git reads after keyfob's lines", other.place)));
    }
}
