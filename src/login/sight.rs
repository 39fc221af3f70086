//! Whether a browser that is opened here would be seen by the person, which one it would be, and why.
use crate::config::{Config, Environment};
use std::path::Path;

/// Browsers that need the terminal for themselves; without it, as we start them, they show nothing.
const TEXT_BROWSERS: [&str; 10] =
    ["lynx", "w3m", "links", "links2", "elinks", "www-browser", "browsh", "carbonyl", "netrik", "retawq"];
/// Where the kernel of Linux under Windows says whether programs of Windows can be started (its documentation, "interop").
const WSL_ENTRIES: [&str; 2] = ["WSLInterop", "WSLInterop-late"];

/// The files by which a place is known.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Marks<'p> {
    /// They are there in containers.
    pub(crate) containers: [&'p Path; 2],
    /// The folder in which Linux lists foreign kinds of programs that it can start.
    pub(crate) foreign_programs: &'p Path,
}

impl Marks<'static> {
    /// Returns the files of this machine: Docker's mark, Podman's, and the kernel's list.
    pub(crate) fn of_this_machine() -> Self {
        Self {
            containers: [Path::new("/.dockerenv"), Path::new("/run/.containerenv")],
            foreign_programs: Path::new("/proc/sys/fs/binfmt_misc"),
        }
    }
}

