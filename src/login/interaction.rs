//! Decides whether a person may be asked here, and in which ways.
use super::sight::Sight;
use crate::config::environment::Interaction;
use crate::config::{Config, Environment, Flow, Interactive, Login, Redirect};
use serde::{Deserialize, Serialize};

/// What the decision depends on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    /// What the environment says.
    pub(crate) said: Interaction,
    /// A controlling terminal, or standard error is one.
    pub(crate) terminal: bool,
    /// Whether a browser would be seen.
    pub(crate) sight: Sight,
    /// The person typed `keyfob login`.
    pub(crate) explicit: bool,
    pub(crate) flow: Flow,
}

/// Why no person may be asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Refusal {
    pub(crate) reason: String,
    remedy: Remedy,
}

/// What has to come before `keyfob login`, so that it does not fail of the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Remedy {
    Nothing,
    Variable,
    Terminal,
    KeyFile,
}

impl Refusal {
    fn new(reason: impl Into<String>, remedy: Remedy) -> Self {
        Self { reason: reason.into(), remedy }
    }

    /// git was told so.
    pub(crate) fn of_git() -> Self {
        Self::new("git has `credential.interactive=false`", Remedy::Nothing)
    }

    /// Each call would be a sign-in of its own.
    pub(crate) fn of_keylessness() -> Self {
        Self::new("nothing could be kept: name a key file in `KEYFOB_KEY_FILE`", Remedy::KeyFile)
    }

    /// Nobody waits for what is renewed behind an answer.
    pub(crate) fn of_haste() -> Self {
        Self::new("it was renewed behind an answer, with nobody waiting", Remedy::Nothing)
    }

    /// Returns what lets a person sign in to the login `name`.
    pub(crate) fn hint(&self, name: &str) -> String {
        match self.remedy {
            Remedy::Nothing => format!("run `keyfob login {name}`"),
            Remedy::Variable => format!("unset KEYFOB_INTERACTIVE, then run `keyfob login {name}`"),
            Remedy::Terminal => format!("in a terminal, run `keyfob login {name}`"),
            Remedy::KeyFile => format!("set KEYFOB_KEY_FILE to where a key may be made, then run `keyfob login {name}`"),
        }
    }
}

/// One way to let a person sign in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// The authorization code grant, in a browser of this machine.
    Browser,
    /// The device authorization grant.
    Device,
    /// The authorization code grant, in a browser anywhere; what it ends at is pasted into the terminal.
    Paste,
}

impl Facts {
    pub(crate) fn of(environment: &Environment, terminal: bool, config: &Config, explicit: bool, flow: Flow) -> Self {
        Self { said: environment.interaction(), terminal, sight: Sight::here(environment, config), explicit, flow }
    }
}

impl Way {
    /// Whether this asks for the same grant as `other`: a server that refuses it to a client does so either way.
    pub(crate) fn shares_grant(self, other: Self) -> bool {
        (self == Self::Device) == (other == Self::Device)
    }

    /// Returns what a person calls it.
    pub(crate) const fn words(self) -> &'static str {
        match self {
            Self::Browser => "browser",
            Self::Device => "device code",
            Self::Paste => "paste",
        }
    }
}

/// Returns the ways to sign in, each for where the one before it cannot be gone: no browser opens, or the server says that this client
/// may not. `browser`: one can be seen; `terminal`: a code can be shown; `device`: the server has a device endpoint. Pure.
pub(crate) fn ways(flow: Flow, browser: bool, terminal: bool, device: bool) -> &'static [Way] {
    match (flow, browser, terminal, device) {
        (Flow::Browser, ..) | (Flow::Auto, _, false, _) => &[Way::Browser],
        (Flow::Device, ..) => &[Way::Device],
        (Flow::Paste, ..) => &[Way::Paste],
        (Flow::Auto, true, true, true) => &[Way::Browser, Way::Device, Way::Paste],
        (Flow::Auto, true, true, false) => &[Way::Browser, Way::Paste],
        (Flow::Auto, false, true, true) => &[Way::Device, Way::Paste],
        (Flow::Auto, false, true, false) => &[Way::Paste],
    }
}

/// Returns the flow that `login` takes where `asked` is what was asked for by hand. Where its redirect shows a code, a person has to
/// carry that, whatever browser there is.
pub(crate) fn flow_of(login: &Login, asked: Option<Flow>) -> Flow {
    match (asked.unwrap_or(login.flow), &login.redirect) {
        (Flow::Auto | Flow::Browser, Redirect::OutOfBand(_)) => Flow::Paste,
        (flow, _) => flow,
    }
}

