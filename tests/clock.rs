//! Clocks that are wrong, jump and sleep: no token is served past its end, and no clock makes keyfob renew again and again.
#![cfg(target_os = "linux")]
use crate::support::authorization_server::{AuthorizationServer, Endpoint, Fault};
use crate::support::clock;
use crate::support::process::{self, Output};
use crate::support::scene::{Scene, one_error};
use crate::support::sts::Sts;
use std::thread::sleep;
use std::time::Duration;

const HOUR: i64 = 3600;
const YEARS: i64 = 10 * 366 * 24 * HOUR;

/// A home on a machine whose clock can be set; the servers around it keep the right time.
struct Machine {
    scene: Scene,
}

impl Machine {
    /// `None` where the clock of a program cannot be set.
    fn new() -> Option<Self> {
        let scene = Scene::new();
        scene.home.use_clock().then_some(Self { scene })
    }

    /// Sets how many seconds the clock is ahead of the servers', and how many the machine has run longer than this one.
    fn set(&self, ahead: i64, run: i64) {
        self.scene.home.set_clock(ahead, run, 0);
    }

    fn server(&self) -> &AuthorizationServer {
        &self.scene.server
    }

    /// The token of the login, of which the server says that it is good; nobody is asked.
    #[track_caller]
    fn good_token(&self) -> String {
        let token = self.scene.token_unattended().success().stdout.trim().to_owned();
        assert!(self.server().is_alive(&token), "a token that is over was served");
        token
    }

    /// How many refreshes `calls` calls come to, each of which gets a good token.
    #[track_caller]
    fn refreshes_of(&self, calls: usize) -> usize {
        let before = self.server().counts().refresh_requests;
        for _ in 0..calls {
            self.good_token();
        }
        self.server().counts().refresh_requests - before
    }
}

#[test]
fn the_clock_of_a_test_is_the_one_that_was_set() {
    let Some(machine) = Machine::new() else { return };
    machine.set(YEARS, 0);
    machine.scene.sign_in().success();
    let request = b"protocol=https\nhost=git.example.com\n\n";
    let answer = machine.scene.git("get", request).success().stdout;
    let end: i64 = crate::support::forge::value(&answer, "password_expiry_utc").parse().unwrap();
    assert!(end > clock::now() + YEARS, "{answer}");
}

#[test]
fn a_clock_that_jumps_costs_one_refresh_and_nobody_is_asked() {
    let Some(machine) = Machine::new() else { return };
    machine.scene.sign_in().success();
    // how far it jumps, how much longer the machine has run by then, and how many refreshes that takes at most
    let rows = [
        (2 * HOUR, 0, 1),
        (-2 * HOUR, 0, 1),
        (YEARS, 0, 1),
        (-YEARS, 0, 1),
        // asleep for two hours
        (2 * HOUR, 2 * HOUR, 1),
        // started again, with the clock where it was when it went off
        (-2 * HOUR, -2 * HOUR, 1),
        (20, 0, 0),
        (-20, 0, 0),
    ];
    for (ahead, run, most) in rows {
        machine.set(ahead, run);
        let refreshes = machine.refreshes_of(4);
        assert!(refreshes <= most, "{refreshes} refreshes with the clock {ahead} s ahead");
        machine.set(0, 0);
        let refreshes = machine.refreshes_of(4);
        assert!(refreshes <= most, "{refreshes} refreshes with the clock set back from {ahead} s ahead");
    }
    assert_eq!(machine.server().counts().authorizations, 1);
    assert!(machine.server().family_alive());
}

#[test]
fn a_token_that_ended_is_not_served_although_the_clock_was_set_back() {
    let Some(machine) = Machine::new() else { return };
    machine.scene.sign_in().success();
    let first = machine.good_token();
    // the machine has run for longer than it lived
    machine.set(-20, HOUR + 1);
    assert_ne!(machine.good_token(), first);
    assert_eq!(machine.refreshes_of(3), 0);
}

#[test]
fn with_a_clock_that_is_wrong_all_the_time_everything_works_and_is_kept() {
    let Some(machine) = Machine::new() else { return };
    let sts = Sts::trusting(&machine.server().issuer(), "keyfob");
    for ahead in [2 * HOUR, -2 * HOUR, YEARS, -YEARS] {
        machine.set(ahead, 0);
        process::run(&mut machine.scene.home.keyfob(["login", "corp"]), b"").success();
        let before = (machine.server().counts().refresh_requests, sts.counts().exchanges);
        for _ in 0..3 {
            let role =
                process::run(machine.scene.home.keyfob(["aws", "get", "prod"]).env("AWS_ENDPOINT_URL_STS", sts.url()), b"");
            let role: serde_json::Value = serde_json::from_str(&role.success().stdout).unwrap();
            let end = chrono::DateTime::parse_from_rfc3339(role["Expiration"].as_str().unwrap()).unwrap().timestamp();
            let left = end - clock::now() - ahead;
            assert!((HOUR - 60..=HOUR + 60).contains(&left), "by this machine's clock {left} s are left, {ahead} s ahead");
        }
        assert_eq!(machine.refreshes_of(3), 0, "{ahead} s ahead");
        let after = (machine.server().counts().refresh_requests, sts.counts().exchanges);
        assert_eq!((after.0 - before.0, after.1 - before.1), (0, 1), "{ahead} s ahead");
    }
}

