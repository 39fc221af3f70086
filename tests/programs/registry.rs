//! The registry as a program: `registry --issuer URL [--client ID --secret S] [--image FOLDER]`, for who has
//! docker-registry installed. It accepts the tokens that the issuer's introspection endpoint calls active, and writes an
//! image to push, `oci:FOLDER:v1`, where it is told to. Prints `READY HOST:PORT` and runs until its stdin ends.
#[path = "../support/mod.rs"]
mod support;

use support::registry::Registry;
use support::{introspection, oci_image, program};

fn main() {
    let client = program::flag("client").zip(program::flag("secret"));
    let registry = Registry::start(introspection::active_at(&program::required_flag("issuer"), client));
    if let Some(folder) = program::flag("image") {
        oci_image::write_layout(folder.as_ref(), "v1");
    }
    program::ready(&[&registry.host()]);
    program::until_stdin_ends();
}
