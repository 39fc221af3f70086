//! The key in a file that a person named.
use super::{Key, Source};
use crate::{
    failure::{Failure, Kind},
    os,
    store::SourceKind,
};
use std::path::PathBuf;
use zeroize::Zeroizing;

/// A key and some white space.
const LIMIT: u64 = 256;

/// A file of a person's choice, for them alone, that holds a key and nothing else.
#[derive(Debug)]
pub(in crate::store) struct FileSource {
    pub(in crate::store) path: PathBuf,
    /// A service manager put it there.
    pub(in crate::store) handed_over: bool,
}

impl Source for FileSource {
    fn kind(&self) -> SourceKind {
        SourceKind::File
    }

    fn load(&self) -> Result<Option<Key>, Failure> {
        let read = if self.handed_over { os::read_handed_over } else { os::read_private };
        let Some(held) = read(&self.path, LIMIT)? else { return Ok(None) };
        Key::read(&held, SourceKind::File).map(Some).ok_or_else(|| {
            Failure::new(Kind::Misconfigured, format!("`{}` does not hold a key", os::shown(&self.path))).hint(
                "a key is 32 bytes, bare or as one line of base64; name a file that does not exist yet and keyfob makes one",
            )
        })
    }

    fn save(&self, key: &Key) -> Result<(), Failure> {
        if self.handed_over {
            let shown = os::shown(&self.path);
            return Err(Failure::new(
                Kind::Misconfigured,
                format!("the credential `{shown}` is gone, and keyfob makes no key there"),
            )
            .hint("see that the unit has `LoadCredential=keyfob:PATH` or `LoadCredentialEncrypted=`"));
        }
        let line = Zeroizing::new(format!("{}\n", *key.text()));
        os::create_private(&self.path, line.as_bytes()).map(drop)
    }

    fn remove(&self) -> Result<(), Failure> {
        os::remove_private(&self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_is_made_where_a_service_manager_hands_keys_over() {
        let path = std::env::temp_dir().join(format!("keyfob-handed-over-{}", std::process::id()));
        let source = |handed_over| FileSource { path: path.clone(), handed_over };
        let key = Key::mint(SourceKind::File).unwrap();
        let failure = source(true).save(&key).unwrap_err();
        assert!(
            failure.message.contains("keyfob makes no key there") && failure.hints[0].contains("LoadCredential"),
            "{failure}"
        );
        assert!(source(true).load().unwrap().is_none());
        source(false).save(&key).unwrap();
        assert_eq!(source(true).load().unwrap().unwrap().id(), key.id());
        std::fs::remove_file(path).unwrap();
    }
}
