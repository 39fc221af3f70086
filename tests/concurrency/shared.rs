//! One outcome for all who waited for it: a refusal is shared, and a sign-out is final.
use crate::support::authorization_server::{Endpoint, Fault};
use crate::support::crowd::Crowd;
use crate::support::forge::{Forge, at_a_terminal, end, signal, until, value};
use crate::support::process;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;

/// How many wait for what fails.
const MANY: usize = 20;

/// `MANY` callers at once, of which each fails as git must read it; the one sentence that all of them said.
#[track_caller]
fn all_fail(crowd: Crowd) -> String {
    let ended = crowd.end();
    assert_eq!(ended.workers, 1);
    let first = &ended.outputs[0];
    assert!(first.stderr.starts_with("keyfob: error: "), "{first:?}");
    for output in &ended.outputs {
        let got = (output.code, output.stdout.as_str(), output.stderr.as_str());
        assert_eq!(got, (Some(0), "quit=1\n", first.stderr.as_str()));
    }
    first.stderr.clone()
}

/// `MANY` callers, of which all but one wait for that one's worker.
fn crowd(forge: &Forge) -> Crowd {
    gathered(forge, Crowd::start((0..MANY).map(|_| forge.caller())))
}

fn gathered(forge: &Forge, crowd: Crowd) -> Crowd {
    until("all of them wait", || forge.waiters() == MANY - 1);
    crowd
}

fn unattended(forge: &Forge) -> Command {
    let mut caller = forge.caller();
    caller.env("KEYFOB_INTERACTIVE", "never");
    caller
}

/// A person's command at a terminal, later: it is asked, and gets a token.
#[track_caller]
fn a_person_may_try_again(forge: &Forge) {
    let output = end(at_a_terminal(forge, "keyfob git get <request >said/answer"));
    let answer = std::fs::read_to_string(forge.home.path().join("said/answer")).unwrap();
    assert!(forge.server.is_alive(value(&answer, "password")), "{output:?}");
    // it holds a token, as what was printed for git does
    std::fs::remove_dir_all(forge.home.path().join("said")).unwrap();
}

#[test]
fn a_denied_sign_in_is_shared_by_all_who_waited_and_by_no_later_command_at_a_terminal() {
    let forge = Forge::new();
    forge.server.configure(|settings| settings.deny = true);
    let page = forge.server.hold(Endpoint::Authorize);
    let crowd = crowd(&forge);
    page.release();
    let said = all_fail(crowd);
    assert!(said.contains("not today"), "{said}");
    assert_eq!(forge.home.wait_for_browser_runs(1).len(), 1);
    // nor does one that comes a little later and has nobody to ask
    assert!(forge.ask().stderr.contains("the tab that opened by itself came to nothing: sign-in was refused in the browser"));
    let counts = forge.server.counts();
    assert_eq!((counts.authorizations, counts.token_requests), (1, 0));
    assert_eq!(forge.home.browser_runs().len(), 1);
    forge.server.configure(|settings| settings.deny = false);
    a_person_may_try_again(&forge);
    assert_eq!((forge.server.counts().authorizations, forge.home.wait_for_browser_runs(2).len()), (2, 2));
    forge.check();
}

#[test]
fn a_passing_failure_is_shared_by_those_who_waited_and_by_nobody_later() {
    let forge = Forge::new();
    forge.sign_in_and_expire();
    let answer = forge.server.hold_back(Endpoint::Token, Fault::Status(200, Vec::new(), b"<html>".to_vec()), 1);
    let crowd = crowd(&forge);
    answer.release();
    let said = all_fail(crowd);
    assert!(said.contains("not a token answer"), "{said}");
    assert_eq!(forge.server.counts().refresh_requests, 1);
    // even one that nobody can be asked for tries by itself, and the token is as good as ever
    let answer = end(forge.spawn(&mut unattended(&forge))).success().stdout;
    assert!(forge.server.is_alive(value(&answer, "password")) && forge.server.family_alive());
    let counts = forge.server.counts();
    assert_eq!((counts.refresh_requests, counts.refreshes, counts.authorizations), (2, 1, 1));
    forge.check();
}

