//! A home of its own for one test: folders, settings, the built program in its search path, a fake browser, and a
//! search for secrets that leaked into it.
use super::process::{self, Output};
use super::temp_dir::{TempDir, make_private, write};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// A home. Dropping it ends every process that lives in it and removes it.
pub struct Home {
    /// Holds `home`, `bin` and what the fake browser wrote down, which is full of codes and so not part of the home.
    folder: TempDir,
    key_file: bool,
    /// Variables of this home beside the usual ones.
    more: Vec<(String, String)>,
}

impl Home {
    /// A home whose key source is a key file (made by keyfob on first use), so that no keyring of the machine is touched.
    pub fn new() -> Self {
        let mut home = Self::without_key_file();
        home.key_file = true;
        home
    }

    /// A home without `KEYFOB_KEY_FILE`: keyfob looks for a keyring.
    pub fn without_key_file() -> Self {
        let folder = TempDir::new("home");
        let home = Self { folder, key_file: false, more: Vec::new() };
        for part in ["home/.config/keyfob", "home/.local/state", "home/.cache", "home/.local/share", "home/run", "bin"] {
            make_private(&home.folder.join(part));
        }
        for name in ["keyfob", "git-credential-keyfob", "docker-credential-keyfob"] {
            link(&program(), &home.bin().join(name));
        }
        home.browser("ok");
        home
    }

    /// Lets `program` be what `keyfob` is here.
    pub fn use_program(&self, program: &Path) {
        for name in ["keyfob", "git-credential-keyfob", "docker-credential-keyfob"] {
            std::fs::remove_file(self.bin().join(name)).expect("it was made with the home");
            link(program, &self.bin().join(name));
        }
    }

    /// Lets `keyfob` have a clock here that can be set; false where that cannot be had. Linux only.
    pub fn use_clock(&self) -> bool {
        let program = super::clock::program_with_a_clock();
        program.inspect(|program| self.use_program(program)).is_some()
    }

    /// Sets how many seconds that clock is ahead, how many the machine has run longer, and how many all waits have lasted longer.
    pub fn set_clock(&self, ahead: i64, run: i64, waits: i64) {
        write(&self.path().join(".clock"), format!("{ahead} {run} {waits}\n"));
    }

    /// Leaves `KEYFOB_KEY_FILE` out from now on.
    pub fn forget_key_file(&mut self) {
        self.key_file = false;
    }

    /// Gives every program that is started in this home from now on the variable `name`.
    pub fn set(&mut self, name: &str, value: &str) {
        self.more.push((name.to_owned(), value.to_owned()));
    }

    /// `$HOME`.
    pub fn path(&self) -> PathBuf {
        self.folder.join("home")
    }

    /// A folder with `keyfob` and its two other names, first in the search path.
    pub fn bin(&self) -> PathBuf {
        self.folder.join("bin")
    }

    pub fn config_file(&self) -> PathBuf {
        self.path().join(".config/keyfob/config.toml")
    }

    /// `$XDG_STATE_HOME`.
    pub fn state(&self) -> PathBuf {
        self.path().join(".local/state")
    }

    pub fn key_file(&self) -> PathBuf {
        self.path().join(".config/keyfob/key")
    }

    pub fn write_config(&self, text: &str) {
        write(&self.config_file(), text);
    }

    /// The built program with these arguments, in this home.
    pub fn keyfob<I: IntoIterator<Item: AsRef<OsStr>>>(&self, arguments: I) -> Command {
        let mut command = self.command(self.bin().join("keyfob"));
        command.args(arguments);
        command
    }

