//! Which folder holds this machine's records, so that a home shared by several machines never mixes them.
use super::{Settings, from_hex, meta, random, to_hex};
use crate::{
    failure::{Failure, Kind},
    os::{self, Folder},
};
use ring::digest;
use std::path::{Path, PathBuf};

/// The file that holds the name of a machine that has none by itself.
const MACHINE: &str = "machine";

/// Tells backup programs that they may leave the folder out; the text is laid down by the Cache Directory Tagging Specification.
const CACHE_TAG: (&str, &[u8]) =
    ("CACHEDIR.TAG", b"Signature: 8a477f597d28d172789f06886806bc55\n# keyfob's records open on this machine alone.\n");

/// The folder of this machine's records.
pub(super) struct Place {
    pub(super) folder: Folder,
    /// The machine's name.
    pub(super) machine: String,
    /// Whether that name was made up by us.
    pub(super) is_ours: bool,
}

/// Opens the folder of this machine's records; `None` if there is none.
pub(super) fn find(settings: &Settings) -> Result<Option<Place>, Failure> {
    let base = base(settings)?;
    let (machine, is_ours) = match &settings.machine_id {
        Some(id) => (id.clone(), false),
        None => match read_machine(&base)? {
            Some(id) => (id, true),
            None => return Ok(None),
        },
    };
    Ok(Folder::open(&base.join(tag(&machine)))?.map(|folder| Place { folder, machine, is_ours }))
}

/// Opens the folder of this machine's records, making it where there is none.
pub(super) fn make(settings: &Settings) -> Result<Place, Failure> {
    let base = base(settings)?;
    Folder::open_or_create(&base)?;
    let (machine, is_ours) = match &settings.machine_id {
        Some(id) => (id.clone(), false),
        None => (make_machine(&base)?, true),
    };
    let folder = Folder::open_or_create(&base.join(tag(&machine)))?;
    let (name, text) = CACHE_TAG;
    if folder.read(name, 1024)?.is_none() {
        os::create_private(&folder.path().join(name), text)?;
    }
    Ok(Place { folder, machine, is_ours })
}

/// Returns a sentence where records of another machine lie beside the folder of this one, as in a home that was copied or is shared.
pub(crate) fn others_beside(settings: &Settings) -> Option<String> {
    let base = base(settings).ok()?;
    let machine = settings.machine_id.clone().or_else(|| read_machine(&base).ok()?);
    let own = machine.as_deref().map(tag);
    let is_another = |name: &str| {
        from_hex::<8>(name).is_some()
            && own.as_deref() != Some(name)
            && matches!(os::link_facts_at(&base.join(name).join(meta::NAME)), Ok(Some(_)))
    };
    let found = std::fs::read_dir(&base).ok()?.flatten().any(|entry| entry.file_name().to_str().is_some_and(is_another));
    found.then(|| format!("`{}` also holds records of another machine, which open there alone", os::shown(&base)))
}

fn base(settings: &Settings) -> Result<PathBuf, Failure> {
    if settings.state_dir.is_absolute() {
        return Ok(settings.state_dir.join("v1"));
    }
    let shown = os::shown(&settings.state_dir);
    Err(Failure::new(Kind::Misconfigured, format!("the folder for records `{shown}` is not an absolute path"))
        .hint("set KEYFOB_STATE_DIR to a path that begins at the root"))
}

/// Returns the name of the folder for `machine`, which gives that name away to nobody.
fn tag(machine: &str) -> String {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(b"keyfob");
    context.update(machine.as_bytes());
    to_hex(&context.finish().as_ref()[..8])
}

fn read_machine(base: &Path) -> Result<Option<String>, Failure> {
    let Some(folder) = Folder::open(base)? else { return Ok(None) };
    let Some(bytes) = folder.read(MACHINE, 64)? else { return Ok(None) };
    match std::str::from_utf8(&bytes).map(str::trim) {
        Ok(id) if id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()) => Ok(Some(id.to_owned())),
        _ => {
            let shown = os::shown(&base.join(MACHINE));
            Err(Failure::new(Kind::Misconfigured, format!("`{shown}`, which names this machine, is damaged"))
                .hint("restore it, or remove it and run `keyfob login` again"))
        }
    }
}

fn make_machine(base: &Path) -> Result<String, Failure> {
    if let Some(id) = read_machine(base)? {
        return Ok(id);
    }
    os::create_private(&base.join(MACHINE), to_hex(&random::<16>()?).as_bytes())?;
    // somebody else's may have come first
    read_machine(base)?.ok_or_else(|| {
        let shown = os::shown(&base.join(MACHINE));
        Failure::new(Kind::Misconfigured, format!("`{shown}` vanished while it was made")).hint("try again")
    })
}
