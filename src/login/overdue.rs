//! Why a sign-in in a browser brought nothing in time, as far as the listener saw.
use super::pending::Pending;
use crate::failure::{Failure, Kind};
use crate::oauth::authorization_code::Sent;
use crate::oauth::loopback::{Reached, Seen};
use crate::oauth::request::Stray;
use crate::terminal::printable;

/// Returns the failure of a sign-in for which nobody came within `minutes`, with the likely reason and what to compare or change:
/// `registered` is the redirect that the server has to know. Pure.
pub(super) fn failure(pending: &Pending, registered: &str, sent: &Sent, seen: &Seen, minutes: u64) -> Failure {
    let (server, client) = (&pending.server, printable(&sent.client_id));
    let came = |stray| seen.strays.contains(&stray);
    let (reason, hint) = match seen.reached {
        Reached::Nowhere if pending.paste.is_some() => (
            format!("nothing was pasted of what {server} showed, or led to"),
            format!(
                "if {server} showed an error page, compare what is registered there: client `{client}` with the redirect {registered}"
            ),
        ),
        Reached::Nowhere if pending.browser_opened => (
            "the browser that was started never asked for the page".to_owned(),
            "look whether it shows an error; name another one in `KEYFOB_BROWSER` or in `browser` of the configuration"
                .to_owned(),
        ),
        Reached::Nowhere => ("the address that was shown was not opened".to_owned(), "open it on this machine".to_owned()),
        Reached::OurPage => {
            ("the tab that asked for it was not gone on with".to_owned(), format!("`{}` asked for it", pending.asker))
        }
        Reached::Server if came(Stray::Bare) => (
            format!("the browser came back from {server} without an answer, which was most likely put behind a `#`"),
            format!("set the response mode of client `{client}` at {server} to `query`; `fragment` never reaches keyfob"),
        ),
        Reached::Server if came(Stray::OtherState) => (
            "an answer came back that belongs to another sign-in, or has no `state`".to_owned(),
            format!("go on in the tab that opened last; if there was no other one, {server} does not send `state` back"),
        ),
        Reached::Server if came(Stray::TooLarge) => (
            "the browser came back with more than 8 KiB".to_owned(),
            format!("remove its cookies for `{}`, or use a private window", sent.redirect_uri),
        ),
        Reached::Server => (
            format!("the browser went to {server} and did not come back"),
            format!(
                "if {server} showed an error page, compare what is registered there: client `{client}` with the redirect {registered} (sent was \
                 `{}`)",
                sent.redirect_uri
            ),
        ),
    };
    let failure = Failure::new(Kind::NeedsPerson, format!("nobody signed in to `{}` within {minutes} minutes", pending.login))
        .because(reason)
        .hint(hint);
    if came(Stray::Foreign) {
        return failure.hint("another user of this machine asked for the sign-in's address, and was refused");
    }
    failure
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn the_likely_reason_follows_what_was_seen() {
        let pending = |browser_opened| Pending {
            login: "x".into(),
            server: "sso.example.com".into(),
            address: String::new(),
            browser_opened,
            why: None,
            code: None,
            paste: None,
            instead: None,
            asker: "git fetch".into(),
            pid: 7,
            ends_at: 0,
            tabs: 1,
        };
        let sent = Sent { client_id: "c".into(), redirect_uri: "http://127.0.0.1:8401/callback".into() };
        let rows: [(Reached, &[Stray], bool, &[&str]); 11] = [
            (Reached::Nowhere, &[], true, &["never asked for the page", "KEYFOB_BROWSER"]),
            (Reached::Nowhere, &[Stray::Bare, Stray::OtherState], true, &["never asked for the page"]),
            (Reached::Nowhere, &[], false, &["was not opened", "on this machine"]),
            (Reached::OurPage, &[], true, &["not gone on with", "git fetch"]),
            (Reached::Server, &[Stray::Bare], true, &["without an answer", "client `c` at sso.example.com to `query`"]),
            (Reached::Server, &[Stray::Bare, Stray::OtherState], true, &["without an answer"]),
            (Reached::Server, &[Stray::OtherState, Stray::Path], true, &["belongs to another sign-in"]),
            (Reached::Server, &[Stray::TooLarge], true, &["more than 8 KiB", "cookies"]),
            (
                Reached::Server,
                &[Stray::Path, Stray::Method, Stray::Odd],
                true,
                &[
                    "did not come back",
                    "client `c` with the redirect `http://127.0.0.1/callback` with any port (",
                    "sent was `http://127.0.0.1:8401/callback`",
                ],
            ),
            (Reached::Server, &[], false, &["did not come back"]),
            (Reached::Nowhere, &[Stray::Foreign], true, &["never asked for the page", "another user of this machine"]),
        ];
        for (reached, strays, browser_opened, words) in rows {
            let seen = Seen { reached, strays: strays.iter().copied().collect() };
            let failure = failure(&pending(browser_opened), "`http://127.0.0.1/callback` with any port", &sent, &seen, 5);
            let text = failure.lines();
            assert!(failure.message.starts_with("nobody signed in to `x` within 5 minutes: "), "{text}");
            for word in words {
                assert!(text.contains(word), "{reached:?} {strays:?}: {text}");
            }
            assert_eq!(text.contains("another user"), strays.contains(&Stray::Foreign), "{text}");
        }
    }
}
