//! The pages a browser shows of ours: what really happened or is asked, which tool asked, for which account and server.
use super::request::Stray;

/// What a page says. Every text in it is escaped here, whatever its source.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    pub(crate) mark: Mark,
    pub(crate) title: String,
    /// What belongs to it, each with its name.
    pub(crate) facts: Vec<(&'static str, String)>,
    /// One paragraph each; what stands between backticks is shown as what one types.
    pub(crate) lines: Vec<String>,
    /// Where it goes on: an address and its words.
    pub(crate) link: Option<(String, String)>,
}

/// What a page looks like at first sight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    Done,
    Failed,
    Asks,
}

/// Headers that keep the page to itself: nothing loaded, nothing run, no other style, nothing framed, nothing kept.
pub(crate) const HEADERS: &str = "content-type: text/html; charset=utf-8\r\ncache-control: no-store\r\nreferrer-policy: no-referrer\r\n\
     x-content-type-options: nosniff\r\ncross-origin-opener-policy: same-origin\r\ncross-origin-resource-policy: same-origin\r\n\
     content-security-policy: default-src 'none'; style-src 'sha256-BuWo/ovNaP5R01wv+l/0bELwpfLppEBVyjcVViVOY/g='; base-uri 'none'; \
     form-action 'none'; frame-ancestors 'none'\r\n";

/// The policy has its digest.
const STYLE: &str = ":root{color-scheme:light dark;--page:#f4f5f7;--card:#fff;--line:#dfe3e8;--text:#1c2024;--soft:#5b6673;--code:#eceff3;\
--done:#18794e;--failed:#c62a2f;--asks:#0b62c4}\
*{box-sizing:border-box}\
body{margin:0;min-height:100vh;display:grid;place-items:center;padding:1.25rem;font:17px/1.5 system-ui,sans-serif;\
background:var(--page);color:var(--text)}\
main{width:100%;max-width:34rem;min-width:0;padding:2rem 2.25rem;background:var(--card);border:1px solid var(--line);border-radius:12px}\
h1{margin:0;font-size:1.35rem;line-height:1.3;overflow-wrap:anywhere}\
h1::before{display:grid;place-items:center;width:2.5rem;height:2.5rem;margin-bottom:1rem;border-radius:50%;font-size:1.25rem;\
line-height:1;color:#fff;background:var(--mark)}\
.done{--mark:var(--done)}.failed{--mark:var(--failed)}.asks{--mark:var(--asks)}\
.done h1::before{content:'\\2713';content:'\\2713'/''}.failed h1::before{content:'\\2715';content:'\\2715'/''}.asks h1::before{content:'?';content:'?'/''}\
p{margin:.9rem 0 0;overflow-wrap:anywhere}\
dl{display:grid;grid-template-columns:max-content minmax(0,1fr);gap:.3rem 1.25rem;margin:1.1rem 0 0;padding:.9rem 0;\
border:solid var(--line);border-width:1px 0}\
dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere}\
code{font:.9em ui-monospace,monospace;padding:.1em .35em;background:var(--code);border-radius:5px;-webkit-box-decoration-break:clone;\
box-decoration-break:clone}\
a{display:inline-block;margin-top:1.25rem;padding:.6rem 1.1rem;border-radius:8px;background:var(--asks);color:#fff;font-weight:600;\
text-decoration:none;overflow-wrap:anywhere}\
a:focus-visible{outline:3px solid var(--text);outline-offset:2px}\
footer{margin-top:1.5rem;font-size:.85rem;color:var(--soft)}\
@media(max-width:30rem){main{padding:1.5rem 1.25rem}}\
@media(max-width:20rem){dl{grid-template-columns:minmax(0,1fr);gap:0}dd+dt{margin-top:.5rem}}\
@media(prefers-color-scheme:dark){:root{--page:#111418;--card:#1a1e24;--line:#323943;--text:#e6e8eb;--soft:#9ba5b2;--code:#2a313a;\
--done:#2b8a5c;--failed:#d13b40;--asks:#2670cf}}";

impl Page {
    /// Returns the HTML.
    pub(crate) fn html(&self) -> String {
        let class = match self.mark {
            Mark::Done => "done",
            Mark::Failed => "failed",
            Mark::Asks => "asks",
        };
        let title = escape(&self.title);
        // as addresses are read: what runs the other way in a name ends with it, and turns nothing else round
        let fact = |(name, value): &(&str, String)| format!("<dt>{}</dt><dd dir=\"ltr\">{}</dd>", escape(name), escape(value));
        let facts: String = self.facts.iter().map(fact).collect();
        let facts = if facts.is_empty() { facts } else { format!("<dl>{facts}</dl>") };
        let lines: String = self.lines.iter().map(|line| format!("<p>{}</p>", paragraph(line))).collect();
        let link = |(to, words): &(String, String)| format!("<a href=\"{}\">{}</a>", escape(to), escape(words));
        let link = self.link.as_ref().map(link).unwrap_or_default();
        format!(
            "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><title>{title}</title><style>{STYLE}</style></head>\
             <body><main class=\"{class}\"><h1>{title}</h1>{facts}{lines}{link}<footer>keyfob</footer></main></body></html>\n"
        )
    }
}

