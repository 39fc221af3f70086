//! The pending record: a sign-in that is open now, for everybody who would otherwise start a second one.
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
    /// What a person enters there, printable; it is no secret, and of no use without the device code, which never gets here.
    #[serde(default)]
    pub(crate) code: Option<UserCode>,
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

impl Pending {
    /// Returns what is shown to the person whose command started it (`own`), or to one who waits for another's.
    pub(crate) fn notice(&self, own: bool) -> String {
        let Self { login, server, address, asker, pid, .. } = self;
        let again = self.why.as_ref().map(|why| format!(" again ({why})")).unwrap_or_default();
        if let Some(code) = &self.code {
            let who = if own {
                format!("{asker} needs you to sign in to `{login}` at {server}{again}")
            } else {
                format!("another terminal ({asker}, pid {pid}) is signing in to `{login}` at {server}")
            };
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
            code: Some(UserCode { code: "ABCD-EFGH".into(), address: address.map(Into::into) }),
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
}
