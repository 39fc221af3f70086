//! The pending record: a sign-in that is open now, for everybody who would otherwise start a second one.
use serde::{Deserialize, Serialize};

/// What a waiting terminal needs to know of an open sign-in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pending {
    pub(crate) login: String,
    /// The server's host, as it is shown.
    pub(crate) server: String,
    /// The one-time local address. It works once, so it is shown only where no browser was opened with it.
    pub(crate) address: String,
    pub(crate) browser_opened: bool,
    /// Why a person is needed again, where there was a sign-in before.
    #[serde(default)]
    pub(crate) why: Option<String>,
    /// The tool that asked, as `git fetch`.
    pub(crate) asker: String,
    /// The process that asked.
    pub(crate) pid: u32,
    /// When it is given up, in seconds since the epoch.
    pub(crate) ends_at: i64,
}

impl Pending {
    /// Returns what is shown to the person whose command started it (`own`), or to one who waits for another's.
    pub(crate) fn notice(&self, own: bool) -> String {
        let Self { login, server, address, asker, pid, .. } = self;
        let again = self.why.as_ref().map(|why| format!(" again ({why})")).unwrap_or_default();
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
