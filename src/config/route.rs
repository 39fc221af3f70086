//! Which route answers a request: one look-up by canonical keys, the same over the typed table and the compiled one.
use super::place::{Place, canonical_host, decode, default_ports, known_scheme, plain_path, push_user, without_git_suffix};
use helper_protocols::{Resource, docker};
use std::collections::BTreeMap;

/// Which protocol a route is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tool {
    Git,
    Docker,
    Aws,
}

/// One route: the requests under `key` are answered by `login`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) tool: Tool,
    /// The login's name.
    pub(crate) login: String,
    /// The user name to answer; empty for AWS.
    pub(crate) username: String,
    /// Whether the host is to get the token as `Authorization: Bearer`. All that are known take it as a password too, and git before 2.54
    /// leaves such a header out of the probe before a push that is larger than `http.postBuffer` (measured with 2.47; `remote-curl.c`).
    pub(crate) bearer: bool,
    /// The canonical key, as `git https://alice@git.example.com:8443/team`, `docker *.example.com:5000` or `aws prod`.
    pub(crate) key: String,
    /// What an AWS route asks for.
    pub(crate) aws: Option<AwsRole>,
}

/// A role that a web identity is exchanged for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AwsRole {
    pub(crate) role_arn: String,
    /// From `role_arn`: `aws`, `aws-cn`, `aws-us-gov`, …
    pub(crate) partition: String,
    /// From `role_arn`: twelve digits.
    pub(crate) account_id: String,
    pub(crate) region: Option<String>,
    /// Seconds, 900 to 43200.
    pub(crate) duration: u32,
    pub(crate) session_name: Option<String>,
}

/// Which keys a table can hold, so that a request is not looked up under others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shape {
    /// The most path segments of a git key.
    pub(crate) depth: u8,
    /// Whether a git key names an account.
    pub(crate) accounts: bool,
    /// The docker patterns' forms, most specific first.
    pub(crate) masks: Vec<Mask>,
}

/// The form of a docker pattern: how many labels it has and which of them are open (bit 0 is the leftmost).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mask {
    pub(crate) labels: u8,
    pub(crate) open: u32,
}

/// All routes of a configuration.
#[derive(Clone, Debug, Default)]
pub(crate) struct Routes {
    table: BTreeMap<String, Route>,
    /// The table's keys of git routes, by what those answer; see [`answer_key`].
    answers: BTreeMap<String, String>,
    shape: Shape,
}

impl Routes {
    /// Builds the table of `routes`, whose keys are canonical; of two under one key the first stays.
    ///
    /// Where a place has routes for one account only, that account also answers requests that name none, or that name the user it is
    /// answered as.
    pub(super) fn new(routes: Vec<Route>) -> Self {
        let mut table = BTreeMap::new();
        for route in routes {
            table.entry(route.key.clone()).or_insert(route);
        }
        let mut accounts: BTreeMap<String, Vec<Route>> = BTreeMap::new();
        for route in table.values() {
            if let Some((user, place)) = account(&route.key) {
                accounts.entry(place.clone()).or_default().extend((!user.is_empty()).then(|| route.clone()));
            }
        }
        for (place, owners) in accounts {
            let [owner] = owners.as_slice() else { continue };
            let (scheme, rest) = place.split_once("://").unwrap_or_default();
            if !table.contains_key(&place) {
                for user in ["", &owner.username] {
                    let mut key = format!("{scheme}://");
                    push_user(&mut key, user);
                    key.push('@');
                    key.push_str(rest);
                    table.entry(key).or_insert_with(|| owner.clone());
                }
            }
        }
        let shape = Shape::of(table.keys().map(String::as_str));
        let mut answers = BTreeMap::new();
        for (key, route) in table.iter().filter(|(key, route)| **key == route.key) {
            let place = account(key).map_or_else(|| key.clone(), |(_, place)| place);
            let Some((scheme, rest)) = place.strip_prefix("git ").and_then(|place| place.split_once("://")) else { continue };
            let key_of = |number| answer_key(number, &git_key(scheme, Some(&route.username), rest, ""));
            let free = (0..).map(key_of).find(|key| !answers.contains_key(key));
            answers.extend(free.map(|free| (free, key.clone())));
        }
        Self { table, answers, shape }
    }

    /// Returns the route that answers a request for `resource` in the name of `username`.
    pub(crate) fn find(&self, resource: &Resource<'_>, username: Option<&str>) -> Option<&Route> {
        first_match(resource, username, &self.shape, |key| self.table.get(key))
    }

