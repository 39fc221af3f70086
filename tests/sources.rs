//! Where the key comes from: each source by itself, what happens where it cannot be had, and copies of the records elsewhere.
mod container;
mod copies;
mod credential;
mod keyring;
mod moves;
mod passphrase;
mod typing;

#[cfg(target_os = "linux")]
use crate::support::{home::Home, peers};
#[cfg(target_os = "linux")]
use std::process::Command;

/// Gives everything in `home` to another user; returns what runs programs as that user there. `None`, said loudly, where this is not
/// root, who alone may do so.
#[cfg(target_os = "linux")]
fn as_another_user(home: &Home) -> Option<impl Fn(&[&str]) -> Command + '_> {
    if !peers::require("setpriv") || !peers::require_root() {
        return None;
    }
    let bin = home.bin();
    // the built programs may lie where the other user does not come
    for (program, name) in [(crate::support::home::program(), "keyfob"), (crate::support::home::browser_program(), "browser")] {
        let _ = std::fs::remove_file(bin.join(name));
        // a copy of its own: what is given away below must not be the built program itself
        std::fs::copy(&program, bin.join(name)).unwrap_or_else(|e| panic!("cannot copy {}: {e}", program.display()));
    }
    let above = bin.parent().expect("a home has a folder").to_owned();
    let given = Command::new("chown").args(["-R", "-h", "65534:65534"]).arg(&above).status().expect("chown can be started");
    assert!(given.success());
    Some(move |words: &[&str]| {
        let mut command = home.command("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).args(words);
        command.env("KEYFOB_BROWSER", home.bin().join("browser"));
        command
    })
}
