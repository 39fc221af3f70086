//! The git of this machine: which file is its user's, what it reads in a text, and whom it asks for a credential in the end.
use super::git_urls::concerns;
use super::program;
use crate::config::{Environment, Place};
use crate::failure::{Failure, Kind};
use crate::os;
use crate::terminal::printable;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use zeroize::Zeroizing;

/// A git program, and the environment that decides what it reads.
#[derive(Debug)]
pub(crate) struct Git<'e> {
    program: PathBuf,
    environment: &'e Environment,
}

/// One setting as git read it.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Setting {
    /// As `credential.https://git.example.com.helper`: section and name in lower case, the rest as written.
    pub(crate) key: Vec<u8>,
    /// `None` where only the name stands there. Some people keep secrets in it.
    pub(crate) value: Option<Zeroizing<Vec<u8>>>,
    /// Where it stands, as `file:/etc/gitconfig`; empty where that was not asked.
    pub(crate) origin: String,
    /// Whose it is: `system`, `global`, `command`, …; empty where that was not asked.
    pub(crate) scope: String,
}

impl Setting {
    /// Returns what it says, for settings to be put in order by.
    pub(crate) fn content(&self) -> (&[u8], Option<&[u8]>) {
        (&self.key, self.value.as_deref().map(Vec::as_slice))
    }
}

impl std::fmt::Debug for Setting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Setting").field("key", &String::from_utf8_lossy(&self.key)).finish_non_exhaustive()
    }
}

/// A helper beside keyfob that git goes by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Other {
    /// What it is called: its first word, for some people keep secrets in the rest.
    pub(crate) helper: String,
    /// Where it stands, in words.
    pub(crate) place: String,
}

/// A line that names keyfob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Named {
    /// As it stands there; `None` for all hosts.
    pub(crate) url: Option<String>,
    /// Where it stands, in words.
    pub(crate) place: String,
}

/// Returns the file that git itself would change for the user.
///
/// # Errors
/// [`Kind::Misconfigured`] where the environment names none, or a relative one.
pub(crate) fn user_file(environment: &Environment) -> Result<PathBuf, Failure> {
    let paths = environment.git_config_paths();
    let Some(first) = paths.first() else {
        return Err(Failure::new(Kind::Misconfigured, "git's configuration has no place: `HOME` is not set").hint("set `HOME`"));
    };
    if first.as_os_str().is_empty() {
        return Err(Failure::new(Kind::Misconfigured, "`GIT_CONFIG_GLOBAL` is empty, so git reads no configuration of yours")
            .hint("unset it, or let it name a file"));
    }
    if !first.is_absolute() {
        return Err(Failure::new(Kind::Misconfigured, "`GIT_CONFIG_GLOBAL` is not an absolute path")
            .hint("write it out from the root, or git reads another file in each folder"));
    }
    let there = |path: &&PathBuf| std::fs::symlink_metadata(path).is_ok();
    Ok(paths.iter().find(there).unwrap_or(first).clone())
}

impl<'e> Git<'e> {
    /// Finds git in the absolute folders of the search path.
    ///
    /// # Errors
    /// [`Kind::Misconfigured`] where there is none.
    pub(crate) fn find(environment: &'e Environment) -> Result<Self, Failure> {
        let program = program::find(environment, "git")
            .ok_or_else(|| Failure::new(Kind::Misconfigured, "there is no git in the search path").hint("install git first"))?;
        Ok(Self { program, environment })
    }

    /// Returns what git reads in `text`, without what it includes, in order.
    ///
    /// # Errors
    /// [`Kind::Misconfigured`] with git's reason where it cannot read it; `path` is where the text is from.
    pub(crate) fn settings_in(&self, text: &[u8], path: &Path) -> Result<Vec<Setting>, Failure> {
        let output = self.run(&["config", "--file", "-", "--no-includes", "--list", "-z"], text).map_err(|reason| {
            Failure::new(Kind::Misconfigured, format!("git cannot read `{}`, so it is not changed", os::shown(path)))
                .because(reason)
                .hint("mend the file first")
        })?;
        Ok(records(&output).map(|record| setting(record, "", "")).collect())
    }

