//! Programs by their absolute paths: this one, as other tools are to call it, and those that are called.
use crate::config::Environment;
use crate::failure::{Failure, Kind};
use std::path::{Path, PathBuf};

/// Returns the path by which this program is found for as long as possible: that of its name in the search path where it leads here, which
/// outlives an update of what it leads to, else its own.
///
/// # Errors
/// [`Kind::Misconfigured`] where the system does not say which program this is.
pub(crate) fn this(environment: &Environment) -> Result<PathBuf, Failure> {
    let own = std::env::current_exe().and_then(std::fs::canonicalize).map_err(|error| {
        Failure::new(Kind::Misconfigured, "cannot tell where this program lies")
            .because(error)
            .hint("install keyfob, and run that")
    })?;
    let leads_here = |path: &PathBuf| std::fs::canonicalize(path).is_ok_and(|found| found == own);
    Ok(candidates(environment, "keyfob").find(leads_here).unwrap_or(own))
}

/// Returns the program `name` of the search path. One in a relative folder of it, such as the working directory, is none.
pub(crate) fn find(environment: &Environment, name: &str) -> Option<PathBuf> {
    candidates(environment, name).find(|path| path.is_file())
}

fn candidates(environment: &Environment, name: &str) -> impl Iterator<Item = PathBuf> {
    let file = format!("{name}{}", std::env::consts::EXE_SUFFIX);
    environment.search_path().into_iter().map(move |folder| folder.join(&file))
}

/// Returns `path` as one word of a shell's command line (POSIX, "Single-Quotes"). A shell reads `/` on every system.
pub(crate) fn shell_word(path: &Path) -> Vec<u8> {
    let mut word = vec![b'\''];
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'\'' => word.extend(b"'\\''"),
            b'\\' if std::path::MAIN_SEPARATOR == '\\' => word.push(b'/'),
            byte => word.push(*byte),
        }
    }
    word.push(b'\'');
    word
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_one_word_whatever_is_in_it() {
        for path in ["/usr/bin/keyfob", "/a b/it's/$HOME`x`\"\\n\n/\u{e4}", "/''"] {
            let line = [b"printf %s ".as_slice(), &shell_word(Path::new(path))].concat();
            let output = std::process::Command::new("sh").arg("-c").arg(String::from_utf8(line).unwrap()).output().unwrap();
            assert_eq!(String::from_utf8(output.stdout).unwrap(), path);
        }
    }

    #[test]
    fn only_absolute_folders_are_searched() {
        let environment = Environment::from_map([("PATH".into(), ".:bin::/bin".into())]);
        assert_eq!(find(&environment, "sh"), Some("/bin/sh".into()));
        assert_eq!(find(&environment, "no such program"), None);
    }
}
