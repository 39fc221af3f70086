//! `keyfob setup git --undo`: takes keyfob's lines out of git's configuration again, from each file that git reads for the user.
use super::git::{ATTEMPTS, changed_all_the_time, check, helper, is_named, place_named};
use crate::commands::{say, show};
use crate::config::{Environment, Place};
use crate::failure::{Failure, Kind};
use crate::login::Context;
use crate::os::{self, SharedFile};
use crate::setup::git::{Git, naming, user_file};
use crate::setup::git_lines::{self, Section};
use crate::setup::{diff, file};
use crate::terminal::{printable, warn};
use std::path::PathBuf;

/// A file by the name that git has for it.
struct Found {
    path: PathBuf,
    file: SharedFile,
    ours: Vec<Section>,
}

/// Takes out what stands for `hosts`; everything where none is named. Then what still asks keyfob there is warned of.
///
/// # Errors
/// [`Kind::Unrouted`] where nothing stands for `hosts`, or what does is for every host; [`Kind::Misconfigured`] where git is missing, or a
/// file cannot be read or changed. That one was not changed then.
pub(crate) fn run(context: &Context, hosts: &[String], dry_run: bool) -> anyhow::Result<()> {
    let git = Git::find(&context.environment)?;
    let helper = helper(&context.environment)?;
    let mut changed_any = false;
    for _ in 0..ATTEMPTS {
        let all = read(&context.environment)?;
        let goes = |section: &Section| hosts.is_empty() || is_for(section, hosts);
        if !changed_any {
            judge(&all, hosts)?;
        }
        let mut changes = Vec::new();
        for one in &all {
            let Some(old) = one.file.bytes().filter(|_| one.ours.iter().any(goes)) else { continue };
            let new = git_lines::without(old, goes);
            check(&git, &one.file, new.as_deref(), None)?;
            changes.push((one, new));
        }
        if dry_run && !changes.is_empty() {
            for (one, new) in changes {
                show(&diff::unified(&one.file.path().to_string_lossy(), one.file.bytes(), new.as_deref()));
            }
            return Ok(());
        }
        let mut changed_meanwhile = false;
        let is_nothing = changes.is_empty() && !changed_any;
        for (one, new) in changes {
            if !file::write(&one.file, new.as_deref())? {
                changed_meanwhile = true;
                continue;
            }
            changed_any = true;
            let what = if new.is_some() {
                "keyfob's lines were taken out"
            } else {
                "removed, for keyfob had made it and nothing else stood there"
            };
            say(&format!("{}: {what}\n", os::shown(&one.path)));
        }
        if changed_meanwhile {
            continue;
        }
        if is_nothing {
            say(&format!("{}: nothing of keyfob's stands there\n", names(&all).join(", ")));
        }
        warn_of_the_rest(&git, hosts, &helper, &all, goes);
        return Ok(());
    }
    Err(changed_all_the_time(&os::shown(&user_file(&context.environment)?)).into())
}

/// Reads the file that git would change for the user, and any other that it reads for them.
fn read(environment: &Environment) -> Result<Vec<Found>, Failure> {
    let first = user_file(environment)?;
    let others = environment.git_config_paths().into_iter().filter(|path| *path != first);
    let mut found = vec![(file::read(&first)?, first.clone())];
    for path in others {
        found.extend(file::read_if_there(&path)?.map(|file| (file, path)));
    }
    // one can be a link to the other
    found.dedup_by(|(one, _), (other, _)| one.path() == other.path());
    let ours = |file: &SharedFile| git_lines::ours(file.bytes().unwrap_or_default());
    Ok(found.into_iter().map(|(file, path)| Found { path, ours: ours(&file), file }).collect())
}

fn names(all: &[Found]) -> Vec<String> {
    all.iter().map(|one| os::shown(&one.path)).collect()
}

/// Tells whether `section` is for one of `hosts`, or for something below it.
fn is_for(section: &Section, hosts: &[String]) -> bool {
    let url = section.url("credential").or_else(|| section.url("http")).flatten();
    let place = url.and_then(|url| Place::parse(url.strip_suffix(".git").unwrap_or(&url)).ok());
    place.is_some_and(|place| hosts.iter().any(|host| is_named(&place, host)))
}

/// Decides whether what stands for `hosts` can be taken out alone.
fn judge(all: &[Found], hosts: &[String]) -> Result<(), Failure> {
    if hosts.is_empty() {
        return Ok(());
    }
    let named = printable(&hosts.join(", "));
    let for_all = |section: &Section| section.url("credential") == Some(None);
    if let Some(one) = all.iter().find(|one| one.ours.iter().any(for_all)) {
        let what =
            format!("keyfob's lines in `{}` are for every host, so {named} cannot be taken out alone", os::shown(&one.path));
        return Err(Failure::new(Kind::Unrouted, what)
            .hint("run `keyfob setup git --undo`, and then `keyfob setup git` for the hosts that keyfob is to answer"));
    }
    if all.iter().any(|one| one.ours.iter().any(|section| is_for(section, hosts))) {
        return Ok(());
    }
    let what = format!("nothing of keyfob's for {named} stands in `{}`", names(all).join("` or `"));
    Err(Failure::new(Kind::Unrouted, what).hint("see `keyfob setup git --undo --dry-run` for what does"))
}

/// Warns of each line by which git's configuration still names keyfob for `hosts`, for any where there is none; `all` is how the files were,
/// and what `goes` of them went.
fn warn_of_the_rest(git: &Git<'_>, hosts: &[String], helper: &[u8], all: &[Found], goes: impl Fn(&Section) -> bool) {
    let settings = match git.settings_of_anybody() {
        Ok(settings) => settings,
        Err(failure) => return warn(&failure),
    };
    let schemes = ["https", "http"];
    let places: Vec<Place> = hosts.iter().flat_map(|host| schemes.map(|scheme| place_named(host, scheme))).flatten().collect();
    for one in naming(&settings, &places, helper) {
        let url = one.url.as_deref().unwrap_or("all hosts");
        let what = format!("git's configuration still names keyfob for {url}, in {}", one.place);
        let stays = |section: &Section| section.url("credential") == Some(one.url.clone()) && !goes(section);
        let hint = if all.iter().flat_map(|found| &found.ours).any(stays) {
            format!("run `keyfob setup git --undo {url}` to end that, too")
        } else {
            "that line does not end with keyfob's mark, so it is yours to take out".to_owned()
        };
        warn(&Failure::new(Kind::Misconfigured, what).hint(hint));
    }
}
