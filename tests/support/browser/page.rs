//! What a browser needs to know of a page: its form, its words, and the link that says no.
use super::Settings;
use url::form_urlencoded::Serializer;

/// A form, filled in.
#[derive(Clone, Debug)]
pub(super) struct Form {
    /// The address, relative to the page's.
    pub(super) action: String,
    /// In lower case.
    pub(super) method: String,
    fields: Vec<(String, String)>,
}

impl Form {
    /// The first form of the page with every field filled; `agree` picks the button.
    pub(super) fn first(page: &str, settings: &Settings, agree: bool) -> Option<Self> {
        let start = find(page, "<form", 0)?;
        let end = find(page, "</form", start).unwrap_or(page.len());
        let form = &page[start..end];
        let opening = &form[..form.find('>')?];
        let mut fields: Vec<(String, String)> = tags(form, "<input").filter_map(|tag| filled(tag, settings)).collect();
        let mut buttons = tags(form, "<button").chain(tags(form, "<input").filter(|tag| kind(tag) == "submit"));
        if let Some(button) = buttons.find(|tag| refuses(tag) != agree)
            && let Some(name) = attribute(button, "name")
        {
            fields.push((name, attribute(button, "value").unwrap_or_default()));
        }
        let action = attribute(opening, "action").unwrap_or_default();
        let method = attribute(opening, "method").unwrap_or_else(|| "get".into()).to_lowercase();
        Some(Self { action, method, fields })
    }

    /// The fields as a form body.
    pub(super) fn encoded(&self) -> String {
        Serializer::new(String::new()).extend_pairs(&self.fields).finish()
    }
}

fn filled(tag: &str, settings: &Settings) -> Option<(String, String)> {
    let name = attribute(tag, "name")?;
    let value = attribute(tag, "value");
    let typed = settings.code.as_deref().filter(|_| name == "user_code").unwrap_or(settings.login());
    match kind(tag).as_str() {
        "submit" | "button" | "reset" => None,
        "hidden" => Some((name, value.unwrap_or_default())),
        "checkbox" => Some((name, value.unwrap_or_else(|| "on".into()))),
        "password" => Some((name, "a password of no account".into())),
        _ => {
            Some((name, value.filter(|value| !value.is_empty() && settings.login.is_none()).unwrap_or_else(|| typed.to_owned())))
        }
    }
}

fn kind(tag: &str) -> String {
    attribute(tag, "type").unwrap_or_default().to_lowercase()
}

fn refuses(tag: &str) -> bool {
    let tag = tag.to_lowercase();
    ["deny", "abort", "cancel", "reject"].iter().any(|word| tag.contains(word))
}

/// The address of the page's link that ends the sign-in.
pub(super) fn link_to_refuse(page: &str) -> Option<String> {
    tags(page, "<a ").find(|tag| refuses(tag)).and_then(|tag| attribute(tag, "href"))
}

/// The address of the link by which keyfob's page goes on.
pub(super) fn link_to_go_on(page: &str) -> Option<String> {
    tags(page, "<a ").filter_map(|tag| attribute(tag, "href")).find(|address| address.starts_with("/go/"))
}

/// What stands between `<title>` and its end; empty without one.
pub(super) fn title(page: &str) -> String {
    let inside = find(page, "<title", 0).and_then(|start| {
        let rest = &page[start..];
        Some(&rest[rest.find('>')? + 1..find(rest, "</title", 0)?])
    });
    inside.unwrap_or_default().trim().to_owned()
}

/// The page's words, without markup, scripts and styles.
pub(super) fn text(page: &str) -> String {
    let (mut text, mut rest) = (String::new(), page);
    while let Some(start) = rest.find('<') {
        text.push_str(&rest[..start]);
        text.push(' ');
        let tag = &rest[start..];
        let skipped = ["style", "script", "title"].iter().find(|name| find(tag, &format!("<{name}"), 0) == Some(0));
        let close = skipped.and_then(|name| find(tag, &format!("</{name}"), 0)).unwrap_or(0);
        rest = tag[close..].find('>').map_or("", |end| &tag[close + end + 1..]);
    }
    text.push_str(rest);
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Every tag that begins with `opening`, from there to its `>`.
fn tags<'a>(page: &'a str, opening: &'a str) -> impl Iterator<Item = &'a str> {
    let mut place = 0;
    std::iter::from_fn(move || {
        let start = find(page, opening, place)?;
        place = start + page[start..].find('>').unwrap_or(page.len() - start);
        Some(&page[start..place])
    })
}

/// The place of `wanted` (lower case) at or after `from`, whatever the case.
fn find(page: &str, wanted: &str, from: usize) -> Option<usize> {
    page.to_ascii_lowercase()[from..].find(wanted).map(|place| from + place)
}

fn attribute(tag: &str, name: &str) -> Option<String> {
    let start = find(tag, &format!(" {name}="), 0)? + name.len() + 2;
    let rest = &tag[start..];
    let value = match rest.chars().next()? {
        quote @ ('"' | '\'') => rest[1..].split(quote).next()?,
        _ => rest.split(|c: char| c.is_whitespace() || c == '>').next()?.trim_end_matches('/'),
    };
    Some(value.replace("&quot;", "\"").replace("&#39;", "'").replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))
}
