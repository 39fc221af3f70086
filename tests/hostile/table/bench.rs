//! A stand for each endpoint: what runs there, and what must hold whatever the server answered.
use super::rows::{Around, Instead, Sample};
use crate::support::authorization_server::{AuthorizationServer, Endpoint, Fault, Snapshot};
use crate::support::home::{Home, program};
use crate::support::process::{self, Output};
use crate::support::scene::{Scene, one_error, printable};
use crate::support::temp_dir::make_private;
use crate::support::terminal::Terminal;
use serde_json::json;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Where a server answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Discovery,
    Code,
    Refresh,
    Device,
    Poll,
    Revocation,
    Userinfo,
}

impl Place {
    pub(super) const ALL: [Self; 7] =
        [Self::Discovery, Self::Code, Self::Refresh, Self::Device, Self::Poll, Self::Revocation, Self::Userinfo];

    /// The longest that a command may take that meets one answer here: our own thirty seconds, and what a slow machine adds. Where two
    /// requests do not share these it takes nearly sixty, as a late row does. After an answer that says nothing of the code, a poll waits
    /// for two intervals and a little more.
    pub(super) fn longest(self) -> Duration {
        Duration::from_secs(50 + if self == Self::Poll { 5 } else { 0 })
    }

    fn endpoint(self) -> Endpoint {
        match self {
            Self::Discovery => Endpoint::Metadata,
            Self::Code | Self::Refresh | Self::Poll => Endpoint::Token,
            Self::Device => Endpoint::Device,
            Self::Revocation => Endpoint::Revoke,
            Self::Userinfo => Endpoint::Userinfo,
        }
    }
}

/// Rows that put something into a member that metadata has not got: nobody reads it, and the rest is proper.
const IGNORED: [&str; 5] = [
    ": a number beyond all numbers",
    ": a lone surrogate",
    ": 100,000 objects deep",
    ": an error beside a proper answer",
    ": bytes that are no UTF-8",
];

/// What the server does at the place.
pub(super) enum Answer {
    Instead(Instead),
    Around(Around),
}

/// What a run came to.
#[derive(Debug)]
pub(super) struct Run {
    output: Output,
    /// The most that one of our processes had, or one that it waited for, in KiB.
    pub(super) memory: u64,
    /// How many of those that nobody else waited for ended by a signal or a defect.
    pub(super) died: u64,
    /// From the first request that met the answer to the end of everything.
    pub(super) took: Duration,
}

/// A home that is signed in at a server, ready to meet one answer after the other.
pub(super) struct Stand {
    place: Place,
    scene: Scene,
    elsewhere: AuthorizationServer,
    token: String,
    /// The records and the server as they are before each run.
    files: Vec<(PathBuf, Vec<u8>)>,
    server: Snapshot,
}

