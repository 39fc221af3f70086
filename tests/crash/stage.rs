//! A scene over TLS that is set back to where it began in milliseconds: the state folder from a copy, the server from a snapshot.
use crate::support::authorization_server::{AuthorizationServer, Options, Snapshot};
use crate::support::forge::until;
use crate::support::home::{Home, program};
use crate::support::process::{self, Output};
use crate::support::scene::ended_when_it_came;
use crate::support::scene::{KEPT, Scene, TOKEN, one_error};
use crate::support::temp_dir::{TempDir, make_private, write};
use crate::support::tls::TlsIdentity;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What is stored when a point begins. Entries of git's and docker's are kept in each.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Begin {
    SignedOut,
    /// Signed in, and the access token has ended.
    Ended,
    /// Signed in, and the access token is good.
    Fresh,
}

/// The scene, and how to set it back.
pub(super) struct Stage {
    pub(super) scene: Scene,
    authority: PathBuf,
    template: TempDir,
    snapshot: Snapshot,
    /// How many access tokens the server had issued when the template was made.
    issued: AtomicUsize,
}

impl Stage {
    pub(super) fn new(begin: Begin) -> Self {
        let identity = TlsIdentity::generate();
        let server = AuthorizationServer::start_with(Options { tls: Some(identity.clone()), ..Options::default() });
        let scene = Scene::with(Home::new(), server);
        let authority = scene.home.path().join("authority.pem");
        write(&authority, identity.authority_pem());
        scene.home.browser_settings(&[("MODE", "ok"), ("CA", &authority.display().to_string())]);
        let (template, snapshot) = (TempDir::new("template"), scene.server.snapshot());
        let mut stage = Self { scene, authority, template, snapshot, issued: AtomicUsize::new(0) };
        stage.scene.keep_entries();
        match begin {
            Begin::SignedOut => {}
            Begin::Fresh => drop(stage.run(["login", "corp"], b"").success()),
            Begin::Ended => stage.sign_in_and_expire(),
        }
        // what a tool asks first leaves the compiled routes
        stage.run(["git", "get"], b"protocol=https\nhost=kept.example.org\n\n").success();
        stage.wait_for_quiet();
        copy(&stage.scene.home.state(), &stage.template.join("state"));
        stage.snapshot = stage.scene.server.snapshot();
        stage.reset();
        stage
    }

    /// Signs in with a token that has ended when it comes; the tokens after it live for an hour.
    fn sign_in_and_expire(&self) {
        self.scene.server.set_access_life(0);
        ended_when_it_came(&self.scene.home, &self.run(["login", "corp"], b""));
        self.scene.server.set_access_life(3600);
    }

    /// Sets everything back to the beginning.
    pub(super) fn reset(&self) {
        self.wait_for_quiet();
        let _ = fs::remove_dir_all(self.scene.home.state());
        let _ = fs::remove_dir_all(self.rescues());
        copy(&self.template.join("state"), &self.scene.home.state());
        self.scene.server.restore(&self.snapshot);
        self.issued.store(self.all_issued().len(), Ordering::Relaxed);
    }

    pub(super) fn wait_for_quiet(&self) {
        until("the home is quiet", || self.scene.home.processes().is_empty());
    }

    /// Where rescues go.
    pub(super) fn rescues(&self) -> PathBuf {
        self.scene.home.path().join("run/keyfob")
    }

    /// keyfob with these arguments.
    pub(super) fn keyfob<I: IntoIterator<Item: AsRef<OsStr>>>(&self, arguments: I) -> Command {
        let mut command = self.scene.home.keyfob(arguments);
        command.env("SSL_CERT_FILE", &self.authority);
        command
    }

    /// The same below another program of the tests.
    pub(super) fn below(&self, other: &Path, its: &[&str], arguments: &[&str]) -> Command {
        let mut command = self.scene.home.command(other);
        command
            .args(its)
            .arg(self.scene.home.bin().join("keyfob"))
            .args(arguments)
            .env("SSL_CERT_FILE", &self.authority)
            .env_remove("GIT_TERMINAL_PROMPT");
        command
    }

    #[track_caller]
    pub(super) fn run<I: IntoIterator<Item: AsRef<OsStr>>>(&self, arguments: I, stdin: &[u8]) -> Output {
        process::run(&mut self.keyfob(arguments), stdin)
    }

    /// Asks for the token where nobody can be asked.
    #[track_caller]
    pub(super) fn ask(&self) -> Output {
        process::run(self.keyfob(TOKEN).env("KEYFOB_INTERACTIVE", "never"), b"")
    }

    /// Every access token that the server issued since the last reset, in order.
    pub(super) fn issued(&self) -> Vec<String> {
        self.all_issued().split_off(self.issued.load(Ordering::Relaxed))
    }

    fn all_issued(&self) -> Vec<String> {
        self.scene.server.issued_secrets().into_iter().filter(|secret| secret.starts_with("at_")).collect()
    }

    /// Asks for the token once more and returns how many answers of the server since the last reset were lost: that come from no
    /// store any more. Panics where the asking gives neither a token nor a reason.
    #[track_caller]
    pub(super) fn lost(&self) -> usize {
        let last = self.ask();
        let token = last.stdout.trim();
        if last.code == Some(0) {
            assert!(self.scene.server.is_alive(token), "a token that does not work was handed out: {last:?}");
        } else {
            one_error(&last);
            let named = matches!(last.code, Some(3..=5)) && last.stderr.contains("corp") && last.stderr.contains("hint:");
            assert!(named, "no token, and no reason: {last:?}");
        }
        self.wait_for_quiet();
        let issued = self.issued();
        issued.len() - usize::from(issued.last().is_some_and(|newest| newest == token))
    }

    /// Panics where a record does not open: one was kept aside, or is reported as damaged, or one that was not written is not as it was.
    #[track_caller]
    pub(super) fn nothing_is_corrupt(&self) {
        assert_eq!(self.scene.files(".bad-"), Vec::<String>::new());
        let status = self.run(["status"], b"").success();
        assert!(!format!("{}{}", status.stdout, status.stderr).contains("damaged"), "{status:?}");
        let docker = self.scene.docker("list", b"").success();
        assert!(docker.stderr.is_empty(), "{docker:?}");
    }

    /// What git gets of the entry that is kept: its password, or nothing.
    #[track_caller]
    pub(super) fn kept_by_git(&self) -> bool {
        let answer = self.run(["git", "get"], b"protocol=https\nhost=kept.example.org\n\n").success();
        assert_eq!(answer.stderr, "", "{answer:?}");
        answer.stdout.contains(KEPT)
    }
}

fn copy(from: &Path, to: &Path) {
    make_private(to);
    for entry in fs::read_dir(from).expect("a folder can be listed").flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        if path.is_dir() {
            copy(&path, &to.join(name));
        } else {
            fs::copy(&path, to.join(name)).expect("a file can be copied, with its permissions");
        }
    }
}

/// A program that cargo builds with the tests.
pub(super) fn example(name: &str) -> PathBuf {
    let path = program().parent().expect("a program has a folder").join("examples").join(name);
    assert!(path.exists(), "{} is not built: cargo build --examples", path.display());
    path
}
