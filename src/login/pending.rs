//! The pending record: a sign-in that is open now, for everybody who would otherwise start a second one.
use crate::token::stored_secret;
use helper_protocols::Secret;
use serde::{Deserialize, Serialize};

/// What a waiting terminal needs to know of an open sign-in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pending {
    pub(crate) login: String,
    /// The server's host, as it is shown.
    pub(crate) server: String,
    /// The one-time local address. It works once, so it is shown only where no browser was opened with it. With a code: the server's
    /// own address where that is to be entered, printable, and good as often as one likes.
    pub(crate) address: String,
    pub(crate) browser_opened: bool,
    /// Why a person is needed again, where there was a sign-in before.
    #[serde(default)]
    pub(crate) why: Option<String>,
    /// Why it is not by the way that comes first here, where that was tried; printable.
    #[serde(default)]
    pub(crate) instead: Option<String>,
    /// What a person enters there, printable; it is no secret, and of no use without the device code, which never gets here.
    #[serde(default)]
    pub(crate) code: Option<UserCode>,
    /// What a person carries elsewhere, and where what they bring back goes.
    #[serde(default)]
    pub(crate) paste: Option<Paste>,
    /// The tool that asked, as `git fetch`.
    pub(crate) asker: String,
    /// The process that asked.
    pub(crate) pid: u32,
    /// When it is given up, in seconds since the epoch.
    pub(crate) ends_at: i64,
    /// How many tabs have been opened for it by themselves, with nobody at a terminal.
    #[serde(default)]
    pub(crate) tabs: u32,
}

/// The code of a device sign-in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct UserCode {
    pub(crate) code: String,
    /// The address with the code in it, where the server has one.
    pub(crate) address: Option<String>,
}

/// A sign-in by pasting. Who knows `address` may end it with a code, so it is in sealed records and pipes alone, and never shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Paste {
    /// The address at the server, which is shown.
    #[serde(with = "stored_secret")]
    pub(crate) url: Secret,
    #[serde(with = "stored_secret")]
    pub(crate) address: Secret,
}

impl Pending {
    /// Returns what is shown to the person whose command started it (`own`), or to one who waits for another's.
    pub(crate) fn notice(&self, own: bool) -> String {
        let Self { login, server, address, asker, pid, .. } = self;
        let again = self.again();
        if let Some(paste) = &self.paste {
            // one line of its own, so that it is copied whole
            let url: String = paste.url.expose().chars().filter(char::is_ascii_graphic).collect();
            return format!(
                "{}: open this address in any browser, sign in, and paste the address at which it ends here, even if that page does \
                 not load\n{url}",
                self.who(own)
            );
        }
        if let Some(code) = &self.code {
            let who = self.who(own);
            return format!("{who}: {}; waiting - Ctrl-C to stop", code.instruction(address, self.browser_opened));
        }
        match (own, self.browser_opened) {
            (true, true) => format!(
                "{asker} needs you to sign in to `{login}` at {server}{again}: a browser tab is open; waiting - Ctrl-C to stop"
            ),
            (true, false) => format!(
                "{asker} needs you to sign in to `{login}` at {server}{again}: open {address} in a browser on this machine; waiting - Ctrl-C to stop"
            ),
            (false, true) => {
                format!(
                    "another terminal ({asker}, pid {pid}) is signing in to `{login}` at {server}; waiting - Ctrl-C to stop, `keyfob logout {login}` to give it up"
                )
            }
            (false, false) => {
                format!(
                    "another terminal ({asker}, pid {pid}) is signing in to `{login}` at {server}: open {address} in a browser on this machine; waiting - Ctrl-C to stop"
                )
            }
        }
    }

    fn again(&self) -> String {
        let again = self.why.as_ref().map(|why| format!(" again ({why})")).unwrap_or_default();
        self.instead.as_ref().map(|instead| format!("{again}; {instead}")).unwrap_or(again)
    }

    fn who(&self, own: bool) -> String {
        let Self { login, server, asker, pid, .. } = self;
        if own {
            format!("{asker} needs you to sign in to `{login}` at {server}{}", self.again())
        } else {
            format!("another terminal ({asker}, pid {pid}) is signing in to `{login}` at {server}")
        }
    }

    /// Returns what is shown where another process asks at the same terminal, or this one is in its background.
    pub(crate) fn notice_elsewhere(&self, own: bool) -> String {
        format!("{}; waiting - Ctrl-C to stop", self.who(own))
    }

