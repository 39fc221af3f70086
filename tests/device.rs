//! Signing in by device code: what a person sees, what the server may answer, and who goes on with it.
mod answers;
mod choice;
mod dialects;
mod picture;
mod resumed;
mod shared;

use crate::support::forge::{Forge, until};
use crate::support::process::{self, Output};
use crate::support::temp_dir::make_private;
use std::io::Write;
use std::process::{Child, Stdio};

const CTRL_C: &[u8] = b"\x03";
/// Asks as git does.
const ASK: &str = "keyfob git get <request";
const LOGIN: &str = "keyfob login corp --flow device";

/// A forge whose server has the device grant, for a login with `more` lines; codes may be polled for every second.
fn forge_with(more: &str) -> Forge {
    let forge = Forge::new();
    forge.server.configure(|settings| settings.device = true);
    forge.configure(&format!("{}[git.\"{}\"]\nlogin = \"corp\"\n", forge.login("corp", more), forge.git.url()));
    forge
}

fn forge() -> Forge {
    forge_with("")
}

/// A terminal with one command on it, in a place where no browser can be seen.
struct Terminal<'f> {
    forge: &'f Forge,
    child: Child,
    name: String,
}

impl<'f> Terminal<'f> {
    /// Runs a shell's `line`; its output goes to `said/NAME.out` and `said/NAME.err`, what is told on the terminal to its screen.
    fn run(forge: &'f Forge, name: &str, line: &str) -> Self {
        Self::run_with(forge, name, line, &[])
    }

    /// The same with these variables.
    fn run_with(forge: &'f Forge, name: &str, line: &str, variables: &[(&str, &str)]) -> Self {
        forge.caller(); // leaves the request
        make_private(&forge.home.path().join("said"));
        let line = format!("{line} >said/{name}.out 2>said/{name}.err");
        let mut command = forge.home.command("script");
        command.args(["--quiet", "--flush", "--return", "--command", &line, &format!("said/{name}")]).env("SHELL", "/bin/sh");
        for absent in ["GIT_TERMINAL_PROMPT", "DISPLAY", "KEYFOB_BROWSER"] {
            command.env_remove(absent);
        }
        command.envs(variables.iter().copied());
        let child = forge.spawn(command.stdin(Stdio::piped()));
        Self { forge, child, name: name.into() }
    }

    fn file(&self, ending: &str) -> String {
        let path = self.forge.home.path().join("said").join(format!("{}{ending}", self.name));
        String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned()
    }

    /// What stands on the terminal.
    fn screen(&self) -> String {
        self.file("")
    }

    #[track_caller]
    fn wait_for(&self, text: &str) {
        until(text, || self.screen().contains(text));
    }

    /// Waits until the code that was issued last is shown, and returns it.
    #[track_caller]
    fn wait_for_code(&self) -> String {
        let shown =
            || self.forge.server.user_codes().last().is_some_and(|code| self.screen().contains(&format!("the code {code}")));
        until("the code is shown", shown);
        self.forge.server.user_codes().pop().unwrap()
    }

    fn press(&mut self, keys: &[u8]) {
        self.child.stdin.as_mut().unwrap().write_all(keys).unwrap();
    }

    /// Waits for the command's end: what it wrote, and its exit code.
    #[track_caller]
    fn end(mut self) -> Output {
        let code = process::wait(&mut self.child, process::LIMIT).expect("it did not end");
        Output { stdout: self.file(".out"), stderr: self.file(".err"), code }
    }
}

/// What must hold after every test, once what was answered is out of the way.
#[track_caller]
fn check(forge: &Forge) {
    let codes: Vec<String> = forge.server.issued_secrets().into_iter().filter(|secret| secret.starts_with("dc_")).collect();
    forge.home.scan_for_secrets(&codes);
    std::fs::remove_dir_all(forge.home.path().join("said")).unwrap();
    forge.check();
}

/// The notes that lie in the store: their endings.
fn notes(forge: &Forge) -> Vec<String> {
    let files = forge.home.files().into_iter().filter_map(|path| Some(path.extension()?.to_str()?.to_owned()));
    files.filter(|ending| ["pending", "device"].contains(&ending.as_str())).collect()
}
