//! The token service of AWS as a program: `sts --issuer URL --audience CLIENT [--upstream URL]`. It trusts the issuer's id
//! tokens for that client, and forwards what it checked where there is an upstream. Prints `READY URL` and runs until its
//! stdin ends.
#[path = "../support/mod.rs"]
mod support;

use support::sts::Sts;
use support::{introspection, program};

fn main() {
    let verify = introspection::id_tokens_of(&program::required_flag("issuer"), &program::required_flag("audience"));
    let sts = match program::flag("upstream") {
        Some(upstream) => Sts::in_front_of(&upstream, verify),
        None => Sts::start(verify),
    };
    program::ready(&[&sts.url()]);
    program::until_stdin_ends();
}