    /// Returns the routes of every account that answer git's requests for `resource` and name `username` in their answers.
    pub(crate) fn answering_as(&self, resource: &Resource<'_>, username: &str) -> impl Iterator<Item = &Route> {
        all_answering(resource, username, &self.shape, |key| self.table.get(self.answers.get(key)?)).into_iter()
    }

    /// Returns the keys for [`all_answering`] with their routes, where they tell more than [`Self::find`]: a host with a single route has
    /// none.
    pub(crate) fn answers(&self) -> impl Iterator<Item = (&str, &Route)> {
        let mut hosts: BTreeMap<&str, usize> = BTreeMap::new();
        self.answers.keys().for_each(|key| *hosts.entry(host_of(key)).or_default() += 1);
        let several = self.answers.iter().filter(move |(key, _)| hosts.get(host_of(key)).is_some_and(|count| *count > 1));
        several.filter_map(|(key, at)| Some((key.as_str(), self.table.get(at)?)))
    }

    /// Returns the accounts that git's requests for `resource` can name, in order: each as it is called and as a URL spells it.
    pub(crate) fn accounts(&self, resource: &Resource<'_>) -> Vec<(String, String)> {
        let Some((host, path)) = place_of(resource) else { return Vec::new() };
        let named = self.table.keys().filter(|key| is_within(&host, path, key)).filter_map(|key| account(key));
        let mut accounts: Vec<_> =
            named.filter_map(|(user, _)| Some((decode(user)?, user.to_owned()))).filter(|(name, _)| !name.is_empty()).collect();
        accounts.sort();
        accounts.dedup();
        accounts
    }

    /// Returns every key with its route, in the order of the keys; one route can stand under several.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Route)> {
        self.table.iter().map(|(key, route)| (key.as_str(), route))
    }

    /// Returns the role of the AWS profile `name` and its login's name.
    pub(crate) fn aws_profile(&self, name: &str) -> Option<(&AwsRole, &str)> {
        let route = self.find(&Resource::Profile(name), None)?;
        route.aws.as_ref().map(|role| (role, route.login.as_str()))
    }

    /// Returns every role that is reached through `login`.
    pub(crate) fn aws_roles_of(&self, login: &str) -> impl Iterator<Item = &AwsRole> {
        self.table.values().filter(move |route| route.login == login).filter_map(|route| route.aws.as_ref())
    }

    /// Returns which keys the table can hold.
    pub(crate) const fn shape(&self) -> &Shape {
        &self.shape
    }
}

impl Shape {
    fn of<'k>(keys: impl Iterator<Item = &'k str>) -> Self {
        let mut shape = Self::default();
        for key in keys {
            if let Some(place) = key.strip_prefix("git ") {
                let (_, rest) = place.split_once("://").unwrap_or_default();
                shape.depth = shape.depth.max(u8::try_from(rest.split('/').count() - 1).unwrap_or(u8::MAX));
                shape.accounts |= account(key).is_some();
            } else if let Some(pattern) = key.strip_prefix("docker ").filter(|server| server.contains('*')) {
                let mask = Mask::of(pattern);
                if !shape.masks.contains(&mask) {
                    shape.masks.push(mask);
                }
            }
        }
        // Fewer open labels are more specific; of two equal ones, that with the open label further left.
        shape.masks.sort_by_key(|mask| (mask.open.count_ones(), mask.open, mask.labels));
        shape
    }
}

impl Mask {
    fn of(pattern: &str) -> Self {
        let host = pattern.split(':').next().unwrap_or_default();
        let mut mask = Self { labels: 0, open: 0 };
        for label in host.split('.').take(32) {
            mask.open |= u32::from(label == "*") << mask.labels;
            mask.labels += 1;
        }
        mask
    }

    /// Writes `server` behind `key` with the open labels as `*`; tells whether it has this mask's number of labels.
    fn push(self, key: &mut String, server: &str) -> bool {
        let (host, port) = server.find(':').map_or((server, ""), |colon| server.split_at(colon));
        if host.split('.').count() != usize::from(self.labels) {
            return false;
        }
        for (place, label) in host.split('.').enumerate() {
            if place > 0 {
                key.push('.');
            }
            key.push_str(if self.open >> place & 1 == 1 { "*" } else { label });
        }
        key.push_str(port);
        true
    }
}

