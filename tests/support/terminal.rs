//! A terminal of a test's own, with a command line that runs at it, and a person at its keyboard.
use super::forge::{end, until};
use super::home::Home;
use super::process::Output;
use super::temp_dir::make_private;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Child, Stdio};

/// `script`, which makes the terminal. What the line writes into `$SAID` is found again by [`Terminal::said`].
pub struct Terminal {
    child: Child,
    folder: PathBuf,
}

impl Terminal {
    /// Runs `line` with `sh` at a terminal called `name`, of which a home may have several.
    pub fn open(home: &Home, name: &str, line: &str) -> Self {
        let folder = home.path().join("said").join(name);
        // what an earlier one of this name showed is not what this one does
        let _ = std::fs::remove_dir_all(&folder);
        make_private(&folder);
        let mut command = home.command("script");
        // the terminal's name comes first, so that it can be looked at from outside
        let line = format!("tty >\"$SAID/tty\"; {line}");
        command.args(["--quiet", "--flush", "--return", "--command", &line]).arg(folder.join("screen"));
        command.env("SHELL", "/bin/sh").env("SAID", &folder).env_remove("GIT_TERMINAL_PROMPT");
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        Self { child: child.expect("script can be started"), folder }
    }

    /// What the line has written into this file so far; `screen` is what stands on the terminal.
    pub fn said(&self, name: &str) -> String {
        let bytes = std::fs::read(self.folder.join(name)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Waits until the terminal shows `text` for the `count`th time.
    #[track_caller]
    pub fn shows(&self, text: &str, count: usize) {
        until(text, || self.said("screen").matches(text).count() >= count);
    }

    /// Waits until the line has written something into this file.
    #[track_caller]
    pub fn wrote(&self, name: &str) -> String {
        until(name, || self.said(name).ends_with('\n'));
        self.said(name)
    }

    pub fn types(&mut self, keys: impl AsRef<[u8]>) {
        self.child.stdin.as_mut().expect("it is a pipe").write_all(keys.as_ref()).expect("the terminal is open");
    }

    /// Takes the terminal away from whoever uses it, as closing its window does.
    pub fn hang_up(mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it was started here");
    }

    /// Whether the terminal shows what is typed, asked from outside.
    #[track_caller]
    pub fn echoes(&self) -> bool {
        let name = self.wrote("tty");
        let output = std::process::Command::new("stty").args(["-a", "-F", name.trim()]).output().expect("stty can be started");
        let settings = String::from_utf8_lossy(&output.stdout).into_owned();
        let words: Vec<&str> = settings.split_whitespace().collect();
        assert!(words.contains(&"echo") != words.contains(&"-echo"), "{settings}");
        words.contains(&"echo")
    }

    /// Waits for the end of the line; returns what stood on the terminal, with the line's exit code.
    #[track_caller]
    pub fn end(self) -> Output {
        end(self.child)
    }
}