#[test]
fn a_refresh_token_that_is_refused_is_sent_once_and_then_only_who_can_ask_a_person_goes_on() {
    let forge = Forge::new();
    forge.sign_in_and_expire();
    forge.server.end_sessions();
    let answer = forge.server.hold_back(Endpoint::Token, refused(), 1);
    let crowd = gathered(&forge, Crowd::start((0..MANY).map(|_| unattended(&forge))));
    answer.release();
    let said = all_fail(crowd);
    assert!(said.contains("KEYFOB_INTERACTIVE is `never`") && said.contains("keyfob login corp"), "{said}");
    assert_eq!(end(forge.spawn(&mut unattended(&forge))).stderr, said);
    assert_eq!((forge.server.counts().refresh_requests, forge.home.browser_runs().len()), (1, 1));
    // an editor has no terminal, but a browser that a person sees
    let answer = forge.ask().success().stdout;
    assert!(forge.server.is_alive(value(&answer, "password")));
    let counts = forge.server.counts();
    assert_eq!((counts.refresh_requests, counts.authorizations), (1, 2));
    forge.check();
}

fn refused() -> Fault {
    Fault::json(400, &serde_json::json!({ "error": "invalid_grant" }))
}

#[test]
fn a_sign_out_ends_the_sign_in_that_twenty_wait_for_and_tells_all_of_them() {
    let forge = Forge::new();
    forge.home.browser("never");
    let crowd = crowd(&forge);
    forge.home.wait_for_browser_runs(1);
    forge.keyfob(&["logout", "corp"]).success();
    let ended = crowd.end();
    assert_eq!(ended.workers, 1);
    for output in &ended.outputs {
        assert_eq!(output.stdout, "quit=1\n", "{output:?}");
        // the one who started it hears that it was stopped, the others why
        assert!(output.stderr.contains("signed out meanwhile") || output.stderr.contains("was stopped"), "{output:?}");
    }
    assert_eq!((forge.home.browser_runs().len(), forge.server.counts().token_requests), (1, 0));
    forge.check();
}

