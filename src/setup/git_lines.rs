//! keyfob's lines in git's configuration: each carries a mark, is added at the end, and is taken out without touching another.
//!
//! The end is where they count: git adds up the helpers in the order of the files, and an empty one forgets those before it.

/// Ends each line of ours; git reads it as a comment (git-config(1), "Syntax").
const MARK: &[u8] = b" # keyfob setup git";
/// The first line of a file that there was none of before.
const MADE: &[u8] = b"# file made by keyfob setup git";
const BLANK: &[u8] = b" \t";

/// A section of ours: its header, and its lines without indentation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Section {
    /// As `[credential "https://git.example.com"]`.
    pub(crate) header: Vec<u8>,
    pub(crate) lines: Vec<Vec<u8>>,
}

impl Section {
    /// Returns the section `name` for `url`, which holds neither quotes nor backslashes; that for all URLs where there is none.
    pub(crate) fn new(name: &str, url: Option<&str>, lines: Vec<Vec<u8>>) -> Self {
        let header = url.map_or_else(|| format!("[{name}]"), |url| format!("[{name} \"{url}\"]"));
        Self { header: header.into_bytes(), lines }
    }

    /// Returns the URL of a section called `name`: `None` for another one, and `Some(None)` for that of all URLs.
    pub(crate) fn url(&self, name: &str) -> Option<Option<String>> {
        let inner = std::str::from_utf8(&self.header).ok()?.strip_prefix('[')?.strip_suffix(']')?;
        let rest = inner.strip_prefix(name)?;
        if rest.is_empty() {
            return Some(None);
        }
        let url = rest.strip_prefix(" \"")?.strip_suffix('"').filter(|url| !url.contains('"'))?;
        Some(Some(url.to_owned()))
    }
}

/// A line of a file.
#[derive(Clone, Copy)]
struct Line<'t> {
    /// Without what ends it.
    body: &'t [u8],
    /// `\n`, `\r\n`, or nothing at the end of the file.
    end: &'t [u8],
    /// The content of a line of ours.
    ours: Option<&'t [u8]>,
}

impl Line<'_> {
    fn is_header(&self) -> bool {
        trim(self.body).starts_with(b"[")
    }

    /// Whether git reads anything in it.
    fn is_empty(&self) -> bool {
        matches!(trim(self.body).first(), None | Some(b'#' | b';'))
    }
}

/// Returns the content of the line `body` below `header` if it is ours: marked, and something that we write. Blanks behind the mark are an
/// editor's.
fn own<'t>(body: &'t [u8], header: &[u8]) -> Option<&'t [u8]> {
    let content = trim(trim(body).strip_suffix(MARK)?);
    if content.starts_with(b"[") {
        let section = Section { header: content.to_vec(), lines: Vec::new() };
        return (section.url("credential").is_some() || section.url("http").flatten().is_some()).then_some(content);
    }
    let header = header.to_ascii_lowercase();
    let keys: &[&[u8]] = match () {
        () if header.starts_with(b"[credential") => &[b"helper", b"useHttpPath"],
        () if header.starts_with(b"[http") => &[b"proactiveAuth"],
        () => &[],
    };
    let key = trim(content.split(|byte| *byte == b'=').next().unwrap_or_default());
    keys.contains(&key).then_some(content)
}

/// Returns our sections in `text`, in order.
pub(crate) fn ours(text: &[u8]) -> Vec<Section> {
    let mut found: Vec<Section> = Vec::new();
    let mut header: &[u8] = b"";
    for line in lines(text) {
        if line.is_header() {
            header = line.ours.unwrap_or_else(|| trim(line.body));
        }
        let Some(content) = line.ours else { continue };
        if line.is_header() {
            found.push(Section { header: content.to_vec(), lines: Vec::new() });
        } else if let Some(section) = found.last_mut().filter(|section| section.header == header) {
            section.lines.push(content.to_vec());
        } else {
            found.push(Section { header: header.to_vec(), lines: vec![content.to_vec()] });
        }
    }
    found
}