#[test]
fn a_clock_that_is_set_back_while_a_person_signs_in_takes_no_second_sign_in() {
    let Some(machine) = Machine::new() else { return };
    machine.scene.sign_in().success();
    let page = machine.server().hold(Endpoint::Authorize);
    std::thread::scope(|scope| {
        let login = scope.spawn(|| machine.scene.sign_in());
        machine.server().wait_for(Endpoint::Authorize, 2);
        machine.set(-2 * HOUR, 0);
        page.release();
        login.join().unwrap().success();
    });
    assert_eq!(machine.server().counts().authorizations, 2);
    assert_eq!(machine.refreshes_of(2), 0);
}

#[test]
fn what_still_works_is_used_though_the_login_needs_a_person_again() {
    let Some(machine) = Machine::new() else { return };
    let sts = Sts::trusting(&machine.server().issuer(), "keyfob");
    let role = || {
        let mut command = machine.scene.home.keyfob(["aws", "get", "prod"]);
        process::run(command.env("AWS_ENDPOINT_URL_STS", sts.url()).env("KEYFOB_INTERACTIVE", "never"), b"").success().stdout
    };
    machine.scene.sign_in().success();
    let token = machine.good_token();
    machine.set(600, 600);
    let credentials = role();
    let refused = Fault::json(400, &serde_json::json!({ "error": "invalid_grant" }));
    machine.server().fault_times(Endpoint::Token, refused, usize::MAX);
    // less than anybody wants of a life of an hour
    machine.set(HOUR - 200, HOUR - 200);
    for _ in 0..2 {
        assert_eq!(machine.good_token(), token);
        let mut docker = machine.scene.home.keyfob(["docker", "get"]);
        let docker = process::run(docker.env("KEYFOB_INTERACTIVE", "never"), b"registry.example.com").success();
        assert!(docker.stdout.contains(&token), "{docker:?}");
    }
    machine.set(HOUR + 300, HOUR + 300);
    assert_eq!((role(), machine.server().counts().refresh_requests), (credentials, 1));
    assert_eq!(machine.scene.token_unattended().code, Some(3), "a token that is over was served");
}

#[test]
fn a_server_whose_refresh_brings_no_id_token_is_not_asked_again_behind_every_answer() {
    let Some(machine) = Machine::new() else { return };
    let sts = Sts::trusting(&machine.server().issuer(), "keyfob");
    machine.server().configure(|settings| settings.refresh_returns_id_token = false);
    let role = || {
        let mut command = machine.scene.home.keyfob(["aws", "get", "prod"]);
        process::run(command.env("AWS_ENDPOINT_URL_STS", sts.url()), b"").success().stdout
    };
    machine.scene.sign_in().success();
    machine.set(1500, 1500);
    let credentials = role();
    // the credentials are ageing, and the ID token is near its end
    machine.set(HOUR - 200, HOUR - 200);
    for _ in 0..3 {
        assert_eq!(role(), credentials);
        sleep(Duration::from_millis(500));
    }
    assert_eq!(machine.server().counts().refresh_requests, 1);
}

#[test]
fn tokens_that_have_ended_when_they_come_are_not_asked_for_again_and_again() {
    for life in [0, -5] {
        let scene = Scene::new();
        scene.sign_in_and_expire();
        scene.server.token_patch(move |answer| answer["expires_in"] = life.into());
        let failed: Vec<Output> = (0..5).map(|_| scene.token_unattended()).collect();
        for output in &failed {
            one_error(output);
            assert!(output.stderr.contains("a token that had already ended"), "{output:?}");
        }
        assert_eq!(scene.server.counts().refresh_requests, 1, "a life of {life} s");
    }
}

/// A refresh in the middle of a push would end the token that the push goes on with.
#[test]
fn where_a_refresh_ends_the_old_token_it_comes_late_and_never_behind_an_answer() {
    let Some(machine) = Machine::new() else { return };
    let server = machine.server();
    server.configure(|settings| {
        settings.refresh_ends_access = true;
        settings.refresh_always = true;
    });
    let issuer = server.issuer();
    let host = issuer.strip_prefix("http://").unwrap();
    machine.scene.home.write_config(&format!(
        "[login.corp]\npreset = \"gitlab\"\nhost = \"{host}\"\nallow_http = true\nclient_id = \"keyfob\"\n\
         endpoints.authorization = \"{issuer}/authorize\"\nendpoints.token = \"{issuer}/token\"\n\
         [docker.\"registry.example.com\"]\nlogin = \"corp\"\n"
    ));
    machine.scene.sign_in().success();
    let first = machine.good_token();
    // half an hour, a tenth of it, and less than docker's clients ask for
    for left in [1800, 180, 40] {
        machine.set(HOUR - left, HOUR - left);
        for _ in 0..3 {
            assert_eq!(machine.good_token(), first, "{left} s left");
            let docker = machine.scene.docker("get", b"registry.example.com").success().stdout;
            assert!(docker.contains(&first), "{left} s left");
        }
        sleep(Duration::from_millis(300));
        assert_eq!(server.counts().refresh_requests, 0, "{left} s left");
    }
    machine.set(HOUR - 29, HOUR - 29);
    assert_ne!(machine.good_token(), first);
    assert!(!server.is_alive(&first));
    assert_eq!(server.counts().refresh_requests, 1);
}