/// Returns the account that a git key names, as it is spelt there, and the key without it.
fn account(key: &str) -> Option<(&str, String)> {
    let (scheme, rest) = key.strip_prefix("git ")?.split_once("://")?;
    let (user, place) = rest.split_once('@')?;
    (!user.contains('/')).then(|| (user, format!("git {scheme}://{place}")))
}

/// Returns the key of the `number`th route whose place and user name are those of the git key `answer`: a host may want one name of all
/// its accounts.
fn answer_key(number: usize, answer: &str) -> String {
    format!("{number} {answer}")
}

/// Returns the host in a key of [`answer_key`].
fn host_of(answer_key: &str) -> &str {
    let (_, place) = answer_key.split_once('@').unwrap_or_default();
    place.split('/').next().unwrap_or_default()
}

/// Returns the key of the host that git asks about, and the path there.
fn place_of<'r>(resource: &Resource<'r>) -> Option<(String, &'r str)> {
    let Resource::Url { protocol: Some(scheme), host: Some(host), path } = *resource else { return None };
    let scheme = known_scheme(scheme)?;
    let host = canonical_host(host, default_ports(scheme))?;
    Some((git_key(scheme, None, &host, ""), plain_path(path.unwrap_or(""))))
}

/// Tells whether a request for `path` on the host with the key `host` is within the place of `key`, whatever account that names.
fn is_within(host: &str, path: &str, key: &str) -> bool {
    let Some((scheme, rest)) = key.split_once("://") else { return false };
    let (authority, own) = rest.split_once('/').unwrap_or((rest, ""));
    let name = authority.rsplit_once('@').map_or(authority, |(_, name)| name);
    let mut ends = path.match_indices('/').map(|(end, _)| end).chain([0, path.len()]);
    host.split_once("://") == Some((scheme, name)) && ends.any(|end| without_git_suffix(&path[..end]) == own)
}

/// Returns the canonical key of a git place.
pub(super) fn git_key(scheme: &str, user: Option<&str>, host: &str, path: &str) -> String {
    let mut key = String::with_capacity(32 + host.len() + path.len());
    key.push_str("git ");
    key.push_str(scheme);
    key.push_str("://");
    if let Some(user) = user {
        push_user(&mut key, user);
        key.push('@');
    }
    key.push_str(host);
    if !path.is_empty() {
        key.push('/');
        key.push_str(without_git_suffix(path));
    }
    key
}

/// Returns what `resource` would be over https, where it is over plain http and not on this machine.
pub(crate) fn over_https<'r>(resource: &Resource<'r>) -> Option<Resource<'r>> {
    let Resource::Url { protocol: Some(scheme), host: Some(host), path } = *resource else { return None };
    let scheme = known_scheme(scheme).filter(|scheme| *scheme == "http")?;
    let place = Place { scheme, user: None, host: canonical_host(host, default_ports(scheme))?, path: String::new() };
    let host = host.strip_suffix(":80").unwrap_or(host);
    (!place.is_loopback()).then_some(Resource::Url { protocol: Some("https"), host: Some(host), path })
}

/// Looks the request's keys up, the most specific first, and returns the first that is found.
///
/// Git: the longest path first, in whole segments; under each path the named account, then any. Docker: the host, then the
/// patterns. What is not plainly one host yields no key.
pub(crate) fn first_match<T>(
    resource: &Resource<'_>,
    username: Option<&str>,
    shape: &Shape,
    mut look_up: impl FnMut(&str) -> Option<T>,
) -> Option<T> {
    match *resource {
        Resource::Url { protocol: Some(scheme), host: Some(host), path } => {
            git_match(scheme, host, path.unwrap_or(""), username.unwrap_or(""), shape, look_up)
        }
        Resource::Registry(server) => {
            let server = docker::normalize(server)?;
            look_up(&format!("docker {server}")).or_else(|| {
                shape.masks.iter().find_map(|mask| {
                    let mut key = String::from("docker ");
                    mask.push(&mut key, &server).then(|| look_up(&key)).flatten()
                })
            })
        }
        Resource::Profile(name) => look_up(&format!("aws {name}")),
        _ => None,
    }
}

