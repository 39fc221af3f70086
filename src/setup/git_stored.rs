//! Passwords that git's own storage helpers keep: a line of the plain file, or a helper's answer, as one entry.
use super::git::Setting;
use crate::config::Place;
use zeroize::Zeroizing;

/// The helpers that store and do nothing else, so that asking one opens no window and no connection.
const STORES: [&str; 6] = ["store", "cache", "libsecret", "gnome-keyring", "osxkeychain", "wincred"];

/// What a person names of what helpers have: a host, or a URL, which may have an account and a path.
#[derive(Debug)]
pub(crate) struct Named {
    place: Place,
    /// As it was written, for helpers compare letter by letter.
    host: String,
    /// All of it, where no scheme was written.
    bare: Option<String>,
}

impl Named {
    /// Reads `text`; without a scheme, it is about https.
    ///
    /// # Errors
    /// One sentence on what it has to look like.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        let bare = (!text.contains("://")).then(|| text.to_owned());
        let url = bare.as_ref().map_or_else(|| text.to_owned(), |bare| format!("https://{bare}"));
        let place = Place::parse(&url)?;
        let authority = url.split('/').nth(2).unwrap_or_default();
        let host = authority.rsplit('@').next().unwrap_or_default().to_owned();
        Ok(Self { place, host, bare })
    }

    /// Returns what git asks a helper.
    pub(crate) fn request(&self) -> String {
        let path = if self.place.path.is_empty() { String::new() } else { format!("path={}\n", self.place.path) };
        let username = self.place.user.as_ref().map_or_else(String::new, |user| format!("username={user}\n"));
        format!("protocol={}\nhost={}\n{path}{username}\n", self.place.scheme, self.host)
    }

    /// Tells whether it leaves open which account is meant.
    pub(crate) const fn is_open(&self) -> bool {
        self.place.user.is_none()
    }

    /// Tells whether `one` is what is named, or below it.
    pub(crate) fn names(&self, one: &Stored) -> bool {
        let Ok(place) = Place::parse(&format!("{}://{}", one.protocol, one.host)) else { return false };
        // a host alone is that of every scheme
        let same = self.bare.as_ref().and_then(|bare| Place::parse(&format!("{}://{bare}", place.scheme)).ok());
        let named = same.as_ref().unwrap_or(&self.place);
        let ending = |path: &str| path.strip_suffix(".git").unwrap_or(path).to_owned();
        let path = ending(one.path.as_deref().unwrap_or_default());
        let below = path.strip_prefix(&ending(&named.path));
        (place.scheme, &place.host) == (named.scheme, &named.host)
            && named.user.as_ref().is_none_or(|user| *user == one.username)
            && (named.path.is_empty() || below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
    }
}

/// What a helper has stored. It shows nothing of itself.
#[derive(PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) protocol: String,
    pub(crate) host: String,
    pub(crate) path: Option<String>,
    pub(crate) username: String,
    password: Zeroizing<String>,
    /// Further lines that belong to it: the end of a token, and what renews it.
    more: Zeroizing<String>,
}

impl Stored {
    /// Reads a line of the plain file (git-credential-store(1), "STORAGE FORMAT"); `None` for what is none, or what git's protocol could
    /// not carry.
    pub(crate) fn of_line(line: &[u8]) -> Option<Self> {
        let (protocol, rest) = std::str::from_utf8(line).ok()?.trim_end_matches(['\r', '\n']).split_once("://")?;
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (user, host) = authority.rsplit_once('@')?;
        let (username, password) = user.split_once(':')?;
        let path = Some(decoded(path)?).filter(|path| !path.is_empty()).map(|path| path.to_string());
        let found = Self {
            protocol: protocol.to_owned(),
            host: decoded(host)?.to_string(),
            path,
            username: decoded(username)?.to_string(),
            password: decoded(password)?,
            more: Zeroizing::default(),
        };
        (!found.protocol.is_empty() && !found.host.is_empty()).then_some(found)
    }

    /// Reads a helper's answer for what is `named`.
    pub(crate) fn of_answer(named: &Named, answer: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(answer).ok()?;
        let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        let mut more = Zeroizing::new(String::new());
        for key in ["password_expiry_utc", "oauth_refresh_token"] {
            if let Some(value) = value(key) {
                *more = format!("{}{key}={value}\n", *more);
            }
        }
        Some(Self {
            protocol: named.place.scheme.to_owned(),
            host: named.host.clone(),
            path: Some(named.place.path.clone()).filter(|path| !path.is_empty()),
            username: value("username")?.to_owned(),
            password: Zeroizing::new(value("password")?.to_owned()),
            more,
        })
    }

    /// Returns what git tells a helper to keep (gitcredentials(7)).
    pub(crate) fn to_keep(&self) -> Zeroizing<String> {
        Zeroizing::new(format!("{}password={}\n{}", *self.to_find(), *self.password, *self.more))
    }

