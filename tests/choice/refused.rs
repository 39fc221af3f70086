//! Where nobody may be asked, nothing is opened and nothing is sent; the error and `keyfob status` say what forbids it.
use super::{ASK, CONNECTION, DISPLAY, Place, check, forge, program, status, terminal};
use crate::support::forge::{Forge, end};
use crate::support::temp_dir::write;
use serde_json::Value;

const NO_GIT: (&str, &str) = ("GIT_CONFIG_PARAMETERS", "'\\''credential.interactive=false'\\''");

/// Panics unless nothing was opened and nothing was asked of the server.
#[track_caller]
fn untouched(forge: &Forge) {
    assert_eq!((forge.server.requests().len(), forge.home.browser_runs().len()), (0, 0));
    check(forge);
}

#[test]
fn what_forbids_asking_is_said_at_a_terminal_too() {
    let rows: [(Place<'_>, &str, &str); 5] = [
        (&[DISPLAY, ("CI", "true")], "", "CI is set"),
        (&[DISPLAY, ("KEYFOB_INTERACTIVE", "never")], "", "KEYFOB_INTERACTIVE is `never`"),
        (&[DISPLAY, NO_GIT], "", "git has `credential.interactive=false`"),
        (&[DISPLAY], "interactive = \"never\"\n", "the login has `interactive = \"never\"`"),
        (&[CONNECTION, ("CI", "1")], "flow = \"paste\"\n", "CI is set"),
    ];
    for (place, more, because) in rows {
        let forge = forge(more);
        assert_eq!(status(&forge, place), format!("nobody is asked here: {because}"), "{place:?}");
        terminal(&forge, place, ASK).end();
        let errors = std::fs::read_to_string(forge.home.path().join("said/one/errors")).unwrap();
        assert!(errors.contains(because) && errors.contains("run `keyfob login corp`"), "{place:?}: {errors}");
        untouched(&forge);
    }
}

#[test]
fn at_a_terminal_gits_wish_for_no_prompts_and_a_login_for_terminals_forbid_nothing() {
    let rows: [(Place<'_>, &str); 2] =
        [(&[CONNECTION, ("GIT_TERMINAL_PROMPT", "0")], ""), (&[CONNECTION], "interactive = \"terminal\"\n")];
    for (place, more) in rows {
        let forge = forge(more);
        let terminal = terminal(&forge, place, ASK);
        terminal.shows("the code ", 1);
        forge.server.decide(true);
        terminal.end().success();
        assert_eq!(forge.server.counts().devices_redeemed, 1, "{place:?}");
        check(&forge);
    }
}

#[test]
fn without_a_terminal_a_browser_is_all_there_is() {
    let rows: [(Place<'_>, &str, &str); 6] = [
        (&[], "", "there is neither a terminal nor a browser ("),
        (&[CONNECTION, DISPLAY], "", "nor a browser (SSH_CONNECTION is set, so no browser would be seen)"),
        (&[DISPLAY], "flow = \"paste\"\n", "the paste flow needs a terminal to paste into"),
        (&[DISPLAY], "flow = \"device\"\n", "the device flow shows its code on a terminal"),
        (&[DISPLAY], "interactive = \"terminal\"\n", "`interactive = \"terminal\"` and there is no terminal"),
        (&[DISPLAY, ("GIT_TERMINAL_PROMPT", "0")], "", "GIT_TERMINAL_PROMPT is 0 and there is no terminal"),
    ];
    for (place, more, because) in rows {
        let forge = forge(more);
        let mut caller = forge.caller();
        caller.env_remove("DISPLAY").env_remove("KEYFOB_BROWSER").envs(place.iter().copied());
        let output = end(forge.spawn(&mut caller));
        assert!(output.stderr.contains(because), "{place:?}: {output:?}");
        untouched(&forge);
    }
    let forge = forge("");
    let mut caller = forge.caller();
    caller.env_remove("KEYFOB_BROWSER").env("DISPLAY", ":0");
    end(forge.spawn(&mut caller)).success();
    assert_eq!((forge.home.wait_for_browser_runs(1).len(), forge.server.counts().codes_redeemed), (1, 1));
    check(&forge);
}

#[test]
fn who_types_the_command_is_asked_in_ci_too_but_in_no_browser() {
    let forge = forge("");
    let terminal = terminal(&forge, &[DISPLAY, ("CI", "true")], "keyfob login corp");
    terminal.shows("the code ", 1);
    forge.server.decide(true);
    terminal.end().success();
    assert_eq!((forge.home.browser_runs().len(), forge.server.counts().devices_redeemed), (0, 1));
    check(&forge);
}

#[test]
fn programs_read_the_way_and_its_reason_as_well() {
    let forge = forge("");
    let said = terminal(&forge, &[CONNECTION], "keyfob status --json").end().success().stdout;
    let value: Value = serde_json::from_str(said.trim()).unwrap();
    let way = value["logins"][0]["sign_in"].as_str().unwrap();
    assert_eq!(
        way, "by device code if the server has it, else by paste: SSH_CONNECTION is set, so no browser would be seen",
        "{value}"
    );
    let known = forge_with_endpoints();
    let said = terminal(&known, &[CONNECTION], "keyfob status").end().success().stdout;
    assert!(said.contains("  sign-in: by paste: SSH_CONNECTION is set"), "no device endpoint is configured: {said}");
    untouched(&forge);
    untouched(&known);
}

/// A forge whose login names its endpoints, of which none is for devices.
fn forge_with_endpoints() -> Forge {
    let forge = forge("");
    let issuer = forge.server.issuer();
    forge.configure(&format!(
        "[login.corp]\nclient_id = \"keyfob\"\nendpoints.authorization = \"{issuer}/authorize\"\nendpoints.token = \"{issuer}/token\"\n"
    ));
    forge
}

/// Asks as git does, with a browser to be seen and no terminal, in `folder`.
fn asked_at_a_desk(forge: &Forge, folder: &str, place: Place<'_>) -> crate::support::process::Output {
    let mut caller = forge.caller();
    caller.current_dir(forge.home.path().join(folder)).envs(place.iter().copied());
    end(forge.spawn(&mut caller))
}

#[test]
fn what_gits_configuration_for_the_user_forbids_is_not_done_and_a_repositorys_says_nothing() {
    for word in ["false", "never", "no", "0", ""] {
        let forge = forge("");
        forge.helper("!exec keyfob git", &format!("[credential]\n\tinteractive = {word}\n"));
        let output = asked_at_a_desk(&forge, "", &[]);
        assert_eq!(output.stdout, "quit=1\n", "{word}: {output:?}");
        assert!(output.stderr.contains("git has `credential.interactive=false`"), "{word}: {output:?}");
        assert!(output.stderr.contains("hint: run `keyfob login corp`"), "{word}: {output:?}");
        untouched(&forge);
    }
    let included = forge("");
    write(&included.home.path().join("more"), "[credential]\n\tinteractive = never\n");
    included.helper("!exec keyfob git", "[include]\n\tpath = more\n");
    assert_eq!(asked_at_a_desk(&included, "", &[]).stdout, "quit=1\n");
    untouched(&included);
    let command_line = [("GIT_CONFIG_PARAMETERS", "'credential.interactive=true'")];
    let rows: [(&str, Place<'_>); 5] = [
        ("[credential]\n\tinteractive = true\n", &[]),
        ("[credential]\n\tinteractive = auto\n", &[]),
        ("[credential]\n\tinteractive\n", &[]),
        ("", &[]),
        ("[credential]\n\tinteractive = false\n", &command_line),
    ];
    for (more, place) in rows {
        let forge = forge("");
        forge.helper("!exec keyfob git", more);
        forge.git(&["init", "--quiet", "work"]).success();
        forge.git(&["-C", "work", "config", "credential.interactive", "never"]).success();
        // a git that lies in the working directory is none
        program(&forge, "../home/work/git", "#!/bin/sh\n: >\"$HOME/opener\"\nexit 1\n");
        let output = asked_at_a_desk(&forge, "work", place).success();
        assert!(output.stdout.contains("password="), "{more}: {output:?}");
        assert_eq!(forge.home.wait_for_browser_runs(1).len(), 1);
        assert!(!forge.home.path().join("opener").exists());
        check(&forge);
    }
}

#[test]
fn a_git_that_tells_no_scopes_forbids_it_as_well() {
    let Some(git) = crate::git::versions::all().into_iter().next() else { return };
    let forge = forge("");
    forge.helper("!exec keyfob git", "[credential]\n\tinteractive = false\n");
    // as git 2.25 answers
    let old = "case \"$*\" in *--show-scope*) echo \"error: unknown option \\`show-scope'\" >&2; exit 129 ;; esac";
    forge.script("git", &format!("{old}\nexec '{}' \"$@\"", git.display()));
    assert_eq!(asked_at_a_desk(&forge, "", &[]).stdout, "quit=1\n");
    untouched(&forge);
}

#[test]
fn a_renewal_asks_nobody_and_so_is_not_forbidden() {
    let forge = forge("");
    forge.sign_in_and_expire();
    forge.helper("!exec keyfob git", "[credential]\n\tinteractive = false\n");
    assert!(asked_at_a_desk(&forge, "", &[]).success().stdout.contains("password="));
    assert_eq!((forge.server.counts().refreshes, forge.server.counts().authorizations), (1, 1));
    check(&forge);
}

#[test]
fn who_cannot_be_asked_is_told_what_helps_and_not_the_command_that_was_typed() {
    let rows: [(Place<'_>, &[&str], &str); 4] = [
        (
            &[DISPLAY, ("KEYFOB_INTERACTIVE", "never")],
            &["login", "corp"],
            "unset KEYFOB_INTERACTIVE, then run `keyfob login corp`",
        ),
        (&[], &["login", "corp"], "in a terminal, run `keyfob login corp`"),
        (&[DISPLAY], &["login", "corp", "--flow", "device"], "in a terminal, run `keyfob login corp`"),
        (&[DISPLAY], &["login", "corp", "--flow", "paste"], "in a terminal, run `keyfob login corp`"),
    ];
    for (place, arguments, hint) in rows {
        let forge = forge("");
        let mut command = forge.command("keyfob");
        command.args(arguments).env_remove("DISPLAY").env_remove("KEYFOB_BROWSER").envs(place.iter().copied());
        let output = crate::support::process::run(&mut command, b"");
        assert_eq!(output.code, Some(3), "{place:?}: {output:?}");
        assert!(output.stderr.contains(&format!("\nkeyfob: hint: {hint}\n")), "{place:?}: {output:?}");
        untouched(&forge);
    }
}
