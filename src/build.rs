//! How the program is linked and started on glibc Linux, where both cost a tenth of a start otherwise.
//!
//! gcc's unwinder comes inside: a linker script called `libgcc_s.so` in front of the real library sends the linker to the static one.
//! Where the C compiler has none, nothing is changed. And `bare_start` lets `src/os/start.rs` be called by the C library itself.
use std::path::{Path, PathBuf};
use std::process::Command;

#[expect(clippy::disallowed_methods, reason = "a build script has cargo's environment and its own folder, and nothing else")]
fn main() {
    println!("cargo:rerun-if-changed=src/build.rs");
    println!("cargo:rustc-check-cfg=cfg(bare_start)");
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    if variable("CARGO_CFG_TARGET_OS") != "linux" || variable("CARGO_CFG_TARGET_ENV") != "gnu" {
        return;
    }
    println!("cargo:rustc-cfg=bare_start");
    let out = PathBuf::from(variable("OUT_DIR"));
    let script = "GROUP ( -l:libgcc_eh.a -l:libgcc.a )\n";
    let optimised = variable("PROFILE") == "release" && variable("HOST") == variable("TARGET");
    if optimised && has_static_unwinder() && std::fs::write(out.join("libgcc_s.so"), script).is_ok() {
        println!("cargo:rustc-link-arg-bins=-L{}", out.display());
    }
}

fn has_static_unwinder() -> bool {
    let found = Command::new("cc").arg("-print-file-name=libgcc_eh.a").output();
    found.is_ok_and(|output| Path::new(String::from_utf8_lossy(&output.stdout).trim()).is_file())
}
