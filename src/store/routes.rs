//! The compiled routes: a table in bytes that answers "is this ours, and which record?" without reading the configuration.
//!
//! Layout, numbers little-endian: magic, 32 bytes of check over everything the table depends on and over the rest of it, depth,
//! accounts, number of masks (2 bytes), masks of 5 bytes, number of entries (4 bytes), entries of [`ENTRY`] bytes sorted by their
//! first 16, then the user names. An entry is found by the first half of its key's digest, and its user name is masked with the
//! second, so that the file tells no host, user or login to one who cannot guess it.
use crate::{
    config::{
        file::{Stamp, trusted},
        route::{Mask, Shape, Tool, all_answering, first_match},
    },
    os::Facts,
};
use helper_protocols::Resource;
use std::{
    fmt::Write,
    io,
    path::{Path, PathBuf},
};

const MAGIC: &[u8; 8] = b"keyfobR2";
const CHECK: usize = 32;
const MASK: usize = 5;

/// Hash, record, flags, tool, length of the user name (2 bytes), where it begins (4 bytes).
const ENTRY: usize = 16 + 16 + 1 + 1 + 2 + 4;

/// A configuration changed less than this ago could change again without a new time stamp.
const SETTLED_NS: i128 = 2_000_000_000;

/// Turns a text into 32 bytes that nobody can turn back without this store's salt.
pub(crate) type Digest<'a> = &'a dyn Fn(&str) -> [u8; 32];

/// What a key leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The record that holds the answer.
    pub(crate) record: [u8; 16],
    /// The user name to answer.
    pub(crate) username: String,
    /// [`BEARER`], [`AWS`], [`LATE`], [`NOTED`].
    pub(crate) flags: u8,
    pub(crate) tool: Tool,
}

/// The host takes the token as `Authorization: Bearer`.
pub(crate) const BEARER: u8 = 1;
/// The record is an AWS exchange's.
pub(crate) const AWS: u8 = 2;
/// A refresh ends the access token before it: not before it must be.
pub(crate) const LATE: u8 = 4;
/// Each answer is noted in the audit log.
pub(crate) const NOTED: u8 = 8;

/// What a table depends on besides its content.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting<'a> {
    /// The program's version and build: another one may read a configuration differently.
    pub(crate) version: &'a str,
    /// The user it is for.
    pub(crate) euid: u32,
}

/// A table that holds as long as its configuration stays as it is.
#[derive(Debug)]
pub(crate) struct Compiled {
    bytes: Vec<u8>,
    shape: Shape,
    /// Where the entries begin, and how many there are.
    entries: (usize, usize),
}

/// Returns the table of `entries`, which `sources` define, as bytes for [`Compiled::open`].
///
/// Returns `None` if it could not be trusted later: a configuration changed within the last 2 s before `now_ns` (since the epoch), is
/// not `setting.euid`'s or root's, or is larger than the format can say.
pub(crate) fn compile(
    sources: &[Stamp],
    setting: Setting<'_>,
    shape: &Shape,
    entries: impl Iterator<Item = (String, Entry)>,
    digest: Digest<'_>,
    now_ns: i128,
) -> Option<Vec<u8>> {
    let settled = |facts: &Facts| now_ns - facts.mtime_ns.max(facts.ctime_ns) >= SETTLED_NS;
    if !sources.iter().filter_map(|source| source.facts.as_ref()).all(settled) {
        return None;
    }
    let mut table = Vec::new();
    let mut names = Vec::new();
    for (key, entry) in entries {
        let hash = digest(&key);
        let start = u32::try_from(names.len()).ok()?;
        let length = u16::try_from(entry.username.len()).ok()?;
        names.extend(masked(entry.username.as_bytes(), &key, &hash, digest));
        let mut row = Vec::with_capacity(ENTRY);
        row.extend_from_slice(&hash[..16]);
        row.extend_from_slice(&entry.record);
        row.extend_from_slice(&[entry.flags, tool_byte(entry.tool)]);
        row.extend_from_slice(&length.to_le_bytes());
        row.extend_from_slice(&start.to_le_bytes());
        table.push(row);
    }
    table.sort_unstable();
    let mut body = vec![shape.depth, u8::from(shape.accounts)];
    body.extend_from_slice(&u16::try_from(shape.masks.len()).ok()?.to_le_bytes());
    for mask in &shape.masks {
        body.push(mask.labels);
        body.extend_from_slice(&mask.open.to_le_bytes());
    }
    body.extend_from_slice(&u32::try_from(table.len()).ok()?.to_le_bytes());
    body.extend(table.into_iter().flatten());
    body.extend(names);
    let stamps = sources.iter().map(|source| (source.path.as_path(), source.facts));
    let check = digest(&dependencies(setting, stamps, &body)?);
    Some([&MAGIC[..], &check, &body].concat())
}

