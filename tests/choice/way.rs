//! The way that is gone in each place, and the one after it.
use super::{ASK, CONNECTION, DISPLAY, INTEROP, Place, WSL, check, forge, status, terminal};
use crate::support::forge::{Forge, until, value};
use crate::support::home::browser_program;
use crate::support::terminal::Terminal;

/// The way that a sign-in took.
#[derive(Debug, PartialEq, Eq)]
enum Way {
    Browser,
    Code,
    Paste,
}

/// Signs in at `terminal`, whichever way it asks, and says which that was.
#[track_caller]
fn way(forge: &Forge, terminal: Terminal) -> Way {
    let browsers = || forge.home.browser_runs().len();
    let shown = |text: &str| terminal.said("screen").contains(text);
    until("somebody is asked", || browsers() == 1 || shown("the code ") || shown("code_challenge="));
    let way = if browsers() == 1 {
        Way::Browser
    } else if shown("the code ") {
        forge.server.decide(true);
        Way::Code
    } else {
        let screen = terminal.said("screen");
        let url = screen.lines().find(|line| line.contains("code_challenge=")).unwrap().trim().to_owned();
        crate::support::browser::visit(&url, &crate::support::browser::Settings::from(&Default::default()));
        Way::Paste
    };
    terminal.end().success();
    let answer = std::fs::read_to_string(forge.home.path().join("said/one/answer")).unwrap();
    assert!(forge.server.is_alive(value(&answer, "password")));
    let counts = forge.server.counts();
    let expected = if way == Way::Code { (0, 1) } else { (1, 0) };
    assert_eq!((counts.codes_redeemed, counts.devices_redeemed), expected, "{way:?}");
    way
}

/// Panics unless a sign-in in `place` goes this way, and `keyfob status` says so with this reason.
#[track_caller]
fn goes(place: Place<'_>, expected: &Way, because: &str) {
    let forge = forge("");
    let said = status(&forge, place);
    let words = if *expected == Way::Browser { "by browser: " } else { "by device code if the server has it, else by paste: " };
    assert!(said.starts_with(words) && said.contains(because), "{place:?}: {said}");
    assert_eq!(way(&forge, terminal(&forge, place, ASK)), *expected, "{place:?}");
    check(&forge);
}

#[test]
fn a_desk_has_a_browser() {
    goes(&[DISPLAY], &Way::Browser, "DISPLAY is set");
    goes(&[("WAYLAND_DISPLAY", "wayland-0")], &Way::Browser, "WAYLAND_DISPLAY is set");
}

#[test]
fn over_ssh_it_is_a_code_unless_an_editor_carries_pages() {
    goes(&[CONNECTION, DISPLAY], &Way::Code, "SSH_CONNECTION is set, so no browser would be seen");
    goes(&[("SSH_TTY", "/dev/pts/7"), DISPLAY], &Way::Code, "SSH_TTY is set, so no browser would be seen");
    let browser = browser_program();
    goes(&[CONNECTION, ("BROWSER", browser.to_str().unwrap())], &Way::Browser, "`BROWSER` names one");
}

#[test]
fn in_wsl_it_is_the_browser_of_windows_where_that_can_be_started() {
    goes(&[WSL, INTEROP], &Way::Browser, "this is WSL, and Windows has one");
    goes(&[WSL], &Way::Code, "WSL cannot start programs of Windows here");
    goes(&[WSL, DISPLAY], &Way::Browser, "DISPLAY is set");
    goes(&[WSL, INTEROP, CONNECTION], &Way::Code, "SSH_CONNECTION is set");
}

#[test]
fn in_a_container_it_is_a_code_unless_there_is_a_display_or_an_editor() {
    let container = ("container", "podman");
    goes(&[container], &Way::Code, "this is a container without a display");
    goes(&[container, DISPLAY], &Way::Browser, "DISPLAY is set");
    let browser = browser_program();
    goes(&[container, ("BROWSER", browser.to_str().unwrap())], &Way::Browser, "`BROWSER` names one");
}

#[test]
fn a_browser_that_needs_the_terminal_is_left_out() {
    goes(&[("BROWSER", "lynx")], &Way::Code, "`lynx` in `BROWSER` would need the terminal for itself");
    goes(&[("KEYFOB_BROWSER", "lynx -nocolor")], &Way::Code, "`lynx -nocolor` in `KEYFOB_BROWSER`");
    let listed = format!("lynx:{}", browser_program().display());
    goes(&[("BROWSER", &listed)], &Way::Browser, "`BROWSER` names one");
    // what the desktop opens does not follow it either
    let forge = forge("");
    let place: Place<'_> = &[DISPLAY, ("BROWSER", "lynx")];
    assert_eq!(way(&forge, terminal(&forge, place, ASK)), Way::Browser);
    let environment = std::fs::read_to_string(forge.home.path().join("opener")).unwrap();
    assert!(environment.contains("DISPLAY=:0") && !environment.contains("BROWSER=lynx"), "{environment}");
    check(&forge);
}

#[test]
fn without_the_device_grant_it_is_pasting() {
    let forge = forge("");
    forge.server.configure(|settings| settings.device = false);
    assert_eq!(way(&forge, terminal(&forge, &[CONNECTION], ASK)), Way::Paste);
    check(&forge);
}

#[test]
fn a_server_that_gives_this_client_no_codes_by_browser_gives_it_one_for_a_device() {
    for error in ["unauthorized_client", "unsupported_response_type"] {
        let forge = forge("");
        forge.server.configure(|settings| (settings.deny, settings.deny_as) = (true, error.into()));
        let terminal = terminal(&forge, &[DISPLAY], ASK);
        until("a code", || terminal.said("screen").contains("the code "));
        let visit = forge.home.wait_for_browser_runs(1).remove(0);
        assert_eq!(visit["title"], "Not signed in yet", "{visit}");
        assert!(terminal.said("screen").contains(error), "it is said why: {}", terminal.said("screen"));
        forge.server.decide(true);
        terminal.end().success();
        let counts = forge.server.counts();
        assert_eq!((counts.authorizations, counts.devices_redeemed, counts.token_requests > 0), (1, 1, true));
        check(&forge);
    }
}

#[test]
fn a_server_that_gives_this_client_no_codes_at_all_is_not_asked_by_pasting_too() {
    let forge = forge("");
    forge.server.configure(|settings| (settings.deny, settings.deny_as) = (true, "unauthorized_client".into()));
    forge.server.configure(|settings| settings.device = false);
    terminal(&forge, &[DISPLAY], ASK).end();
    let errors = std::fs::read_to_string(forge.home.path().join("said/one/errors")).unwrap();
    assert!(errors.contains("unauthorized_client"), "{errors}");
    assert_eq!((forge.server.counts().authorizations, forge.home.browser_runs().len()), (1, 1));
    check(&forge);
}

#[test]
fn a_sign_in_that_nobody_came_to_says_which_way_it_was_and_why() {
    let forge = forge("");
    forge.server.configure(|settings| settings.device_life = 2);
    terminal(&forge, &[CONNECTION], ASK).end();
    let errors = std::fs::read_to_string(forge.home.path().join("said/one/errors")).unwrap();
    assert!(errors.contains("nobody signed in to `corp`"), "{errors}");
    assert!(errors.contains("it was asked by device code: SSH_CONNECTION is set, so no browser would be seen"), "{errors}");
    check(&forge);
}