/// What is said, and what makes it so.
type Failing = (&'static str, fn(&Forge));

/// After each class of failure that still holds: who types `keyfob login` is asked, and then nobody is told of it any more.
#[test]
fn an_explicit_login_clears_whatever_failed_before_it() {
    let fail: [Failing; 4] = [
        ("not today", |forge| {
            forge.server.configure(|settings| settings.deny = true);
            forge.ask();
            forge.server.configure(|settings| settings.deny = false);
        }),
        ("the sign-in to `corp` was stopped", |forge| {
            forge.home.browser("never");
            let mut caller = forge.caller();
            let caller = forge.spawn(&mut caller);
            forge.home.wait_for_browser_runs(1);
            signal("INT", &caller.id().to_string());
            end(caller);
            forge.wait_for_quiet();
            forge.home.browser("ok");
        }),
        ("nobody can be asked here", |forge| {
            end(forge.spawn(&mut unattended(forge)));
        }),
        ("has just issued", |forge| {
            for _ in 0..2 {
                let token = value(&forge.ask().success().stdout, "password").to_owned();
                let erase = format!("{}password={token}\n", forge.request());
                process::run(forge.command("keyfob").args(["git", "erase"]), erase.as_bytes());
            }
        }),
    ];
    for (said, fail) in fail {
        let forge = Forge::new();
        fail(&forge);
        let told = end(forge.spawn(&mut unattended(&forge)));
        assert!(told.stdout == "quit=1\n" && told.stderr.contains(said), "{said}: {told:?}");
        forge.keyfob(&["login", "corp"]).success();
        let answer = end(forge.spawn(&mut unattended(&forge))).success().stdout;
        assert!(forge.server.is_alive(value(&answer, "password")), "{said}");
        forge.check();
    }
}

/// The same, not because a good token hides what failed: that is gone.
#[test]
fn after_an_explicit_login_an_earlier_refusal_keeps_no_tab_from_being_opened() {
    let forge = Forge::new();
    // without a refresh token, so that each further token takes a person
    let login = format!("[login.corp]\nissuer = \"{}\"\nclient_id = \"keyfob\"\nscopes = [\"openid\"]\n", forge.server.issuer());
    forge.configure(&format!("{login}[git.\"{}\"]\nlogin = \"corp\"\n", forge.git.url()));
    forge.server.configure(|settings| settings.deny = true);
    forge.ask();
    forge.server.configure(|settings| settings.deny = false);
    assert!(forge.ask().stderr.contains("the tab that opened by itself came to nothing"));
    forge.keyfob(&["login", "corp"]).success();
    let answer = forge.ask().success().stdout;
    let erase = format!("{}password={}\n", forge.request(), value(&answer, "password"));
    process::run(forge.command("keyfob").args(["git", "erase"]), erase.as_bytes()).success();
    let next = forge.ask().success().stdout;
    assert!(value(&next, "password") != value(&answer, "password") && forge.server.is_alive(value(&next, "password")));
    assert_eq!((forge.server.counts().authorizations, forge.home.wait_for_browser_runs(3).len()), (3, 3));
    forge.check();
}

/// What a person began and gave up is no reason to refuse what takes no person.
#[test]
fn a_sign_in_that_was_given_up_keeps_nobody_from_a_refresh() {
    let forge = Forge::new();
    forge.sign_in_and_expire();
    forge.home.browser("never");
    let mut login = forge.command("keyfob");
    let login = forge.spawn(login.arg("login"));
    forge.home.wait_for_browser_runs(2);
    signal("INT", &login.id().to_string());
    assert_eq!(end(login).code, Some(4));
    forge.wait_for_quiet();
    let answer = forge.ask().success().stdout;
    assert!(forge.server.is_alive(value(&answer, "password")));
    assert_eq!((forge.server.counts().refreshes, forge.home.browser_runs().len()), (1, 2));
    forge.server.configure(|settings| settings.deny = true);
    forge.home.browser("ok");
    forge.keyfob(&["login"]);
    forge.server.kill_access_tokens();
    let erase = format!("{}password={}\n", forge.request(), value(&answer, "password"));
    process::run(forge.command("keyfob").args(["git", "erase"]), erase.as_bytes()).success();
    let answer = end(forge.spawn(&mut unattended(&forge))).success().stdout;
    assert!(forge.server.is_alive(value(&answer, "password")));
    assert_eq!(forge.server.counts().refreshes, 2);
    forge.check();
}

/// Nor is one that did not get as far as to ask a person.
#[test]
fn a_sign_in_that_fails_before_it_asks_anybody_keeps_nobody_from_a_refresh() {
    let forge = Forge::new();
    forge.sign_in_and_expire();
    let before = forge.server.requests().len();
    let nothing = forge.server.hold_back(Endpoint::Metadata, Fault::Status(404, Vec::new(), Vec::new()), usize::MAX);
    let mut login = forge.command("keyfob");
    let login = forge.spawn(login.arg("login"));
    until("the metadata is asked for", || forge.server.requests().len() > before);
    let caller = forge.spawn(&mut unattended(&forge));
    until("it waits, or needs not to", || forge.waiters() == 1 || forge.server.counts().refreshes == 1);
    nothing.release();
    let answer = end(caller).success().stdout;
    assert!(forge.server.is_alive(value(&answer, "password")));
    assert_ne!(end(login).code, Some(0));
    assert_eq!((forge.server.counts().refreshes, forge.server.counts().authorizations), (1, 1));
    forge.check();
}

/// `keyfob logout`, which waits for who has the lock of the record there is.
fn sign_out_that_waits(forge: &Forge) -> Child {
    let is_lock =
        |file: &PathBuf| file.extension().is_some_and(|ending| ending == "lock") && file.file_stem().unwrap().len() == 32;
    let lock = forge.home.files().into_iter().find(is_lock).expect("somebody has it").display().to_string();
    let mut command = forge.command("keyfob");
    let mut child = forge.spawn(command.args(["logout", "corp"]));
    until("the sign-out waits", || forge.home.having_open(&lock).contains(&child.id()));
    assert_eq!(child.try_wait().unwrap(), None);
    child
}

/// A caller that may not ask a person gets nothing, so there is no record.
#[track_caller]
fn signed_out(forge: &Forge) {
    forge.wait_for_quiet();
    let asked = forge.server.requests().len();
    let mut caller = forge.caller();
    let output = end(forge.spawn(caller.env("KEYFOB_INTERACTIVE", "never")));
    assert_eq!(output.stdout, "quit=1\n", "{output:?}");
    assert_eq!(forge.keyfob(&["status", "--check", "corp"]).code, Some(3));
    assert_eq!(forge.server.requests().len(), asked);
    forge.check();
}

#[test]
fn a_late_answer_of_the_browser_does_not_bring_back_a_login_that_was_signed_out() {
    let forge = Forge::new();
    let page = forge.server.hold(Endpoint::Authorize);
    let caller = forge.spawn(&mut forge.caller());
    forge.server.wait_for(Endpoint::Authorize, 1);
    forge.keyfob(&["logout", "corp"]).success();
    page.release();
    let output = end(caller);
    assert_eq!(output.stdout, "quit=1\n", "{output:?}");
    forge.home.wait_for_browser_runs(1);
    assert_eq!((forge.server.counts().codes_issued, forge.server.counts().codes_redeemed), (1, 0));
    signed_out(&forge);
}

#[test]
fn a_late_answer_of_the_token_endpoint_does_not_bring_back_a_login_that_was_signed_out() {
    let forge = Forge::new();
    forge.sign_in_and_expire();
    let answer = forge.server.hold(Endpoint::Token);
    let mut caller = forge.caller();
    let caller = forge.spawn(caller.env("KEYFOB_INTERACTIVE", "never"));
    forge.server.wait_for(Endpoint::Token, 2);
    let sign_out = sign_out_that_waits(&forge);
    answer.release();
    let said = end(sign_out).success();
    end(caller);
    assert_eq!((forge.server.counts().refreshes, forge.server.counts().revocations > 0), (1, true));
    assert!(!forge.server.family_alive(), "what the late answer brought was not revoked: {said:?}");
    signed_out(&forge);
}

#[test]
fn a_late_redemption_does_not_bring_back_a_login_that_was_signed_out() {
    let forge = Forge::new();
    let answer = forge.server.hold(Endpoint::Token);
    let caller = forge.spawn(&mut forge.caller());
    forge.server.wait_for(Endpoint::Token, 1);
    let sign_out = sign_out_that_waits(&forge);
    answer.release();
    let said = end(sign_out).success();
    end(caller);
    assert!(!forge.server.family_alive(), "what the late answer brought was not revoked: {said:?}");
    assert_eq!(forge.server.counts().authorizations, 1);
    signed_out(&forge);
}

#[test]
fn a_sign_out_of_all_goes_on_after_one_that_fails_and_fails_at_the_end() {
    let forge = Forge::new();
    let other = format!("[login.alpha]\nissuer = \"{}\"\nclient_id = \"keyfob\"\nscopes = [\"openid\"]\n", forge.server.issuer());
    forge.configure(&format!("{other}{}", forge.login("corp", "")));
    forge.keyfob(&["login", "alpha"]).success();
    let is_record = |file: &PathBuf| file.extension().is_some_and(|ending| ending == "rec");
    let lock = forge.home.files().into_iter().find(is_record).unwrap().with_extension("lock");
    forge.keyfob(&["login", "corp"]).success();
    forge.wait_for_quiet();
    std::fs::remove_file(&lock).unwrap();
    std::fs::create_dir(&lock).unwrap();
    let said = forge.keyfob(&["logout", "--all"]);
    assert!(said.code != Some(0) && said.stderr.contains("error: "), "{said:?}");
    assert_eq!(said.stdout, "corp: signed out, and its tokens are revoked\n");
}

#[test]
fn a_command_that_waits_while_its_login_is_signed_out_fails_and_opens_no_browser() {
    let forge = Forge::new();
    forge.sign_in_and_expire();
    let answer = forge.server.hold(Endpoint::Token);
    let caller = forge.spawn(&mut forge.caller());
    forge.server.wait_for(Endpoint::Token, 2);
    // held up, it looks again only when all is over
    signal("STOP", &caller.id().to_string());
    let sign_out = sign_out_that_waits(&forge);
    answer.release();
    end(sign_out).success();
    signal("CONT", &caller.id().to_string());
    let output = end(caller);
    assert_eq!(output.stdout, "quit=1\n", "{output:?}");
    assert!(output.stderr.contains("`corp` was signed out meanwhile"), "{output:?}");
    assert_eq!((forge.server.counts().authorizations, forge.home.browser_runs().len()), (1, 1));
    signed_out(&forge);
    // one that begins afterwards may ask
    forge.ask().success();
    assert_eq!(forge.server.counts().authorizations, 2);
}

#[test]
fn a_lack_of_persons_is_said_to_each_caller_in_its_own_words() {
    let forge = Forge::new();
    for (name, value, said) in [("KEYFOB_INTERACTIVE", "never", "KEYFOB_INTERACTIVE is `never`"), ("CI", "true", "CI is set")] {
        let output = end(forge.spawn(forge.caller().env(name, value)));
        assert!(output.stdout == "quit=1\n" && output.stderr.contains(said), "{output:?}");
    }
    assert_eq!(forge.server.counts().authorizations, 0);
    forge.check();
}