impl Compiled {
    /// Returns the table in `bytes` if it was compiled by this version for this user from exactly the files that are at
    /// `config_paths` now, and is whole. `stat` follows links and returns `None` for a missing file.
    pub(crate) fn open(
        bytes: Vec<u8>,
        setting: Setting<'_>,
        config_paths: &[PathBuf],
        stat: impl Fn(&Path) -> io::Result<Option<Facts>>,
        digest: Digest<'_>,
    ) -> Option<Self> {
        let body = bytes.strip_prefix(MAGIC)?.get(CHECK..)?;
        let found = config_paths
            .iter()
            .map(|path| stat(path).map(|facts| (path.as_path(), facts)))
            .collect::<io::Result<Vec<_>>>()
            .ok()?;
        if digest(&dependencies(setting, found.into_iter(), body)?)[..] != bytes[MAGIC.len()..MAGIC.len() + CHECK] {
            return None;
        }
        let masks = usize::from(u16::from_le_bytes(array(body, 2)?));
        let mut shape = Shape { depth: *body.first()?, accounts: *body.get(1)? != 0, masks: Vec::with_capacity(masks) };
        for row in body.get(4..)?.chunks_exact(MASK).take(masks) {
            shape.masks.push(Mask { labels: row[0], open: u32::from_le_bytes(array(row, 1)?) });
        }
        let count = usize::try_from(u32::from_le_bytes(array(body, 4 + masks * MASK)?)).ok()?;
        let start = MAGIC.len() + CHECK + 4 + masks * MASK + 4;
        bytes.get(start..start.checked_add(count.checked_mul(ENTRY)?)?)?;
        Some(Self { bytes, shape, entries: (start, count) })
    }

    /// Returns what answers a request for `resource` in the name of `username`; `None` if nothing that was configured does.
    pub(crate) fn find(&self, resource: &Resource<'_>, username: Option<&str>, digest: Digest<'_>) -> Option<Entry> {
        if self.entries.1 == 0 {
            return None;
        }
        first_match(resource, username, &self.shape, |key| self.entry(key, digest))
    }

    /// Returns what answers git's requests for `resource` in the name of any account and names `username` in the answer, as far as
    /// [`Self::find`] does not tell.
    pub(crate) fn all_answering(&self, resource: &Resource<'_>, username: &str, digest: Digest<'_>) -> Vec<Entry> {
        if self.entries.1 == 0 {
            return Vec::new();
        }
        all_answering(resource, username, &self.shape, |key| self.entry(key, digest))
    }

    /// Whether a key names an account.
    pub(crate) const fn has_accounts(&self) -> bool {
        self.shape.accounts
    }

    fn entry(&self, key: &str, digest: Digest<'_>) -> Option<Entry> {
        let (start, count) = self.entries;
        let (rows, names) = self.bytes.get(start..)?.split_at_checked(count * ENTRY)?;
        let hash = digest(key);
        let (mut low, mut high) = (0, count);
        while low < high {
            let middle = usize::midpoint(low, high);
            let row = rows.get(middle * ENTRY..(middle + 1) * ENTRY)?;
            match row[..16].cmp(&hash[..16]) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => {
                    let start = usize::try_from(u32::from_le_bytes(array(row, 36)?)).ok()?;
                    let length = usize::from(u16::from_le_bytes(array(row, 34)?));
                    let name = masked(names.get(start..start.checked_add(length)?)?, key, &hash, digest);
                    let username = String::from_utf8(name).ok()?;
                    return Some(Entry { record: array(row, 16)?, username, flags: row[32], tool: tool_of(row[33])? });
                }
            }
        }
        None
    }
}

