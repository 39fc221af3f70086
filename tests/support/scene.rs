//! A home that is configured for one authorization server, with everything a test asks of it in one call.
use super::authorization_server::{AuthorizationServer, Options};
use super::home::Home;
use super::process::{self, Output};
use super::temp_dir::write;
use super::tls::TlsIdentity;
use std::path::PathBuf;
use std::process::Command;

/// The password of the entry that `Scene::keep_entries` stores.
pub const KEPT: &str = "pw-kept-0123456789";
/// The arguments that ask for the token of the scene's login.
pub const TOKEN: [&str; 2] = ["token", "corp"];

const SCOPES: &str = "scopes = [\"openid\", \"offline_access\"]";

/// A home, and the server that its login `corp` signs in to. Its routes are `git.example.com`, `registry.example.com` and the
/// AWS profile `prod`.
pub struct Scene {
    pub home: Home,
    pub server: AuthorizationServer,
}

impl Scene {
    /// Configured, and signed in nowhere.
    pub fn new() -> Self {
        Self::with(Home::new(), AuthorizationServer::start())
    }

    pub fn with(home: Home, server: AuthorizationServer) -> Self {
        let scene = Self { home, server };
        scene.home.write_config(&scene.config());
        scene
    }

    /// Signed in, with the first token at hand.
    pub fn signed_in() -> (Self, String) {
        let scene = Self::new();
        scene.sign_in().success();
        let token = scene.token();
        (scene, token)
    }

    pub fn config(&self) -> String {
        config_for(&self.server.issuer())
    }

    /// At a server that speaks TLS as `identity`, by an authority that nobody else knows; and the file that holds that.
    pub fn behind(identity: &TlsIdentity) -> (Self, PathBuf) {
        let server = AuthorizationServer::start_with(Options { tls: Some(identity.clone()), ..Options::default() });
        let scene = Self::with(Home::new(), server);
        let file = scene.home.path().join("company.pem");
        write(&file, identity.authority_pem());
        scene.home.browser_settings(&[("MODE", "ok"), ("CA", &file.display().to_string())]);
        (scene, file)
    }

    /// Signs in by a command that was changed.
    pub fn sign_in_with(&self, change: impl FnOnce(&mut Command)) -> Output {
        let mut command = self.home.keyfob(["login", "corp"]);
        change(&mut command);
        process::run(&mut command, b"")
    }

    /// Signs in with a token that has ended when it comes; the tokens after it live for an hour.
    #[track_caller]
    pub fn sign_in_and_expire(&self) {
        self.server.set_access_life(0);
        ended_when_it_came(&self.home, &self.sign_in());
        self.server.set_access_life(3600);
    }

    pub fn sign_in(&self) -> Output {
        self.home.run(["login", "corp"], "")
    }

    /// The token of the login; panics where there is none.
    #[track_caller]
    pub fn token(&self) -> String {
        self.home.run(TOKEN, "").success().stdout.trim().to_owned()
    }

    /// The same without asking anybody.
    pub fn token_unattended(&self) -> Output {
        process::run(self.home.keyfob(TOKEN).env("KEYFOB_INTERACTIVE", "never"), b"")
    }

    pub fn git(&self, operation: &str, stdin: &[u8]) -> Output {
        process::run(&mut self.home.keyfob(["git", operation]), stdin)
    }

    pub fn git_get(&self, host: &str) -> Output {
        self.git("get", format!("protocol=https\nhost={host}\n\n").as_bytes())
    }

    pub fn docker(&self, action: &str, stdin: &[u8]) -> Output {
        process::run(&mut self.home.keyfob(["docker", action]), stdin)
    }

    /// Gives keyfob one entry of git's and one of docker's to keep, for `kept.example.org`.
    #[track_caller]
    pub fn keep_entries(&self) {
        let entry = format!("protocol=https\nhost=kept.example.org\nusername=alice\npassword={KEPT}\n\n");
        self.git("store", entry.as_bytes()).success();
        let entry = format!("{{\"ServerURL\":\"kept.example.org\",\"Username\":\"alice\",\"Secret\":\"{KEPT}\"}}");
        self.docker("store", entry.as_bytes()).success();
    }

