//! A TOML document read strictly: every fault names the file, the line and what was expected there.
use crate::failure::{Failure, Kind};
use std::path::{Path, PathBuf};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

/// Longer text from a file is cut before it goes into a message.
const SHOWN: usize = 80;

/// Where a document came from, for messages.
#[derive(Clone, Debug)]
pub(super) struct Source<'t> {
    pub(super) path: PathBuf,
    pub(super) text: &'t str,
}

/// A value with the place it stands at.
#[derive(Clone, Debug)]
pub(super) struct Located<'t, T> {
    pub(super) value: T,
    source: &'t Source<'t>,
    offset: usize,
}

/// One table of a document.
pub(super) type Section<'t> = Located<'t, &'t DeTable<'t>>;

type Value<'t> = Located<'t, &'t DeValue<'t>>;

impl<'t> Source<'t> {
    /// Parses the document.
    ///
    /// # Errors
    /// [`Kind::Misconfigured`] with the line of the first syntax error.
    pub(super) fn parse(&self) -> Result<Spanned<DeTable<'_>>, Failure> {
        DeTable::parse(self.text).map_err(|error| {
            let offset = error.span().map_or(0, |span| span.start);
            self.fault(offset, &format!("this is not TOML: {}", printable(error.message())))
        })
    }

    fn fault(&self, offset: usize, message: &str) -> Failure {
        Failure::new(Kind::Misconfigured, format!("{}:{}: {message}", shown_path(&self.path), self.line(offset)))
    }

    fn line(&self, offset: usize) -> usize {
        self.text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
    }
}

impl<'t, T> Located<'t, T> {
    /// Places `value` at `offset` of `source`.
    pub(super) const fn new(source: &'t Source<'t>, offset: usize, value: T) -> Self {
        Self { value, source, offset }
    }

    /// Returns `value` at the same place.
    pub(super) const fn with<U>(&self, value: U) -> Located<'t, U> {
        Located { value, source: self.source, offset: self.offset }
    }

    /// Returns the line it stands at, from 1.
    pub(super) fn line(&self) -> usize {
        self.source.line(self.offset)
    }

    /// Returns a failure that names the file and the line. Text from the file must be [`printable`] before it goes into `message`.
    pub(super) fn fault(&self, message: &str) -> Failure {
        self.source.fault(self.offset, message)
    }

    /// Tells whether both come from one file.
    pub(super) fn same_file<U>(&self, other: &Located<'_, U>) -> bool {
        self.source.path == other.source.path
    }

    /// Converts the value; a refusal is reported at its place.
    ///
    /// # Errors
    /// What `read` returned, with file and line in front.
    pub(super) fn read<U>(&self, read: impl FnOnce(&T) -> Result<U, String>) -> Result<U, Failure> {
        read(&self.value).map_err(|message| self.fault(&message))
    }
}

impl<'t> Section<'t> {
    /// Refuses keys other than `known`.
    ///
    /// # Errors
    /// Names the first unknown key, its line, and the known key that is nearest.
    pub(super) fn allow(&self, known: &[&str]) -> Result<(), Failure> {
        let stranger =
            self.value.keys().filter(|key| !known.contains(&key.get_ref().as_ref())).min_by_key(|key| key.span().start);
        let Some(key) = stranger else { return Ok(()) };
        let fault = self.source.fault(key.span().start, &format!("there is no key `{}` here", printable(key.get_ref())));
        Err(match nearest(key.get_ref(), known.iter().copied()) {
            Some(name) => fault.hint(format!("did you mean `{name}`?")),
            None => fault.hint(format!("known here: {}", known.join(", "))),
        })
    }