    /// Returns all settings that git goes by outside every repository, in the order in which they count, with whose they are.
    ///
    /// # Errors
    /// [`Kind::Misconfigured`] with git's reason where it cannot read them, or is older than 2.26.
    pub(crate) fn settings(&self) -> Result<Vec<Setting>, Failure> {
        let output = self.run(&["config", "--list", "-z", "--show-origin", "--show-scope"], b"").map_err(unreadable)?;
        let mut parts = records(&output);
        let mut settings = Vec::new();
        while let (Some(scope), Some(origin), Some(record)) = (parts.next(), parts.next(), parts.next()) {
            settings.push(setting(record, &String::from_utf8_lossy(origin), &String::from_utf8_lossy(scope)));
        }
        Ok(settings)
    }

    /// As [`Self::settings`], without whose they are, which an older git tells, too.
    ///
    /// # Errors
    /// [`Kind::Misconfigured`] with git's reason where it cannot read them.
    pub(crate) fn settings_of_anybody(&self) -> Result<Vec<Setting>, Failure> {
        let output = self.run(&["config", "--list", "-z", "--show-origin"], b"").map_err(unreadable)?;
        let mut parts = records(&output);
        let mut settings = Vec::new();
        while let (Some(origin), Some(record)) = (parts.next(), parts.next()) {
            settings.push(setting(record, &String::from_utf8_lossy(origin), ""));
        }
        Ok(settings)
    }

    /// Returns git's version, as 2 and 46; `None` where it does not say one.
    pub(crate) fn version(&self) -> Option<(u32, u32)> {
        let output = self.run(&["version"], b"").ok()?;
        let text = String::from_utf8_lossy(&output).into_owned();
        let mut numbers = text.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse().ok());
        Some((numbers.next()?, numbers.next()?))
    }

    /// Returns what the storage helper `helper` has for `request`, git's lines with a path where one matters, as git's lines
    /// (gitcredentials(7)); git asks nobody. `None` where it has nothing.
    ///
    /// # Errors
    /// Why the helper does not tell.
    pub(crate) fn stored(&self, helper: &str, request: &str) -> Result<Option<Zeroizing<Vec<u8>>>, String> {
        let settings = ["credential.helper=", "credential.useHttpPath=true", "credential.interactive=true", "core.askPass="]
            .map(String::from);
        let only = format!("credential.helper={helper}");
        let settings = settings.iter().chain([&only]).flat_map(|setting| ["-c", setting]);
        let arguments: Vec<&str> = settings.chain(["credential", "fill"]).collect();
        match self.ask(&arguments, request.as_bytes()) {
            Ok(answer) => Ok(Some(answer)),
            Err(said) => complaint(&said).map_or(Ok(None), Err),
        }
    }

    /// As [`Self::ask`], with why git failed.
    fn run(&self, arguments: &[&str], stdin: &[u8]) -> Result<Zeroizing<Vec<u8>>, String> {
        self.ask(arguments, stdin).map_err(|said| reason(&said))
    }

    /// Runs git with `stdin`, outside every repository; returns what it wrote, or all that it complained about.
    fn ask(&self, arguments: &[&str], stdin: &[u8]) -> Result<Zeroizing<Vec<u8>>, String> {
        let mut command = Command::new(&self.program);
        command.args(arguments).env_clear().envs(self.environment.for_git()).env("LC_ALL", "C").env("GIT_TERMINAL_PROMPT", "0");
        // nobody who could not replace git itself can put a repository there
        command.env("GIT_DIR", self.program.with_file_name("no-repository"));
        command.current_dir(self.program.ancestors().last().unwrap_or(&self.program));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| error.to_string())?;
        let input = child.stdin.take();
        let output = std::thread::scope(|scope| {
            scope.spawn(|| input.map(|mut input| input.write_all(stdin)));
            child.wait_with_output()
        })
        .map_err(|error| error.to_string())?;
        if output.status.success() {
            return Ok(Zeroizing::new(output.stdout));
        }
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