/// Writes out all that a table depends on; `None` if one of the files is not to be trusted.
fn dependencies<'p>(
    setting: Setting<'_>,
    sources: impl Iterator<Item = (&'p Path, Option<Facts>)>,
    body: &[u8],
) -> Option<String> {
    let mut text = format!("table {:?} {} {} {:x}", setting.version, setting.euid, body.len(), fingerprint(body));
    for (path, facts) in sources {
        // Debug output puts quotes around a path and escapes those in it, so that no two lists of paths read the same.
        let written = match facts {
            None => write!(text, "\n{path:?} absent"),
            Some(facts) if !trusted(&facts, setting.euid) => return None,
            Some(facts) => write!(
                text,
                "\n{path:?} {} {} {} {} {} {} {}",
                facts.device, facts.inode, facts.size, facts.mtime_ns, facts.ctime_ns, facts.owner, facts.mode
            ),
        };
        written.ok()?;
    }
    Some(text)
}

/// Returns a number that changes when any one bit of `bytes` does (FNV-1a, eight bytes at a time). It finds damage, not forgery: who
/// can write this file can read the records' key.
fn fingerprint(bytes: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for chunk in bytes.chunks(8) {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        hash = (hash ^ u64::from_le_bytes(word)).wrapping_mul(0x0100_0000_01b3);
    }
    hash
}

/// Masks or unmasks `name`: the first 16 bytes with the second half of its key's digest, each following 32 with one of their own.
fn masked(name: &[u8], key: &str, hash: &[u8; 32], digest: Digest<'_>) -> Vec<u8> {
    let (head, tail) = name.split_at(name.len().min(16));
    let mut out: Vec<u8> = head.iter().zip(&hash[16..]).map(|(byte, mask)| byte ^ mask).collect();
    for (block, bytes) in tail.chunks(32).enumerate() {
        out.extend(bytes.iter().zip(digest(&format!("mask {block} {key}"))).map(|(byte, mask)| byte ^ mask));
    }
    out
}

fn array<const N: usize>(bytes: &[u8], start: usize) -> Option<[u8; N]> {
    bytes.get(start..start.checked_add(N)?)?.try_into().ok()
}

const fn tool_byte(tool: Tool) -> u8 {
    match tool {
        Tool::Git => 0,
        Tool::Docker => 1,
        Tool::Aws => 2,
    }
}