/// Returns `text` with exactly `wanted` as our sections, behind all else; `None` where that is how it is. `text` is `None` where there is
/// no file.
pub(crate) fn with(text: Option<&[u8]>, wanted: &[Section]) -> Option<Vec<u8>> {
    let old = text.unwrap_or_default();
    if text.is_some() && ours(old) == wanted && !is_overruled(old) {
        return None;
    }
    let mut new = cut(old, |_| true);
    let end: &[u8] = if lines(&new).any(|line| line.end == b"\r\n") { b"\r\n" } else { b"\n" };
    if text.is_none() {
        new.extend_from_slice(MADE);
        new.extend_from_slice(end);
    }
    // a file whose last line does not end keeps that, so that it can be restored
    let ends = new.is_empty() || new.ends_with(b"\n");
    if !ends {
        new.extend_from_slice(end);
    }
    new.extend_from_slice(&render(wanted, end));
    if !ends {
        new.truncate(new.len() - end.len());
    }
    Some(new)
}

/// Returns `text` without those of our sections that `goes` says; `None` where nothing is left of a file that was made for them.
pub(crate) fn without(text: &[u8], goes: impl Fn(&Section) -> bool) -> Option<Vec<u8>> {
    let mut new = cut(text, goes);
    let made = lines(&new).next().is_some_and(|line| trim(line.body) == MADE);
    if made && ours(&new).is_empty() {
        let first = lines(&new).next().map_or(0, |line| line.body.len() + line.end.len());
        new.drain(..first);
    }
    (!made || !new.is_empty()).then_some(new)
}

/// Returns `sections` as they are written.
pub(crate) fn render(sections: &[Section], end: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    for section in sections {
        text.extend([section.header.as_slice(), MARK, end].concat());
        for line in &section.lines {
            text.extend([b"\t", line.as_slice(), MARK, end].concat());
        }
    }
    text
}

/// Returns `text` without the lines of ours whose section `goes`. A header stays where another line under it does.
fn cut(text: &[u8], goes: impl Fn(&Section) -> bool) -> Vec<u8> {
    let all: Vec<Line<'_>> = lines(text).collect();
    let mut kept: Vec<u8> = Vec::with_capacity(text.len());
    let (mut end, mut last_went): (&[u8], bool) = (b"", false);
    let mut leaves = false;
    for (place, line) in all.iter().enumerate() {
        let own = line.ours;
        let mut body = line.body;
        last_went = own.is_some();
        if line.is_header() {
            leaves = goes(&Section { header: own.unwrap_or_else(|| trim(body)).to_vec(), lines: Vec::new() });
            let mut under = all[place + 1..].iter().take_while(|line| !line.is_header());
            if own.is_some() && leaves && under.any(|line| line.ours.is_none() && !line.is_empty()) {
                body = own.unwrap_or(body);
                last_went = false;
            }
        }
        last_went &= leaves;
        if last_went {
            end = if line.end.is_empty() { end } else { line.end };
        } else {
            kept.extend([body, line.end].concat());
        }
    }
    // then we ended the line before ours, which had no end
    if last_went && !text.ends_with(b"\n") && !end.is_empty() && kept.ends_with(end) {
        kept.truncate(kept.len() - end.len());
    }
    kept
}

/// Tells whether something that git reads after our first line could add a helper to ours, or take ours away.
fn is_overruled(text: &[u8]) -> bool {
    let mut begun = false;
    for line in lines(text) {
        if line.ours.is_some() {
            begun = true;
        } else if begun {
            let word = trim(line.body).to_ascii_lowercase();
            let starts = |words: &[&str]| words.iter().any(|one| word.starts_with(one.as_bytes()));
            if starts(&["[credential", "[include", "helper", "usehttppath"]) {
                return true;
            }
        }
    }
    false
}