/// Returns what a person reads who was turned away with what may well have been meant for us. It names nothing of the sign-in: anybody
/// may have sent them.
pub(crate) fn turned_away(stray: Stray) -> Option<Page> {
    let (title, lines) = match stray {
        Stray::Bare => (
            "No answer came with this page",
            [
                "keyfob waits here for what the sign-in server says, and the browser came without it. If you have just signed in, the \
                 server put its answer behind a `#`, which browsers keep to themselves.",
                "At the server, the response mode of the client has to be `query`, not `fragment`.",
            ],
        ),
        Stray::OtherState => (
            "This answer is not the one that is waited for",
            [
                "It belongs to another sign-in, or came without its `state`, so nothing was done with it.",
                "If a later tab is open, go on there; else run the command again.",
            ],
        ),
        Stray::TooLarge => (
            "The browser sent too much",
            [
                "More than 8 KiB came with the request: most likely cookies that other pages of this machine have set.",
                "Remove the cookies of this address, or run the command again and go on in a private window.",
            ],
        ),
        Stray::Odd | Stray::Method | Stray::Path | Stray::Foreign => return None,
    };
    let lines = lines.map(ToOwned::to_owned).to_vec();
    Some(Page { mark: Mark::Failed, title: title.into(), facts: Vec::new(), lines, link: None })
}

/// Makes a sentence of what [`crate::failure::Failure`] says in lower case and without a full stop.
pub(crate) fn sentence(text: &str) -> String {
    let mut characters = text.chars();
    let first = characters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    let end = if text.ends_with(['.', '!', '?', '…']) { "" } else { "." };
    format!("{first}{}{end}", characters.as_str())
}

/// Escapes `text`; what stands between two backticks becomes code. One that has no second stays as it is.
fn paragraph(text: &str) -> String {
    let parts: Vec<String> = text.split('`').map(escape).collect();
    if parts.len().is_multiple_of(2) {
        return parts.join("`");
    }
    let marked =
        |(place, part): (usize, &String)| if !place.is_multiple_of(2) { format!("<code>{part}</code>") } else { part.clone() };
    parts.iter().enumerate().map(marked).collect()
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            _ => escaped.push(character),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_text_becomes_markup() {
        let text = "\"><img src=x onerror='y'>&<script>";
        let page = Page {
            mark: Mark::Asks,
            title: text.into(),
            facts: vec![("Account", text.into())],
            lines: vec![text.into(), format!("`{text}`")],
            link: Some((text.into(), text.into())),
        };
        let html = page.html();
        assert!(!html.contains("<script") && !html.contains("<img"));
        assert_eq!(html.matches("&quot;&gt;&lt;img src=x onerror=&#39;y&#39;&gt;&amp;&lt;script&gt;").count(), 7);
    }

    #[test]
    fn the_policy_allows_the_one_style() {
        let digest = ring::digest::digest(&ring::digest::SHA256, STYLE.as_bytes());
        let letters: Vec<char> = ('A'..='Z').chain('a'..='z').chain('0'..='9').chain(['+', '/']).collect();
        let mut text = String::new();
        for part in digest.as_ref().chunks(3) {
            let whole = part.iter().fold(0_usize, |whole, byte| whole << 8 | usize::from(*byte)) << (8 * (3 - part.len()));
            text.extend((0..=part.len()).map(|place| letters[whole >> (18 - 6 * place) & 63]));
            text.push_str(&"=".repeat(3 - part.len()));
        }
        assert!(HEADERS.contains(&format!("style-src 'sha256-{text}'")), "the digest of the style is {text}");
    }

    #[test]
    fn who_may_have_been_meant_is_told_why_and_nobody_else_anything() {
        for stray in [Stray::Bare, Stray::OtherState, Stray::TooLarge] {
            let page = turned_away(stray).unwrap();
            assert!(page.facts.is_empty() && page.link.is_none() && page.mark == Mark::Failed, "{page:?}");
        }
        for stray in [Stray::Odd, Stray::Method, Stray::Path, Stray::Foreign] {
            assert!(turned_away(stray).is_none(), "{stray:?}");
        }
    }

    #[test]
    fn what_one_types_is_marked_and_a_failure_becomes_sentences() {
        let rows = [
            ("run `keyfob login <corp>`", "Run <code>keyfob login &lt;corp&gt;</code>."),
            ("`a` and `b`", "<code>a</code> and <code>b</code>."),
            ("one ` alone", "One ` alone."),
            ("ändern!", "Ändern!"),
        ];
        for (text, expected) in rows {
            assert_eq!(paragraph(&sentence(text)), expected);
        }
    }
}
