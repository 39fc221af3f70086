//! keyfob the whole way against software that nobody here wrote. Where that is missing, a test says SKIPPED; in CI it fails.
mod accounts;
mod damage;
mod desk;
mod device;
mod django_oauth_toolkit;
mod family;
mod git;
mod glewlwyd;
mod key_sources;
mod locked;
mod one_login;
mod paste;
mod person;
mod storm;

use crate::support::peers::OidcProvider;
use std::process::Command;

/// A login `corp` at `server`, and under it `rest` of the configuration.
fn configuration(server: &OidcProvider, rest: &str) -> String {
    format!("{}{rest}", login(server, "corp", ""))
}

/// The table of a login that may be renewed; `scope` is one more that it asks for.
fn login(server: &OidcProvider, name: &str, scope: &str) -> String {
    format!(
        "[login.{name}]\nissuer = \"{}\"\nclient_id = \"keyfob\"\nscopes = [\"openid\", \"email\", \"offline_access\"{scope}]\n",
        server.issuer()
    )
}

/// Access tokens of `server`, judged by its introspection endpoint.
fn good_tokens(server: &OidcProvider) -> impl Fn(&str) -> bool + Send + Sync + 'static {
    crate::support::introspection::active_at(server.issuer(), Some(("checker".into(), "checker-secret".into())))
}

/// `command` as it runs where a person may be asked: a browser can be seen, and nothing forbids it.
fn attended(mut command: Command) -> Command {
    command.env_remove("GIT_TERMINAL_PROMPT");
    command
}

/// A folder of this test's own that stays after it, emptied first: for pictures and traces that one wants to look at.
fn kept_folder(name: &str) -> std::path::PathBuf {
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("real-{name}"));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("the build folder can be written");
    folder
}
