//! The git server as a program: `git_server --issuer URL [--repository NAME] [--client ID --secret S]`. It accepts the
//! tokens that the issuer's introspection endpoint calls active. Prints `READY URL-OF-THE-REPOSITORY` and runs until its
//! stdin ends.
#[path = "../support/mod.rs"]
mod support;

use support::git_server::GitServer;
use support::{introspection, program};

fn main() {
    let client = program::flag("client").zip(program::flag("secret"));
    let server = GitServer::start(introspection::active_at(&program::required_flag("issuer"), client));
    let repository = server.create(&program::flag("repository").unwrap_or_else(|| "hello".into()));
    program::ready(&[&repository]);
    program::until_stdin_ends();
}
