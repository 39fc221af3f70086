//! `keyfob setup git --import-stored`: takes over the passwords that git's own storage helpers keep.
use crate::commands::say;
use crate::config::Config;
use crate::failure::{Failure, Kind};
use crate::login::Context;
use crate::os::{self, SharedFile};
use crate::setup::file;
use crate::setup::git::Git;
use crate::setup::git_stored::{Named, Stored, helpers, is_plain_file, name_of};
use crate::store::{SourceKind, Store};
use crate::terminal::printable;
use helper_protocols::Resource;
use std::io::Write;
use std::process::{Command, Stdio};
use zeroize::Zeroizing;

/// What became of one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kept {
    Yes,
    /// With the reason.
    Not(&'static str),
    Failed,
}

/// What helpers have.
#[derive(Default)]
struct Found {
    /// In the order in which git would answer it.
    stored: Vec<Stored>,
    /// The helpers that cannot list what they have, and were not asked since nothing was named.
    unasked: Vec<String>,
    /// Whether one of them gave one account of a host that may have several.
    is_one_of_several: bool,
}

/// What is said of it.
#[derive(Default)]
struct Report {
    kept: Vec<String>,
    left: Vec<String>,
}

/// Gives keyfob what the plain file has, for those of `hosts` where any is named, and what other storage helpers have for the named ones,
/// as git would; where `remove` says so, what answers from keyfob then goes out of the plain file, if keyfob's key outlasts the machine's
/// next start.
///
/// # Errors
/// [`Kind::Usage`] where one of `hosts` is none; [`Kind::Misconfigured`] where git is missing, a file cannot be read or changed, a helper does
/// not tell what it has, something could not be kept, or nothing may be removed; that stays where it was.
pub(crate) fn run(context: &Context, hosts: &[String], remove: bool, dry_run: bool) -> anyhow::Result<()> {
    let named = hosts.iter().map(|host| named(host)).collect::<Result<Vec<_>, _>>()?;
    let git = Git::find(&context.environment)?;
    let config = Config::load(&context.environment)?;
    if remove && let Some(failure) = passing_key(source(context, &config)?) {
        return Err(failure.into());
    }
    let paths = context.environment.git_credential_files();
    let files: Vec<SharedFile> =
        paths.iter().filter_map(|path| file::read_if_there(path).transpose()).collect::<Result<_, _>>()?;
    let all = found(&git, &files, &named)?;
    let found = &all.stored;
    let outcomes = outcomes(&config, found, dry_run);
    say(&text(&all, &report(found, &outcomes), dry_run));
    let is_taken = |line: &[u8]| {
        let taken = |one: Stored| found.iter().zip(&outcomes).any(|(other, kept)| *kept == Kept::Yes && *other == one);
        Stored::of_line(line).is_some_and(taken)
    };
    for file in files.iter().filter(|_| remove) {
        let bytes = file.bytes().unwrap_or_default();
        let mut rest = Zeroizing::new(Vec::with_capacity(bytes.len()));
        let (gone, kept): (Vec<&[u8]>, _) = bytes.split_inclusive(|byte| *byte == b'\n').partition(|line| is_taken(line));
        kept.iter().for_each(|line: &&[u8]| rest.extend_from_slice(line));
        let would = if dry_run { "would be " } else { "" };
        let lines = if gone.len() == 1 { "1 line".to_owned() } else { format!("{} lines", gone.len()) };
        let removed = format!("{lines} {would}removed from `{}`\n", os::shown(file.path()));
        if gone.is_empty() {
            continue;
        }
        if dry_run {
            say(&removed);
            continue;
        }
        // the first that was kept may have made the key
        if let Some(failure) = passing_key(source(context, &config)?.or(Some(SourceKind::None))) {
            return Err(failure.into());
        }
        if !file::write(file, Some(&rest))? {
            let failure = Failure::new(Kind::Misconfigured, format!("`{}` was changed just now", os::shown(file.path())));
            return Err(failure.hint("run the command again").into());
        }
        say(&removed);
    }
    let failed = outcomes.iter().filter(|kept| **kept == Kept::Failed).count();
    if failed > 0 {
        let failure = Failure::new(Kind::Misconfigured, format!("{failed} of them could not be kept, and stay where they are"));
        return Err(failure.hint("see `keyfob status` for where the key is").into());
    }
    Ok(())
}

