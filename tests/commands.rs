//! The commands that a person types: what they say, what they do at the server, and the exit codes that scripts rely on.
use crate::support::authorization_server::{AuthorizationServer, Client, Endpoint, Fault, Options};
use crate::support::home::Home;
use crate::support::process::{self, Output};
use crate::support::scene::ended_when_it_came;
use crate::support::scene::{Scene, one_error};
use serde_json::Value;

/// A scene with a second login, `lab`.
fn two_logins() -> Scene {
    let clients = vec![Client::public("keyfob"), Client::public("second")];
    let scene = Scene::with(Home::new(), AuthorizationServer::start_with(Options { clients, ..Options::default() }));
    let lab = format!("[login.lab]\nissuer = \"{}\"\nclient_id = \"second\"\nscopes = [\"openid\"]\n", scene.server.issuer());
    scene.home.write_config(&format!("{}{lab}", scene.config()));
    scene
}

fn json(scene: &Scene) -> Value {
    serde_json::from_str(&scene.home.run(["status", "--json"], "").success().stdout).unwrap()
}

/// Asserts the exit code, and that stdout is empty and stderr one error which has `says`.
#[track_caller]
fn refused(output: &Output, code: i32, says: &str) {
    one_error(output);
    assert_eq!((output.code, output.stdout.as_str()), (Some(code), ""), "{output:?}");
    assert!(output.stderr.contains(says), "{says}: {output:?}");
}

#[test]
fn login_signs_in_whatever_is_stored_and_says_who_and_for_how_long() {
    let scene = Scene::new();
    for number in 1..=2 {
        let output = scene.home.run(["login"], "").success();
        assert!(output.stdout.starts_with("signed in to corp as alice@example.com: renewed without you"), "{output:?}");
        assert_eq!((output.stderr.as_str(), scene.server.counts().authorizations), ("", number));
    }
    let lonely = two_logins();
    let output = lonely.home.run(["login", "lab"], "").success();
    assert!(output.stdout.contains("ends in") && output.stdout.contains("no refresh token"), "{output:?}");
    assert_eq!(scene.server.violations(), Vec::<String>::new());
}

#[test]
fn an_unknown_login_names_those_that_are_configured() {
    let scene = two_logins();
    let commands: [&[&str]; 4] = [&["login", "crop"], &["logout", "crop"], &["token", "crop"], &["status", "--check", "crop"]];
    for command in commands {
        let output = scene.home.run(command, "");
        refused(&output, 1, "there is no login `crop`");
        assert!(output.stderr.contains("configured are: corp, lab"), "{output:?}");
    }
    for command in ["login", "logout"] {
        refused(&scene.home.run([command], ""), 1, "name one of: corp, lab");
    }
    let hostile = scene.home.run(["token", "\u{1b}[2J\u{202e}x"], "");
    refused(&hostile, 1, "there is no login `[2Jx`");
    scene.home.write_config("");
    refused(&scene.home.run(["login"], ""), 1, "no login is configured");
    refused(&scene.home.run(["token", "corp"], ""), 1, "configure one");
    assert_eq!(scene.server.counts(), Default::default());
}

#[test]
fn logout_revokes_at_the_server_and_forgets_here() {
    let (scene, token) = Scene::signed_in();
    scene.keep_entries();
    let output = scene.home.run(["logout"], "").success();
    assert_eq!((output.stdout.as_str(), output.stderr.as_str()), ("corp: signed out, and its tokens are revoked\n", ""));
    let counts = scene.server.counts();
    assert_eq!((counts.revocations, scene.server.family_alive(), scene.server.is_alive(&token)), (2, false, false));
    refused(&scene.token_unattended(), 3, "keyfob login corp");
    let again = scene.home.run(["logout", "corp"], "").success();
    assert_eq!((again.stdout.as_str(), scene.server.counts()), ("corp: was not signed in\n", counts));
    scene.entries_answer();
    assert_eq!(scene.server.violations(), Vec::<String>::new());
    scene.sign_in().success();
    assert!(scene.server.is_alive(&scene.token()), "and one can sign in again");
}