    /// Returns what git asks a helper.
    pub(crate) fn to_find(&self) -> Zeroizing<String> {
        let path = self.path.as_ref().map_or_else(String::new, |path| format!("path={path}\n"));
        Zeroizing::new(format!("protocol={}\nhost={}\n{path}username={}\n", self.protocol, self.host, self.username))
    }

    /// Tells whether `answer` of a helper has the same password.
    pub(crate) fn is_in(&self, answer: &[u8]) -> bool {
        let line = Zeroizing::new(format!("password={}", *self.password));
        answer.split(|byte| *byte == b'\n').any(|found| found == line.as_bytes())
    }

    /// Returns the place and the account, without the password, and without an account that may be a secret itself.
    pub(crate) fn name(&self) -> String {
        let path = self.path.as_ref().map_or_else(String::new, |path| format!("/{path}"));
        let is_token = matches!(self.password.as_str(), "" | "x-oauth-basic") || looks_like_a_token(&self.username);
        let user = if is_token { String::new() } else { format!("{}@", self.username) };
        format!("{}://{user}{}{path}", self.protocol, self.host)
    }
}

/// Tells whether `username` has a token's prefix (GitHub's, GitLab's), or is longer than people's names are and in one piece.
fn looks_like_a_token(username: &str) -> bool {
    let is_githubs = username.strip_prefix("gh").and_then(|rest| rest.chars().nth(1)) == Some('_');
    is_githubs
        || ["github_pat_", "glpat-"].iter().any(|prefix| username.starts_with(prefix))
        || (username.chars().count() >= 20 && !username.contains(['@', '.', '-']))
}