const fn tool_of(byte: u8) -> Option<Tool> {
    match byte {
        0 => Some(Tool::Git),
        1 => Some(Tool::Docker),
        2 => Some(Tool::Aws),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::{Kind, facts_at};
    use std::{fs::File, io::Write as _};

    const NOW: i128 = 1_800_000_000_000_000_000;
    const SETTING: Setting<'_> = Setting { version: "0.1.0 test", euid: 1000 };

    fn digest(text: &str) -> [u8; 32] {
        ring::digest::digest(&ring::digest::SHA256, format!("salt {text}").as_bytes()).as_ref().try_into().unwrap()
    }

    fn config(age_ns: i128) -> Facts {
        Facts {
            owner: 1000,
            mode: 0o600,
            links: 1,
            size: 10,
            kind: Kind::File,
            device: 1,
            inode: 2,
            mtime_ns: NOW - age_ns,
            ctime_ns: NOW - age_ns,
        }
    }

    fn sources(facts: Facts) -> [Stamp; 2] {
        [Stamp { path: "/user.toml".into(), facts: Some(facts) }, Stamp { path: "/system.toml".into(), facts: None }]
    }

    fn stat(facts: Facts) -> impl Fn(&Path) -> io::Result<Option<Facts>> {
        move |path| Ok((path == Path::new("/user.toml")).then_some(facts))
    }

    fn paths() -> Vec<PathBuf> {
        vec!["/user.toml".into(), "/system.toml".into()]
    }

    fn entry(record: u8, username: &str, tool: Tool) -> Entry {
        Entry { record: [record; 16], username: username.into(), flags: record, tool }
    }

    fn long_name() -> String {
        "a-very-long-user-name@".repeat(9)
    }

    fn entries() -> Vec<(String, Entry)> {
        let mut all = vec![
            ("git https://git.example.com".into(), entry(1, "oauth2", Tool::Git)),
            ("git https://alice@git.example.com".into(), entry(2, "alice", Tool::Git)),
            ("git https://git.example.com/team/app".into(), entry(3, &long_name(), Tool::Git)),
            ("docker *.example.com".into(), entry(4, "oauth2", Tool::Docker)),
            ("aws prod".into(), entry(5, "", Tool::Aws)),
        ];
        all.extend((0..40).map(|n| (format!("git https://host{n}.example.net"), entry(9, &format!("user{n}"), Tool::Git))));
        all
    }

    fn shape() -> Shape {
        Shape { depth: 2, accounts: true, masks: vec![Mask { labels: 3, open: 1 }] }
    }

    fn table() -> Vec<u8> {
        compile(&sources(config(SETTLED_NS)), SETTING, &shape(), entries().into_iter(), &digest, NOW).unwrap()
    }

    fn open(bytes: Vec<u8>) -> Option<Compiled> {
        Compiled::open(bytes, SETTING, &paths(), stat(config(SETTLED_NS)), &digest)
    }

    fn url<'a>(host: &'a str, path: &'a str) -> Resource<'a> {
        Resource::Url { protocol: Some("https"), host: Some(host), path: Some(path) }
    }

    #[test]
    fn what_was_compiled_is_found_again_and_nothing_else() {
        let compiled = open(table()).unwrap();
        let cases = [
            (url("GIT.example.com", "x"), None, Some(entry(1, "oauth2", Tool::Git))),
            (url("git.example.com", ""), Some("alice"), Some(entry(2, "alice", Tool::Git))),
            (url("git.example.com", "team/app.git"), Some("alice"), Some(entry(3, &long_name(), Tool::Git))),
            (url("host27.example.net", ""), None, Some(entry(9, "user27", Tool::Git))),
            (url("example.net", ""), None, None),
            (url("git.example.com.evil.net", ""), None, None),
            (Resource::Registry("https://a.example.com/v2/"), None, Some(entry(4, "oauth2", Tool::Docker))),
            (Resource::Registry("a.b.example.com"), None, None),
            (Resource::Profile("prod"), None, Some(entry(5, "", Tool::Aws))),
            (Resource::Profile("dev"), None, None),
            (Resource::Everything, None, None),
        ];
        for (resource, username, found) in cases {
            assert_eq!(compiled.find(&resource, username, &digest), found, "{resource:?} {username:?}");
        }
    }

    #[test]
    fn it_answers_as_the_configuration_does() {
        let text = "[login.a]\nissuer = \"https://sso.example.com\"\nclient_id = \"c\"\n\
                    [git.\"https://alice@one.com\"]\nlogin = \"a\"\n[git.\"https://two.com/team\"]\nlogin = \"a\"\nusername = \"t\"\n\
                    [git.\"https://two.com\"]\nlogin = \"a\"\n[docker.\"*.r.*.example.com\"]\nlogin = \"a\"\nusername = \"d\"\n\
                    [aws.prod]\nlogin = \"a\"\nrole_arn = \"arn:aws:iam::123456789012:role/R\"\n";
        let routes = crate::config::tests::from_texts(&[text]).unwrap().routes;
        let rows = routes.iter().map(|(key, route)| (key.to_owned(), entry(7, &route.username, route.tool)));
        let compiled = open(compile(&sources(config(SETTLED_NS)), SETTING, routes.shape(), rows, &digest, NOW).unwrap()).unwrap();
        let mut answered = 0;
        for host in ["one.com", "ONE.com.", "two.com", "two.com:443", "three.com", "x.r.y.example.com", "x.y.example.com", "prod"]
        {
            for path in ["", "team", "team/app.git", "teamster"] {
                for user in [None, Some("alice"), Some("bob")] {
                    for resource in [url(host, path), Resource::Registry(host), Resource::Profile(host)] {
                        let typed = routes.find(&resource, user).map(|route| entry(7, &route.username, route.tool));
                        answered += usize::from(typed.is_some());
                        assert_eq!(compiled.find(&resource, user, &digest), typed, "{resource:?} {user:?}");
                    }
                }
            }
        }
        assert!(answered > 40, "{answered}");
    }

    #[test]
    fn it_knows_who_answers_under_one_name_as_the_configuration_does() {
        let mut text = "[login.a]\nissuer = \"https://sso.example.com\"\nclient_id = \"c\"\n".to_owned();
        for place in [
            "alice@h.com",
            "bob@h.com",
            "bob@h.com/team",
            "h.com/team/app.git",
            "h.com:8443",
            "carol@one.com",
            "one.net/team",
            "two.com",
            "d%40x@two.com",
        ] {
            text.push_str(&format!("[git.\"https://{place}\"]\nlogin = \"a\"\nusername = \"oauth2\"\n"));
        }
        let routes = crate::config::tests::from_texts(&[&text]).unwrap().routes;
        let known: Vec<&str> = routes.iter().map(|(key, _)| key).collect();
        let number_of = |route: &crate::config::Route| known.iter().position(|key| *key == route.key).unwrap();
        let entry_of = |route: &crate::config::Route| entry(u8::try_from(number_of(route)).unwrap(), &route.username, route.tool);
        let rows = routes.iter().chain(routes.answers()).map(|(key, route)| (key.to_owned(), entry_of(route)));
        let compiled = open(compile(&sources(config(SETTLED_NS)), SETTING, routes.shape(), rows, &digest, NOW).unwrap()).unwrap();
        let mut most = 0;
        for host in ["h.com", "H.com.:443", "h.com:8443", "one.com", "one.net", "two.com", "three.com", "com", ""] {
            for path in ["", "team", "team.git", "team/app", "team/app.git/x", "teamster", "team/../team", "a/b/c"] {
                for user in ["oauth2", "alice", "bob", "d@x", ""] {
                    let typed: Vec<Entry> = routes.answering_as(&url(host, path), user).map(entry_of).collect();
                    let found = compiled.all_answering(&url(host, path), user, &digest);
                    let named = compiled.find(&url(host, path), Some(user), &digest);
                    let is_told = found.is_empty() && typed.iter().all(|one| Some(one) == named.as_ref());
                    assert!(found == typed || is_told, "{host} {path} {user}: {found:?} {typed:?}");
                    most = most.max(found.len());
                }
            }
        }
        assert_eq!(most, 4, "alice, and bob twice, and the place itself");
        for other in [Resource::Registry("h.com"), Resource::Profile("h.com"), Resource::Everything] {
            assert!(compiled.all_answering(&other, "oauth2", &digest).is_empty());
        }
        assert!(routes.answers().all(|(key, _)| key.ends_with("@two.com") || key.contains("@h.com")), "a host with one has none");
    }

    #[test]
    fn no_name_can_be_read_in_the_file() {
        let bytes = table();
        for name in ["git.example", "alice", "oauth2", "a-very-long", "user-name", "user27", "prod", "user.toml"] {
            assert!(!bytes.windows(name.len()).any(|window| window == name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn a_young_configuration_is_not_compiled() {
        let at = |age| compile(&sources(config(age)), SETTING, &shape(), entries().into_iter(), &digest, NOW).is_some();
        assert!(at(SETTLED_NS));
        assert!(!at(SETTLED_NS - 1));
        assert!(!at(-1));
        let touched = Facts { mtime_ns: 0, ..config(1) };
        assert!(compile(&sources(touched), SETTING, &shape(), entries().into_iter(), &digest, NOW).is_none());
    }

    #[test]
    fn somebody_elses_configuration_is_not_compiled_and_not_trusted_later() {
        for foreign in [Facts { owner: 1001, ..config(SETTLED_NS) }, Facts { mode: 0o622, ..config(SETTLED_NS) }] {
            assert!(compile(&sources(foreign), SETTING, &shape(), entries().into_iter(), &digest, NOW).is_none());
            assert!(Compiled::open(table(), SETTING, &paths(), stat(foreign), &digest).is_none());
        }
    }

    #[test]
    fn any_change_of_what_it_depends_on_ends_a_table() {
        let good = config(SETTLED_NS);
        assert!(Compiled::open(table(), SETTING, &paths(), stat(good), &digest).is_some());
        for changed in [
            Facts { device: 9, ..good },
            Facts { inode: 9, ..good },
            Facts { size: 9, ..good },
            Facts { mtime_ns: 9, ..good },
            Facts { ctime_ns: 9, ..good },
            Facts { owner: 0, ..good },
            Facts { mode: 0o644, ..good },
            Facts { kind: Kind::Folder, ..good },
        ] {
            assert!(Compiled::open(table(), SETTING, &paths(), stat(changed), &digest).is_none(), "{changed:?}");
        }
        let refused = [
            Compiled::open(table(), Setting { version: "0.1.1", ..SETTING }, &paths(), stat(good), &digest),
            Compiled::open(table(), Setting { euid: 0, ..SETTING }, &paths(), stat(good), &digest),
            Compiled::open(table(), SETTING, &paths()[..1], stat(good), &digest),
            Compiled::open(table(), SETTING, &["/other.toml".into(), "/system.toml".into()], stat(good), &digest),
            Compiled::open(table(), SETTING, &paths(), |_| Ok(Some(good)), &digest),
            Compiled::open(table(), SETTING, &paths(), |_| Ok(None), &digest),
            Compiled::open(table(), SETTING, &paths(), |_| Err(io::ErrorKind::PermissionDenied.into()), &digest),
            Compiled::open(table(), SETTING, &paths(), stat(good), &|text| digest(&format!("other {text}"))),
        ];
        assert!(refused.iter().all(Option::is_none));
    }

    #[test]
    fn a_damaged_table_is_none() {
        let bytes = table();
        for length in 0..bytes.len() {
            assert!(open(bytes[..length].to_vec()).is_none(), "cut at {length}");
        }
        for place in 0..bytes.len() {
            for flip in [1, 0x80, 0xff] {
                let mut damaged = bytes.clone();
                damaged[place] ^= flip;
                assert!(open(damaged).is_none(), "flipped {flip:x} at {place}");
            }
        }
        assert!(open([&bytes[..], b"x"].concat()).is_none());
    }

    /// Damage under a check that fits, as a defect of the compiler could write it: nothing may panic.
    #[test]
    fn a_wrong_table_with_a_right_check_does_not_panic() {
        let bytes = table();
        let facts = config(SETTLED_NS);
        let seal = |body: &[u8]| {
            let stamps = [(Path::new("/user.toml"), Some(facts)), (Path::new("/system.toml"), None)];
            let check = digest(&dependencies(SETTING, stamps.into_iter(), body).unwrap());
            open([&MAGIC[..], &check, body].concat())
        };
        let ask = |compiled: Option<Compiled>| {
            let Some(compiled) = compiled else { return };
            for (key, _) in entries().iter().take(8) {
                let _ = compiled.entry(key, &digest);
            }
            let _ = compiled.find(&Resource::Registry("a.example.com"), None, &digest);
        };
        let body = &bytes[MAGIC.len() + CHECK..];
        assert!(seal(body).is_some());
        for length in (0..300).chain(body.len() - 300..body.len()) {
            ask(seal(&body[..length]));
        }
        for place in 0..body.len() {
            let mut damaged = body.to_vec();
            damaged[place] ^= 0xff;
            ask(seal(&damaged));
        }
    }

    #[test]
    fn nothing_configured_compiles_to_a_table_that_finds_nothing() {
        let absent = [Stamp { path: "/user.toml".into(), facts: None }];
        let bytes = compile(&absent, SETTING, &Shape::default(), std::iter::empty(), &digest, NOW).unwrap();
        let compiled = Compiled::open(bytes, SETTING, &["/user.toml".into()], |_| Ok(None), &digest).unwrap();
        let never = |_: &str| -> [u8; 32] { panic!("an empty table needs no hash") };
        assert_eq!(compiled.find(&url("github.com", ""), None, &never), None);
    }

    #[test]
    fn a_real_file_is_held_against_its_stamp() {
        let path = std::env::temp_dir().join(format!("keyfob-routes-{}", std::process::id()));
        let mut file = File::create(&path).unwrap();
        file.write_all(b"a = 1\n").unwrap();
        let found = facts_at(&path).unwrap().unwrap();
        let setting = Setting { version: "x", euid: found.owner };
        let stamps = [Stamp { path: path.clone(), facts: Some(found) }];
        let late = found.mtime_ns + SETTLED_NS;
        let bytes = compile(&stamps, setting, &Shape::default(), std::iter::empty(), &digest, late).unwrap();
        let again = || Compiled::open(bytes.clone(), setting, std::slice::from_ref(&path), facts_at, &digest).is_some();
        assert!(again());
        file.write_all(b"b = 2\n").unwrap();
        assert!(!again());
        std::fs::remove_file(&path).unwrap();
        assert!(!again());
    }
}