impl Stand {
    pub(super) fn at(place: Place) -> Self {
        let scene = Scene::new();
        scene.server.configure(|settings| settings.device = true);
        if place == Place::Userinfo {
            // a name that no ID token has
            scene
                .server
                .configure(|settings| settings.userinfo_patch = Some(Arc::new(|answer| answer["nickname"] = "ali".into())));
            scene.home.write_config(&scene.config().replace("[git.", "account = \"ali\"\n[git."));
        }
        make_private(&scene.home.path().join("said"));
        let token = if place == Place::Refresh {
            // one that has ended when it comes: what is kept is a refresh token
            scene.server.set_access_life(0);
            assert_eq!(scene.sign_in().code, Some(4));
            scene.server.set_access_life(3600);
            String::new()
        } else {
            scene.sign_in().success();
            scene.token()
        };
        let folder = scene.records();
        let names = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file());
        let files = names.map(|path| (path.clone(), std::fs::read(path).unwrap())).collect();
        let server = scene.server.snapshot();
        Self { place, scene, elsewhere: AuthorizationServer::start(), token, files, server }
    }

    /// Runs what gets this answer at the place.
    pub(super) fn meet(&mut self, name: &str, answer: &Answer) -> Run {
        self.reset();
        let fault = match answer {
            Answer::Instead(make) => Fault::Play(make(&self.sample()).into()),
            Answer::Around(frame) => Fault::Around(*frame),
        };
        // a poll is answered properly after it, all else is met by it for good
        let times = if self.place == Place::Poll { 1 } else { usize::MAX };
        self.scene.server.fault_times(self.place.endpoint(), fault, times);
        let report = self.scene.home.path().join("report");
        let _ = std::fs::remove_file(&report);
        let output = match self.place {
            Place::Discovery | Place::Code | Place::Userinfo => self.run(&["login", "corp"]),
            Place::Refresh => self.run(&["token", "corp"]),
            Place::Revocation => self.run(&["logout", "corp"]),
            Place::Device | Place::Poll => {
                self.run_at_a_terminal(self.place == Place::Poll || matches!(answer, Answer::Around(_)))
            }
        };
        let ended = Instant::now();
        self.scene.server.clear_faults();
        let requests = self.scene.server.requests();
        let met = requests.iter().find(|request| request.endpoint == self.place.endpoint());
        let took = ended - met.unwrap_or_else(|| panic!("{name}: it was never met: {output:?}")).at;
        let text = std::fs::read_to_string(&report).unwrap_or_else(|e| panic!("{name}: no report: {e}: {output:?}"));
        let mut numbers = text.split_whitespace().map(|number| number.parse().unwrap());
        Run { output, memory: numbers.next().unwrap(), died: numbers.next().unwrap(), took }
    }

    /// Panics unless `run` was as it has to be, and everything is still there.
    pub(super) fn check(&mut self, name: &str, answer: &Answer, run: &Run) {
        let Run { output, .. } = run;
        printable(output);
        assert!(!output.stderr.contains("without a result"), "{name}: a worker died: {output:?}");
        assert!(!output.stderr.contains("secret-of-the-page") && !output.stderr.contains("_forged"), "{name}: {output:?}");
        let scene = &self.scene;
        match (self.place, answer) {
            (Place::Revocation, _) => {
                assert!(output.code == Some(0) && output.stdout.starts_with("corp: signed out"), "{name}: {output:?}");
                assert!(output.stdout.lines().count() == 1 && !output.stdout.trim_end().contains(char::is_control), "{output:?}");
                assert_eq!(scene.home.run(["status", "--check", "corp"], "").code, Some(3), "{name}: the local copy is gone");
            }
            (Place::Poll, Answer::Instead(_)) if output.code == Some(0) => self.takes_new(name),
            (Place::Discovery | Place::Userinfo, Answer::Instead(_)) if IGNORED.iter().any(|row| name.ends_with(row)) => {
                self.takes_new(name);
            }
            (_, Answer::Instead(_)) => {
                assert!(output.code.is_some_and(|code| (4..=6).contains(&code)), "{name}: {output:?}");
                one_error(output);
                assert!(output.stderr.contains("127.0.0.1"), "{name}: it names the server: {output:?}");
                self.kept(name);
            }
            (_, Answer::Around(_)) => {
                assert!(output.code == Some(0) && output.stderr.is_empty(), "{name}: {output:?}");
                self.takes_new(name);
            }
        }
        assert_eq!(self.elsewhere.requests().len(), 0, "{name}: nobody was led away");
        assert_eq!(self.scene.server.violations(), Vec::<String>::new(), "{name}");
    }

    pub(super) fn end(self) {
        let Self { scene, .. } = self;
        scene.home.scan_for_secrets(&scene.server.issued_secrets());
    }

    /// What was stored is still there: the token, or with what one is got.
    fn kept(&self, name: &str) {
        if self.place != Place::Refresh {
            return self.scene.still_answers(&self.token);
        }
        self.forget_failures();
        let renewed = self.scene.token_unattended();
        assert_eq!((renewed.code, renewed.stderr.as_str()), (Some(0), ""), "{name}: {renewed:?}");
        assert!(self.scene.server.is_alive(renewed.stdout.trim()), "{name}");
        let counts = self.scene.server.counts();
        assert_eq!((counts.refreshes, counts.reuses), (1, 0), "{name}");
    }

    /// What came is stored, and answers.
    fn takes_new(&self, name: &str) {
        let token = self.scene.token_unattended().success().stdout.trim().to_owned();
        assert!(token != self.token && self.scene.server.is_alive(&token), "{name}");
    }

    fn forget_failures(&self) {
        for file in self.scene.files(".failed") {
            std::fs::remove_file(self.scene.records().join(file)).unwrap();
        }
    }

    /// Everything as it was at the beginning.
    fn reset(&self) {
        let folder = self.scene.records();
        for entry in std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file()) {
            if !self.files.iter().any(|(path, _)| *path == entry) {
                std::fs::remove_file(entry).unwrap();
            }
        }
        for (path, content) in &self.files {
            std::fs::write(path, content).unwrap();
        }
        self.scene.server.restore(&self.server);
    }

    /// What a proper answer looks like here.
    fn sample(&self) -> Sample {
        let issuer = self.scene.server.issuer();
        let json = match self.place {
            Place::Discovery => json!({
                "issuer": issuer, "authorization_endpoint": format!("{issuer}/authorize"), "token_endpoint": format!("{issuer}/token"),
                "revocation_endpoint": format!("{issuer}/revoke"),
                "device_authorization_endpoint": format!("{issuer}/device_authorization"),
            }),
            Place::Device => json!({
                "device_code": "dc_forged", "user_code": "ABCD-EFGH", "verification_uri": format!("{issuer}/device"),
                "expires_in": 600, "interval": 1,
            }),
            Place::Userinfo => json!({ "sub": "alice", "nickname": "ali" }),
            Place::Code | Place::Refresh | Place::Poll | Place::Revocation => json!({
                "access_token": "at_forged", "token_type": "Bearer", "expires_in": 3600, "refresh_token": "rt_forged",
                "scope": "openid offline_access",
            }),
        };
        Sample { json, elsewhere: format!("{}/token", self.elsewhere.issuer()) }
    }

    fn reaper() -> PathBuf {
        program().parent().unwrap().join("examples/reaper")
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let home: &Home = &self.scene.home;
        let mut command = home.command(Self::reaper());
        command.arg(home.path().join("report")).arg(home.bin().join("keyfob")).args(arguments);
        if self.place == Place::Refresh {
            command.env("KEYFOB_INTERACTIVE", "never");
        }
        process::run(&mut command, b"")
    }

    /// Signs in by device code where no browser can be seen; where there is a code, a person says yes at once.
    fn run_at_a_terminal(&self, gets_a_code: bool) -> Output {
        let home = &self.scene.home;
        let line = format!(
            "unset DISPLAY KEYFOB_BROWSER; {} \"$HOME/report\" keyfob login corp --flow device 2>\"$SAID/error\"",
            Self::reaper().display()
        );
        self.scene.server.configure(|settings| settings.device_decision = gets_a_code.then_some(true));
        let terminal = Terminal::open(home, "one", &line);
        let ended = terminal.end();
        let stderr = std::fs::read_to_string(home.path().join("said/one/error")).unwrap();
        let fits = |c: char| matches!(c, '\n' | '\r') || !c.is_control();
        assert!(ended.stdout.chars().all(fits) && !ended.stdout.contains("secret-of-the-page"), "{ended:?}");
        Output { stdout: String::new(), stderr, code: ended.code }
    }
}