fn git_match<T>(
    scheme: &str,
    host: &str,
    path: &str,
    user: &str,
    shape: &Shape,
    mut look_up: impl FnMut(&str) -> Option<T>,
) -> Option<T> {
    let scheme = known_scheme(scheme)?;
    let host = canonical_host(host, default_ports(scheme))?;
    for path in places(plain_path(path), shape) {
        let named = shape.accounts.then(|| git_key(scheme, Some(user), &host, path)).and_then(|key| look_up(&key));
        if let Some(found) = named.or_else(|| look_up(&git_key(scheme, None, &host, path))) {
            return Some(found);
        }
    }
    None
}

/// Looks up, by their keys, the routes of every account that answer git's requests for `resource` and name `username` in their answers.
pub(crate) fn all_answering<T>(
    resource: &Resource<'_>,
    username: &str,
    shape: &Shape,
    mut look_up: impl FnMut(&str) -> Option<T>,
) -> Vec<T> {
    let mut found = Vec::new();
    let Resource::Url { protocol: Some(scheme), host: Some(host), path } = *resource else { return found };
    let Some(scheme) = known_scheme(scheme) else { return found };
    let Some(host) = canonical_host(host, default_ports(scheme)) else { return found };
    for path in places(plain_path(path.unwrap_or("")), shape) {
        let answer = git_key(scheme, Some(username), &host, path);
        found.extend((0..).map_while(|number| look_up(&answer_key(number, &answer))));
    }
    found
}

