//! A desk: a home whose login `corp` is a client of a server behind a front, and what every such server has to stand.
use super::attended;
use super::git::{configure as configure_git, git};
use crate::support::crowd::Crowd;
use crate::support::front::{Front, Passed};
use crate::support::git_server::GitServer;
use crate::support::home::Home;
use crate::support::http_client;
use crate::support::process::{self, Output};
use crate::support::scene::one_error;
use crate::support::temp_dir::{make_private, write};
use serde_json::Value;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// The grant type of device codes.
pub(super) const DEVICE: &str = "urn:ietf:params:oauth:grant-type:device_code";
/// The host of a git route that nobody calls: by it a token is reported as refused.
const GIT_HOST: &str = "git.example.com";

pub(super) struct Desk {
    pub(super) home: Home,
    /// The client's id at the server.
    pub(super) client: String,
}

impl Desk {
    /// `login` is what stands in the login's table beside its client.
    pub(super) fn new(client: &str, login: &str) -> Self {
        let desk = Self { home: Home::new(), client: client.to_owned() };
        desk.configure(login);
        desk
    }

    pub(super) fn configure(&self, login: &str) {
        let client = &self.client;
        self.home.write_config(&format!(
            "[login.corp]\nclient_id = \"{client}\"\n{login}\n[git.\"https://{GIT_HOST}\"]\nlogin = \"corp\"\n"
        ));
    }

    pub(super) fn command(&self, arguments: &[&str]) -> Command {
        attended(self.home.keyfob(arguments))
    }

    #[track_caller]
    pub(super) fn keyfob(&self, arguments: &[&str]) -> Output {
        process::run(&mut self.command(arguments), b"")
    }

    #[track_caller]
    pub(super) fn token(&self) -> String {
        self.keyfob(&["token", "corp"]).success().stdout.trim().to_owned()
    }

    /// Asks for the token where nobody can be asked to sign in.
    pub(super) fn unattended(&self) -> Output {
        process::run(self.command(&["token", "corp"]).env("KEYFOB_INTERACTIVE", "never"), b"")
    }

    /// Reports `token` as refused by the host of the git route.
    pub(super) fn refuse(&self, token: &str) {
        let refused = format!("protocol=https\nhost={GIT_HOST}\nusername=oauth2\npassword={token}\n\n");
        process::run(&mut self.command(&["git", "erase"]), refused.as_bytes()).success();
    }

    /// What `keyfob status --json` says of the login.
    pub(super) fn status(&self) -> Value {
        let text = self.keyfob(&["status", "--json"]).success().stdout;
        serde_json::from_str::<Value>(&text).unwrap()["logins"][0].take()
    }

    /// The refresh token that the client was given last.
    #[track_caller]
    pub(super) fn refresh_token(&self, front: &Front) -> String {
        let grants = ["authorization_code", "refresh_token", DEVICE];
        let given = grants.into_iter().flat_map(|grant| front.token_requests(&self.client, grant));
        let given = given.filter_map(|one| Some((one.arrived, one.answer["refresh_token"].as_str()?.to_owned())));
        given.max().expect("it was given one").1
    }