#[test]
fn logout_all_forgets_every_login() {
    let scene = two_logins();
    scene.sign_in().success();
    scene.home.run(["login", "lab"], "").success();
    let output = scene.home.run(["logout", "--all"], "").success();
    let revoked = ": signed out, and its tokens are revoked\n";
    assert_eq!(output.stdout, format!("corp{revoked}lab{revoked}"));
    assert_eq!(scene.server.counts().revocations, 3, "two tokens of the one, the only one of the other");
    for login in ["corp", "lab"] {
        let output = process::run(scene.home.keyfob(["token", login]).env("KEYFOB_INTERACTIVE", "never"), b"");
        refused(&output, 3, login);
    }
    assert_eq!(Home::new().run(["logout", "--all"], "").success().stdout, "nobody was signed in\n");
}

#[test]
fn status_says_who_is_signed_in_where_and_until_when() {
    let scene = two_logins();
    let before = scene.home.run(["status"], "").success().stdout;
    let lines: Vec<&str> = before.lines().filter(|line| !line.starts_with("  sign-in: ")).collect();
    assert_eq!(lines[..2], ["corp: not signed in (`keyfob login corp`)", "lab: not signed in (`keyfob login lab`)"]);
    assert!(!scene.home.state().join("keyfob").exists(), "looking makes nothing");
    scene.sign_in().success();
    let text = scene.home.run(["status"], "").success().stdout;
    let issuer = scene.server.issuer();
    assert!(text.contains("corp: signed in as alice@example.com at ") && text.contains(&issuer), "{text}");
    assert!(text.contains("; good, renewed in ") && text.contains("lab: not signed in"), "{text}");
    assert!(text.contains(&format!("key: the key file `{}`", scene.home.key_file().display())), "{text}");
    let value = json(&scene);
    let corp = &value["logins"][0];
    assert_eq!((corp["name"].as_str(), corp["account"].as_str()), (Some("corp"), Some("alice@example.com")), "{value}");
    assert_eq!((corp["signed_in"].as_bool(), corp["renewable"].as_bool()), (Some(true), Some(true)), "{value}");
    let life = corp["expires_at"].as_i64().unwrap() - corp["signed_in_at"].as_i64().unwrap();
    assert!((3600..=3601).contains(&life), "{value}");
    assert_eq!((value["logins"][1]["name"].as_str(), value["logins"][1]["signed_in"].as_bool()), (Some("lab"), Some(false)));
    assert!(value["key"].as_str().unwrap().starts_with("the key file"), "{value}");
    let secrets = scene.server.issued_secrets();
    assert!(secrets.iter().all(|secret| !text.contains(secret.as_str()) && !value.to_string().contains(secret.as_str())));
    scene.home.write_config("");
    assert!(scene.home.run(["status"], "").success().stdout.contains("no login is configured"));
}

#[test]
fn status_check_says_nothing_but_by_its_exit_code_where_the_login_answers() {
    let scene = two_logins();
    let check = |login: &str| scene.home.run(["status", "--check", login], "");
    refused(&check("corp"), 3, "keyfob login corp");
    for login in ["corp", "lab"] {
        scene.home.run(["login", login], "").success();
        let output = check(login).success();
        assert_eq!((output.stdout.as_str(), output.stderr.as_str()), ("", ""), "{login}");
    }
    scene.server.set_access_life(0);
    for login in ["corp", "lab"] {
        ended_when_it_came(&scene.home, &scene.home.run(["login", login], ""));
    }
    let asked = scene.server.counts();
    check("corp").success();
    refused(&check("lab"), 3, "keyfob login lab");
    assert_eq!(scene.server.counts(), asked, "looking asks no server");
    assert_eq!(json(&scene)["logins"][1]["signed_in"], false);
    let text = scene.home.run(["status"], "").success().stdout;
    assert!(text.contains("is renewed at the next use"), "{text}");
    assert!(text.contains("has ended, because the server gave no refresh token with it (`keyfob login lab`)"), "{text}");
}

#[test]
fn token_prints_the_token_alone_and_takes_a_least_life() {
    let (scene, token) = Scene::signed_in();
    let output = scene.home.run(["token", "corp"], "").success();
    assert_eq!((output.stdout, output.stderr), (format!("{token}\n"), String::new()));
    assert_eq!(scene.home.run(["token", "corp", "--min-life", "600"], "").success().stdout.trim(), token);
    for life in ["-1", "86401", "soon", ""] {
        assert_eq!(scene.home.run(["token", "corp", "--min-life", life], "").code, Some(2), "{life}");
    }
    assert_eq!(scene.server.counts().token_requests, 1);
}

