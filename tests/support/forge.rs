//! A forge: an authorization server, a git server that takes its tokens, and a home that is configured for both.
use super::authorization_server::AuthorizationServer;
use super::git_server::GitServer;
use super::home::Home;
use super::process::{self, Output};
use super::scene::ended_when_it_came;
use super::temp_dir::{make_private, write};
use std::ffi::OsStr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The scopes of every login here; a refresh token comes with them.
const SCOPES: &str = "scopes = [\"openid\", \"offline_access\"]\n";

/// The parts. Everything in the home ends before the servers do.
pub struct Forge {
    pub home: Home,
    pub git: GitServer,
    pub server: Arc<AuthorizationServer>,
}

impl Forge {
    /// The git server takes what the authorization server issued, and keyfob is git's only helper.
    pub fn new() -> Self {
        let server = Arc::new(AuthorizationServer::start());
        let judge = Arc::clone(&server);
        Self::with(server, move |token| judge.is_alive(token))
    }

    /// The git server takes the tokens of which `verify` says so.
    pub fn with(server: Arc<AuthorizationServer>, verify: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        let forge = Self { home: Home::new(), git: GitServer::start(verify), server };
        forge.configure(&format!("{}[git.\"{}\"]\nlogin = \"corp\"\n", forge.login("corp", ""), forge.git.url()));
        forge.helper("!exec keyfob git", "");
        forge
    }

    /// Makes this line git's only credential helper, with `more` of git's configuration.
    pub fn helper(&self, line: &str, more: &str) {
        let git = format!("[credential]\n\thelper =\n\thelper = {line}\n[user]\n\tname = T\n\temail = t@example.com\n{more}");
        write(&self.home.path().join(".gitconfig"), git);
    }

    /// Puts the shell script `text` into the search path as `name`.
    pub fn script(&self, name: &str, text: &str) {
        write(&self.home.bin().join(name), format!("#!/bin/sh\n{text}\n"));
        process::run(self.home.command("chmod").arg("700").arg(self.home.bin().join(name)), b"").success();
    }

    /// Lets every call of git's helper be written down from now on, with an `M` where our mark comes back.
    pub fn count_calls(&self) {
        let script = "input=$(cat)\ncase $input in *'state[]=keyfob:'*) mark=M ;; *) mark= ;; esac\n\
                      echo \"${1:-nothing}$mark\" >>\"$HOME/calls\"\nprintf '%s\\n' \"$input\" | keyfob git \"$@\"";
        self.script("counted", script);
        self.helper("!exec counted", "");
    }

    /// What git's helper was called for since this was last asked, in order.
    pub fn calls(&self) -> Vec<String> {
        let file = self.home.path().join("calls");
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        let _ = std::fs::remove_file(file);
        text.lines().map(str::to_owned).collect()
    }

    /// The same configuration with an AWS profile `prod`, whose role the login `corp` may take.
    pub fn with_role(&self) {
        let role = "[aws.prod]\nlogin = \"corp\"\nrole_arn = \"arn:aws:iam::123456789012:role/Developer\"\n";
        self.configure(&format!("{}[git.\"{}\"]\nlogin = \"corp\"\n{role}", self.login("corp", ""), self.git.url()));
    }

    /// The table of a login at the authorization server, with `more` lines.
    pub fn login(&self, name: &str, more: &str) -> String {
        format!("[login.{name}]\nissuer = \"{}\"\nclient_id = \"keyfob\"\n{SCOPES}{more}\n", self.server.issuer())
    }

    pub fn configure(&self, text: &str) {
        self.home.write_config(text);
    }