/// Returns `text` with its percent escapes resolved; `None` where they are not well formed, or stand for what ends a line.
fn decoded(text: &str) -> Option<Zeroizing<String>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(text.len()));
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        if *first == b'%' {
            let digits = std::str::from_utf8(after.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &after[2..];
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    let text = std::str::from_utf8(&bytes).ok().filter(|text| !text.contains(['\n', '\r', '\0']))?;
    Some(Zeroizing::new(text.to_owned()))
}

/// Tells whether `helper` is git's plain file, where git looks for that by itself.
pub(crate) fn is_plain_file(helper: &str) -> bool {
    name_of(helper) == "store" && helper.split_whitespace().count() == 1
}

/// Returns what `helper` is called, without what is given to it.
pub(crate) fn name_of(helper: &str) -> &str {
    let name = helper.split([' ', '\t']).next().unwrap_or_default();
    name.rsplit('/').next().unwrap_or(name).trim_start_matches("git-credential-")
}

/// Returns the storage helpers that `settings` of the user and the system name, as they stand there, in git's order.
pub(crate) fn helpers(settings: &[Setting]) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for setting in settings.iter().filter(|setting| matches!(setting.scope.as_str(), "system" | "global")) {
        let (Ok(key), Some(Ok(value))) =
            (std::str::from_utf8(&setting.key), setting.value.as_deref().map(|value| std::str::from_utf8(value)))
        else {
            continue;
        };
        let is_helper = key.starts_with("credential.") && key.ends_with(".helper");
        if is_helper && STORES.contains(&name_of(value)) && !found.iter().any(|known| known == value) {
            found.push(value.to_owned());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_plain_file_is_read_as_git_reads_it() {
        let rows = [
            ("https://me:pw@h.com", Some("protocol=https\nhost=h.com\nusername=me\npassword=pw\n")),
            (
                "https://me%40x:p%3a%2F%C3%A4@h.com:8443/a%20b/c.git\n",
                Some("protocol=https\nhost=h.com:8443\npath=a b/c.git\nusername=me@x\npassword=p:/\u{e4}\n"),
            ),
            ("https://me:@h.com\r\n", Some("protocol=https\nhost=h.com\nusername=me\npassword=\n")),
            ("smtp://me:a:b@h.com", Some("protocol=smtp\nhost=h.com\nusername=me\npassword=a:b\n")),
            ("https://me@h.com", None),
            ("https://h.com", None),
            ("https://me:pw%0ahost=evil@h.com", None),
            ("https://me:pw%0d@h.com", None),
            ("https://me:pw%00@h.com", None),
            ("https://me:pw%zz@h.com", None),
            ("https://me:pw@", None),
            ("# https//", None),
            ("", None),
        ];
        for (line, expected) in rows {
            let found = Stored::of_line(line.as_bytes()).map(|one| one.to_keep().to_string());
            assert_eq!(found.as_deref(), expected, "{line}");
        }
        assert!(Stored::of_line(b"https://me:\xff@h.com").is_none());
    }

    #[test]
    fn an_account_that_may_be_a_token_is_not_shown() {
        let rows = [
            ("https://me:pw@h.com/a.git", "https://me@h.com/a.git"),
            ("https://first.last%40example.com:pw@h.com", "https://first.last@example.com@h.com"),
            ("https://a-long-name-of-a-robot:pw@h.com", "https://a-long-name-of-a-robot@h.com"),
            ("https://ghost:pw@h.com", "https://ghost@h.com"),
            ("https://secret:@h.com", "https://h.com"),
            ("https://secret:x-oauth-basic@h.com/a", "https://h.com/a"),
            ("https://ghp_x:pw@h.com", "https://h.com"),
            ("https://ghs_x:pw@h.com", "https://h.com"),
            ("https://github_pat_x:pw@h.com", "https://h.com"),
            ("https://glpat-x-y.z:pw@h.com", "https://h.com"),
            ("https://0123456789abcdef0123:pw@h.com", "https://h.com"),
            ("https://0123456789abcdef012:pw@h.com", "https://0123456789abcdef012@h.com"),
        ];
        for (line, name) in rows {
            assert_eq!(Stored::of_line(line.as_bytes()).unwrap().name(), name, "{line}");
        }
    }

    #[test]
    fn an_answer_is_kept_with_what_belongs_to_it() {
        let answer =
            b"protocol=https\nhost=h\nusername=me\npassword=pw\npassword_expiry_utc=99\noauth_refresh_token=rt\nwwwauth[]=x\n";
        let named = Named::parse("http://H:80").unwrap();
        let found = Stored::of_answer(&named, answer).unwrap();
        let kept = "protocol=http\nhost=H:80\nusername=me\npassword=pw\npassword_expiry_utc=99\noauth_refresh_token=rt\n";
        assert_eq!(found.to_keep().as_str(), kept);
        assert!(found.is_in(b"username=me\npassword=pw\n") && !found.is_in(b"password=pw2\n") && !found.is_in(b""));
        assert!(Stored::of_answer(&named, b"username=me\n").is_none());
    }

    #[test]
    fn what_is_named_is_asked_as_git_would_and_found_in_a_list() {
        let line = |line: &str| Stored::of_line(line.as_bytes()).unwrap();
        let (app, other) = (line("https://me%40x:pw@h.com/team/app.git"), line("http://you:pw@h.com"));
        let rows = [
            ("h.com", "protocol=https\nhost=h.com\n\n", true, true),
            ("H.com:443", "protocol=https\nhost=H.com:443\n\n", true, false),
            ("https://h.com/", "protocol=https\nhost=h.com\n\n", true, false),
            ("http://h.com", "protocol=http\nhost=h.com\n\n", false, true),
            ("me%40x@h.com", "protocol=https\nhost=h.com\nusername=me@x\n\n", true, false),
            ("you@h.com", "protocol=https\nhost=h.com\nusername=you\n\n", false, true),
            ("h.com/team/app.git", "protocol=https\nhost=h.com\npath=team/app.git\n\n", true, false),
            ("h.com/team/app", "protocol=https\nhost=h.com\npath=team/app\n\n", true, false),
            ("h.com/team", "protocol=https\nhost=h.com\npath=team\n\n", true, false),
            ("h.com/tea", "protocol=https\nhost=h.com\npath=tea\n\n", false, false),
            ("x.h.com", "protocol=https\nhost=x.h.com\n\n", false, false),
        ];
        for (text, request, has_app, has_other) in rows {
            let named = Named::parse(text).unwrap();
            assert_eq!(
                (named.request().as_str(), named.names(&app), named.names(&other)),
                (request, has_app, has_other),
                "{text}"
            );
        }
        for text in
            ["", "ftp://h.com", "h.com?x", "*.h.com", "a:b@h.com", "h.com\nhost=i.com", "h.com/a%0ahost=i.com", "a%0ab@h.com"]
        {
            assert!(Named::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn only_helpers_that_do_nothing_but_store_are_asked() {
        let one = |scope: &str, value: &str| Setting {
            key: b"credential.helper".to_vec(),
            value: Some(value.as_bytes().to_vec().into()),
            scope: scope.into(),
            ..Setting::default()
        };
        let settings = [
            one("system", "cache --timeout 30"),
            one("global", "/usr/lib/git-core/git-credential-libsecret"),
            one("global", "manager"),
            one("global", "store --file /elsewhere"),
            one("global", "store"),
            one("global", "!gh auth git-credential"),
            one("global", ""),
            one("global", "cache --timeout 30"),
            one("local", "osxkeychain"),
            one("command", "wincred"),
        ];
        let asked = ["cache --timeout 30", "/usr/lib/git-core/git-credential-libsecret", "store --file /elsewhere", "store"];
        assert_eq!(helpers(&settings), asked);
        assert_eq!(asked.map(name_of), ["cache", "libsecret", "store", "store"]);
        assert_eq!(asked.map(is_plain_file), [false, false, false, true]);
    }
}
