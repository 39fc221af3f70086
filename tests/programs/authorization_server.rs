//! The authorization server as a program: `authorization_server [--clients ID,ID] [--port N] [--consent yes]`. Prints
//! `READY ISSUER` and runs until its stdin ends.
#[path = "../support/mod.rs"]
mod support;

use support::authorization_server::{AuthorizationServer, Client, Options};
use support::program;

fn main() {
    let clients = program::flag("clients").unwrap_or_else(|| "keyfob".into());
    let port = program::flag("port").map_or(0, |port| port.parse().expect("--port is a number"));
    let clients = clients.split(',').map(Client::public).collect();
    let server = AuthorizationServer::start_with(Options { clients, port, ..Options::default() });
    server.configure(|settings| settings.consent = program::flag("consent").is_some());
    program::ready(&[&server.issuer()]);
    program::until_stdin_ends();
}