fn named(host: &str) -> Result<Named, Failure> {
    Named::parse(host).map_err(|reason| {
        Failure::new(Kind::Usage, format!("`{}` names no git host", printable(host)))
            .because(reason)
            .hint("name one as `git.example.com`, or with an account or a path as `https://alice@git.example.com/team/app.git`")
    })
}

/// Returns what is stored; what is in `files` comes last where git does not ask for it.
fn found(git: &Git<'_>, files: &[SharedFile], named: &[Named]) -> Result<Found, Failure> {
    let is_meant = |one: &Stored| named.is_empty() || named.iter().any(|named| named.names(one));
    let lines = files.iter().flat_map(|file| file.bytes().unwrap_or_default().split_inclusive(|byte| *byte == b'\n'));
    let mut plain = Some(lines.filter_map(Stored::of_line).filter(is_meant));
    let mut found = Found::default();
    for helper in helpers(&git.settings()?) {
        if is_plain_file(&helper) {
            found.stored.extend(plain.take().into_iter().flatten());
            continue;
        }
        if named.is_empty() {
            found.unasked.push(format!("`{}`", printable(name_of(&helper))));
        }
        for one in named {
            let Some(stored) = answered(git, &helper, one)? else { continue };
            found.is_one_of_several |= one.is_open();
            found.stored.push(stored);
        }
    }
    let mut stored: Vec<Stored> = Vec::new();
    for one in found.stored.into_iter().chain(plain.into_iter().flatten()) {
        if !stored.contains(&one) {
            stored.push(one);
        }
    }
    Ok(Found { stored, ..found })
}

/// Gives keyfob what is to be kept of `found`, and returns what became of each.
fn outcomes(config: &Config, found: &[Stored], dry_run: bool) -> Vec<Kept> {
    // all are looked for before any is kept, so that none is taken for another
    let first = |(place, one): (usize, &Stored)| {
        let is_behind = |other: &Stored| *other.to_find() == *one.to_find() && !one.is_in(other.to_keep().as_bytes());
        if is_routed(config, one) {
            return Some(Kept::Not("has a route, so keyfob signs in there by itself"));
        }
        if found[..place].iter().any(is_behind) {
            return Some(Kept::Not("stands behind another password for the same account"));
        }
        if dry_run {
            return Some(Kept::Yes);
        }
        match ask("get", &one.to_find()) {
            None => Some(Kept::Failed),
            Some(answer) if one.is_in(&answer) => Some(Kept::Yes),
            Some(answer) => (!answer.is_empty()).then_some(Kept::Not("has another password in keyfob already")),
        }
    };
    let first: Vec<Option<Kept>> = found.iter().enumerate().map(first).collect();
    // what keyfob is given last it answers first
    let mut changed: Vec<(&str, &str)> = Vec::new();
    let mut outcomes: Vec<Kept> = Vec::with_capacity(found.len());
    for (one, first) in found.iter().zip(first).rev() {
        let place = (one.protocol.as_str(), one.host.as_str());
        outcomes.push(match first {
            Some(Kept::Yes) if changed.contains(&place) => keep(one),
            Some(kept) => kept,
            None => {
                changed.push(place);
                keep(one)
            }
        });
    }
    outcomes.reverse();
    outcomes
}

fn report(found: &[Stored], outcomes: &[Kept]) -> Report {
    let mut report = Report::default();
    for (one, kept) in found.iter().zip(outcomes) {
        let name = printable(&one.name());
        match kept {
            Kept::Yes => report.kept.push(name),
            Kept::Not(why) => report.left.push(format!("{name} {why}")),
            Kept::Failed => report.left.push(format!("{name} could not be kept")),
        }
    }
    report
}

