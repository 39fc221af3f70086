//! git's own helper for the Secret Service, built from the source that Debian's git brings.
use super::{bare, require};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::OnceLock;

pub(super) const NAME: &str = "git-credential-libsecret";
const SOURCE: &str = "/usr/share/doc/git/contrib/credential/libsecret";
const HEADER: &str = "/usr/include/libsecret-1/libsecret/secret.h";

pub(super) fn needs() -> Vec<String> {
    ["make", "gcc", "pkg-config", HEADER, &format!("{SOURCE}/Makefile"), &format!("{SOURCE}/{NAME}.c")].map(String::from).to_vec()
}

/// The built program, the same for all tests; `None` where what it is built of is not installed. Panics where it cannot be built.
pub fn git_credential_libsecret() -> Option<&'static Path> {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    require(NAME).then(|| BUILT.get_or_init(build).as_path())
}

fn build() -> PathBuf {
    let shared = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let folder = shared.join(format!("{NAME}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("the build folder can be written");
    for file in ["Makefile", &format!("{NAME}.c")] {
        std::fs::copy(Path::new(SOURCE).join(file), folder.join(file)).expect("the source can be copied");
    }
    let output = bare("make").arg("-C").arg(&folder).stdin(Stdio::null()).output().expect("make can be started");
    assert!(output.status.success(), "{NAME} cannot be built: {}", String::from_utf8_lossy(&output.stderr));
    // in one step, for another run of the tests may use it
    let program = shared.join(NAME);
    std::fs::rename(folder.join(NAME), &program).expect("both are in one folder");
    std::fs::remove_dir_all(&folder).expect("it is this process's own");
    program
}