/// Returns why a helper did not tell what it has, by all that was `said`; `None` where it only has nothing: then git wants to ask for what
/// is missing, and says alone that it cannot.
fn complaint(said: &str) -> Option<String> {
    let cannot_ask = |line: &&str, what: &str| line.starts_with(&format!("fatal: could not read {what} for "));
    let lines = || said.lines().filter(|line| !line.trim().is_empty());
    let line = lines().find(|line| !cannot_ask(line, "Username") && !cannot_ask(line, "Password"))?;
    if lines().any(|line| cannot_ask(&line, "Password")) {
        return Some("it gives an account without the password, as it does where its keyring is locked".to_owned());
    }
    // GLib writes the program, the process, the level and the time before what it says
    let line = line.split_once(" **: ").map_or(line, |(_, rest)| rest);
    let is_time = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit() || b":.".contains(&byte));
    Some(printable(line.split_once(": ").filter(|(time, _)| is_time(time)).map_or(line, |(_, rest)| rest)))
}

fn unreadable(reason: String) -> Failure {
    let is_unknown = |option: &str| reason.starts_with("error: unknown option") && reason.contains(option);
    if let Some((_, version)) =
        [("show-scope", "2.26"), ("show-origin", "2.8")].into_iter().find(|(option, _)| is_unknown(option))
    {
        return Failure::new(Kind::Misconfigured, "this git does not tell where its settings come from")
            .because(format!("git {version} or newer is needed for that"))
            .hint("install a newer git");
    }
    Failure::new(Kind::Misconfigured, "git cannot read its configuration").because(reason).hint("mend that file first")
}

/// Returns why git failed, by all that it said: warnings may come first.
fn reason(said: &str) -> String {
    let is_reason = |line: &&str| ["fatal: ", "error: "].iter().any(|word| line.starts_with(word));
    printable(said.lines().find(is_reason).or_else(|| said.lines().next()).unwrap_or("git failed"))
}

/// Returns the helpers beside `ours` that git, with `settings`, asks for `place` (all hosts where there is none) or hands what belongs to it;
/// `None` where it does not ask `ours`.
pub(crate) fn others(settings: &[Setting], place: Option<&Place>, ours: &[u8]) -> Option<Vec<Other>> {
    let mut asked = false;
    let mut others: Vec<Other> = Vec::new();
    for setting in settings {
        let Some(pattern) = pattern(&setting.key) else { continue };
        let whole = match (pattern, place) {
            (None, _) => true,
            (Some(pattern), Some(place)) if concerns(pattern, place) => !is_below(pattern, place),
            // a single host is another matter
            (Some(_), _) => continue,
        };
        match setting.value.as_deref().map(Vec::as_slice) {
            Some(b"") if whole => (asked, others) = (false, Vec::new()),
            Some(b"") | None => {}
            Some(helper) if helper == ours => asked |= whole,
            Some(helper) => {
                others.push(Other { helper: name_of(helper), place: place_of(&setting.origin) });
            }
        }
    }
    asked.then_some(others)
}

/// Returns the lines in `settings` by which git asks keyfob, `ours` or one by another path, for one of `places`; for any where there is none.
pub(crate) fn naming(settings: &[Setting], places: &[Place], ours: &[u8]) -> Vec<Named> {
    let mut found = Vec::new();
    for setting in settings {
        let (Some(pattern), Some(value)) = (pattern(&setting.key), setting.value.as_deref()) else { continue };
        let is_meant = match pattern {
            Some(pattern) if !places.is_empty() => places.iter().any(|place| concerns(pattern, place)),
            _ => true,
        };
        if is_meant && (value == ours || is_keyfob(value)) {
            let named = Named { url: pattern.map(printable), place: place_of(&setting.origin) };
            found.extend(Some(named).filter(|named| !found.contains(named)));
        }
    }
    found
}

/// Tells whether `value` of a helper's setting calls a program by keyfob's name (gitcredentials(7), "CUSTOM HELPERS").
fn is_keyfob(value: &[u8]) -> bool {
    let text = String::from_utf8_lossy(value);
    let line = text.trim_start().trim_start_matches('!').trim_start();
    let line = line.strip_prefix("exec ").unwrap_or(line).trim_start();
    let word = match line.strip_prefix(['\'', '"']) {
        Some(rest) => rest.split(['\'', '"']).next(),
        None => line.split_whitespace().next(),
    };
    let name = word.and_then(|word| word.rsplit(['/', '\\']).next()).unwrap_or_default();
    matches!(name.strip_suffix(".exe").unwrap_or(name), "keyfob" | "git-credential-keyfob")
}