/// Returns the paths of the places that `path` is within, the longest first, as far as `shape` has such.
fn places<'p>(path: &'p str, shape: &Shape) -> impl Iterator<Item = &'p str> {
    let mut ends: Vec<usize> = path.match_indices('/').map(|(end, _)| end).chain([path.len()]).take(shape.depth.into()).collect();
    ends.retain(|end| *end > 0);
    ends.into_iter().rev().chain([0]).map(|end| &path[..end])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::from_texts;

    const HEAD: &str = "[login.a]\nissuer = \"https://sso.example.com\"\nclient_id = \"c\"\n";

    /// Returns routes whose user name is their table's name as written, so that a test sees which one answered.
    fn routes(kind: &str, names: &[&str]) -> Routes {
        let mut text = HEAD.to_owned();
        for name in names {
            let http = if name.starts_with("http://") { "allow_http = true\n" } else { "" };
            text.push_str(&format!("[{kind}.\"{name}\"]\nlogin = \"a\"\nusername = \"{name}\"\n{http}"));
        }
        from_texts(&[&text]).unwrap().routes
    }

    fn answer(routes: &Routes, scheme: &str, host: &str, path: &str, user: Option<&str>) -> Option<String> {
        let resource = Resource::Url { protocol: Some(scheme), host: Some(host), path: Some(path) };
        routes.find(&resource, user).map(|route| route.username.clone())
    }

    #[test]
    fn a_host_is_itself_and_no_look_alike() {
        let routes = routes("git", &["https://github.com"]);
        for host in ["github.com", "GITHUB.COM", "GitHub.com.", "github.com:443"] {
            assert!(answer(&routes, "https", host, "", None).is_some(), "{host}");
        }
        for host in [
            "github.com.evil.net",
            "evilgithub.com",
            "github.com.evil",
            "gist.github.com",
            "github.co",
            "github.comm",
            "github.com:8443",
            "github.com:80",
            "github.com..",
            ".github.com",
            "com",
            "",
            "github.com\\",
            "github.com\\.evil.net",
            "github.com/",
            "github.com/evil",
            "github.com@evil.net",
            "evil.net@github.com",
            "user@github.com",
            "user:password@github.com",
            "github.com%00",
            "github%2ecom",
            "github.com ",
            " github.com",
            "github.com\t",
            "github.com\n",
            "github.com\revil",
            "github.com\u{2028}",
            "github.com\u{85}",
            "g\u{456}thub.com",
            "github\u{3002}com",
            "*",
            "*.com",
            "github.com?",
            "github.com#",
            "[github.com]",
        ] {
            for user in [None, Some("alice"), Some("")] {
                assert_eq!(answer(&routes, "https", host, "", user), None, "{host:?}");
            }
        }
    }

    #[test]
    fn only_the_schemes_that_were_configured_are_answered() {
        let both = routes("git", &["https://git.example.com", "http://plain.example.com", "http://localhost:3000"]);
        let cases = [
            ("https", "git.example.com", true),
            ("HTTPS", "git.example.com", true),
            ("http", "git.example.com", false),
            ("http", "git.example.com:443", false),
            ("http", "plain.example.com:80", true),
            ("https", "plain.example.com", false),
            ("http", "localhost:3000", true),
            ("http", "localhost", false),
            ("ssh", "git.example.com", false),
            ("httpss", "git.example.com", false),
            ("", "git.example.com", false),
            ("https ", "git.example.com", false),
        ];
        for (scheme, host, found) in cases {
            assert_eq!(answer(&both, scheme, host, "", None).is_some(), found, "{scheme} {host}");
        }
        for (protocol, host) in [(None, Some("git.example.com")), (Some("https"), None), (None, None)] {
            assert!(both.find(&Resource::Url { protocol, host, path: None }, None).is_none());
        }
    }

    #[test]
    fn plain_http_has_an_https_beside_it_but_on_this_machine() {
        let over =
            |protocol, host| match over_https(&Resource::Url { protocol: Some(protocol), host: Some(host), path: Some("a") }) {
                Some(Resource::Url { protocol: Some("https"), host, path: Some("a") }) => host,
                None => None,
                other => panic!("{other:?}"),
            };
        for (protocol, host, expected) in [
            ("http", "git.example.com", Some("git.example.com")),
            ("HTTP", "Git.Example.com:80", Some("Git.Example.com")),
            ("http", "git.example.com:8443", Some("git.example.com:8443")),
            ("http", "[2001:db8::1]:80", Some("[2001:db8::1]")),
            ("http", "127.0.0.1.evil.net", Some("127.0.0.1.evil.net")),
            ("http", "127.0.0.1:3000", None),
            ("http", "localhost", None),
            ("http", "[::1]:80", None),
            ("http", "a@git.example.com", None),
            ("http", "", None),
            ("https", "git.example.com", None),
            ("ssh", "git.example.com", None),
        ] {
            assert_eq!(over(protocol, host), expected, "{protocol} {host}");
        }
        assert_eq!(over_https(&Resource::Registry("registry.example.com")), None);
    }

    #[test]
    fn the_longest_path_in_whole_segments_wins() {
        let routes =
            routes("git", &["https://h.com", "https://h.com/team", "https://h.com/team/app.git", "https://only.com/team"]);
        let cases = [
            ("h.com", "", "https://h.com"),
            ("h.com", "other/app", "https://h.com"),
            ("h.com", "team", "https://h.com/team"),
            ("h.com", "/team/x.git/", "https://h.com/team"),
            ("h.com", "teamster/app", "https://h.com"),
            ("h.com", "Team/app", "https://h.com"),
            ("h.com", "team/app", "https://h.com/team/app.git"),
            ("h.com", "team/app.git", "https://h.com/team/app.git"),
            ("h.com", "team/app.git/info/lfs", "https://h.com/team/app.git"),
            ("h.com", "team/app2", "https://h.com/team"),
            ("h.com", "team/../other/app", "https://h.com"),
            ("h.com", "team//app", "https://h.com"),
            ("h.com", "other/team/app", "https://h.com"),
            ("only.com", "team/x", "https://only.com/team"),
            ("only.com", "x", ""),
            ("only.com", "", ""),
        ];
        for (host, path, name) in cases {
            assert_eq!(answer(&routes, "https", host, path, None).unwrap_or_default(), name, "{host} {path}");
        }
        let long = "team/".repeat(10_000);
        assert_eq!(answer(&routes, "https", "h.com", &long, None).as_deref(), Some("https://h.com"));
    }

    #[test]
    fn the_routes_that_answer_under_one_name_are_those_of_every_account_within_the_place() {
        let names = [
            "https://alice@h.com",
            "https://bob@h.com/team",
            "https://h.com/team/app.git",
            "https://h.com:8443",
            "http://h.com",
            "https://x.h.com",
        ];
        let mut text = HEAD.to_owned();
        for name in names {
            let http = if name.starts_with("http://") { "allow_http = true\n" } else { "" };
            text.push_str(&format!("[git.\"{name}\"]\nlogin = \"a\"\nusername = \"oauth2\"\n{http}"));
        }
        let routes = from_texts(&[&text]).unwrap().routes;
        let keys = |scheme: &str, host: &str, path: &str, username: &str| {
            let resource = Resource::Url { protocol: Some(scheme), host: Some(host), path: Some(path) };
            let mut found: Vec<_> = routes.answering_as(&resource, username).map(|route| route.key.clone()).collect();
            found.sort();
            found.dedup();
            found
        };
        let (alice, bob, app) = ("git https://alice@h.com", "git https://bob@h.com/team", "git https://h.com/team/app");
        assert_eq!(keys("HTTPS", "H.com.:443", "", "oauth2"), [alice]);
        for (path, expected) in [
            ("other", &[alice][..]),
            ("teamster", &[alice]),
            ("team", &[alice, bob]),
            ("team/x.git", &[alice, bob]),
            ("team/app", &[alice, bob, app]),
            ("team/app.git/info/lfs", &[alice, bob, app]),
            ("team/../team/app", &[alice]),
        ] {
            assert_eq!(keys("https", "h.com", path, "oauth2"), expected, "{path}");
        }
        assert_eq!(keys("https", "h.com:8443", "team", "oauth2"), ["git https://h.com:8443"]);
        assert_eq!(keys("http", "h.com", "team", "oauth2"), ["git http://h.com"]);
        let none = [
            ("ssh", "h.com"),
            ("https", "com"),
            ("https", ""),
            ("https", "h.com@evil.net"),
            ("https", "h.com/x"),
            ("https", "x"),
        ];
        for (scheme, host) in none {
            assert_eq!(keys(scheme, host, "team", "oauth2"), Vec::<String>::new(), "{scheme} {host}");
        }
        for username in ["", "alice", "bob", "OAUTH2"] {
            assert_eq!(keys("https", "h.com", "team", username), Vec::<String>::new(), "{username}");
        }
        for other in [Resource::Registry("h.com"), Resource::Profile("h.com"), Resource::Everything] {
            assert_eq!(routes.answering_as(&other, "oauth2").count(), 0);
        }
    }

    #[test]
    fn the_named_account_picks_among_several() {
        let routes = routes(
            "git",
            &[
                "https://alice@two.com",
                "https://bob@two.com",
                "https://alice@mixed.com",
                "https://mixed.com",
                "https://alice@mixed.com/team",
                "https://alice%40corp.com@one.com",
            ],
        );
        let cases = [
            ("two.com", "", Some("alice"), "https://alice@two.com"),
            ("two.com", "a/b", Some("bob"), "https://bob@two.com"),
            ("two.com", "", Some("carol"), ""),
            ("two.com", "", None, ""),
            ("mixed.com", "", Some("alice"), "https://alice@mixed.com"),
            ("mixed.com", "", Some("bob"), "https://mixed.com"),
            ("mixed.com", "", None, "https://mixed.com"),
            ("mixed.com", "team/x", Some("alice"), "https://alice@mixed.com/team"),
            ("mixed.com", "team/x", None, "https://alice@mixed.com/team"),
            ("mixed.com", "team/x", Some("bob"), "https://mixed.com"),
            ("one.com", "", Some("alice@corp.com"), "https://alice%40corp.com@one.com"),
            ("one.com", "", None, "https://alice%40corp.com@one.com"),
            ("one.com", "", Some(""), "https://alice%40corp.com@one.com"),
            ("one.com", "", Some("https://alice%40corp.com@one.com"), "https://alice%40corp.com@one.com"),
            ("one.com", "", Some("Alice@corp.com"), ""),
        ];
        for (host, path, user, name) in cases {
            assert_eq!(answer(&routes, "https", host, path, user).unwrap_or_default(), name, "{host} {path} {user:?}");
        }
    }

    #[test]
    fn an_account_is_answered_under_its_own_name_unless_the_host_fixes_another() {
        let text = "[login.lab]\npreset = \"gitlab\"\nclient_id = \"c\"\n[git.\"https://alice@gitlab.com\"]\nlogin = \"lab\"\n\
                    [login.tea]\npreset = \"gitea\"\nhost = \"tea.example.com\"\n[git.\"https://bob@tea.example.com\"]\nlogin = \"tea\"\n";
        let routes = from_texts(&[text]).unwrap().routes;
        assert_eq!(answer(&routes, "https", "gitlab.com", "", Some("alice")).as_deref(), Some("oauth2"));
        // git stores and erases what it was answered, and then names that user.
        assert_eq!(answer(&routes, "https", "gitlab.com", "", Some("oauth2")).as_deref(), Some("oauth2"));
        assert_eq!(answer(&routes, "https", "tea.example.com", "", None).as_deref(), Some("bob"));
        assert!(routes.iter().all(|(_, route)| !route.bearer));
    }

    #[test]
    fn a_user_name_cannot_turn_into_another_host() {
        let routes = routes("git", &["https://evil.com/foo", "https://x@evil.com/foo%40github.com"]);
        for user in ["evil.com/foo", "x@evil.com/foo", "@", "/", "%", "evil.com%2Ffoo"] {
            assert_eq!(answer(&routes, "https", "github.com", "", Some(user)), None, "{user}");
        }
    }

    #[test]
    fn registries_match_by_host_and_port_and_patterns_by_whole_labels() {
        let routes = routes(
            "docker",
            &[
                "registry.example.com",
                "*.example.com",
                "*.dkr.ecr.*.amazonaws.com",
                "*.ports.example.com:5000",
                "a.*.net.example.org",
                "*.b.net.example.org",
                "docker.io",
            ],
        );
        let cases = [
            ("registry.example.com", "registry.example.com"),
            ("https://REGISTRY.example.com:443/v2/", "registry.example.com"),
            ("registry.example.com/team/app", "registry.example.com"),
            ("other.example.com", "*.example.com"),
            ("a.b.example.com", ""),
            ("example.com", ""),
            ("registry.example.com.evil.net", ""),
            ("evilexample.com", ""),
            ("x.evilexample.com", ""),
            ("registry.example.com:5000", ""),
            ("other.example.com:5000", ""),
            ("123.dkr.ecr.eu-west-1.amazonaws.com", "*.dkr.ecr.*.amazonaws.com"),
            ("123.dkr.ecr.eu-west-1.amazonaws.com.cn", ""),
            ("dkr.ecr.eu-west-1.amazonaws.com", ""),
            ("x.ports.example.com:5000", "*.ports.example.com:5000"),
            ("x.ports.example.com", ""),
            ("a.b.net.example.org", "*.b.net.example.org"),
            ("https://index.docker.io/v1/", "docker.io"),
            ("*.example.com", ""),
            ("evil@registry.example.com", ""),
            ("", ""),
        ];
        for (server, name) in cases {
            let found = routes.find(&Resource::Registry(server), None).map(|route| route.username.as_str()).unwrap_or_default();
            assert_eq!(found, name, "{server}");
        }
    }

    #[test]
    fn profiles_match_by_their_whole_name() {
        let text = format!("{HEAD}[aws.prod]\nlogin = \"a\"\nrole_arn = \"arn:aws:iam::123456789012:role/R\"\n");
        let routes = from_texts(&[&text]).unwrap().routes;
        let (role, login) = routes.aws_profile("prod").unwrap();
        assert_eq!((role.role_arn.as_str(), login), ("arn:aws:iam::123456789012:role/R", "a"));
        assert_eq!((routes.aws_roles_of("a").count(), routes.aws_roles_of("b").count()), (1, 0));
        for name in ["Prod", "pro", "prod ", "", "production"] {
            assert!(routes.aws_profile(name).is_none(), "{name}");
        }
        assert!(routes.find(&Resource::Everything, None).is_none());
    }

    #[test]
    fn no_more_keys_are_tried_than_the_table_can_hold() {
        let tried = |shape: &Shape, path: &str, user: Option<&str>| {
            let mut keys = Vec::new();
            let resource = Resource::Url { protocol: Some("https"), host: Some("h"), path: Some(path) };
            first_match(&resource, user, shape, |key| -> Option<()> {
                keys.push(key.to_owned());
                None
            });
            keys
        };
        assert_eq!(tried(&Shape::default(), "a/b/c", Some("u")), ["git https://h"]);
        let shape = Shape { depth: 2, accounts: true, masks: Vec::new() };
        assert_eq!(
            tried(&shape, "a/b.git/c", Some("u")),
            [
                "git https://u@h/a/b",
                "git https://h/a/b",
                "git https://u@h/a",
                "git https://h/a",
                "git https://u@h",
                "git https://h"
            ]
        );
        assert_eq!(tried(&shape, "", None), ["git https://@h", "git https://h"]);
    }

    #[test]
    fn the_shape_is_that_of_the_keys() {
        assert_eq!(
            *routes("git", &["https://h.com", "https://h.com/a/b/c"]).shape(),
            Shape { depth: 3, accounts: false, masks: Vec::new() }
        );
        let shape =
            routes("docker", &["*.*.example.com", "*.b.example.com", "a.*.example.com", "*.c.example.com"]).shape().clone();
        assert_eq!(shape.masks.iter().map(|mask| (mask.labels, mask.open)).collect::<Vec<_>>(), [(4, 1), (4, 2), (4, 3)]);
    }
}
