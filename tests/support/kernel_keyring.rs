//! The keys of a home's stores in the kernel's keyring, where they would outlive the test.
use super::home::Home;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Takes the keys of a home's stores out of the kernel's keyring when it is dropped, which has to come before the home is.
pub struct Forgets(PathBuf);

impl Forgets {
    pub fn the_keys_of(home: &Home) -> Self {
        Self(home.state())
    }
}

impl Drop for Forgets {
    fn drop(&mut self) {
        forget(&self.0);
    }
}

/// Takes the keys of all stores below this `$XDG_STATE_HOME` out of the kernel's keyring.
pub fn forget(state: &Path) {
    for id in names(state).iter().filter_map(|name| search(name)) {
        let _ = Command::new("keyctl").args(["unlink", &id, "@u"]).status();
    }
}

/// The key that the kernel holds for the store of `home`, as text; `None` where it holds none.
pub fn key_of(home: &Home) -> Option<String> {
    let id = names(&home.state()).iter().find_map(|name| search(name))?;
    let output = Command::new("keyctl").args(["pipe", &id]).output().ok()?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The names under which the kernel would hold them.
fn names(state: &Path) -> Vec<String> {
    let folders = std::fs::read_dir(state.join("keyfob/v1")).into_iter().flatten().flatten();
    let metas = folders.filter_map(|folder| std::fs::read(folder.path().join("store")).ok());
    let ids =
        metas.filter_map(|text| serde_json::from_slice::<serde_json::Value>(&text).ok()?["store"].as_str().map(str::to_owned));
    ids.flat_map(|id| [format!("keyfob:{id}"), format!("keyfob:{id}:copy")]).collect()
}

fn search(name: &str) -> Option<String> {
    let output = Command::new("keyctl").args(["search", "@u", "user", name]).output().ok()?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned()).filter(|id| !id.is_empty())
}