    /// Returns the place of the value under `name`, or of the table where there is none: for faults that concern it.
    pub(super) fn at(&self, name: &str) -> Located<'t, ()> {
        self.item(name).map_or_else(|| self.with(()), |item| item.with(()))
    }

    fn item(&self, name: &str) -> Option<Value<'t>> {
        let (_, value) = self.value.iter().find(|(key, _)| key.get_ref() == name)?;
        Some(Located { value: value.get_ref(), source: self.source, offset: value.span().start })
    }

    /// Returns the string under `name`.
    ///
    /// # Errors
    /// If it is something else, or empty.
    pub(super) fn text(&self, name: &str) -> Result<Option<Located<'t, &'t str>>, Failure> {
        self.item(name).map(|item| text_of(&item, &format!("`{name}` must be a string in quotes"))).transpose()
    }

    /// Returns the strings under `name`.
    ///
    /// # Errors
    /// If it is anything but an array of strings that are not empty.
    pub(super) fn texts(&self, name: &str) -> Result<Option<Vec<Located<'t, &'t str>>>, Failure> {
        let expected = format!("`{name}` must be a list of strings, as [\"a\", \"b\"]");
        self.items(name, &expected)?.map(|items| items.iter().map(|item| text_of(item, &expected)).collect()).transpose()
    }

    /// Returns the whole number under `name`.
    ///
    /// # Errors
    /// If it is something else, or outside `range`.
    pub(super) fn number(&self, name: &str, range: std::ops::RangeInclusive<u32>) -> Result<Option<u32>, Failure> {
        let expected = format!("`{name}` must be a whole number from {} to {}", range.start(), range.end());
        self.item(name).map(|item| number_of(&item, &range, &expected)).transpose()
    }

    /// Returns the whole numbers under `name`.
    ///
    /// # Errors
    /// If it is anything but an array of whole numbers within `range`.
    pub(super) fn numbers(&self, name: &str, range: std::ops::RangeInclusive<u32>) -> Result<Option<Vec<u32>>, Failure> {
        let expected = format!("`{name}` must be a list of whole numbers from {} to {}", range.start(), range.end());
        self.items(name, &expected)?
            .map(|items| items.iter().map(|item| number_of(item, &range, &expected)).collect())
            .transpose()
    }

    /// Returns the yes or no under `name`.
    ///
    /// # Errors
    /// If it is something else.
    pub(super) fn flag(&self, name: &str) -> Result<Option<bool>, Failure> {
        self.item(name)
            .map(|item| match item.value {
                DeValue::Boolean(flag) => Ok(*flag),
                _ => Err(item.fault(&format!("`{name}` must be true or false, without quotes"))),
            })
            .transpose()
    }

    /// Returns the one of `words` under `name` by its place in `words`.
    ///
    /// # Errors
    /// If it is none of them.
    pub(super) fn word<T: Copy>(&self, name: &str, words: &[(&str, T)]) -> Result<Option<T>, Failure> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        words.iter().find(|(word, _)| *word == text.value).map(|(_, meaning)| Some(*meaning)).ok_or_else(|| {
            let list: Vec<_> = words.iter().map(|(word, _)| format!("\"{word}\"")).collect();
            text.fault(&format!("`{name}` must be {}, not \"{}\"", list.join(" or "), printable(text.value)))
        })
    }

    /// Returns the table under `name`.
    ///
    /// # Errors
    /// If it is something else.
    pub(super) fn section(&self, name: &str) -> Result<Option<Section<'t>>, Failure> {
        let Some((key, value)) = self.value.iter().find(|(key, _)| key.get_ref() == name) else { return Ok(None) };
        match value.get_ref() {
            DeValue::Table(table) => Ok(Some(Located { value: table, source: self.source, offset: key.span().start })),
            _ => Err(self.source.fault(value.span().start, &format!("`{name}` must be a table"))),
        }
    }

    /// Returns the tables under `name` with their own names, in the order of the file: `[login.corp]` is `corp` under `login`.
    ///
    /// # Errors
    /// If something under `name` is not a table.
    pub(super) fn sections(&self, name: &str) -> Result<Vec<(&'t str, Section<'t>)>, Failure> {
        let Some(parent) = self.section(name)? else { return Ok(Vec::new()) };
        let mut found = Vec::new();
        for (key, value) in parent.value {
            let offset = key.span().start;
            match value.get_ref() {
                DeValue::Table(table) => {
                    found.push((key.get_ref().as_ref(), Located { value: table, source: self.source, offset }));
                }
                _ => {
                    let named = printable(key.get_ref());
                    return Err(self.source.fault(offset, &format!("`{name}.{named}` must be a table: `[{name}.NAME]`")));
                }
            }
        }
        found.sort_by_key(|(_, section)| section.offset);
        Ok(found)
    }

    fn items(&self, name: &str, expected: &str) -> Result<Option<Vec<Value<'t>>>, Failure> {
        let Some(item) = self.item(name) else { return Ok(None) };
        let DeValue::Array(array) = item.value else { return Err(item.fault(expected)) };
        Ok(Some(
            array
                .iter()
                .map(|value| Located { value: value.get_ref(), source: self.source, offset: value.span().start })
                .collect(),
        ))
    }
}

fn text_of<'t>(item: &Value<'t>, expected: &str) -> Result<Located<'t, &'t str>, Failure> {
    match item.value {
        DeValue::String(text) if text.is_empty() => Err(item.fault(&format!("{expected}, and not empty"))),
        DeValue::String(text) if text.chars().any(char::is_control) => {
            Err(item.fault(&format!("{expected}, without control characters")))
        }
        DeValue::String(text) => Ok(item.with(text.as_ref())),
        _ => Err(item.fault(expected)),
    }
}

fn number_of(item: &Located<'_, &DeValue<'_>>, range: &std::ops::RangeInclusive<u32>, expected: &str) -> Result<u32, Failure> {
    let number = match item.value {
        DeValue::Integer(number) => u32::from_str_radix(number.as_str(), number.radix()).ok(),
        _ => None,
    };
    number.filter(|number| range.contains(number)).ok_or_else(|| item.fault(expected))
}

/// Returns `text` as a message may show it: without control and direction characters, and cut.
pub(super) fn printable(text: &str) -> String {
    let hidden = |c: &char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{61c}')
    };
    let mut kept = text.chars().filter(|c| !hidden(c));
    let mut shown: String = kept.by_ref().take(SHOWN).collect();
    if kept.next().is_some() {
        shown.push('…');
    }
    shown
}

/// Returns `path` as a message may show it: whole, because it has to be found again, but without control characters.
pub(super) fn shown_path(path: &Path) -> String {
    path.to_string_lossy().chars().filter(|c| !c.is_control()).collect()
}