/// Says which way would be gone, and why, as `by paste: SSH_TTY is set`. `device`: whether the server has a device endpoint, where that
/// is known without asking it. Pure.
pub(crate) fn reason(facts: &Facts, device: Option<bool>) -> String {
    let why = match facts.flow {
        Flow::Auto => facts.sight.because.as_str(),
        Flow::Browser | Flow::Device | Flow::Paste => "the login is configured so",
    };
    let first = |device| ways(facts.flow, facts.sight.is_seen, facts.terminal, device)[0].words();
    let (with, without) = (first(device.unwrap_or(true)), first(device.unwrap_or(false)));
    if with == without {
        format!("by {with}: {why}")
    } else {
        format!("by {with} if the server has it, else by {without}: {why}")
    }
}

/// Whether `login`'s server has a device endpoint, as far as the configuration says.
pub(crate) fn has_device_endpoint(login: &Login) -> Option<bool> {
    match (&login.endpoints.device_authorization, &login.issuer) {
        (Some(_), _) => Some(true),
        (None, None) => Some(false),
        // to be discovered
        (None, Some(_)) => None,
    }
}

/// Returns why no person may be asked, or none where one may. Pure.
///
/// Who types `keyfob login` wants to be asked, so only the person's own `KEYFOB_INTERACTIVE=never` holds against it.
pub(crate) fn refusal(facts: &Facts, interactive: Interactive) -> Option<Refusal> {
    use Remedy::{Nothing, Terminal, Variable};
    let Facts { said, terminal, explicit, flow, ref sight } = *facts;
    let (reason, remedy) = if said.never {
        ("KEYFOB_INTERACTIVE is `never`", Variable)
    } else if said.ci && !explicit {
        ("CI is set", Nothing)
    } else if said.git_forbids && !explicit {
        return Some(Refusal::of_git());
    } else if interactive == Interactive::Never && !explicit {
        ("the login has `interactive = \"never\"`", Nothing)
    } else if said.no_terminal_prompt && !terminal && !explicit {
        ("GIT_TERMINAL_PROMPT is 0 and there is no terminal", Nothing)
    } else if interactive == Interactive::Terminal && !terminal && !explicit {
        ("the login has `interactive = \"terminal\"` and there is no terminal", Nothing)
    } else if !terminal && flow == Flow::Device {
        ("the device flow shows its code on a terminal, and there is none", Terminal)
    } else if !terminal && flow == Flow::Paste {
        ("the paste flow needs a terminal to paste into, and there is none", Terminal)
    } else if !terminal && !sight.is_seen {
        let reason = format!("there is neither a terminal nor a browser ({})", sight.because);
        return Some(Refusal::new(reason, Terminal));
    } else {
        return None;
    };
    Some(Refusal::new(reason, remedy))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(because: &str) -> Sight {
        Sight { is_seen: true, because: because.into(), ..Sight::default() }
    }

    #[test]
    fn a_person_is_asked_by_the_table() {
        let (sight, blind) = (seen("DISPLAY is set"), Sight { because: "SSH_TTY is set".into(), ..Sight::default() });
        let desk = Facts { terminal: true, sight, ..Facts::default() };
        let said = |said: Interaction| Facts { said, ..desk.clone() };
        let never = said(Interaction { never: true, ..Interaction::default() });
        let ci = said(Interaction { ci: true, ..Interaction::default() });
        let git_forbids = said(Interaction { git_forbids: true, ..Interaction::default() });
        let terminal_only = said(Interaction { no_terminal_prompt: true, ..Interaction::default() });
        let auto = Interactive::Auto;
        let rows = [
            (desk.clone(), auto, None),
            (Facts { sight: blind.clone(), ..desk.clone() }, auto, None),
            (Facts { terminal: false, ..desk.clone() }, auto, None),
            (
                Facts { terminal: false, sight: blind.clone(), ..desk.clone() },
                auto,
                Some("neither a terminal nor a browser (SSH_TTY is set)"),
            ),
            (never.clone(), auto, Some("KEYFOB_INTERACTIVE")),
            (Facts { explicit: true, ..never.clone() }, auto, Some("KEYFOB_INTERACTIVE")),
            (ci.clone(), auto, Some("CI is set")),
            (Facts { explicit: true, ..ci.clone() }, auto, None),
            (git_forbids.clone(), auto, Some("credential.interactive")),
            (Facts { explicit: true, ..git_forbids.clone() }, auto, None),
            (terminal_only.clone(), auto, None),
            (Facts { terminal: false, ..terminal_only.clone() }, auto, Some("GIT_TERMINAL_PROMPT")),
            (desk.clone(), Interactive::Never, Some("interactive = \"never\"")),
            (Facts { explicit: true, ..desk.clone() }, Interactive::Never, None),
            (desk.clone(), Interactive::Terminal, None),
            (Facts { terminal: false, ..desk.clone() }, Interactive::Terminal, Some("interactive = \"terminal\"")),
            (Facts { explicit: true, ..Facts::default() }, auto, Some("neither a terminal nor a browser")),
            (Facts { flow: Flow::Device, ..desk.clone() }, auto, None),
            (Facts { flow: Flow::Device, sight: blind.clone(), ..desk.clone() }, auto, None),
            (Facts { flow: Flow::Device, terminal: false, ..desk.clone() }, auto, Some("shows its code on a terminal")),
            (
                Facts { flow: Flow::Device, terminal: false, explicit: true, ..desk.clone() },
                auto,
                Some("shows its code on a terminal"),
            ),
            (Facts { flow: Flow::Paste, sight: blind.clone(), ..desk.clone() }, auto, None),
            (
                Facts { flow: Flow::Paste, terminal: false, explicit: true, ..desk.clone() },
                auto,
                Some("a terminal to paste into"),
            ),
        ];
        for (facts, interactive, expected) in rows {
            match (refusal(&facts, interactive).map(|refusal| refusal.reason), expected) {
                (None, None) => {}
                (Some(reason), Some(words)) => assert!(reason.contains(words), "{facts:?}: {reason}"),
                (found, expected) => panic!("{facts:?} {interactive:?}: {found:?} instead of {expected:?}"),
            }
        }
    }

    #[test]
    fn what_to_run_is_nothing_that_fails_of_the_same() {
        let at_once = "run `keyfob login corp`";
        let never = Interaction { never: true, ..Interaction::default() };
        let ci = Interaction { ci: true, ..Interaction::default() };
        let seen = seen("DISPLAY is set");
        let rows = [
            (Facts { said: never, terminal: true, explicit: true, ..Facts::default() }, "unset KEYFOB_INTERACTIVE, then run"),
            (Facts { said: ci, terminal: true, ..Facts::default() }, at_once),
            (Facts { explicit: true, ..Facts::default() }, "in a terminal, run"),
            (Facts { sight: seen.clone(), flow: Flow::Device, ..Facts::default() }, "in a terminal, run"),
            (Facts { sight: seen, flow: Flow::Paste, ..Facts::default() }, "in a terminal, run"),
        ];
        for (facts, expected) in rows {
            let hint = refusal(&facts, Interactive::Auto).unwrap().hint("corp");
            assert!(hint.starts_with(expected) && hint.ends_with(at_once), "{facts:?}: {hint}");
        }
        assert!(Refusal::of_keylessness().hint("corp").starts_with("set KEYFOB_KEY_FILE"));
    }

    #[test]
    fn the_way_to_sign_in_is_chosen_by_the_table() {
        use Way::{Browser, Device, Paste};
        let rows: [(Flow, bool, bool, bool, &[Way]); 17] = [
            // flow, a browser can be seen, a terminal, the server has a device endpoint
            (Flow::Auto, true, true, true, &[Browser, Device, Paste]),
            (Flow::Auto, true, true, false, &[Browser, Paste]),
            (Flow::Auto, true, false, true, &[Browser]),
            (Flow::Auto, true, false, false, &[Browser]),
            (Flow::Auto, false, true, true, &[Device, Paste]),
            (Flow::Auto, false, true, false, &[Paste]),
            (Flow::Auto, false, false, true, &[Browser]),
            (Flow::Auto, false, false, false, &[Browser]),
            (Flow::Browser, true, true, true, &[Browser]),
            (Flow::Browser, false, true, true, &[Browser]),
            (Flow::Browser, false, true, false, &[Browser]),
            (Flow::Device, true, true, true, &[Device]),
            (Flow::Device, false, true, true, &[Device]),
            (Flow::Device, false, true, false, &[Device]),
            (Flow::Paste, true, true, true, &[Paste]),
            (Flow::Paste, false, true, true, &[Paste]),
            (Flow::Paste, false, true, false, &[Paste]),
        ];
        for (flow, browser, terminal, device, expected) in rows {
            assert_eq!(ways(flow, browser, terminal, device), expected, "{flow:?} {browser} {terminal} {device}");
        }
    }

    #[test]
    fn the_way_is_named_with_its_reason() {
        let desk = Facts { terminal: true, sight: seen("DISPLAY is set"), ..Facts::default() };
        let ssh = Facts {
            sight: Sight { because: "SSH_TTY is set, so no browser would be seen".into(), ..Sight::default() },
            ..desk.clone()
        };
        let rows = [
            (desk.clone(), None, "by browser: DISPLAY is set"),
            (ssh.clone(), Some(true), "by device code: SSH_TTY is set, so no browser would be seen"),
            (ssh.clone(), Some(false), "by paste: SSH_TTY is set, so no browser would be seen"),
            (
                ssh.clone(),
                None,
                "by device code if the server has it, else by paste: SSH_TTY is set, so no browser would be seen",
            ),
            (Facts { flow: Flow::Paste, ..desk.clone() }, None, "by paste: the login is configured so"),
            (Facts { flow: Flow::Device, ..ssh }, None, "by device code: the login is configured so"),
            (Facts { flow: Flow::Browser, ..desk }, None, "by browser: the login is configured so"),
        ];
        for (facts, device, expected) in rows {
            assert_eq!(reason(&facts, device), expected);
        }
    }
}