    /// Panics unless both entries still answer.
    #[track_caller]
    pub fn entries_answer(&self) {
        let git = self.git_get("kept.example.org").success();
        assert!(git.stdout.contains(&format!("password={KEPT}\n")), "{git:?}");
        let docker = self.docker("get", b"kept.example.org").success();
        assert!(docker.stdout.contains(KEPT), "{docker:?}");
    }

    /// Panics unless the token set is still there: no new sign-in, and the same token where that is `token`.
    #[track_caller]
    pub fn still_answers(&self, token: &str) {
        let again = self.token_unattended().success();
        assert_eq!(again.stdout.trim(), token);
    }

    /// The folder that holds the records.
    pub fn records(&self) -> PathBuf {
        let versioned = self.home.state().join("keyfob/v1");
        let entries = std::fs::read_dir(&versioned).unwrap_or_else(|e| panic!("no {}: {e}", versioned.display()));
        let mut folders = entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir());
        folders.next().expect("there is one folder a machine")
    }

    /// The names in that folder that end so, in order.
    pub fn files(&self, ending: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.records()).expect("the folder can be listed").flatten();
        let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        let mut names: Vec<String> = names.filter(|name| name.contains(ending)).collect();
        names.sort();
        names
    }

    /// Runs `script` with `sh` in this home, where mounts are its own; `$KEYFOB` is the program. None, said loudly, where this
    /// system does not let us mount.
    pub fn mounted(&self, script: &str) -> Option<Output> {
        let mut command = self.home.command("unshare");
        command.args(["-m", "--propagation", "private", "sh", "-ec"]).env("KEYFOB", self.home.bin().join("keyfob"));
        let probe = process::run(command_like(&command).arg("mount -t tmpfs -o size=64k none \"$XDG_RUNTIME_DIR\""), b"");
        if probe.code != Some(0) {
            assert!(std::env::var_os("CI").is_none(), "mounting is not possible here: {}", probe.stderr);
            eprintln!("SKIPPED: mounting is not possible here, so read-only and full disks were not tested: {}", probe.stderr);
            return None;
        }
        Some(process::run(command.arg(script), b""))
    }
}

/// Panics unless `output` is of a sign-in that brought a token which had ended; what was noted of that is forgotten. What stays is the
/// same as after a token's life, and no machine is too slow for it.
#[track_caller]
pub fn ended_when_it_came(home: &Home, output: &Output) {
    assert!(output.code == Some(4) && output.stderr.contains("a token that had already ended"), "{output:?}");
    home.forget_failures();
}

/// The configuration of a scene, for the server at `issuer`.
pub fn config_for(issuer: &str) -> String {
    format!(
        "[login.corp]\nissuer = \"{issuer}\"\nclient_id = \"keyfob\"\n{SCOPES}\n\
         [git.\"https://git.example.com\"]\nlogin = \"corp\"\n\
         [docker.\"registry.example.com\"]\nlogin = \"corp\"\n\
         [aws.prod]\nlogin = \"corp\"\nrole_arn = \"arn:aws:iam::123456789012:role/Developer\"\n"
    )
}

/// Panics unless `output` is one error that a person can read: one `error` line, then only hints, all printable and bounded;
/// and no defect of ours.
#[track_caller]
pub fn one_error(output: &Output) {
    let lines: Vec<&str> = output.stderr.lines().collect();
    let errors = lines.iter().filter(|line| line.starts_with("keyfob: error: ")).count();
    let known = |line: &&str| line.starts_with("keyfob: error: ") || line.starts_with("keyfob: hint: ");
    assert!(errors == 1 && lines.iter().all(known), "not one clear error: {output:?}");
    printable(output);
}

/// Panics where what was said is no fit for a terminal, or tells of a defect.
#[track_caller]
pub fn printable(output: &Output) {
    let fits = |c: char| c == '\n' || (!c.is_control() && !('\u{202a}'..='\u{202e}').contains(&c));
    assert!(output.stderr.chars().all(fits), "unprintable: {output:?}");
    assert!(output.stderr.len() < 4096, "{} bytes of error", output.stderr.len());
    assert!(!output.stderr.contains("defect") && output.code != Some(70) && output.code.is_some(), "{output:?}");
}

fn command_like(command: &Command) -> Command {
    let mut copy = Command::new(command.get_program());
    copy.args(command.get_args()).env_clear();
    copy.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    if let Some(folder) = command.get_current_dir() {
        copy.current_dir(folder);
    }
    copy
}
