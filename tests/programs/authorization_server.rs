//! The authorization server as a program: `authorization_server [--clients ID,ID] [--port N] [--consent yes] [--life SECONDS]
//! [--late MILLISECONDS]`. Access tokens last so long, and the token endpoint answers so much later. Prints `READY ISSUER` and runs until
//! its stdin ends, then `SIGN-INS n REFRESHES n REUSES n`.
#[path = "../support/mod.rs"]
mod support;

use support::authorization_server::{AuthorizationServer, Client, Endpoint, Fault, Options};
use support::program;

fn main() {
    let clients = program::flag("clients").unwrap_or_else(|| "keyfob".into());
    let port = program::flag("port").map_or(0, |port| port.parse().expect("--port is a number"));
    let clients = clients.split(',').map(Client::public).collect();
    let server = AuthorizationServer::start_with(Options { clients, port, ..Options::default() });
    let number = |name| program::flag(name).map(|text| text.parse().unwrap_or_else(|_| panic!("--{name} is a number")));
    server.configure(|settings| {
        settings.consent = program::flag("consent").is_some();
        settings.access_life = number("life").unwrap_or(settings.access_life);
    });
    if let Some(late) = number("late") {
        server.fault_times(Endpoint::Token, Fault::Delay(late.unsigned_abs()), usize::MAX);
    }
    program::ready(&[&server.issuer()]);
    program::until_stdin_ends();
    let counts = server.counts();
    program::say(&format!("SIGN-INS {} REFRESHES {} REUSES {}", counts.authorizations, counts.refreshes, counts.reuses));
}
