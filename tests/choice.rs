//! Which way a person is asked to sign in, by the place where they sit: the program under the environments of desks, SSH sessions, WSL,
//! containers, editors and CI. What it does is counted at the browser and at the server, and `keyfob status` says the same.
mod refused;
mod way;

use crate::support::forge::Forge;
use crate::support::home::browser_program;
use crate::support::temp_dir::write;
use crate::support::terminal::Terminal;
use std::os::unix::fs::PermissionsExt;

/// Asks as git does.
const ASK: &str = "keyfob git get <request >\"$SAID/answer\" 2>\"$SAID/errors\"";

/// Variables of a place.
type Place<'p> = &'p [(&'p str, &'p str)];

const CONNECTION: (&str, &str) = ("SSH_CONNECTION", "192.0.2.1 50000 192.0.2.2 22");
const DISPLAY: (&str, &str) = ("DISPLAY", ":0");
const WSL: (&str, &str) = ("WSL_DISTRO_NAME", "Debian");
const INTEROP: (&str, &str) = ("WSL_INTEROP", "/run/WSL/8_interop");

/// A forge whose server has the device grant, and a machine whose desktop opens the fake browser. `more` lines are the login's.
fn forge(more: &str) -> Forge {
    let forge = Forge::new();
    forge.server.configure(|settings| settings.device = true);
    forge.configure(&format!("{}[git.\"{}\"]\nlogin = \"corp\"\n", forge.login("corp", more), forge.git.url()));
    let opener = format!("#!/bin/sh\nenv >\"$HOME/opener\"\nexec {} \"$@\"\n", browser_program().display());
    program(&forge, "xdg-open", &opener);
    program(&forge, "lynx", "#!/bin/sh\n: >\"$HOME/lynx\"\n");
    forge
}

/// Puts a script into the search path.
fn program(forge: &Forge, name: &str, script: &str) {
    let path = forge.home.bin().join(name);
    write(&path, script);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
}

/// A shell's words that make a place of these variables alone.
fn words(place: Place<'_>) -> String {
    let set = place.iter().map(|(name, value)| format!("export {name}='{value}'; "));
    format!("unset DISPLAY KEYFOB_BROWSER; {}", set.collect::<String>())
}

/// A terminal in a place, with `line` on it.
fn terminal(forge: &Forge, place: Place<'_>, line: &str) -> Terminal {
    forge.caller(); // leaves the request
    Terminal::open(&forge.home, "one", &format!("{}{line}", words(place)))
}

/// What `keyfob status` says of the sign-in at a terminal there.
fn status(forge: &Forge, place: Place<'_>) -> String {
    let said = terminal(forge, place, "keyfob status").end().success().stdout;
    let line = said.lines().find_map(|line| line.trim().strip_prefix("sign-in: "));
    line.unwrap_or_else(|| panic!("{said}")).to_owned()
}

/// What must hold after every test, once what was shown is out of the way.
#[track_caller]
fn check(forge: &Forge) {
    assert!(!forge.home.path().join("lynx").exists(), "a browser that needs the terminal was started");
    for left in ["said", "opener"] {
        let path = forge.home.path().join(left);
        let _ = std::fs::remove_dir_all(&path);
        let _ = std::fs::remove_file(&path);
    }
    forge.check();
}
