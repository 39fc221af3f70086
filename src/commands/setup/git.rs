//! `keyfob setup git`: lets git ask keyfob, and no other helper, for the hosts that have a route.
use crate::commands::{say, show};
use crate::config::{Config, Place};
use crate::failure::{Failure, Kind};
use crate::login::Context;
use crate::os::{self, SharedFile};
use crate::setup::git::{Git, Other, others, user_file};
use crate::setup::git_lines::{self, Section};
use crate::setup::git_urls::Wanted;
use crate::setup::{diff, file, program};
use crate::terminal::{printable, warn};

/// How often it is begun anew because somebody else changed the file meanwhile.
const ATTEMPTS: usize = 10;

/// What the command line says.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(crate) struct Options {
    /// The hosts or URLs it is about; all where it is empty.
    pub(crate) hosts: Vec<String>,
    /// Every host, also those without a route.
    pub(crate) all_hosts: bool,
    /// git is to send the token without being asked for one.
    pub(crate) proactive_auth: bool,
    /// Our lines are to go.
    pub(crate) undo: bool,
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
    let places = if options.undo { Vec::new() } else { places(&Config::load(&context.environment)?) };
    let helper = [b"!exec ", program::shell_word(&program::this(&context.environment)?).as_slice(), b" git"].concat();
    for _ in 0..ATTEMPTS {
        let found = file::read(&path)?;
        let old = found.bytes();
        let ours = git_lines::ours(old.unwrap_or_default());
        let wanted = if options.undo { None } else { Some(wanted(context, options, &places, &ours)?) };
        let new = match &wanted {
            Some(wanted) => git_lines::with(old, &wanted.sections(&helper)).map(Some),
            None => undone(&found, &ours, options)?,
        };
        if let Some(new) = &new {
            check(&git, &found, new.as_deref(), wanted.as_ref().map(|wanted| wanted.sections(&helper)))?;
            if wanted.is_some() {
                // what is said afterwards needs them, and a failure must come before the change
                git.settings()?;
            }
        }
        match &new {
            Some(new) if options.dry_run => {
                show(&diff::unified(&found.path().to_string_lossy(), old, new.as_deref()));
                return Ok(());
            }
            Some(new) if !file::write(&found, new.as_deref())? => continue,
            _ => {}
        }
        match (wanted, new) {
            (Some(wanted), new) => report(&git, &shown, &wanted, &helper, new.is_some(), &places)?,
            (None, None) => say(&format!("{shown}: nothing of keyfob's stands there\n")),
            (None, Some(None)) => say(&format!("{shown}: removed, for keyfob had made it and nothing else stood there\n")),
            (None, Some(Some(_))) => say(&format!("{shown}: keyfob's lines were taken out\n")),
        }
        return Ok(());
    }
    Err(Failure::new(Kind::Misconfigured, format!("`{shown}` is changed all the time")).hint("run the command again").into())
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
            let known: Vec<String> = places.iter().map(Place::url).collect();
            let failure = Failure::new(Kind::Unrouted, format!("no git route is for `{}`", printable(host)));
            return Err(match known.as_slice() {
                [] => failure.hint("none is configured: see `[git.\"https://…\"]` in the README"),
                _ => failure.hint(format!("there are routes for: {}", known.join(", "))),
            });
        }
    }
    Ok(chosen)
}

/// Tells whether `host`, a host or a URL, names `place` or what it is below.
pub(super) fn is_named(place: &Place, host: &str) -> bool {
    let url = if host.contains("://") { host.to_owned() } else { format!("{}://{host}", place.scheme) };
    Place::parse(&url).is_ok_and(|named| {
        let below = place.path.strip_prefix(named.path.strip_suffix(".git").unwrap_or(&named.path));
        named.scheme == place.scheme
            && named.host == place.host
            && below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || named.path.is_empty())
    })
}

/// Returns the content without those of `ours` that `options` name (`Some(None)`: the file goes); `None` where there are none.
fn undone(found: &SharedFile, ours: &[Section], options: &Options) -> Result<Option<Option<Vec<u8>>>, Failure> {
    let goes = |section: &Section| {
        let url = section.url("credential").or_else(|| section.url("http")).flatten();
        let place = url.and_then(|url| Place::parse(url.strip_suffix(".git").unwrap_or(&url)).ok());
        options.hosts.is_empty() || place.is_some_and(|place| options.hosts.iter().any(|host| is_named(&place, host)))
    };
    let Some(old) = found.bytes().filter(|_| ours.iter().any(goes)) else {
        return match options.hosts.as_slice() {
            [] => Ok(None),
            hosts => Err(Failure::new(
                Kind::Unrouted,
                format!("nothing of keyfob's stands there for {}", printable(&hosts.join(", "))),
            )
            .hint("see `keyfob setup git --undo --dry-run` for what does")),
        };
    };
    Ok(Some(git_lines::without(old, goes)))
}

/// Lets git itself read the content before and after: everything else must mean what it meant, and `wanted` must come last.
fn check(git: &Git<'_>, found: &SharedFile, new: Option<&[u8]>, wanted: Option<Vec<Section>>) -> Result<(), Failure> {
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
    let settings = git.settings()?;
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
        let users: Vec<String> =
            places.iter().filter(|place| place.url() == *url).filter_map(|place| place.user.as_deref().map(printable)).collect();
        match users.as_slice() {
            [] | [_] => text.push_str(&format!("  {url}\n")),
            [first, ..] => {
                let rest = url.split_once("://").map_or(url.as_str(), |(_, rest)| rest);
                let users = users.join(", ");
                text.push_str(&format!("  {url} as {users}: name one in the URL, as https://{first}@{rest}\n"));
            }
        }
    }
    say(&text);
    for (name, others) in asked {
        warn_of_others(others, name);
    }
    Ok(())
}

/// Warns of each of `others`, which git asks for what is called `name` beside us; `None` where it does not ask us.
fn warn_of_others(others: Option<Vec<Other>>, name: &str) {
    let Some(others) = others else {
        warn(
            &Failure::new(Kind::Misconfigured, format!("git does not ask keyfob for {name}: a later setting takes that back"))
                .hint("see `git config --show-origin --get-all credential.helper`"),
        );
        return;
    };
    for other in others {
        let failure = Failure::new(Kind::Misconfigured, format!("git hands the token for {name} to {}, too", other.helper));
        warn(&failure.hint(format!("take that helper out of {}, which git reads after keyfob's lines", other.origin)));
    }
}