    /// Returns the address that a phone may go on at, where there is one.
    pub(crate) fn to_scan(&self) -> Option<&str> {
        match (&self.paste, &self.code) {
            (Some(paste), _) => Some(paste.url.expose()),
            (None, Some(code)) if !self.browser_opened => Some(code.address.as_ref().unwrap_or(&self.address)),
            _ => None,
        }
    }

    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }
}

impl UserCode {
    /// Says what to do with the code at `address`. The code is always named: who is sent to a page that has it already is to compare
    /// (RFC 8628 §3.3.1).
    fn instruction(&self, address: &str, browser_opened: bool) -> String {
        let Self { code, address: complete } = self;
        match (browser_opened, complete) {
            (false, None) => format!("open {address} in any browser and enter the code {code}"),
            (false, Some(complete)) => {
                format!("open {address} in any browser and enter the code {code}, or open {complete} and compare the code")
            }
            (true, None) => format!("a browser tab is open at {address}: enter the code {code} there"),
            (true, Some(complete)) => {
                format!(
                    "a browser tab is open at {complete}: go on there if it shows the code {code}, else enter that at {address}"
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pending(address: Option<&str>, browser_opened: bool) -> Pending {
        Pending {
            login: "corp".into(),
            server: "sso.example.com".into(),
            address: "https://sso.example.com/device".into(),
            browser_opened,
            why: None,
            instead: None,
            code: Some(UserCode { code: "ABCD-EFGH".into(), address: address.map(Into::into) }),
            paste: None,
            asker: "git fetch".into(),
            pid: 7,
            ends_at: 0,
            tabs: 0,
        }
    }

    #[test]
    fn the_code_and_where_to_enter_it_are_always_said() {
        for complete in [None, Some("https://sso.example.com/device?user_code=ABCD-EFGH")] {
            for (browser_opened, own) in [(false, false), (false, true), (true, false), (true, true)] {
                let notice = pending(complete, browser_opened).notice(own);
                assert!(notice.contains("code ABCD-EFGH"), "{notice}");
                let without_codes = notice.replace("?user_code=ABCD-EFGH", "");
                assert!(without_codes.contains("https://sso.example.com/device"), "{notice}");
                assert!(complete.is_none_or(|complete| notice.contains(complete)), "{notice}");
                assert!(notice.ends_with("; waiting - Ctrl-C to stop"), "{notice}");
                assert_eq!(notice.contains("another terminal (git fetch, pid 7)"), !own, "{notice}");
            }
        }
    }

    #[test]
    fn a_notice_without_a_code_is_read_as_before() {
        let form = r#"{"login":"corp","server":"h","address":"http://127.0.0.1:1/start/x","browser_opened":true,"asker":"a","pid":1,"ends_at":2}"#;
        assert_eq!(Pending::read(form.as_bytes()).unwrap().code, None);
    }

    #[test]
    fn of_a_sign_in_by_pasting_the_servers_address_alone_is_shown() {
        let url = "https://sso.example.com/authorize?state=s&code_challenge=c";
        let paste = Paste { url: Secret::new(url.into()), address: Secret::new("http://127.0.0.1:1/paste/p1".into()) };
        let pending = Pending { code: None, paste: Some(paste), ..pending(None, false) };
        for own in [false, true] {
            let notice = pending.notice(own);
            assert!(notice.ends_with(&format!("\n{url}")) && !notice.contains("127.0.0.1"), "{notice}");
            let elsewhere = pending.notice_elsewhere(own);
            assert!(!elsewhere.contains("https://") && elsewhere.ends_with("; waiting - Ctrl-C to stop"), "{elsewhere}");
        }
        assert!(!format!("{pending:?}").contains("p1") && !format!("{pending:?}").contains("state="));
        let form = serde_json::to_vec(&pending).unwrap();
        assert_eq!(Pending::read(&form), Some(pending));
    }

    #[test]
    fn whoever_is_asked_another_way_than_the_first_is_told_why() {
        let pending = Pending { instead: Some("no browser could be opened".into()), ..pending(None, false) };
        assert!(
            pending.notice(true).contains("at sso.example.com; no browser could be opened: open https://"),
            "{}",
            pending.notice(true)
        );
    }

    #[test]
    fn a_phone_may_scan_what_can_be_gone_on_with_there() {
        let complete = "https://sso.example.com/device?user_code=ABCD-EFGH";
        assert_eq!(pending(Some(complete), false).to_scan(), Some(complete));
        assert_eq!(pending(None, false).to_scan(), Some("https://sso.example.com/device"));
        assert_eq!(pending(Some(complete), true).to_scan(), None);
        assert_eq!(Pending { code: None, ..pending(None, false) }.to_scan(), None);
    }
}