fn lines(text: &[u8]) -> impl Iterator<Item = Line<'_>> {
    let mut header: &[u8] = b"";
    text.split_inclusive(|byte| *byte == b'\n').map(move |line| {
        let end = if line.ends_with(b"\r\n") { 2 } else { usize::from(line.ends_with(b"\n")) };
        let (body, end) = line.split_at(line.len() - end);
        if trim(body).starts_with(b"[") {
            header = trim(body);
        }
        Line { body, end, ours: own(body, header) }
    })
}

fn trim(text: &[u8]) -> &[u8] {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let start = text.iter().position(|byte| !BLANK.contains(byte)).unwrap_or(text.len());
    let end = text.iter().rposition(|byte| !BLANK.contains(byte)).map_or(start, |last| last + 1);
    &text[start..end]
}

/// Returns `text` as a value of git's configuration, in quotes where it needs them (git-config(1), "Values").
pub(crate) fn value(text: &[u8]) -> Vec<u8> {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b" !'/._-+:@%,=~(){}[]$&*".contains(byte) || *byte >= 0x80;
    if !text.is_empty() && text.iter().all(plain) && trim(text) == text {
        return text.to_vec();
    }
    let mut quoted = vec![b'"'];
    for byte in text {
        match byte {
            b'"' | b'\\' => quoted.extend([b'\\', *byte]),
            b'\n' => quoted.extend(b"\\n"),
            b'\t' => quoted.extend(b"\\t"),
            byte => quoted.push(*byte),
        }
    }
    quoted.push(b'"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: &[u8]) -> String {
        String::from_utf8_lossy(bytes).into_owned()
    }

    fn helper(url: Option<&str>) -> Section {
        Section::new("credential", url, vec![b"helper =".to_vec(), b"helper = !exec '/k' git".to_vec()])
    }

    const ONE: &str = "[credential \"https://h\"] # keyfob setup git\n\thelper = # keyfob setup git\n\t\
        helper = !exec '/k' git # keyfob setup git\n";

    /// Contents as people, editors and git leave them.
    const ODD: [&str; 16] = [
        "",
        "\n",
        "[user]\n\tname = x\n",
        "[user]\n\tname = x",
        "[user]\r\n\tname = x\r\n",
        "[user]\r\n\tname = x",
        "[user]\r\n\tname = x\n",
        "[user]\n\tname = x\r",
        "\u{feff}[user]\n  name = x",
        "# a comment",
        "[user]\n\tname = \"a # b\" ; c\n\n\n",
        "[alias]\n\tx = \"!f() { \\\n\t\techo a; \\\n\t}; f\"\n",
        "[credential \"https://h\"]\n\thelper = store\n",
        "[credential \"https://h\"]\n\thelper = !exec '/k' git\n\tusername = a\n",
        "[include]\n\tpath = other\n[credential]\n\thelper = cache # keyfob",
        "   \t",
    ];

    #[test]
    fn what_was_there_comes_back_byte_for_byte() {
        for before in ODD {
            let sections = [helper(None), helper(Some("https://h")), helper(Some("https://i"))];
            let with_one = with(Some(before.as_bytes()), &sections[1..2]).unwrap();
            assert_eq!(without(&with_one, |_| true).as_deref(), Some(before.as_bytes()), "{before:?}: {:?}", text(&with_one));
            let with_all = with(Some(&with_one), &sections).unwrap();
            assert_eq!(ours(&with_all), sections);
            assert_eq!(with(Some(&with_all), &sections), None, "a second time changes nothing");
            let fewer = without(&with_all, |section| section.url("credential") == Some(None)).unwrap();
            assert_eq!(ours(&fewer), sections[1..], "{before:?}");
            let fewer = without(&fewer, |section| section.url("credential") == Some(Some("https://i".into()))).unwrap();
            assert_eq!(text(&fewer), text(&with_one), "{before:?}");
        }
    }

    #[test]
    fn a_file_that_was_made_goes_with_the_last_line_of_ours_and_an_empty_one_stays() {
        let made = with(None, &[helper(Some("https://h"))]).unwrap();
        assert_eq!(text(&made), format!("# file made by keyfob setup git\n{ONE}"));
        assert_eq!(without(&made, |_| true), None);
        assert_eq!(without(&made, |_| false), Some(made.clone()));
        let more = with(Some(&made), &[helper(Some("https://h")), helper(Some("https://i"))]).unwrap();
        assert_eq!(without(&more, |_| true), None);
        let grown = [made.as_slice(), b"[user]\n\tname = x\n"].concat();
        assert_eq!(without(&grown, |_| true).as_deref(), Some(b"[user]\n\tname = x\n".as_slice()));
        assert_eq!(without(b"", |_| true).as_deref(), Some(b"".as_slice()));
    }

    #[test]
    fn of_a_file_that_others_changed_only_our_lines_go() {
        let rows = [
            // git put a line of its own into our section
            (format!("[user]\n{ONE}\tusername = a\n"), "[user]\n[credential \"https://h\"]\n\tusername = a\n"),
            (format!("[user]\n{ONE}[alias]\n\tx = y\n"), "[user]\n[alias]\n\tx = y\n"),
            (format!("[user]\n{ONE}# about it\n\n[alias]\n"), "[user]\n# about it\n\n[alias]\n"),
            (ONE.replace("] # keyfob setup git", "]"), "[credential \"https://h\"]\n"),
            (format!("[user]\n\tname = x # keyfob setup\n{}", ONE.trim_end()), "[user]\n\tname = x # keyfob setup"),
        ];
        for (before, after) in rows {
            let found = without(before.as_bytes(), |section| section.header.starts_with(b"[credential")).unwrap();
            assert_eq!(text(&found), after, "{before:?}");
        }
    }

    #[test]
    fn our_lines_go_to_the_end_again_where_something_after_them_counts() {
        let below =
            |more: &str| with(Some(format!("{ONE}{more}").as_bytes()), &[helper(Some("https://h"))]).map(|new| text(&new));
        for harmless in ["", "[user]\n\tname = x\n", "# [credential]\n", "\tusername = a\n"] {
            assert_eq!(below(harmless), None, "{harmless:?}");
        }
        for more in ["[credential]\n\thelper = store\n", "[Credential \"https://h\"] helper=store\n", "[include]\n\tpath = x\n"] {
            assert_eq!(below(more).unwrap(), format!("{more}{ONE}"));
        }
        for line in ["\thelper = store\n", "\tHelper=store\n", "\tuseHttpPath = false\n"] {
            assert_eq!(below(line).unwrap(), format!("[credential \"https://h\"]\n{line}{ONE}"));
        }
        let other = with(Some(ONE.replace("/k", "/old/k").as_bytes()), &[helper(Some("https://h"))]).unwrap();
        assert_eq!(text(&other), ONE, "a program that moved is named anew");
    }

    #[test]
    fn the_lines_end_as_those_of_the_file_do() {
        let found = with(Some(b"[user]\r\n\tname = x\r\n"), &[helper(Some("https://h"))]).unwrap();
        assert_eq!(text(&found), format!("[user]\r\n\tname = x\r\n{}", ONE.replace('\n', "\r\n")));
    }

    #[test]
    fn a_value_is_quoted_where_git_would_read_another() {
        let rows = [
            ("!exec '/home/a b/keyfob' git", "!exec '/home/a b/keyfob' git"),
            ("auto", "auto"),
            ("", "\"\""),
            (" x", "\" x\""),
            ("a;b", "\"a;b\""),
            ("a#b", "\"a#b\""),
            ("a\"b", "\"a\\\"b\""),
            ("a\\b", "\"a\\\\b\""),
            ("a\nb\tc", "\"a\\nb\\tc\""),
        ];
        for (plain, written) in rows {
            assert_eq!(text(&value(plain.as_bytes())), written);
        }
    }
}