    /// `program` in the home, in a session of its own without a terminal: whoever runs the tests is never asked, and
    /// its process group is its process id.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = self.home.command("setsid");
        command.arg(program).env_remove("GIT_TERMINAL_PROMPT");
        command
    }

    /// Runs `git` with these arguments.
    #[track_caller]
    pub fn git(&self, arguments: &[&str]) -> Output {
        process::run(self.command("git").args(arguments), b"")
    }

    /// Runs keyfob with these arguments.
    #[track_caller]
    pub fn keyfob(&self, arguments: &[&str]) -> Output {
        process::run(self.command("keyfob").args(arguments), b"")
    }

    /// What git sends to ask for this forge's credential.
    pub fn request(&self) -> String {
        format!("capability[]=authtype\ncapability[]=state\nprotocol=http\nhost=127.0.0.1:{}\n", self.git.port())
    }

    /// A caller as git starts one, ready to be spawned with its request on standard input.
    pub fn caller(&self) -> Command {
        let file = self.home.path().join("request");
        if !file.exists() {
            write(&file, self.request());
        }
        let mut command = self.command("keyfob");
        command.args(["git", "get"]).stdin(std::fs::File::open(file).unwrap());
        command
    }

    /// Asks once, as git does.
    #[track_caller]
    pub fn ask(&self) -> Output {
        end(self.spawn(&mut self.caller()))
    }

    /// Starts `command` with its output collected.
    pub fn spawn(&self, command: &mut Command) -> Child {
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Signs in with a token that has ended when it comes; the tokens after it live for an hour.
    #[track_caller]
    pub fn sign_in_and_expire(&self) {
        self.caller(); // leaves the request
        self.server.set_access_life(0);
        ended_when_it_came(&self.home, &self.keyfob(&["login", "corp"]));
        self.server.set_access_life(3600);
    }

    /// How many processes of the home wait for another one's worker now.
    pub fn waiters(&self) -> usize {
        self.home.having_open(".waiters").len()
    }

    /// Ids of the workers that run in the home now.
    pub fn workers(&self) -> Vec<u32> {
        let is_worker = |id: &u32| {
            let line = std::fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
            line.split(|byte| *byte == 0).any(|word| word == b"--worker")
        };
        self.home.processes().into_iter().filter(is_worker).collect()
    }

    /// Waits until nothing runs in the home any more.
    #[track_caller]
    pub fn wait_for_quiet(&self) {
        until("the home is quiet", || self.home.processes().is_empty());
    }

    /// What must be true after every test: no request was wrong, and no secret lies about.
    #[track_caller]
    pub fn check(&self) {
        self.wait_for_quiet();
        assert_eq!(self.server.violations(), Vec::<String>::new());
        self.home.scan_for_secrets(&self.server.issued_secrets());
    }
}

impl Default for Forge {
    fn default() -> Self {
        Self::new()
    }
}

/// Waits for the end of `child`, whose output is collected and small.
#[track_caller]
pub fn end(mut child: Child) -> Output {
    assert!(process::wait(&mut child, process::LIMIT).is_some(), "it did not end");
    let output = child.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Output { stdout: text(&output.stdout), stderr: text(&output.stderr), code: output.status.code() }
}

/// Waits until `it` is true; panics with `what` after `process::LIMIT`.
#[track_caller]
pub fn until(what: &str, it: impl Fn() -> bool) {
    let end = Instant::now() + process::LIMIT;
    while !it() {
        assert!(Instant::now() < end, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Sends `signal` to a process, or to a group where `target` begins with `-`.
pub fn signal(signal: &str, target: &str) {
    let status = Command::new("kill").args([&format!("-{signal}"), "--", target]).status().unwrap();
    assert!(status.success(), "kill -{signal} {target}");
}

/// The value of `key` in a helper's answer.
#[track_caller]
pub fn value<'t>(answer: &'t str, key: &str) -> &'t str {
    let prefix = format!("{key}=");
    answer.lines().find_map(|line| line.strip_prefix(&prefix)).unwrap_or_else(|| panic!("no {key} in {answer:?}"))
}

/// Runs a shell's `line` at a terminal of its own, which `script` makes. What is written to its stdin is typed there.
pub fn at_a_terminal(forge: &Forge, line: &str) -> Child {
    forge.caller(); // leaves the request
    make_private(&forge.home.path().join("said"));
    let mut command = forge.home.command("script");
    command.args(["--quiet", "--flush", "--return", "--command", line, "said/screen"]).env("SHELL", "/bin/sh");
    forge.spawn(command.env_remove("GIT_TERMINAL_PROMPT").stdin(Stdio::piped()))
}
