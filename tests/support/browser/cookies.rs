//! A cookie jar: by host and path, as far as sign-in pages on loopback need one.
use crate::support::http_client::Answer;
use url::Url;

struct Cookie {
    host: String,
    path: String,
    name: String,
    value: String,
}

/// The cookies of one visit.
#[derive(Default)]
pub(super) struct Jar(Vec<Cookie>);

impl Jar {
    /// Takes every `Set-Cookie` of an answer from `url`.
    pub(super) fn keep(&mut self, url: &Url, answer: &Answer) {
        for (_, line) in answer.headers.iter().filter(|(name, _)| name == "set-cookie") {
            let mut parts = line.split(';').map(str::trim);
            let Some((name, value)) = parts.next().and_then(|pair| pair.split_once('=')) else { continue };
            let attribute = |wanted: &str| {
                line.split(';')
                    .skip(1)
                    .filter_map(|part| part.trim().split_once('='))
                    .find(|(n, _)| n.eq_ignore_ascii_case(wanted))
            };
            let path = attribute("path").map_or("/", |(_, path)| path).to_owned();
            let host = url.host_str().unwrap_or_default().to_owned();
            let gone = value.is_empty()
                || attribute("max-age").is_some_and(|(_, age)| age.parse::<i64>().is_ok_and(|age| age <= 0))
                || attribute("expires").is_some_and(|(_, date)| date.contains(" 1970 "));
            self.0.retain(|kept| !(kept.host == host && kept.path == path && kept.name == name));
            if !gone {
                self.0.push(Cookie { host, path, name: name.to_owned(), value: value.to_owned() });
            }
        }
    }

    /// The `Cookie` header for `url`; empty where there is none to send.
    pub(super) fn header(&self, url: &Url) -> String {
        let fits = |cookie: &&Cookie| {
            let inside = url.path().strip_prefix(cookie.path.trim_end_matches('/'));
            url.host_str() == Some(cookie.host.as_str()) && inside.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let pairs: Vec<String> = self.0.iter().filter(fits).map(|cookie| format!("{}={}", cookie.name, cookie.value)).collect();
        pairs.join("; ")
    }
}
