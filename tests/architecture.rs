//! Checks the table in ARCHITECTURE.md against the source: every file has a row, uses only layers below its own, and owns what it owns.
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

/// The most code lines of a file, without comments, blank lines and its tests.
const FILE: usize = 300;
/// The most lines of a function.
const FUNCTION: usize = 60;

struct Row {
    layer: usize,
    owns: Vec<String>,
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Reads the table: `| layer | file | its one job | sole owner of |`, names in backticks, several files as separate words.
fn rows() -> BTreeMap<String, Row> {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md is there");
    let mut rows = BTreeMap::new();
    for line in text.lines().filter(|line| line.starts_with("| ") && line[2..].starts_with(|c: char| c.is_ascii_digit())) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let layer = cells[0].parse().expect("a layer is a number");
        let owns = backticked(cells[3]);
        for file in backticked(cells[1]) {
            assert!(rows.insert(file.clone(), Row { layer, owns: owns.clone() }).is_none(), "{file} has two rows");
        }
    }
    assert!(rows.len() > 40, "the table was not found");
    rows
}

fn backticked(cell: &str) -> Vec<String> {
    cell.split('`').skip(1).step_by(2).map(ToOwned::to_owned).collect()
}

fn sources() -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root().join("src"), root().join("helper-protocols/src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a source folder can be read") {
            let path = entry.expect("an entry can be read").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let name = path.strip_prefix(root()).expect("below the root").to_string_lossy().replace('\\', "/");
                found.insert(name, fs::read_to_string(&path).expect("a source file can be read"));
            }
        }
    }
    found
}

/// The sources without files of nothing but tests.
fn program() -> BTreeMap<String, String> {
    sources().into_iter().filter(|(name, _)| !name.ends_with("/tests.rs")).collect()
}

/// The text without comments and without the tests at its end.
fn code(text: &str) -> String {
    let end = text.find("\n#[cfg(test)]\n").unwrap_or(text.len());
    let lines = text[..end].lines().map(|line| if line.trim_start().starts_with("//") { "" } else { line });
    lines.collect::<Vec<_>>().join("\n")
}

/// The file that `crate::a::b` names, as deep as files go.
fn file_of(path: &[&str], sources: &BTreeMap<String, String>) -> Option<String> {
    let mut found = None;
    for depth in 1..=path.len() {
        let stem = format!("src/{}", path[..depth].join("/"));
        for name in [format!("{stem}.rs"), format!("{stem}/mod.rs")] {
            if sources.contains_key(&name) {
                found = Some(name);
            }
        }
    }
    found
}

/// Every `crate::…` in the code, `{…}` lists opened one level.
fn uses(code: &str) -> BTreeSet<Vec<String>> {
    let mut found = BTreeSet::new();
    for (start, _) in code.match_indices("crate::") {
        let rest = &code[start + 7..];
        let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':')).unwrap_or(rest.len());
        let head: Vec<String> = rest[..end].split("::").filter(|word| !word.is_empty()).map(ToOwned::to_owned).collect();
        if rest[end..].starts_with('{') {
            let list = &rest[end + 1..rest[end..].find('}').map_or(rest.len(), |close| end + close)];
            for item in list.split(',') {
                let item = item.split_whitespace().next().unwrap_or_default();
                let tail = item.split("::").filter(|word| !word.is_empty() && *word != "{").map(ToOwned::to_owned);
                found.insert(head.iter().cloned().chain(tail).collect());
            }
        } else {
            found.insert(head);
        }
    }
    found
}

#[test]
fn every_file_has_a_row_and_every_row_a_file() {
    let (rows, sources) = (rows(), sources());
    for name in sources.keys() {
        assert!(rows.contains_key(name), "{name} has no row in ARCHITECTURE.md");
    }
    for name in rows.keys() {
        assert!(sources.contains_key(name) || root().join(name).exists(), "{name} has a row and is not there");
    }
}

#[test]
fn a_file_uses_only_layers_below_its_own_and_its_siblings() {
    let (rows, sources) = (rows(), program());
    for (name, text) in sources.iter().filter(|(name, _)| name.starts_with("src/")) {
        assert!(!code(text).contains("super::super"), "{name} climbs with super::super; name the module from the crate's root");
        for path in uses(&code(text)) {
            let words: Vec<&str> = path.iter().map(String::as_str).collect();
            let Some(used) = file_of(&words, &sources).filter(|used| used != name) else { continue };
            let (own, other) = (&rows[name], &rows[&used]);
            let room = |name: &str| name.split('/').nth(1).filter(|room| !room.ends_with(".rs")).map(ToOwned::to_owned);
            let siblings = room(name).is_some() && room(name) == room(&used);
            assert!(other.layer < own.layer || siblings, "{name} (layer {}) uses {used} (layer {})", own.layer, other.layer);
        }
    }
}

#[test]
fn what_has_an_owner_is_used_by_nobody_else() {
    let (rows, sources) = (rows(), program());
    let mut owners: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, row) in &rows {
        for owned in &row.owns {
            owners.entry(owned).or_default().push(name);
        }
    }
    for (owned, names) in &owners {
        for (name, text) in sources.iter().filter(|(name, _)| name.starts_with("src/")) {
            let used = code(text).lines().any(|line| line.contains(owned));
            assert!(!used || names.contains(&name.as_str()), "{name} uses `{owned}`, which belongs to {names:?}");
        }
        assert!(
            names.iter().any(|name| sources.get(*name).is_some_and(|text| text.contains(owned))),
            "nobody uses `{owned}` any more"
        );
    }
}

#[test]
fn secrets_are_exposed_only_where_they_have_to_leave() {
    let allowed = [
        "src/oauth/",
        "src/exchange/",
        "src/store/",
        "src/http",
        "src/token.rs",
        "src/commands/token.rs",
        "helper-protocols/",
        "src/login/browser.rs",
        // an address that has to be carried
        "src/login/pending.rs",
    ];
    for (name, text) in program() {
        let exposes = code(&text).contains(".expose()");
        assert!(!exposes || allowed.iter().any(|prefix| name.starts_with(prefix)), "{name} exposes a secret");
    }
}

#[test]
fn files_and_functions_are_small() {
    for (name, text) in program() {
        assert!(text.starts_with("//!"), "{name} does not say its job first");
        let code = code(&text);
        let lines = code.lines().filter(|line| !line.trim().is_empty()).count();
        assert!(lines <= FILE, "{name} has {lines} code lines");
        let mut begun: Option<(usize, String, usize)> = None;
        for (number, line) in code.lines().enumerate() {
            let indent = line.len() - line.trim_start().len();
            let head = line.trim_start();
            if begun.is_none() && (head.starts_with("fn ") || head.contains(" fn ")) && line.trim_end().ends_with('{') {
                begun = Some((number, head.to_owned(), indent));
            } else if let Some((start, function, depth)) = &begun
                && line.starts_with(&format!("{}}}", " ".repeat(*depth)))
            {
                let length = number - start + 1;
                assert!(length <= FUNCTION, "{name}: `{function}` has {length} lines");
                begun = None;
            }
        }
    }
}

#[test]
fn nothing_outside_tests_can_be_forgotten_or_panic_on_data() {
    for (name, text) in program() {
        let code = code(&text);
        for forbidden in [".unwrap()", "todo!(", "unimplemented!(", "dbg!("] {
            assert!(!code.contains(forbidden), "{name} has {forbidden}");
        }
    }
}
