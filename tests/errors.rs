//! What a server's refusals lead to, code by code and where they come from: nobody is asked in vain, nobody is logged out without a
//! reason, and each sentence says what to change.
mod codes;
mod devices;
mod redirects;
mod renewals;

use crate::support::authorization_server::Fault;
use crate::support::scene::Scene;
use serde_json::json;

/// A refusal by this code, with a description that starts so.
fn refusal(status: u16, code: &str, description: &str) -> Fault {
    Fault::json(status, &json!({ "error": code, "error_description": format!("{description}why \u{1b}[2J\u{202e}not") }))
}

fn empty(status: u16) -> Fault {
    Fault::Status(status, Vec::new(), Vec::new())
}

/// Takes the notes of failures away, as time would.
fn forget_failures(scene: &Scene) {
    for name in scene.files(".failed") {
        std::fs::remove_file(scene.records().join(name)).unwrap();
    }
}
