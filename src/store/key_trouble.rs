//! What is said when the key in use cannot be had.
use super::{SourceKind, Store, meta};
use crate::{
    failure::{Failure, Kind},
    os::shown,
};

impl Store {
    /// The settings name another place than the one where the key is.
    pub(super) fn disagreement(&self) -> Failure {
        let wanted = match (&self.settings.key_file, self.settings.source) {
            (Some(path), _) => format!("the key file `{}`", shown(path)),
            (None, source) => format!("source `{}`", source.map_or("", SourceKind::word)),
        };
        Failure::new(
            Kind::Misconfigured,
            format!("the settings name another place for the key ({wanted}) than the one in use: {}", self.describe_source()),
        )
        .hint("run `keyfob setup key` to move the key there, or take the setting back")
    }

    /// There is no key in the place `kind`, where it should be.
    pub(super) fn missing_key(&self, kind: SourceKind) -> Failure {
        if let Some(failure) = self.foreign() {
            return failure;
        }
        let folder = shown(self.folder.path());
        match kind {
            SourceKind::Kernel => Failure::new(
                Kind::NeedsPerson,
                "the key was only in the kernel's keyring and is gone, as after a restart of this machine",
            )
            .hint("run `keyfob login` again"),
            _ => Failure::new(
                Kind::Misconfigured,
                format!("the key of the records in `{folder}` is missing: {}", self.describe_source()),
            )
            .hint(format!("bring the key back; or, {}", meta::start_anew(&self.folder))),
        }
    }

    /// There is a key, and it is another one.
    pub(super) fn another_key(&self) -> Failure {
        if let Some(failure) = self.foreign() {
            return failure;
        }
        let folder = shown(self.folder.path());
        Failure::new(
            Kind::Misconfigured,
            format!("the records in `{folder}` were sealed with another key than what is there now: {}", self.describe_source()),
        )
        .hint(format!("bring the former key back; or, {}", meta::start_anew(&self.folder)))
    }
}

/// The key is to be given up, and so many records need it.
pub(super) fn still_needed(records: usize, place: &str) -> Failure {
    let records = if records == 1 { "1 record is".to_owned() } else { format!("{records} records are") };
    Failure::new(Kind::Misconfigured, format!("the key cannot be given up: {records} sealed with it ({place})"))
        .hint("run `keyfob logout --all` first, while no setting says `none` yet")
        .hint("what git and docker gave keyfob to keep goes with `git credential reject` and `docker logout`")
}