/// Returns in words where a setting stands, by what git calls that place.
fn place_of(origin: &str) -> String {
    match origin.split_once(':') {
        Some(("file", path)) => format!("`{}`", printable(path)),
        Some(("command line", _)) => "the environment (`GIT_CONFIG_COUNT` or `GIT_CONFIG_PARAMETERS`)".to_owned(),
        _ => printable(origin),
    }
}

/// Returns what is said of a helper that stands as `value`.
fn name_of(value: &[u8]) -> String {
    let text = String::from_utf8_lossy(value);
    match text.split_whitespace().next().unwrap_or_default() {
        word if word.starts_with('!') => "a shell command".to_owned(),
        word => format!("`{}`", printable(word)),
    }
}

fn records(output: &[u8]) -> impl Iterator<Item = &[u8]> {
    output.split(|byte| *byte == 0).take(output.iter().filter(|byte| **byte == 0).count())
}

fn setting(record: &[u8], origin: &str, scope: &str) -> Setting {
    let (key, value) = match record.iter().position(|byte| *byte == b'\n') {
        Some(end) => (&record[..end], Some(record[end + 1..].to_vec().into())),
        None => (record, None),
    };
    Setting { key: key.to_vec(), value, origin: origin.to_owned(), scope: scope.to_owned() }
}

/// Returns the URL that a helper's setting is for: `None` for another setting, and `Some(None)` for all URLs.
fn pattern(key: &[u8]) -> Option<Option<&str>> {
    let rest = std::str::from_utf8(key).ok()?.strip_prefix("credential.")?;
    if rest == "helper" { Some(None) } else { rest.strip_suffix(".helper").map(Some) }
}