    /// Any program in this home: an environment of this home's own, nothing of the machine's but `PATH` and
    /// where Python programs lie.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let home = self.path();
        let mut command = Command::new(program);
        let search = std::env::var_os("PATH").unwrap_or_default();
        let folders = std::iter::once(self.bin()).chain(std::env::split_paths(&search));
        let search = std::env::join_paths(folders).expect("no folder of the search path holds a colon");
        command.env_clear().current_dir(&home).env("PATH", search).env("HOME", &home);
        command.env("XDG_CONFIG_HOME", home.join(".config")).env("XDG_STATE_HOME", self.state());
        command.env("XDG_CACHE_HOME", home.join(".cache")).env("XDG_DATA_HOME", home.join(".local/share"));
        command.env("XDG_RUNTIME_DIR", home.join("run")).env("NO_PROXY", "*").env("LC_ALL", "C.UTF-8");
        command.env("KEYFOB_BROWSER", browser_program()).env("DISPLAY", ":fake");
        command.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_TERMINAL_PROMPT", "0").env("AWS_EC2_METADATA_DISABLED", "true");
        if let Some(root) = std::env::var_os("PYENV_ROOT") {
            command.env("PYENV_ROOT", root);
        }
        if self.key_file {
            command.env("KEYFOB_KEY_FILE", self.key_file());
        }
        command.envs(self.more.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs keyfob to its end, within `process::LIMIT`.
    #[track_caller]
    pub fn run<I: IntoIterator<Item: AsRef<OsStr>>>(&self, arguments: I, stdin: &str) -> Output {
        process::run(&mut self.keyfob(arguments), stdin.as_bytes())
    }

    /// How the fake browser behaves from now on; see its program for the modes.
    pub fn browser(&self, mode: &str) {
        self.browser_settings(&[("MODE", mode)]);
    }

    /// Replaces the fake browser's settings: `MODE`, `MS`, `CA` … (its `FAKE_BROWSER_…` without the prefix).
    pub fn browser_settings(&self, settings: &[(&str, &str)]) {
        let mut text = format!("FAKE_BROWSER_LOG={}\n", self.browser_log().display());
        for (name, value) in settings {
            text.push_str(&format!("FAKE_BROWSER_{name}={value}\n"));
        }
        write(&self.path().join(".fake-browser"), text);
    }

    fn browser_log(&self) -> PathBuf {
        self.folder.join("browser.jsonl")
    }

    /// What each finished run of the fake browser wrote down, in order.
    pub fn browser_runs(&self) -> Vec<serde_json::Value> {
        let text = std::fs::read_to_string(self.browser_log()).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).expect("the fake browser writes JSON lines")).collect()
    }

    /// The same, once there are `count`; panics when they do not come within `process::LIMIT`.
    #[track_caller]
    pub fn wait_for_browser_runs(&self, count: usize) -> Vec<serde_json::Value> {
        let end = Instant::now() + process::LIMIT;
        loop {
            let runs = self.browser_runs();
            if runs.len() >= count {
                return runs;
            }
            assert!(Instant::now() < end, "the fake browser did not finish {count} runs: {runs:?}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Takes what was noted of failures out of the store: they are nobody's reason any more.
    pub fn forget_failures(&self) {
        let notes = self.files().into_iter().filter(|path| path.extension().is_some_and(|ending| ending == "failed"));
        notes.for_each(|note| std::fs::remove_file(note).expect("it was there"));
    }

    /// Ids of the processes that run in this home now (Linux; none elsewhere).
    pub fn processes(&self) -> Vec<u32> {
        let home = format!("HOME={}\0", self.path().display());
        let lives_here = |id: &u32| contains(&read(format!("/proc/{id}/environ")), home.as_bytes());
        process_ids().into_iter().filter(lives_here).collect()
    }

    /// Those of them that have a file open whose path ends so (Linux; none elsewhere). Who waits for a lock has its file open.
    pub fn having_open(&self, ending: &str) -> Vec<u32> {
        let has = |id: &u32| {
            let descriptors = std::fs::read_dir(format!("/proc/{id}/fd")).into_iter().flatten().flatten();
            let mut files = descriptors.filter_map(|one| std::fs::read_link(one.path()).ok());
            files.any(|file| file.to_string_lossy().ends_with(ending))
        };
        self.processes().into_iter().filter(has).collect()
    }

    /// Every file of this home, sorted.
    pub fn files(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        files_below(&self.path(), &mut found);
        found.sort();
        found
    }

    /// Panics with the place where one of `secrets` stands in a file of this home, or in the arguments or environment of
    /// any process.
    #[track_caller]
    pub fn scan_for_secrets(&self, secrets: &[String]) {
        let mut places: Vec<PathBuf> = Vec::new();
        files_below(&self.path(), &mut places);
        for id in process_ids() {
            places.push(format!("/proc/{id}/cmdline").into());
            places.push(format!("/proc/{id}/environ").into());
        }
        for place in places {
            let content = read(&place);
            for secret in secrets.iter().filter(|secret| secret.len() >= 8) {
                let kind: String = secret.chars().take(3).collect();
                assert!(!contains(&content, secret.as_bytes()), "{} holds a secret ({kind}…)", place.display());
            }
        }
    }
}

impl Default for Home {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        for id in self.processes() {
            let _ = Command::new("kill").args(["-KILL", &id.to_string()]).status();
        }
        let end = Instant::now() + Duration::from_secs(20);
        while !self.processes().is_empty() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// The built program.
pub fn program() -> PathBuf {
    env!("CARGO_BIN_EXE_keyfob").into()
}

/// The fake browser, which cargo builds with the tests.
pub fn browser_program() -> PathBuf {
    let program = program()
        .parent()
        .expect("a program has a folder")
        .join("examples")
        .join(format!("browser{}", std::env::consts::EXE_SUFFIX));
    assert!(program.exists(), "the fake browser is not built: cargo build --examples");
    program
}

fn link(target: &Path, name: &Path) {
    #[cfg(unix)]
    let made = std::os::unix::fs::symlink(target, name);
    #[cfg(not(unix))]
    let made = std::fs::copy(target, name).map(drop);
    made.unwrap_or_else(|e| panic!("cannot make {}: {e}", name.display()));
}

fn process_ids() -> Vec<u32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

fn files_below(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => files_below(&entry.path(), found),
            Ok(kind) if kind.is_file() => found.push(entry.path()),
            _ => {}
        }
    }
}

/// The content; empty where it cannot be read, since processes end while they are looked at.
fn read(path: impl AsRef<Path>) -> Vec<u8> {
    std::fs::read(path).unwrap_or_default()
}

fn contains(content: &[u8], part: &[u8]) -> bool {
    content.windows(part.len()).any(|window| window == part)
}