    /// Runs `keyfob login --flow device` at a terminal, where no browser can be seen; what it says is in [`Desk::said`].
    pub(super) fn ask_for_a_code(&self) -> Child {
        make_private(&self.home.path().join("said"));
        let mut command = attended(self.home.command("script"));
        let line = "keyfob login corp --flow device >said/out 2>said/errors";
        command.args(["--quiet", "--flush", "--return", "--command", line, "said/screen"]).env("SHELL", "/bin/sh");
        command.env_remove("DISPLAY").env_remove("KEYFOB_BROWSER");
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    /// What stands on its terminal (`screen`), on its standard output (`out`), on its standard error (`errors`).
    pub(super) fn said(&self, name: &str) -> String {
        std::fs::read_to_string(self.home.path().join("said").join(name)).unwrap_or_default()
    }

    /// Signs in, renews three times, each time with the refresh token that the renewal before brought, and signs out: then the server, of
    /// whose tokens `takes` speaks, takes neither token any more.
    #[track_caller]
    pub(super) fn signs_in_renews_and_revokes(&self, front: &Front, takes: &dyn Fn(&str) -> bool) {
        self.keyfob(&["login", "corp"]).success();
        let of_client = |one: &&Passed| one.request.parameter("client_id").as_deref() == Some(&*self.client);
        let (all, code) = (front.passed(), front.token_requests(&self.client, "authorization_code").remove(0));
        let asked = all.iter().find(of_client).expect("a browser was sent there");
        assert_eq!(asked.request.parameter("code_challenge_method").as_deref(), Some("S256"));
        assert!(code.request.field("code_verifier").is_some_and(|verifier| verifier.len() >= 43));
        let mut brought = self.refresh_token(front);
        for round in 1..=3 {
            let token = self.token();
            self.refuse(&token);
            let next = self.token();
            assert!(next != token && takes(&next));
            let renewals = front.token_requests(&self.client, "refresh_token");
            assert_eq!((renewals.len(), renewals[round - 1].request.field("refresh_token")), (round, Some(brought.clone())));
            let next = self.refresh_token(front);
            assert_ne!(next, brought);
            brought = next;
        }
        let token = self.token();
        assert!(self.keyfob(&["logout", "corp"]).success().stdout.contains("revoked"));
        let (all, is_field) = (front.passed(), |one: &&Passed, value: &str| one.request.field("token").as_deref() == Some(value));
        for secret in [&brought, &token] {
            let revocation = all.iter().find(|one| is_field(one, secret)).expect("it was to be revoked");
            assert_eq!(revocation.status, 200);
        }
        assert!(!takes(&token));
        let fields = [("grant_type", "refresh_token"), ("client_id", &self.client), ("refresh_token", &brought)];
        let again = http_client::post_form(&format!("{}{}", front.url(), code.request.path), &[], &fields).unwrap();
        assert_eq!((again.status, &again.json()["error"]), (400, &"invalid_grant".into()));
    }

    /// Where the reuse of its refresh token ended the family, a person is needed again: that is said where nobody can be asked, and
    /// elsewhere they are asked once.
    #[track_caller]
    pub(super) fn asks_again_after_a_reuse(&self, front: &Front, takes: &dyn Fn(&str) -> bool) {
        self.keyfob(&["login", "corp"]).success();
        self.refuse(&self.token());
        // somebody else was faster with it
        front.send_twice(&self.client, "refresh_token");
        let refused = self.unattended();
        let last = front.token_requests(&self.client, "refresh_token").pop().unwrap();
        assert_eq!((last.status, &last.answer["error"]), (400, &"invalid_grant".into()));
        one_error(&refused);
        assert!(refused.code == Some(3) && refused.stderr.contains("you have to sign in to `corp` again"), "{refused:?}");
        assert!(refused.stderr.contains("run `keyfob login corp`"), "{refused:?}");
        assert_eq!(self.home.browser_runs().len(), 1);
        assert!(takes(&self.token()), "where a person can be asked, they are");
        assert_eq!(self.home.wait_for_browser_runs(2).len(), 2);
        assert_eq!(front.token_requests(&self.client, "refresh_token").len(), 2);
    }

    /// Lets twenty ask at once for the token that has ended: one refresh, and the family lives, as `takes` and the next refresh say.
    #[track_caller]
    pub(super) fn refreshes_once_for_twenty(&self, front: &Front, takes: &dyn Fn(&str) -> bool) {
        let old = front.token_requests(&self.client, "authorization_code")[0].answer["access_token"].clone();
        front.delay(&self.client, "refresh_token", Duration::from_millis(300));
        let ended = Crowd::start((0..20).map(|_| self.command(&["token", "corp"]))).end();
        let token = ended.answer().trim().to_owned();
        assert!(ended.workers == 1 && Some(&*token) != old.as_str());
        assert_eq!(front.token_requests(&self.client, "refresh_token").len(), 1);
        assert!(takes(&token), "the family was ended");
        // the refresh token that was kept is the one that the server takes next
        self.refuse(&token);
        let next = self.token();
        assert!(next != token && takes(&next));
        let renewals = front.token_requests(&self.client, "refresh_token");
        assert_eq!(renewals.iter().map(|one| one.status).collect::<Vec<_>>(), [200, 200]);
        assert_eq!(self.home.wait_for_browser_runs(1).len(), 1);
    }

    /// Clones, fetches and pushes with real git from a host that takes the tokens of which `takes` says so, across one refresh.
    #[track_caller]
    pub(super) fn works_with_git(&self, login: &str, front: &Front, takes: impl Fn(&str) -> bool + Send + Sync + 'static) {
        let (home, hosted) = (&self.home, GitServer::start(takes));
        let url = hosted.create("app");
        self.configure(&format!("{login}\n[git.\"{}\"]\nlogin = \"corp\"\n", hosted.url()));
        configure_git(home);
        git(home, &["clone", "--quiet", &url, "app"]).success();
        self.refuse(&self.token());
        git(home, &["-C", "app", "fetch", "--quiet"]).success();
        write(&home.path().join("app/new"), "new\n");
        git(home, &["-C", "app", "add", "new"]).success();
        git(home, &["-C", "app", "commit", "--quiet", "--message", "More"]).success();
        git(home, &["-C", "app", "push", "--quiet"]).success();
        assert_eq!(hosted.head("app"), git(home, &["-C", "app", "rev-parse", "HEAD"]).success().stdout.trim());
        assert_eq!(front.token_requests(&self.client, "refresh_token").len(), 1);
        assert!(hosted.log().iter().all(|request| request.authorized || request.scheme.is_empty()), "{:?}", hosted.log());
        assert_eq!(home.wait_for_browser_runs(1).len(), 1);
    }
}
