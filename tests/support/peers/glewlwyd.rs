//! Debian's glewlwyd, behind a front that counts.
use super::{Served, bare, folder, require};
use crate::support::front::Front;
use crate::support::http_client;
use serde_json::{Value, json};

/// glewlwyd with one-time refresh tokens whose reuse ends the family. What it knows is said in `tests/peers/glewlwyd/server.py`.
pub struct Glewlwyd {
    /// What keyfob and the fake browser talk to.
    pub front: Front,
    _served: Served,
}

impl Glewlwyd {
    /// `None` where it is not installed (see [`require`]).
    pub fn start() -> Option<Self> {
        Self::start_with(&[])
    }

    /// The same with settings for its environment: `TB_ACCESS_TTL`.
    pub fn start_with(settings: &[(&str, &str)]) -> Option<Self> {
        require("glewlwyd").then(|| {
            let front = Front::start();
            let mut command = bare("python3");
            command.arg(folder().join("glewlwyd/server.py")).env("TB_ORIGIN", front.url()).envs(settings.iter().copied());
            let served = Served::start(command);
            front.lead_to(&served.ready);
            // on SQLite, what one request has just inserted may be taken for another's
            front.hand_on_in_turn();
            Self { front, _served: served }
        })
    }

    /// The issuer, which has a path.
    pub fn issuer(&self) -> String {
        format!("{}/api/oidc", self.front.url())
    }

    /// Makes a public client that may have `http://127.0.0.1:PORT/callback` with these ports and no other.
    pub fn register(&self, client: &str, ports: &[u16]) {
        let redirects: Vec<String> = ports.iter().map(|port| format!("http://127.0.0.1:{port}/callback")).collect();
        self.administrate("POST", "client/", &json!({
            "client_id": client, "name": client, "enabled": true, "confidential": false, "token_endpoint_auth_method": ["none"],
            "redirect_uri": redirects, "authorization_type": ["code", "refresh_token", "device_authorization"],
            "scope": ["openid", "offline_access", "repo:read", "repo:write"],
        }));
    }

    /// The life of access tokens that are issued from now on, in seconds. It does not answer for a moment.
    pub fn set_access_life(&self, seconds: u32) {
        let mut plugin = self.administrate("GET", "mod/plugin/oidc", &Value::Null);
        plugin["parameters"]["access-token-duration"] = seconds.into();
        self.administrate("PUT", "mod/plugin/oidc", &plugin);
        self.administrate("PUT", "mod/plugin/oidc/disable", &Value::Null);
        self.administrate("PUT", "mod/plugin/oidc/enable", &Value::Null);
    }

    /// Whether `token` is taken where the server says whose it is.
    pub fn takes(&self, token: &str) -> bool {
        crate::support::introspection::taken_at(&self.issuer())(token)
    }

    fn administrate(&self, method: &str, path: &str, body: &Value) -> Value {
        let api = |path: &str| format!("{}/api/{path}", self.front.url());
        let send = |method: &str, path: &str, cookie: &str, body: &Value| {
            let headers = [("content-type", "application/json"), ("cookie", cookie)];
            let body = if body.is_null() { String::new() } else { body.to_string() };
            let answer = http_client::send(method, &api(path), &headers, body.as_bytes(), None).expect("it answers");
            assert_eq!(answer.status, 200, "{method} {path}: {}", answer.text());
            answer
        };
        let welcome = send("POST", "auth/", "", &json!({ "username": "admin", "password": "password" }));
        let cookie = welcome.header("set-cookie").and_then(|cookie| cookie.split(';').next()).expect("it opens a session");
        send(method, path, cookie, body).json()
    }
}
