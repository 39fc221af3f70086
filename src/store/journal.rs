//! Journals: plain lines that are only ever added, in a file and the one before it. Nothing secret may stand in them.
use super::{Store, lock, to_hex};
use crate::{failure::Failure, os::How};
use helper_protocols::Secret;
use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom, Write},
    path::PathBuf,
    time::Duration,
};

/// Where a new file is begun, in bytes. With the one before it there are never more than twice that and two lines.
const FULL: u64 = 1 << 20;
/// How long others who add or read are waited for: a line takes them microseconds.
const PATIENCE: Duration = Duration::from_secs(2);

impl Store {
    /// Adds `line` to the journal `name`, whole or not at all. A file that is full becomes `NAME.1`, in the place of the one before it.
    ///
    /// What is left of a writer that was killed, or of a line that somebody else began, is ended first: it spoils itself alone.
    ///
    /// # Errors
    /// Misconfigured, if a file is not ours alone or the system refuses; unreachable, if others hold the journal for longer than 2 s.
    pub(crate) fn add_line(&self, name: &str, line: &str) -> Result<(), Failure> {
        let _lock = lock::file(&self.folder, lock_name(name), PATIENCE)?;
        let failed = |error: &io::Error| self.folder.failed("cannot write", name, error);
        let missing = || failed(&io::ErrorKind::NotFound.into());
        let open = || self.folder.open_private(name, How::Lock, u64::MAX)?.ok_or_else(missing);
        let mut file = open()?;
        let mut end = file.seek(SeekFrom::End(0)).map_err(|error| failed(&error))?;
        if end >= FULL {
            // an open file cannot be moved everywhere
            drop(file);
            self.folder.replace(name, &former(name))?;
            file = open()?;
            end = 0;
        }
        let torn = end > 0 && last_byte(&mut file, end).map_err(|error| failed(&error))? != b'\n';
        let text = format!("{}{line}\n", if torn { "\n" } else { "" });
        file.write_all(text.as_bytes()).map_err(|error| {
            // the disk is full in the middle of it: half a line helps nobody
            let _ = file.set_len(end);
            failed(&error)
        })
    }

    /// Returns the lines of the journal `name`, oldest first; what is not text is `None`.
    ///
    /// # Errors
    /// Misconfigured, if a file is not ours alone or cannot be read.
    pub(crate) fn lines(&self, name: &str) -> Result<Vec<Option<String>>, Failure> {
        let exists = |name: &str| !matches!(crate::os::link_facts_at(&self.folder.path().join(name)), Ok(None));
        if !exists(name) && !exists(&former(name)) {
            return Ok(Vec::new());
        }
        // so that no file becomes the former one between two looks; where no lock can be had, reading is still worth it
        let _lock = lock::file(&self.folder, lock_name(name), PATIENCE).ok();
        let mut lines = Vec::new();
        for name in [former(name), name.to_owned()] {
            if let Some(bytes) = self.folder.read(&name, 2 * FULL)? {
                let parts = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
                lines.extend(parts.map(|line| String::from_utf8(line.to_vec()).ok()));
            }
        }
        Ok(lines)
    }

    /// Returns twelve hexadecimal digits that name `secret` in journals: the same for the same one, and beside this store of no use.
    pub(crate) fn name_of(&self, secret: &Secret) -> String {
        to_hex(&self.digest("journal", secret.expose())[..6])
    }

    /// Returns where the journal `name` is.
    pub(crate) fn journal_path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// Leaves the file at its end.
fn last_byte(file: &mut File, end: u64) -> io::Result<u8> {
    let mut byte = [0];
    file.seek(SeekFrom::Start(end - 1))?;
    file.read_exact(&mut byte)?;
    Ok(byte[0])
}

fn former(name: &str) -> String {
    format!("{name}.1")
}

fn lock_name(name: &str) -> String {
    format!("{name}.lock")
}

#[cfg(test)]
mod tests {
    use super::FULL;
    use crate::store::testing::{Place, mode};

    fn texts(lines: Vec<Option<String>>) -> Vec<String> {
        lines.into_iter().map(Option::unwrap).collect()
    }

    #[test]
    fn lines_are_added_by_all_and_read_in_their_order() {
        let place = Place::new();
        let store = place.store();
        assert!(store.lines("log").unwrap().is_empty());
        assert!(!store.journal_path("log.lock").exists(), "looking makes nothing");
        std::thread::scope(|scope| {
            for writer in 0..4 {
                let store = &store;
                scope.spawn(move || (0..25).for_each(|n| store.add_line("log", &format!("{writer} {n}")).unwrap()));
            }
        });
        let lines = texts(store.lines("log").unwrap());
        assert_eq!(lines.len(), 100);
        for writer in 0..4 {
            let mine: Vec<_> = lines.iter().filter(|line| line.starts_with(&format!("{writer} "))).collect();
            assert!(mine.iter().enumerate().all(|(n, line)| **line == format!("{writer} {n}")), "{mine:?}");
        }
        assert_eq!(mode(&store.journal_path("log")), 0o600);
    }

    #[test]
    fn a_full_file_gives_way_to_a_new_one_and_the_last_lines_stay() {
        let place = Place::new();
        let store = place.store();
        let long = "x".repeat(300_000);
        for n in 0..10 {
            store.add_line("log", &format!("{n} {long}")).unwrap();
        }
        let numbers: Vec<char> = texts(store.lines("log").unwrap()).iter().filter_map(|line| line.chars().next()).collect();
        assert_eq!(numbers, ['4', '5', '6', '7', '8', '9']);
        for name in ["log", "log.1"] {
            assert!(std::fs::metadata(store.journal_path(name)).unwrap().len() < FULL + 400_000);
        }
    }

    #[test]
    fn a_secret_has_one_name_in_one_store_and_another_elsewhere() {
        let (here, there) = (Place::new(), Place::new());
        let (here, there) = (here.store(), there.store());
        let secret = |text: &str| helper_protocols::Secret::new(text.to_owned());
        let name = here.name_of(&secret("a token"));
        assert!(name.len() == 12 && name.bytes().all(|byte| byte.is_ascii_hexdigit()), "{name}");
        assert_eq!(here.name_of(&secret("a token")), name);
        assert_ne!(here.name_of(&secret("another")), name);
        assert_ne!(there.name_of(&secret("a token")), name);
        assert_ne!(crate::token::short_hash(&secret("a token")), name, "what git is shown tells nothing of the log");
    }

    #[test]
    fn half_a_line_spoils_itself_alone() {
        let place = Place::new();
        let store = place.store();
        store.add_line("log", "first").unwrap();
        let path = store.journal_path("log");
        let mut bytes = std::fs::read(&path).unwrap();
        bytes.extend(b"tor\xff");
        let mut file = std::fs::File::options().write(true).truncate(true).open(&path).unwrap();
        std::io::Write::write_all(&mut file, &bytes).unwrap();
        store.add_line("log", "second").unwrap();
        assert_eq!(store.lines("log").unwrap(), [Some("first".to_owned()), None, Some("second".to_owned())]);
    }
}