#[test]
fn every_exit_code_of_the_readme_is_met() {
    let scene = Scene::new();
    let run = |arguments: &[&str]| scene.home.run(arguments, "");
    assert_eq!(run(&["status"]).code, Some(0));
    refused(&run(&["login", "nowhere"]), 1, "nowhere");
    assert_eq!(run(&["frobnicate"]).code, Some(2));
    refused(&scene.token_unattended(), 3, "KEYFOB_INTERACTIVE");
    let other = Scene::new();
    refused(&process::run(other.home.keyfob(["token", "corp"]).env("CI", "true"), b""), 3, "CI is set");
    scene.server.configure(|settings| settings.deny = true);
    refused(&run(&["login"]), 4, "access_denied");
    scene.server.configure(|settings| settings.deny = false);
    scene.server.fault(Endpoint::Metadata, Fault::Drop);
    refused(&run(&["login"]), 5, "cannot reach");
    scene.home.write_config("[login.corp]\nissuer = 7\n");
    refused(&run(&["login"]), 6, "issuer");
}

#[test]
fn help_and_version_go_to_standard_output_and_a_wrong_command_line_does_not() {
    let home = Home::new();
    let bare = home.run([] as [&str; 0], "");
    assert_eq!((bare.code, bare.stdout.as_str()), (Some(2), ""), "{bare:?}");
    for command in ["login", "logout", "status", "token", "log", "lock", "git", "docker", "aws"] {
        assert!(bare.stderr.contains(&format!("  {command}")), "{command}: {}", bare.stderr);
        let help = home.run([command, "--help"], "").success();
        assert!(help.stdout.contains(&format!("Usage: keyfob {command}")) && help.stderr.is_empty(), "{help:?}");
    }
    for word in ["--help", "-h", "help"] {
        let help = home.run([word], "").success();
        assert!(help.stdout.contains("Sign in once") && help.stderr.is_empty(), "{help:?}");
    }
    for word in ["--version", "-V"] {
        let version = home.run([word], "").success();
        assert_eq!(version.stdout, format!("keyfob {}\n", env!("CARGO_PKG_VERSION")));
    }
    let wrong: [&[&str]; 6] = [
        &["--frobnicate"],
        &["login", "a", "b"],
        &["logout", "corp", "--all"],
        &["token"],
        &["status", "--json", "--check", "x"],
        &["git"],
    ];
    for arguments in wrong {
        let output = home.run(arguments, "");
        assert_eq!((output.code, output.stdout.as_str()), (Some(2), ""), "{arguments:?}: {output:?}");
        assert!(!output.stderr.is_empty(), "{arguments:?}");
    }
    assert!(!home.state().join("keyfob").exists());
}

#[test]
fn the_program_that_git_calls_explains_itself_where_no_git_calls_it() {
    let home = Home::new();
    let helper = |arguments: &[&str]| {
        let mut command = home.command(home.bin().join("git-credential-keyfob"));
        process::run(command.args(arguments), b"")
    };
    let bare = helper(&[]);
    assert_eq!((bare.code, bare.stdout.as_str()), (Some(2), ""), "{bare:?}");
    assert!(bare.stderr.contains("for tools to call"), "{bare:?}");
    for word in ["--help", "-h"] {
        let help = helper(&[word]).success();
        assert!(help.stdout.contains("Serve git (`credential.helper`)") && help.stderr.is_empty(), "{help:?}");
    }
    let unknown = helper(&["unheard-of"]).success();
    assert_eq!((unknown.stdout.as_str(), unknown.stderr.as_str()), ("", ""), "what git may ask some day is no error");
}

#[test]
fn lock_without_a_keyring_has_nothing_to_forget_and_loses_nothing() {
    let (scene, token) = Scene::signed_in();
    scene.home.run(["lock"], "").success();
    scene.still_answers(&token);
    Home::new().run(["lock"], "").success();
}

#[test]
fn what_people_may_close_or_pipe_away_is_no_defect() {
    let (scene, _) = Scene::signed_in();
    for arguments in ["status", "--help", "--version", "token corp", "status --json", "login", "logout --all"] {
        let mut shell = scene.home.command("sh");
        let output = process::run(shell.args(["-c", &format!("keyfob {arguments} >/dev/full; echo $?")]), b"");
        assert!(!output.stderr.contains("defect") && output.stdout.trim().parse::<u8>().unwrap() < 70, "{arguments}: {output:?}");
    }
}
