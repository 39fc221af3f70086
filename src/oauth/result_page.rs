//! The page a browser shows at the end of a sign-in: what really happened, which tool asked, for which account.

/// What the page says. Every text in it is escaped here, whatever its source.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    pub(crate) succeeded: bool,
    pub(crate) title: String,
    /// One paragraph each; what stands between backticks is shown as what one types.
    pub(crate) lines: Vec<String>,
}

/// Headers that keep the page to itself: nothing loaded, nothing run, nothing framed, nothing kept.
pub(crate) const HEADERS: &str = "content-type: text/html; charset=utf-8\r\ncache-control: no-store\r\nreferrer-policy: no-referrer\r\n\
     x-content-type-options: nosniff\r\ncross-origin-opener-policy: same-origin\r\n\
     content-security-policy: default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\n";

const STYLE: &str = ":root{color-scheme:light dark}\
body{margin:0;min-height:100vh;display:grid;place-items:center;font:17px/1.5 system-ui,sans-serif;background:#f5f6f8;color:#1c2024}\
main{max-width:30rem;margin:1.5rem;padding:2rem 2.25rem;background:#fff;border:1px solid #dfe3e8;border-radius:12px}\
h1{margin:0 0 .75rem;font-size:1.35rem;line-height:1.3}h1::before{display:block;font-size:2rem;margin-bottom:.5rem}\
.yes h1::before{content:'\\2713';color:#18794e}.no h1::before{content:'\\2715';color:#c62a2f}\
p{margin:.5rem 0 0;overflow-wrap:anywhere}\
code{font:.9em ui-monospace,monospace;padding:.1em .35em;background:#eef0f3;border-radius:5px}footer{margin-top:1.5rem;font-size:.85rem;color:#5f6b7a}\
@media(prefers-color-scheme:dark){body{background:#111418;color:#e6e8eb}main{background:#1a1e24;border-color:#2c323a}\
.yes h1::before{color:#4cc38a}.no h1::before{color:#ff6369}code{background:#2a313a}footer{color:#98a2b0}}";

impl Page {
    /// Returns the HTML.
    pub(crate) fn html(&self) -> String {
        let class = if self.succeeded { "yes" } else { "no" };
        let title = escape(&self.title);
        let lines: String = self.lines.iter().map(|line| format!("<p>{}</p>", paragraph(line))).collect();
        format!(
            "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
             <title>{title}</title><style>{STYLE}</style></head><body><main class=\"{class}\"><h1>{title}</h1>{lines}\
             <footer>keyfob</footer></main></body></html>\n"
        )
    }
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
        let page = Page {
            succeeded: false,
            title: "<script>alert(1)</script>".into(),
            lines: vec!["\"><img src=x onerror='y'>&".into()],
        };
        let html = page.html();
        assert!(!html.contains("<script") && !html.contains("<img"));
        assert!(html.contains("&lt;script&gt;") && html.contains("&quot;&gt;&lt;img src=x onerror=&#39;y&#39;&gt;&amp;"));
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