/// What is to be known of a place before a browser is opened there.
#[derive(Clone, Debug, Default)]
pub(crate) struct Place {
    /// The command lines of the environment, and the variable that has them.
    named: Option<(&'static str, Vec<String>)>,
    /// The command line of the configuration.
    configured: Option<String>,
    /// The variable by which the session came over SSH.
    ssh: Option<&'static str>,
    ci: bool,
    /// The variable that names a display.
    display: Option<&'static str>,
    /// Linux under Windows, and whether it can start programs there.
    wsl: Option<bool>,
    /// What says that this is a container.
    container: Option<String>,
    /// The system shows a browser by itself.
    desktop: bool,
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sight {
    /// The command lines that open a page, the first that starts to be taken; none leaves it to the desktop.
    pub(crate) commands: Vec<String>,
    pub(crate) is_seen: bool,
    /// Why, as half a sentence.
    pub(crate) because: String,
    /// `BROWSER` names nothing that can be used, and a desktop that follows it would do no better.
    pub(crate) without_browser_variable: bool,
}

impl Place {
    /// Looks at `environment`, `config` and the files of `marks`.
    pub(crate) fn look(environment: &Environment, config: &Config, marks: &Marks<'_>) -> Self {
        let file = marks.containers.iter().find(|path| path.exists()).map(|path| path.display().to_string());
        Self {
            named: environment.browser_commands(),
            configured: config.browser.clone(),
            ssh: environment.ssh(),
            ci: environment.interaction().ci,
            display: environment.display(),
            wsl: environment
                .wsl()
                .then(|| can_start_foreign(marks.foreign_programs).unwrap_or_else(|| environment.wsl_interop())),
            container: file.or_else(|| environment.container().then(|| "`container` is set".to_owned())),
            desktop: crate::os::HAS_DESKTOP,
        }
    }

    /// Decides whether a browser would be seen. Pure.
    ///
    /// A browser that the environment names wins over everything: editors set it where they carry a page to the person's own screen.
    pub(crate) fn sight(&self) -> Sight {
        let mut lacks = String::new();
        if let Some((variable, commands)) = &self.named {
            let (text, seen): (Vec<String>, Vec<String>) = commands.iter().cloned().partition(|command| is_text_browser(command));
            if !seen.is_empty() {
                return Sight::seen(seen, format!("`{variable}` names one"));
            }
            let text = crate::terminal::printable(&text.join("`, `"));
            lacks = format!("; `{text}` in `{variable}` would need the terminal for itself");
        }
        let without_browser_variable = !lacks.is_empty();
        let sight = match self {
            Self { ssh: Some(variable), .. } => Sight::unseen(format!("{variable} is set, so no browser would be seen")),
            Self { ci: true, .. } => Sight::unseen("CI is set, so no browser would be seen".into()),
            Self { configured: Some(command), .. } if !is_text_browser(command) => {
                Sight::seen(vec![command.clone()], "`browser` of the configuration names one".into())
            }
            Self { wsl: Some(true), .. } => Sight::seen(Vec::new(), "this is WSL, and Windows has one".into()),
            Self { display: Some(variable), .. } => Sight::seen(Vec::new(), format!("{variable} is set")),
            Self { desktop: true, .. } => Sight::seen(Vec::new(), "this system has a desktop".into()),
            Self { wsl: Some(false), .. } => {
                Sight::unseen("WSL cannot start programs of Windows here (interop is off), and there is no display".into())
            }
            Self { container: Some(what), .. } => Sight::unseen(format!("this is a container without a display ({what})")),
            _ => Sight::unseen("neither DISPLAY nor WAYLAND_DISPLAY is set".into()),
        };
        Sight { because: sight.because + &lacks, without_browser_variable, ..sight }
    }
}

impl Sight {
    fn seen(commands: Vec<String>, because: String) -> Self {
        Self { commands, is_seen: true, because, without_browser_variable: false }
    }

    fn unseen(because: String) -> Self {
        Self { because, ..Self::default() }
    }

    /// Looks at `environment` and `config` on this machine.
    pub(crate) fn here(environment: &Environment, config: &Config) -> Self {
        Place::look(environment, config, &Marks::of_this_machine()).sight()
    }
}

fn is_text_browser(command: &str) -> bool {
    let program = command.split_ascii_whitespace().next().unwrap_or_default();
    TEXT_BROWSERS.contains(&program.rsplit('/').next().unwrap_or(program))
}

/// Whether the kernel starts programs of Windows; `None` where it does not say.
fn can_start_foreign(folder: &Path) -> Option<bool> {
    let entry = WSL_ENTRIES.iter().find_map(|name| std::fs::read_to_string(folder.join(name)).ok())?;
    Some(entry.lines().next().is_some_and(|line| line.trim() == "enabled"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(variable: &'static str, commands: &[&str]) -> Option<(&'static str, Vec<String>)> {
        Some((variable, commands.iter().map(ToString::to_string).collect()))
    }

    /// Panics unless each place has this sight: whether one is seen, the commands, and a part of the reason.
    #[track_caller]
    fn seen_by(rows: &[(Place, bool, &[&str], &str)]) {
        for (place, is_seen, commands, because) in rows {
            let sight = place.sight();
            let expected: Vec<String> = commands.iter().map(ToString::to_string).collect();
            assert_eq!((sight.is_seen, sight.commands), (*is_seen, expected), "{place:?}");
            assert!(sight.because.contains(because), "{place:?}: {}", sight.because);
        }
    }

    #[test]
    fn a_browser_is_seen_by_the_table() {
        let nothing = Place::default();
        let desk = Place { display: Some("DISPLAY"), ..Place::default() };
        let ssh = Place { ssh: Some("SSH_CONNECTION"), ..desk.clone() };
        let configured = Some("firefox -P work".to_owned());
        let container = Some("/.dockerenv".to_owned());
        seen_by(&[
            (nothing.clone(), false, &[], "neither DISPLAY nor WAYLAND_DISPLAY is set"),
            (desk.clone(), true, &[], "DISPLAY is set"),
            (Place { display: Some("WAYLAND_DISPLAY"), ..nothing.clone() }, true, &[], "WAYLAND_DISPLAY is set"),
            (Place { desktop: true, ..nothing.clone() }, true, &[], "this system has a desktop"),
            (ssh.clone(), false, &[], "SSH_CONNECTION is set, so no browser would be seen"),
            (Place { ssh: Some("SSH_TTY"), desktop: true, ..nothing.clone() }, false, &[], "SSH_TTY is set"),
            (Place { configured: configured.clone(), ..ssh.clone() }, false, &[], "SSH_CONNECTION is set"),
            (Place { configured, ..nothing.clone() }, true, &["firefox -P work"], "`browser` of the configuration"),
            (Place { configured: Some("elinks".into()), ..nothing.clone() }, false, &[], "neither DISPLAY"),
            (Place { ci: true, ..desk.clone() }, false, &[], "CI is set"),
            (Place { wsl: Some(true), ..nothing.clone() }, true, &[], "this is WSL, and Windows has one"),
            (Place { wsl: Some(true), ..ssh }, false, &[], "SSH_CONNECTION is set"),
            (Place { wsl: Some(false), ..nothing.clone() }, false, &[], "WSL cannot start programs of Windows here"),
            (Place { wsl: Some(false), ..desk.clone() }, true, &[], "DISPLAY is set"),
            (Place { container: container.clone(), ..nothing }, false, &[], "a container without a display (/.dockerenv)"),
            (Place { container, ..desk }, true, &[], "DISPLAY is set"),
        ]);
    }

    #[test]
    fn what_the_environment_names_wins_unless_it_needs_the_terminal() {
        let nothing = Place::default();
        let ssh = Place { ssh: Some("SSH_TTY"), ci: true, container: Some("/.dockerenv".into()), ..Place::default() };
        let desk = Place { display: Some("DISPLAY"), ..Place::default() };
        let (code, lynx) = (named("BROWSER", &["/vscode/browser.sh"]), named("BROWSER", &["/usr/bin/lynx", "w3m -s"]));
        seen_by(&[
            (Place { named: code.clone(), ..ssh.clone() }, true, &["/vscode/browser.sh"], "`BROWSER` names one"),
            (Place { named: code, ..nothing.clone() }, true, &["/vscode/browser.sh"], "`BROWSER` names one"),
            (Place { named: named("KEYFOB_BROWSER", &["x %s"]), ..ssh }, true, &["x %s"], "`KEYFOB_BROWSER` names one"),
            (
                Place { named: lynx.clone(), ..nothing },
                false,
                &[],
                "`/usr/bin/lynx`, `w3m -s` in `BROWSER` would need the terminal",
            ),
            (Place { named: lynx, ..desk.clone() }, true, &[], "DISPLAY is set; `/usr/bin/lynx`, `w3m -s` in `BROWSER`"),
        ]);
        for browser in TEXT_BROWSERS {
            let sight = Place { named: named("KEYFOB_BROWSER", &[browser]), ..Place::default() }.sight();
            assert!(!sight.is_seen && sight.because.contains(&format!("`{browser}` in `KEYFOB_BROWSER`")), "{sight:?}");
        }
        let mixed = Place { named: named("BROWSER", &["lynx", "firefox", "w3m"]), ..desk }.sight();
        assert_eq!((mixed.commands, mixed.without_browser_variable), (vec!["firefox".to_owned()], false));
    }

    #[test]
    fn the_place_is_read_from_variables_and_files() {
        let folder = std::env::temp_dir().join(format!("keyfob-sight-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("binfmt")).unwrap();
        let (docker, podman, binfmt) = (folder.join("dockerenv"), folder.join("containerenv"), folder.join("binfmt"));
        let marks = Marks { containers: [&docker, &podman], foreign_programs: &binfmt };
        let place = |pairs: &[(&str, &str)]| {
            let environment = Environment::from_map(pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())));
            Place::look(&environment, &Config::default(), &marks)
        };
        let touch = |path: &Path, text: &str| {
            std::io::Write::write_all(&mut std::fs::File::create(path).unwrap(), text.as_bytes()).unwrap();
        };
        assert_eq!(place(&[]).container, None);
        assert_eq!(place(&[("container", "lxc")]).container.as_deref(), Some("`container` is set"));
        touch(&podman, "");
        assert!(place(&[]).container.unwrap().ends_with("containerenv"));
        touch(&docker, "");
        assert!(place(&[]).container.unwrap().ends_with("dockerenv"));
        let wsl = ("WSL_DISTRO_NAME", "Debian");
        let (interop, entry) = (("WSL_INTEROP", "/run/WSL/8_interop"), binfmt.join("WSLInterop"));
        assert_eq!((place(&[]).wsl, place(&[interop]).wsl), (None, None));
        assert_eq!((place(&[wsl]).wsl, place(&[wsl, interop]).wsl), (Some(false), Some(true)));
        touch(&entry, "disabled\ninterpreter /init\n");
        assert_eq!(place(&[wsl, interop]).wsl, Some(false));
        touch(&entry, "enabled\ninterpreter /init\n");
        assert_eq!(place(&[wsl]).wsl, Some(true));
        std::fs::rename(&entry, binfmt.join("WSLInterop-late")).unwrap();
        assert_eq!(place(&[wsl]).wsl, Some(true));
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