/// Returns what `helper` has for what is `named`.
fn answered(git: &Git<'_>, helper: &str, named: &Named) -> Result<Option<Stored>, Failure> {
    let answer = git.stored(helper, &named.request()).map_err(|reason| {
        let name = printable(name_of(helper));
        Failure::new(Kind::Misconfigured, format!("git's helper `{name}` does not tell what it has, so nothing is taken over"))
            .because(reason)
            .hint("unlock or start what it keeps passwords in, and run the command again")
            .hint("or name no host, for what git's plain file has alone")
    })?;
    Ok(answer.and_then(|answer| Stored::of_answer(named, &answer)))
}

/// Returns where the key is, or else where the settings want it; `None` where the first that is kept decides.
fn source(context: &Context, config: &Config) -> Result<Option<SourceKind>, Failure> {
    let settings = context.settings(Some(config), false)?;
    let in_use = Store::open(&settings)?.and_then(|store| store.source());
    let wanted = if settings.key_file.is_some() { Some(SourceKind::File) } else { settings.source };
    Ok(in_use.or(wanted))
}

/// Returns why nothing may be removed that keyfob alone would have then: its key does not outlast the machine's next start.
fn passing_key(source: Option<SourceKind>) -> Option<Failure> {
    let what = match source? {
        SourceKind::Kernel => "keyfob's key is in the kernel's keyring alone, and the next start of this machine forgets it",
        SourceKind::None => "keyfob has no place for a key, so it keeps nothing",
        SourceKind::File | SourceKind::Keyring | SourceKind::Passphrase => return None,
    };
    Some(
        Failure::new(Kind::Misconfigured, format!("{what}: nothing is removed"))
            .hint("run `keyfob setup key file PATH` (or `keyfob setup key keyring`) first"),
    )
}

fn is_routed(config: &Config, one: &Stored) -> bool {
    let resource = Resource::Url { protocol: Some(&one.protocol), host: Some(&one.host), path: one.path.as_deref() };
    config.routes.find(&resource, Some(&one.username)).is_some() || config.routes.find(&resource, None).is_some()
}

/// Gives `one` to keyfob as git does, and looks whether keyfob answers it then.
fn keep(one: &Stored) -> Kept {
    let kept = ask("store", &one.to_keep()).is_some() && ask("get", &one.to_find()).is_some_and(|answer| one.is_in(&answer));
    if kept { Kept::Yes } else { Kept::Failed }
}

/// Runs this program as git's helper. What it has to say is for the person.
fn ask(operation: &str, request: &str) -> Option<Zeroizing<Vec<u8>>> {
    let mut command = Command::new(std::env::current_exe().ok()?);
    let mut child = command.args(["git", operation]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().ok()?;
    child.stdin.take()?.write_all(request.as_bytes()).ok()?;
    let output = child.wait_with_output().ok()?;
    output.status.success().then(|| Zeroizing::new(output.stdout))
}

fn text(found: &Found, report: &Report, dry_run: bool) -> String {
    let would = if dry_run { "would be " } else { "" };
    let mut text = String::new();
    if !report.kept.is_empty() {
        text.push_str(&format!("{would}taken over\n  {}\n", report.kept.join("\n  ")));
    }
    if !report.left.is_empty() {
        text.push_str(&format!("not taken over\n  {}\n", report.left.join("\n  ")));
    }
    if report.kept.is_empty() && report.left.is_empty() {
        text.push_str("nothing is stored there\n");
    }
    if !found.unasked.is_empty() {
        let helpers = found.unasked.join(" and ");
        text.push_str(&format!("not asked: {helpers}, which cannot list what is stored; name hosts, as git.example.com\n"));
    }
    if found.is_one_of_several {
        text.push_str("where a host has several accounts, name each, as alice@git.example.com\n");
    }
    if !dry_run && !report.kept.is_empty() {
        text.push_str("run `keyfob setup git --all-hosts`, so that git asks keyfob for them\n");
    }
    text
}
