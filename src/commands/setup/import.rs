//! `keyfob setup git --import`: takes over the sign-ins that git's configuration has for other helpers.
use super::git::is_named;
use crate::commands::{say, show};
use crate::config::{Config, Place};
use crate::failure::{Failure, Kind};
use crate::login::Context;
use crate::os::{self, SharedFile};
use crate::setup::git::Git;
use crate::setup::git_oauth::{Registration, Tables, name_for, registrations};
use crate::setup::{diff, file};
use crate::terminal::printable;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// The most that is read of a file that could hold the same secret.
const SECRET: u64 = 64 << 10;

/// What was found, and what comes of it.
#[derive(Default)]
struct Plan {
    /// The configuration with the new tables.
    text: String,
    /// Files for secrets, with their content.
    secrets: Vec<(PathBuf, Zeroizing<String>)>,
    /// What is taken over, a line each.
    taken: Vec<String>,
    /// What is not, a line each.
    left: Vec<String>,
    /// The logins that are new.
    logins: Vec<String>,
    /// What removes the secrets from git's configuration, a line each.
    removals: Vec<String>,
}

/// Writes a login and a route at the end of the configuration for each registration in the user's and the system's git configuration that
/// has no route yet; of those that `hosts` name, where any is named. A client's secret goes to a file of its own.
///
/// # Errors
/// [`Kind::Unrouted`] where git names none for one of `hosts`; [`Kind::Misconfigured`] where git is missing, or a file cannot be read or
/// changed.
pub(crate) fn run(context: &Context, hosts: &[String], dry_run: bool) -> anyhow::Result<()> {
    let settings = Git::find(&context.environment)?.settings()?;
    let mut found = registrations(&settings);
    drop(settings);
    let names = |host: &String, one: &Registration| Place::parse(&one.url).is_ok_and(|place| is_named(&place, host));
    let unknown = hosts.iter().find(|host| !found.iter().any(|one| names(host, one)));
    if let Some(host) = unknown.filter(|_| !found.is_empty()) {
        let known: Vec<String> = found.iter().map(|one| printable(&one.url)).collect();
        let what = format!("git's configuration names no client of another helper's for `{}`", printable(host));
        return Err(Failure::new(Kind::Unrouted, what).hint(format!("it names some for: {}", known.join(", "))).into());
    }
    found.retain(|one| hosts.is_empty() || hosts.iter().any(|host| names(host, one)));
    let path = context.environment.config_paths().into_iter().next().filter(|path| path.is_absolute()).ok_or_else(|| {
        Failure::new(Kind::Misconfigured, "there is no place for a configuration: `HOME` is not set").hint("set `HOME`")
    })?;
    let shown = os::shown(&path);
    if found.is_empty() {
        say("git's configuration names no client of another helper's\n");
        return Ok(());
    }
    let folder = path.parent().unwrap_or(&path);
    if !folder.exists() {
        if dry_run {
            say(&format!("the folder {} would be made\n", os::shown(folder)));
        } else {
            os::Folder::open_or_create(folder)?;
        }
    }
    let file = if folder.exists() { Some(file::read(&path)?) } else { None };
    let plan = plan(context, &path, file.as_ref(), &found)?;
    if dry_run {
        show(&diff::unified(&path.to_string_lossy(), file.as_ref().and_then(SharedFile::bytes), Some(plan.text.as_bytes())));
    } else if let Some(file) = file.filter(|_| !plan.logins.is_empty()) {
        for (path, secret) in &plan.secrets {
            os::create_private(path, secret.as_bytes())?;
        }
        if !file::write(&file, Some(plan.text.as_bytes()))? {
            return Err(Failure::new(Kind::Misconfigured, format!("`{shown}` was changed just now"))
                .hint("run the command again")
                .into());
        }
    }
    say(&report(&shown, &plan, dry_run));
    Ok(())
}

/// Decides what comes of each of `found`.
fn plan(context: &Context, path: &Path, file: Option<&SharedFile>, found: &[Registration]) -> Result<Plan, Failure> {
    let old = String::from_utf8_lossy(file.and_then(SharedFile::bytes).unwrap_or_default()).into_owned();
    let mut config = Config::load(&context.environment)?;
    let mut plan = Plan { text: old, ..Plan::default() };
    for one in found {
        let shown = printable(&one.url);
        let same = |place: &Place| Place::parse(&one.url).is_ok_and(|own| own.url() == place.url() && own.user == place.user);
        if config.routes.iter().filter_map(|(key, _)| Place::of_route(key)).any(|place| same(&place)) {
            plan.left.push(format!("{shown} has a route already"));
            continue;
        }
        let name = name_for(&one.url, |name| config.logins.contains_key(name));
        let (secret_file, tables) = match tables(one, &name, path) {
            Ok(tables) => tables,
            Err(reason) => {
                plan.left.push(format!("{shown}: {reason}"));
                continue;
            }
        };
        let gap = if plan.text.is_empty() || plan.text.ends_with("\n\n") {
            ""
        } else if plan.text.ends_with('\n') {
            "\n"
        } else {
            "\n\n"
        };
        let text =
            format!("{}{gap}# from git's configuration for {}, {}\n{}", plan.text, shown, printable(&one.origin), tables.text);
        match Config::with_text(&context.environment, &text) {
            Ok(next) => config = next,
            Err(failure) => {
                let reason = failure.message.split_once(": ").map_or(failure.message.as_str(), |(_, reason)| reason);
                plan.left.push(format!("{shown}: {reason}"));
                continue;
            }
        }
        plan.text = text;
        plan.taken.push(format!("{shown}, as the login {name} ({})", printable(&one.origin)));
        plan.left.extend(tables.left.iter().map(|key| format!("{shown}: `{}` has no counterpart", printable(key))));
        plan.removals.extend(one.removal());
        plan.secrets.extend(tables.secret.map(|secret| (secret_file, secret)));
        plan.logins.push(name);
    }
    Ok(plan)
}

/// Returns the tables of `one`, and the file for its secret: beside the configuration, by the login's name.
fn tables(one: &Registration, name: &str, path: &Path) -> Result<(PathBuf, Tables), String> {
    let file = path.with_file_name(format!("{name}.secret"));
    let text = file.to_str().ok_or("the path of the configuration is not text")?;
    let tables = one.tables(name, text)?;
    if let Some(secret) = &tables.secret {
        let there = os::read_private(&file, SECRET).map_err(|failure| failure.message)?;
        if there.is_some_and(|there| there.as_slice() != secret.as_bytes()) {
            return Err(format!("the file `{}` is there, and holds something else", os::shown(&file)));
        }
    }
    Ok((file, tables))
}

fn report(shown: &str, plan: &Plan, dry_run: bool) -> String {
    let would = if dry_run { "would be " } else { "" };
    let mut text = String::new();
    if !plan.taken.is_empty() {
        text.push_str(&format!("{shown}: {would}taken over\n  {}\n", plan.taken.join("\n  ")));
    }
    for (path, _) in &plan.secrets {
        text.push_str(&format!("{}: {would}written, with the client's secret\n", os::shown(path)));
    }
    if !plan.removals.is_empty() {
        let how = plan.removals.join("\n  ");
        text.push_str(&format!("the client's secret stays in git's configuration, too, until you remove it\n  {how}\n"));
    }
    if !plan.left.is_empty() {
        text.push_str(&format!("not taken over\n  {}\n", plan.left.join("\n  ")));
    }
    if !dry_run && !plan.logins.is_empty() {
        text.push_str("run `keyfob setup git`, so that git asks keyfob for them\n");
    }
    text
}
