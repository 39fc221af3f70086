//! Decides whether a person may be asked here, and whether a browser can be seen.
use crate::config::environment::Interaction;
use crate::config::{Config, Environment, Flow, Interactive};

/// What the decision depends on.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Facts {
    /// What the environment says.
    pub(crate) said: Interaction,
    /// A controlling terminal, or standard error is one.
    pub(crate) terminal: bool,
    /// A browser can be opened where a person sees it.
    pub(crate) browser: bool,
    /// The person typed `keyfob login`.
    pub(crate) explicit: bool,
    pub(crate) flow: Flow,
}

/// One way to let a person sign in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// The authorization code grant; where no browser opens, its address is shown on the terminal.
    Browser,
    /// The device authorization grant.
    Device,
}

impl Facts {
    pub(crate) fn of(environment: &Environment, terminal: bool, config: &Config, explicit: bool, flow: Flow) -> Self {
        let browser = !browser_commands(environment, config).is_empty() || shows_a_browser(environment);
        Self { said: environment.interaction(), terminal, browser, explicit, flow }
    }
}

/// Returns the command lines that open a page, the first that starts to be taken; none leaves it to the desktop.
pub(crate) fn browser_commands(environment: &Environment, config: &Config) -> Vec<String> {
    let mut commands = environment.browser_commands();
    if commands.is_empty() {
        commands.extend(config.browser.clone());
    }
    commands
}

/// Returns the ways to sign in, each for where the one before it cannot be gone: no browser opens, or the server says that this client
/// may not. `browser`: one can be seen; `terminal`: a code can be shown; `device`: the server has a device endpoint. Pure.
pub(crate) fn ways(flow: Flow, browser: bool, terminal: bool, device: bool) -> &'static [Way] {
    match (flow, browser, terminal && device) {
        (Flow::Browser, ..) | (Flow::Auto, _, false) => &[Way::Browser],
        (Flow::Device, ..) => &[Way::Device],
        (Flow::Auto, true, true) => &[Way::Browser, Way::Device, Way::Browser],
        (Flow::Auto, false, true) => &[Way::Device, Way::Browser],
    }
}

/// Returns why no person may be asked, or none where one may. Pure.
///
/// Who types `keyfob login` wants to be asked, so only the person's own `KEYFOB_INTERACTIVE=never` holds against it.
pub(crate) fn refusal(facts: &Facts, interactive: Interactive) -> Option<String> {
    let Facts { said, terminal, browser, explicit, flow } = *facts;
    let reason = if said.never {
        "KEYFOB_INTERACTIVE is `never`"
    } else if said.ci && !explicit {
        "CI is set"
    } else if said.git_forbids && !explicit {
        "git has `credential.interactive=false`"
    } else if interactive == Interactive::Never && !explicit {
        "the login has `interactive = \"never\"`"
    } else if said.no_terminal_prompt && !terminal && !explicit {
        "GIT_TERMINAL_PROMPT is 0 and there is no terminal"
    } else if interactive == Interactive::Terminal && !terminal && !explicit {
        "the login has `interactive = \"terminal\"` and there is no terminal"
    } else if !terminal && flow == Flow::Device {
        "the device flow shows its code on a terminal, and there is none"
    } else if !terminal && !browser {
        "there is neither a terminal nor a browser"
    } else {
        return None;
    };
    Some(reason.to_owned())
}

/// Whether a browser that the desktop opens would be seen by the person: a display, and not over SSH.
pub(crate) fn shows_a_browser(environment: &Environment) -> bool {
    !environment.ssh() && (environment.display() || environment.wsl() || crate::os::HAS_DESKTOP)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_is_asked_by_the_table() {
        let desk = Facts { terminal: true, browser: true, ..Facts::default() };
        let said = |said: Interaction| Facts { said, ..desk };
        let never = said(Interaction { never: true, ..Interaction::default() });
        let ci = said(Interaction { ci: true, ..Interaction::default() });
        let git_forbids = said(Interaction { git_forbids: true, ..Interaction::default() });
        let terminal_only = said(Interaction { no_terminal_prompt: true, ..Interaction::default() });
        let auto = Interactive::Auto;
        let rows = [
            (desk, auto, None),
            (Facts { browser: false, ..desk }, auto, None),
            (Facts { terminal: false, ..desk }, auto, None),
            (Facts { terminal: false, browser: false, ..desk }, auto, Some("neither a terminal nor a browser")),
            (never, auto, Some("KEYFOB_INTERACTIVE")),
            (Facts { explicit: true, ..never }, auto, Some("KEYFOB_INTERACTIVE")),
            (ci, auto, Some("CI is set")),
            (Facts { explicit: true, ..ci }, auto, None),
            (git_forbids, auto, Some("credential.interactive")),
            (Facts { explicit: true, ..git_forbids }, auto, None),
            (terminal_only, auto, None),
            (Facts { terminal: false, ..terminal_only }, auto, Some("GIT_TERMINAL_PROMPT")),
            (desk, Interactive::Never, Some("interactive = \"never\"")),
            (Facts { explicit: true, ..desk }, Interactive::Never, None),
            (desk, Interactive::Terminal, None),
            (Facts { terminal: false, ..desk }, Interactive::Terminal, Some("interactive = \"terminal\"")),
            (Facts { explicit: true, ..Facts::default() }, auto, Some("neither a terminal nor a browser")),
            (Facts { flow: Flow::Device, ..desk }, auto, None),
            (Facts { flow: Flow::Device, browser: false, ..desk }, auto, None),
            (Facts { flow: Flow::Device, terminal: false, ..desk }, auto, Some("shows its code on a terminal")),
            (Facts { flow: Flow::Device, terminal: false, explicit: true, ..desk }, auto, Some("shows its code on a terminal")),
        ];
        for (facts, interactive, expected) in rows {
            match (refusal(&facts, interactive), expected) {
                (None, None) => {}
                (Some(reason), Some(words)) => assert!(reason.contains(words), "{facts:?}: {reason}"),
                (found, expected) => panic!("{facts:?} {interactive:?}: {found:?} instead of {expected:?}"),
            }
        }
    }

    #[test]
    fn the_way_to_sign_in_is_chosen_by_the_table() {
        use Way::{Browser, Device};
        let rows: [(Flow, bool, bool, bool, &[Way]); 14] = [
            // flow, a browser can be seen, a terminal, the server has a device endpoint
            (Flow::Auto, true, true, true, &[Browser, Device, Browser]),
            (Flow::Auto, true, true, false, &[Browser]),
            (Flow::Auto, true, false, true, &[Browser]),
            (Flow::Auto, true, false, false, &[Browser]),
            (Flow::Auto, false, true, true, &[Device, Browser]),
            (Flow::Auto, false, true, false, &[Browser]),
            (Flow::Auto, false, false, true, &[Browser]),
            (Flow::Auto, false, false, false, &[Browser]),
            (Flow::Browser, true, true, true, &[Browser]),
            (Flow::Browser, false, true, true, &[Browser]),
            (Flow::Browser, false, true, false, &[Browser]),
            (Flow::Device, true, true, true, &[Device]),
            (Flow::Device, false, true, true, &[Device]),
            (Flow::Device, false, true, false, &[Device]),
        ];
        for (flow, browser, terminal, device, expected) in rows {
            assert_eq!(ways(flow, browser, terminal, device), expected, "{flow:?} {browser} {terminal} {device}");
        }
    }
}
