//! One configuration file: opened, its owner and permissions checked, and read.
use super::document::shown_path;
use crate::{
    failure::{Failure, Kind},
    os::{self, Facts},
};
use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

/// A configuration larger than this is a mistake.
const LIMIT: u64 = 1 << 20;

/// Write permission of the group and of everybody else.
const WRITABLE_BY_OTHERS: u32 = 0o022;

/// A place where configuration was looked for, and what was found there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) path: PathBuf,
    /// `None`: there was no file.
    pub(crate) facts: Option<Facts>,
}

/// Reads the file at `path` for the user `euid`; `None` if there is none. A symbolic link is followed and its target judged.
///
/// # Errors
/// [`Kind::Misconfigured`] if the path is relative, or the file is not a regular one, can be written by somebody other than `euid`
/// and root, is larger than 1 MiB, is not UTF-8 or cannot be read.
pub(super) fn read(path: &Path, euid: u32) -> Result<Option<(String, Facts)>, Failure> {
    let name = shown_path(path);
    let refuse = |message: &str| Failure::new(Kind::Misconfigured, format!("{name}: {message}"));
    if !path.is_absolute() {
        return Err(refuse("a configuration file is named by an absolute path only").hint("write the path out from the root"));
    }
    // The kind is looked at before opening, for opening a pipe would wait for its other end.
    match os::facts_at(path) {
        Ok(None) => return Ok(None),
        Ok(Some(found)) if found.kind != os::Kind::File => return Err(refuse("this is not a regular file")),
        Ok(Some(_)) => {}
        Err(error) => return Err(refuse("cannot look at this configuration file").because(error)),
    }
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(refuse("cannot open this configuration file").because(error)),
    };
    let facts = os::facts_of(&file).map_err(|error| refuse("cannot look at this configuration file").because(error))?;
    check(&facts, euid, &name)?;
    let mut bytes = Vec::new();
    file.take(LIMIT + 1).read_to_end(&mut bytes).map_err(|error| refuse("cannot read this configuration file").because(error))?;
    if bytes.len() as u64 > LIMIT {
        return Err(refuse("a configuration file holds 1 MiB at most"));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let line = error.as_bytes()[..error.utf8_error().valid_up_to()].iter().filter(|byte| **byte == b'\n').count() + 1;
        Failure::new(Kind::Misconfigured, format!("{name}:{line}: this is not UTF-8")).hint("save the file in the encoding UTF-8")
    })?;
    Ok(Some((text, facts)))
}

/// Tells whether nobody but `euid` and root can have written the file.
pub(crate) fn trusted(facts: &Facts, euid: u32) -> bool {
    facts.kind == os::Kind::File && [euid, 0].contains(&facts.owner) && facts.mode & WRITABLE_BY_OTHERS == 0
}

fn check(facts: &Facts, euid: u32, name: &str) -> Result<(), Failure> {
    if trusted(facts, euid) {
        return Ok(());
    }
    let quoted = name.replace('\'', "'\\''");
    Err(if facts.kind != os::Kind::File {
        Failure::new(Kind::Misconfigured, format!("{name}: this is not a regular file"))
    } else if facts.mode & WRITABLE_BY_OTHERS != 0 {
        Failure::new(Kind::Misconfigured, format!("{name}: others may write to this file, and so redirect your sign-ins"))
            .hint(format!("run: chmod go-w '{quoted}'"))
    } else {
        Failure::new(Kind::Misconfigured, format!("{name}: this file belongs to user {}, neither you nor root", facts.owner))
            .hint(format!("if you trust its content, run: sudo chown {euid} '{quoted}'"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        fs,
        io::Write,
        sync::atomic::{AtomicU32, Ordering},
    };

    struct Folder(PathBuf);

    impl Folder {
        fn new() -> Self {
            static COUNT: AtomicU32 = AtomicU32::new(0);
            let name = format!("keyfob-file-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
            let path = std::env::temp_dir().join(name);
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn file(&self, name: &str, content: &[u8]) -> PathBuf {
            let path = self.0.join(name);
            File::create(&path).unwrap().write_all(content).unwrap();
            path
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn facts(owner: u32, mode: u32, kind: os::Kind) -> Facts {
        Facts { owner, mode, links: 1, size: 0, kind, device: 1, inode: 1, mtime_ns: 0, ctime_ns: 0 }
    }

    #[test]
    fn only_files_that_nobody_else_can_write_are_trusted() {
        let cases = [
            (1000, 0o600, os::Kind::File, true),
            (1000, 0o644, os::Kind::File, true),
            (0, 0o644, os::Kind::File, true),
            (0, 0o444, os::Kind::File, true),
            (1001, 0o600, os::Kind::File, false),
            (1000, 0o620, os::Kind::File, false),
            (1000, 0o602, os::Kind::File, false),
            (0, 0o666, os::Kind::File, false),
            (1000, 0o700, os::Kind::Folder, false),
        ];
        for (owner, mode, kind, good) in cases {
            let facts = facts(owner, mode, kind);
            assert_eq!(trusted(&facts, 1000), good, "{owner} {mode:o}");
            assert_eq!(check(&facts, 1000, "/c").is_ok(), good);
        }
    }

    #[test]
    fn the_remedy_can_be_pasted() {
        let failure = check(&facts(1000, 0o666, os::Kind::File), 1000, "/it's/c.toml").unwrap_err();
        assert_eq!(failure.hints, ["run: chmod go-w '/it'\\''s/c.toml'"]);
        let failure = check(&facts(7, 0o600, os::Kind::File), 1000, "/c.toml").unwrap_err();
        assert!(failure.message.contains("user 7"));
        assert_eq!(failure.hints, ["if you trust its content, run: sudo chown 1000 '/c.toml'"]);
    }

    #[test]
    fn a_good_file_is_read_and_a_missing_one_is_none() {
        let folder = Folder::new();
        let path = folder.file("good", b"a = 1\n");
        let (text, found) = read(&path, os::effective_uid()).unwrap().unwrap();
        assert_eq!(text, "a = 1\n");
        assert_eq!(Some(found), os::facts_at(&path).unwrap());
        assert!(read(&folder.0.join("missing"), 0).unwrap().is_none());
        assert!(read(&path.join("below a file"), 0).unwrap().is_none());
    }

    #[test]
    fn what_cannot_be_a_configuration_is_refused_with_its_name() {
        let folder = Folder::new();
        let large = vec![b' '; usize::try_from(LIMIT).unwrap() + 1];
        let refused = [
            (folder.file("large", &large), "1 MiB"),
            (folder.file("latin", b"a = 1\nb = \"\xe4\"\n"), ":2: this is not UTF-8"),
            (folder.0.clone(), "not a regular file"),
            (PathBuf::from("config.toml"), "absolute"),
        ];
        for (path, reason) in refused {
            let failure = read(&path, os::effective_uid()).unwrap_err();
            assert!(failure.message.contains(reason), "{}", failure.message);
            assert!(failure.message.starts_with(&*path.to_string_lossy()), "{}", failure.message);
            assert_eq!(failure.kind, Kind::Misconfigured);
        }
        let exact = folder.file("exact", &large[1..]);
        assert!(read(&exact, os::effective_uid()).is_ok());
    }

    #[test]
    fn somebody_elses_file_is_refused() {
        let folder = Folder::new();
        let path = folder.file("c", b"");
        let owner = os::facts_at(&path).unwrap().unwrap().owner;
        if owner != 0 {
            assert!(read(&path, owner + 1).is_err());
        }
        assert!(read(&path, owner).is_ok());
    }
}
