//! django-oauth-toolkit, behind a front that counts.
use super::{Served, bare, folder, python, require};
use crate::support::front::Front;
use crate::support::introspection;
use serde_json::json;

/// django-oauth-toolkit with rotating refresh tokens whose reuse ends the family. What it knows is said in
/// `tests/peers/django_oauth_toolkit/server.py`.
pub struct Django {
    /// What keyfob and the fake browser talk to.
    pub front: Front,
    served: Served,
}

impl Django {
    /// `None` where it is not installed (see [`require`]).
    pub fn start() -> Option<Self> {
        require("django-oauth-toolkit").then(|| {
            let front = Front::start();
            let mut command = bare(python());
            command.arg("-B").arg(folder().join("django_oauth_toolkit/server.py")).env("TB_ORIGIN", front.url());
            let served = Served::start(command);
            front.lead_to(&served.ready);
            Self { front, served }
        })
    }

    /// The issuer, which has a path.
    pub fn issuer(&self) -> String {
        format!("{}/o", self.front.url())
    }

    /// Makes a public client that has `grant`: `authorization-code` or `urn:ietf:params:oauth:grant-type:device_code`.
    pub fn register(&self, client: &str, grant: &str) {
        self.served.control("register", Some(&json!({ "client": client, "grant": grant })));
    }

    /// The life of access tokens that are issued from now on, in seconds.
    pub fn set_access_life(&self, seconds: u32) {
        self.served.control("set", Some(&json!({ "accessTtl": seconds })));
    }

    /// A check of access tokens at its introspection endpoint.
    pub fn good_tokens(&self) -> impl Fn(&str) -> bool + Send + Sync + use<> + 'static {
        introspection::active_at(&self.issuer(), Some(("checker".into(), "checker-secret".into())))
    }
}
