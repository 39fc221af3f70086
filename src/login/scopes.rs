//! The scopes that a server left out of what it granted, and what a person is told of them.
use crate::config::Login;
use crate::failure::{Failure, Kind};
use crate::terminal::printable;

/// What is not judged by name: servers leave these out of the answer although they did what they stand for, or write others for them.
const UNJUDGED: [&str; 4] = ["openid", "offline_access", "email", "profile"];

/// Returns the scopes that `asked` has and `granted` has not, as they are shown. Pure.
///
/// Servers write a scope in their own case, or as an address that ends in it (Entra ID, Google); `.default` stands for all there are.
/// Nothing granted at all says nothing: so answers a server that does not go by scopes (GitHub, for an App).
pub(crate) fn missing(asked: &[String], granted: &[String]) -> Vec<String> {
    let is_granted = |scope: &&String| {
        let is_same = |given: &String| {
            let (given, scope) = (given.to_ascii_lowercase(), scope.to_ascii_lowercase());
            given.strip_suffix(&scope).is_some_and(|rest| rest.is_empty() || rest.ends_with('/'))
        };
        granted.is_empty() || granted.iter().any(is_same)
    };
    let judged = asked.iter().filter(|scope| !UNJUDGED.contains(&scope.as_str()) && !scope.ends_with("/.default"));
    judged.filter(|scope| !is_granted(scope)).map(|scope| format!("`{}`", printable(scope))).collect()
}

/// Returns what a person reads whose server `granted` to `login` less than it asks for.
pub(crate) fn warning(login: &Login, granted: &[String]) -> Option<Failure> {
    let (name, missing) = (&login.name, missing(&login.scopes, granted).join(", "));
    let said = format!("the server did not grant `{name}` all that it asks for: without {missing}");
    let hint = format!("run `keyfob login {name}` to agree to it, or change `scopes`");
    (!missing.is_empty()).then(|| Failure::new(Kind::Refused, said).hint(hint))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_left_out_is_found_in_its_own_spelling() {
        let rows = [
            ("repo:read repo:write", "repo:read repo:write", ""),
            ("repo:read repo:write", "repo:write", "`repo:read`"),
            ("a b", "", ""),
            ("a b", "c", "`a` `b`"),
            ("", "a", ""),
            ("a", "a b", ""),
            ("openid offline_access email profile a", "A", ""),
            ("User.Read", "https://graph.example.com/User.Read", ""),
            ("read", "https://graph.example.com/spread", "`read`"),
            ("read", "unread", "`read`"),
            ("https://vault.example.com/.default", "https://vault.example.com/user_impersonation", ""),
        ];
        let words = |text: &str| text.split_whitespace().map(ToOwned::to_owned).collect::<Vec<_>>();
        for (asked, granted, expected) in rows {
            assert_eq!(missing(&words(asked), &words(granted)), words(expected), "{asked}, of which {granted}");
        }
    }
}
