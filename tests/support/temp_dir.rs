//! Folders that are there for one test.
use super::encoding::random_text;
use std::fs::{DirBuilder, File};
use std::io::Write;
use std::path::{Path, PathBuf};

/// A folder of mode 0700 below the system's temporary folder; dropping it removes everything in it.
pub struct TempDir(PathBuf);

impl TempDir {
    pub fn new(purpose: &str) -> Self {
        let path = std::env::temp_dir().join(&random_text(&format!("keyfob-{purpose}-"))[..purpose.len() + 20]);
        make_private(&path);
        Self(path.canonicalize().expect("the folder was just made"))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Makes a folder and its parents, mode 0700 where the system has modes.
pub fn make_private(path: &Path) {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path).unwrap_or_else(|e| panic!("cannot make {}: {e}", path.display()));
}

/// Writes a whole file, its folder included; mode 0600 where the system has modes.
pub fn write(path: &Path, content: impl AsRef<[u8]>) {
    make_private(path.parent().expect("a file has a folder"));
    let mut options = File::options();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = options.open(path).and_then(|mut file| file.write_all(content.as_ref()));
    written.unwrap_or_else(|e| panic!("cannot write {}: {e}", path.display()));
}