/// Returns the one of `known` that a slip of the hand could have turned into `word`, or that begins with it.
pub(super) fn nearest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let length = word.chars().count();
    if length > SHOWN {
        return None;
    }
    // Two letters that changed places count as two slips.
    let slips = if length < 4 { 1 } else { (length / 3).max(2) };
    known
        .into_iter()
        .map(|name| (if length > 2 && name.starts_with(word) { 1 } else { distance(word, name) }, name))
        .filter(|(distance, _)| *distance <= slips)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// Returns how many letters have to be put in, taken out or changed to make `b` of `a`.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let changed = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_a_slip_away_or_none() {
        let known = ["client_id", "client_secret_file", "scopes", "issuer"];
        assert_eq!(nearest("scpes", known), Some("scopes"));
        assert_eq!(nearest("clientid", known), Some("client_id"));
        assert_eq!(nearest("isuer", known), Some("issuer"));
        assert_eq!(nearest("client", known), Some("client_id"));
        assert_eq!(nearest("sceops", known), Some("scopes"));
        assert_eq!(nearest("zzz", known), None);
        assert_eq!(nearest("", known), None);
        assert_eq!(nearest(&"x".repeat(5000), known), None);
    }

    #[test]
    fn the_distance_counts_single_letters() {
        for (a, b, steps) in [("", "", 0), ("a", "", 1), ("kitten", "sitting", 3), ("flaw", "lawn", 2), ("ä", "a", 1)] {
            assert_eq!(distance(a, b), steps, "{a} {b}");
            assert_eq!(distance(b, a), steps, "{b} {a}");
        }
    }

    #[test]
    fn text_from_a_file_is_shown_without_tricks_and_cut() {
        assert_eq!(printable("a\u{1b}[31mb\u{202e}c\r\n\u{200b}d\u{85}"), "a[31mbcd");
        assert_eq!(printable(&"x".repeat(81)), format!("{}…", "x".repeat(80)));
        assert_eq!(printable(&"x".repeat(80)), "x".repeat(80));
        assert_eq!(shown_path(Path::new("/a\u{1b}/b\n")), "/a/b");
    }

    #[test]
    fn every_reader_says_what_it_expected_and_on_which_line() {
        let text = "a = 1\n\nb = \"\"\nc = [1, \"x\"]\nd = 70000\ne = \"yes\"\nf = \"\\u001b\"\n[g]\nh = 1\n";
        let source = Source { path: "/c.toml".into(), text };
        let parsed = source.parse().unwrap();
        let root = Located::new(&source, 0, parsed.get_ref());
        let words = [("on", 1), ("off", 0)];
        let faults = [
            root.text("a").unwrap_err(),
            root.text("b").unwrap_err(),
            root.texts("c").unwrap_err(),
            root.texts("a").unwrap_err(),
            root.number("d", 1..=65535).unwrap_err(),
            root.number("e", 1..=65535).unwrap_err(),
            root.numbers("c", 1..=65535).unwrap_err(),
            root.flag("e").unwrap_err(),
            root.word("e", &words).unwrap_err(),
            root.text("f").unwrap_err(),
            root.section("a").unwrap_err(),
            root.sections("g").unwrap_err(),
            root.allow(&["a", "b", "c", "d", "e", "f"]).unwrap_err(),
        ];
        let expected = [
            "/c.toml:1: `a` must be a string in quotes",
            "/c.toml:3: `b` must be a string in quotes, and not empty",
            "/c.toml:4: `c` must be a list of strings, as [\"a\", \"b\"]",
            "/c.toml:1: `a` must be a list of strings, as [\"a\", \"b\"]",
            "/c.toml:5: `d` must be a whole number from 1 to 65535",
            "/c.toml:6: `e` must be a whole number from 1 to 65535",
            "/c.toml:4: `c` must be a list of whole numbers from 1 to 65535",
            "/c.toml:6: `e` must be true or false, without quotes",
            "/c.toml:6: `e` must be \"on\" or \"off\", not \"yes\"",
            "/c.toml:7: `f` must be a string in quotes, without control characters",
            "/c.toml:1: `a` must be a table",
            "/c.toml:9: `g.h` must be a table: `[g.NAME]`",
            "/c.toml:8: there is no key `g` here",
        ];
        for (fault, expected) in faults.iter().zip(expected) {
            assert_eq!(fault.message, expected);
            assert_eq!(fault.kind, Kind::Misconfigured);
        }
        assert_eq!(root.number("a", 0..=9).unwrap(), Some(1));
        assert_eq!(root.flag("absent").unwrap(), None);
    }

    #[test]
    fn a_syntax_error_names_its_line() {
        let source = Source { path: "/c.toml".into(), text: "a = 1\nb = = 2\n" };
        assert!(source.parse().unwrap_err().message.starts_with("/c.toml:2: this is not TOML: "));
        let source = Source { path: "/c.toml".into(), text: "a = 1\na = 2\n" };
        assert!(source.parse().unwrap_err().message.starts_with("/c.toml:2: "));
    }
}