/// Tells whether `pattern`, which concerns `place`, is for some of what is below it alone.
fn is_below(pattern: &str, place: &Place) -> bool {
    Place::parse(pattern)
        .is_ok_and(|pattern| pattern.path.len() > place.path.len() && pattern.path != format!("{}.git", place.path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &str) -> Vec<Setting> {
        let one = |line: &str| {
            let (key, value) =
                line.split_once('=').map_or((line, None), |(key, value)| (key, Some(value.as_bytes().to_vec().into())));
            Setting { key: key.as_bytes().to_vec(), value, ..Setting::default() }
        };
        text.split_whitespace().map(one).collect()
    }

    #[test]
    fn a_helper_that_has_nothing_is_told_from_one_that_does_not_tell() {
        let username = "fatal: could not read Username for 'https://h': terminal prompts disabled\n";
        let password = "fatal: could not read Password for 'https://me@h': terminal prompts disabled\n";
        let rows = [
            (username.to_owned(), None),
            (password.to_owned(), None),
            (
                format!("\n** (process:7): CRITICAL **: 19:29:35.445: cannot connect: no bus\n{username}"),
                Some("cannot connect: no bus"),
            ),
            (format!("\n(x:7): libsecret-CRITICAL **: no time: here\n{username}"), Some("no time: here")),
            (
                format!("git: 'credential-libsecret' is not a git command.\x1b\n{username}"),
                Some("git: 'credential-libsecret' is not a git command."),
            ),
            (
                format!("\n(process:7): libsecret-CRITICAL **: 19:29:35.392: assertion failed\n{password}"),
                Some("it gives an account"),
            ),
            ("fatal: credential helper 'x' told us to quit\n".to_owned(), Some("fatal: credential helper 'x' told us to quit")),
        ];
        for (said, expected) in rows {
            let found = complaint(&said);
            assert!(found.as_deref().unwrap_or_default().starts_with(expected.unwrap_or_default()), "{said}: {found:?}");
            assert_eq!(found.is_some(), expected.is_some(), "{said}");
        }
    }

    #[test]
    fn who_is_asked_in_the_end_is_what_git_adds_up() {
        let ours = "credential.https://h.helper= credential.https://h.helper=keyfob";
        let rows: [(String, Option<&[&str]>); 13] = [
            (ours.into(), Some(&[])),
            (format!("credential.helper=store {ours}"), Some(&[])),
            (format!("{ours} credential.helper=store"), Some(&["store"])),
            (format!("{ours} credential.https://h.helper=store credential.helper=cache"), Some(&["store", "cache"])),
            (format!("{ours} credential.https://i.helper=store credential.username=x user.helper=y"), Some(&[])),
            (format!("{ours} credential.helper="), None),
            (format!("{ours} credential.helper= credential.helper=store"), None),
            (format!("{ours} credential.helper= credential.helper=keyfob"), Some(&[])),
            (format!("{ours} credential.https://h/team.helper= credential.https://h/team.helper=keyfob"), Some(&[])),
            (format!("{ours} credential.https://h/team.helper=store"), Some(&["store"])),
            (format!("credential.https://h/team.helper=store {ours}"), Some(&[])),
            ("credential.https://h/team.helper=keyfob".into(), None),
            (String::new(), None),
        ];
        let place = Place::parse("https://h").unwrap();
        for (text, expected) in rows {
            let found =
                others(&list(&text), Some(&place), b"keyfob").map(|others| others.into_iter().map(|one| one.helper).collect());
            let expected: Option<Vec<String>> = expected.map(|names| names.iter().map(|name| format!("`{name}`")).collect());
            assert_eq!(found, expected, "{text}");
        }
        let all = "credential.helper=keyfob credential.https://h.helper=store";
        assert_eq!(others(&list(all), None, b"keyfob"), Some(Vec::new()), "one host is another matter");
    }

    #[test]
    fn a_line_names_keyfob_by_whatever_path() {
        for (value, expected) in [
            ("keyfob", true),
            ("!keyfob git", true),
            ("!exec '/opt/a b/keyfob' git", true),
            ("! exec \"C:/tools/keyfob.exe\" git", true),
            ("/usr/bin/git-credential-keyfob", true),
            ("store", false),
            ("!exec '/k' git", false),
            ("!keyfob2 git", false),
            ("!f() { keyfob; }; f", false),
            ("'", false),
            ("", false),
        ] {
            assert_eq!(is_keyfob(value.as_bytes()), expected, "{value}");
        }
        let text = "credential.helper=keyfob credential.https://h.helper=keyfob credential.https://i.helper=!/k \
                    credential.https://h.username=keyfob credential.https://h.helper=keyfob credential.https://j/team.helper=!/k";
        let urls = |places: &[&str]| {
            let places: Vec<Place> = places.iter().map(|url| Place::parse(url).unwrap()).collect();
            naming(&list(text), &places, b"!/k").into_iter().map(|one| one.url.unwrap_or_default()).collect::<Vec<_>>()
        };
        assert_eq!(urls(&[]), ["", "https://h", "https://i", "https://j/team"]);
        assert_eq!(urls(&["https://i"]), ["", "https://i"]);
        assert_eq!(urls(&["https://j", "https://k"]), ["", "https://j/team"]);
    }

    #[test]
    fn what_git_failed_of_is_found_behind_warnings() {
        for (said, expected) in [
            ("warning: one\nerror: two\nfatal: three\n", "error: two"),
            ("fatal: one\x1b\nerror: two\n", "fatal: one"),
            ("hint: one\nwarning: error: two\n", "hint: one"),
            ("", "git failed"),
        ] {
            assert_eq!(reason(said), expected);
        }
    }

    #[test]
    fn where_a_setting_stands_is_said_in_words() {
        for (origin, said) in [
            ("file:/a b/c:d", "`/a b/c:d`"),
            ("file:/a\x1b[2J", "`/a[2J`"),
            ("command line:", "the environment (`GIT_CONFIG_COUNT` or `GIT_CONFIG_PARAMETERS`)"),
            ("standard input:", "standard input:"),
        ] {
            assert_eq!(place_of(origin), said);
        }
    }

    #[test]
    fn of_a_helper_no_more_than_its_first_word_is_said() {
        for (value, said) in [
            ("store", "`store`"),
            ("store --file /secret", "`store`"),
            ("/opt/helper\tpassword=secret", "`/opt/helper`"),
            ("!f() { echo username=ci; echo password=secret; }; f", "a shell command"),
            ("!secret", "a shell command"),
            (" !secret", "a shell command"),
            ("\u{1b}[2J x", "`[2J`"),
        ] {
            assert_eq!(name_of(value.as_bytes()), said);
        }
    }
}
