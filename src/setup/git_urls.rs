//! What git is to be told of the places that keyfob answers for, and which of its settings concern one of them.
use super::git_lines::{Section, value};
use crate::config::Place;

/// What keyfob is to be asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// Every host.
    pub(crate) all_hosts: bool,
    /// URLs without an account, each with whether git sends the token without being asked for one; sorted.
    pub(crate) places: Vec<(String, bool)>,
}

impl Wanted {
    /// Returns what `sections` of ours ask for.
    pub(crate) fn of(sections: &[Section]) -> Self {
        let mut wanted = Self::default();
        for section in sections {
            match section.url("credential") {
                Some(Some(url)) => wanted.add(&url, false),
                Some(None) => wanted.all_hosts = true,
                None => {
                    if let Some(Some(url)) = section.url("http") {
                        wanted.add(&url, true);
                    }
                }
            }
        }
        let known: Vec<String> = wanted.places.iter().map(|(url, _)| url.clone()).collect();
        wanted.places.retain(|(url, _)| url.strip_suffix(GIT).is_none_or(|base| !known.iter().any(|url| url == base)));
        wanted
    }

    /// Adds `url`; `proactive` stays once it was said.
    pub(crate) fn add(&mut self, url: &str, proactive: bool) {
        match self.places.binary_search_by(|(known, _)| known.as_str().cmp(url)) {
            Ok(place) => self.places[place].1 |= proactive,
            Err(place) => self.places.insert(place, (url.to_owned(), proactive)),
        }
    }

    /// Returns the sections that say so, with the command line `helper`.
    ///
    /// The empty helper makes git forget all before ours, so that no other is handed the token (gitcredentials(7), "helper"). The path
    /// of a repository may end in `.git` or not, and git compares whole segments, so a place with a path is named both ways.
    pub(crate) fn sections(&self, helper: &[u8]) -> Vec<Section> {
        let ours = || vec![b"helper =".to_vec(), [b"helper = ", value(helper).as_slice()].concat()];
        let mut sections = Vec::new();
        if self.all_hosts {
            sections.push(Section::new("credential", None, ours()));
        }
        for (url, proactive) in &self.places {
            let path = has_path(url);
            let mut lines = if self.all_hosts { Vec::new() } else { ours() };
            if path {
                lines.push(b"useHttpPath = true".to_vec());
            }
            for url in [Some(url.clone()), path.then(|| format!("{url}{GIT}"))].into_iter().flatten() {
                if !lines.is_empty() {
                    sections.push(Section::new("credential", Some(&url), lines.clone()));
                }
            }
            if *proactive {
                sections.push(Section::new("http", Some(url), vec![b"proactiveAuth = auto".to_vec()]));
            }
        }
        sections
    }
}

const GIT: &str = ".git";

fn has_path(url: &str) -> bool {
    url.split_once("://").is_some_and(|(_, rest)| rest.contains('/'))
}

/// Tells whether a setting that git has for `pattern` concerns requests for `place` or for something below it (git-config(1),
/// `http.<url>.*`; gitcredentials(7), "CREDENTIAL CONTEXTS").
pub(crate) fn concerns(pattern: &str, place: &Place) -> bool {
    let (scheme, rest) = pattern.split_once("://").map_or((None, pattern), |(scheme, rest)| (Some(scheme), rest));
    if scheme.is_some_and(|scheme| !scheme.eq_ignore_ascii_case(place.scheme)) {
        return false;
    }
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host).to_ascii_lowercase();
    let port = if place.scheme == "https" { ":443" } else { ":80" };
    let (host, known) = (host.strip_suffix(port).unwrap_or(&host), place.host.as_str());
    let labels = || host.split('.').zip(known.split('.')).all(|(one, label)| one == "*" || one == label);
    if !host.is_empty()
        && host != known
        && !(host.contains('*') && host.split('.').count() == known.split('.').count() && labels())
    {
        return false;
    }
    let own = Place { path: String::new(), ..place.clone() }.url();
    let own = place.url()[own.len()..].trim_matches('/').to_owned();
    let path = path.trim_matches('/');
    let path = Place::parse(&format!("https://h/{path}"))
        .map_or_else(|_| path.to_owned(), |place| place.url()[9..].trim_matches('/').to_owned());
    let below = |long: &str, short: &str| {
        short.is_empty() || long.strip_prefix(short).is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || rest == GIT)
    };
    below(&own, &path) || below(&path, &own)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(wanted: &Wanted) -> String {
        String::from_utf8(super::super::git_lines::render(&wanted.sections(b"!exec '/k' git"), b"\n"))
            .unwrap()
            .replace(" # keyfob setup git", "")
    }

    #[test]
    fn each_place_is_named_and_one_with_a_path_both_ways() {
        let mut wanted = Wanted::default();
        wanted.add("https://i/team", false);
        wanted.add("https://h", false);
        wanted.add("https://h", true);
        wanted.add("https://h", false);
        let ours = "\thelper =\n\thelper = !exec '/k' git\n";
        let path = format!("{ours}\tuseHttpPath = true\n");
        let places = format!(
            "[credential \"https://h\"]\n{ours}[http \"https://h\"]\n\tproactiveAuth = auto\n\
             [credential \"https://i/team\"]\n{path}[credential \"https://i/team.git\"]\n{path}"
        );
        assert_eq!(shown(&wanted), places);
        assert_eq!(Wanted::of(&wanted.sections(b"!x")), wanted);
        wanted.all_hosts = true;
        let all = format!(
            "[credential]\n{ours}[http \"https://h\"]\n\tproactiveAuth = auto\n\
             [credential \"https://i/team\"]\n\tuseHttpPath = true\n[credential \"https://i/team.git\"]\n\tuseHttpPath = true\n"
        );
        assert_eq!(shown(&wanted), all);
        assert_eq!(Wanted::of(&wanted.sections(b"!x")), wanted);
    }

    #[test]
    fn a_setting_concerns_what_git_would_apply_it_to() {
        let place = |url| Place::parse(url).unwrap();
        let rows = [
            ("https://h.com", "https://h.com", true),
            ("https://H.com:443/", "https://h.com", true),
            ("https://alice@h.com", "https://h.com", true),
            ("http://h.com", "https://h.com", false),
            ("https://h.com:8443", "https://h.com", false),
            ("https://h.com.evil.net", "https://h.com", false),
            ("https://*.h.com", "https://git.h.com", true),
            ("https://*.h.com", "https://h.com", false),
            ("https://*.h.com", "https://a.b.h.com", false),
            ("https://h.com/team", "https://h.com", true),
            ("https://h.com", "https://h.com/team", true),
            ("https://h.com/team/app", "https://h.com/team", true),
            ("https://h.com/team.git", "https://h.com/team", true),
            ("https://h.com/te", "https://h.com/team", false),
            ("https://h.com/other", "https://h.com/team", false),
            ("https://h.com/a b", "https://h.com/a%20b/c", true),
            // git's short forms
            ("h.com", "https://h.com", true),
            ("i.com", "https://h.com", false),
            ("https://", "https://h.com", true),
            ("", "https://h.com", true),
        ];
        for (pattern, url, expected) in rows {
            assert_eq!(concerns(pattern, &place(url)), expected, "{pattern} {url}");
        }
    }
}
