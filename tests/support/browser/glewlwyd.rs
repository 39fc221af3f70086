//! glewlwyd's page to sign in at: its scripts ask its API, and so does the fake browser in their place.
use serde_json::{Value, json};
use url::Url;

/// One call of the page, by what it was called with.
pub(super) struct Page {
    origin: Url,
    client: String,
    scope: String,
    callback: Url,
}

impl Page {
    /// The page where a person has to sign in or to agree; `None` where `url` is something else, as the page that says it is done.
    pub(super) fn at(url: &Url) -> Option<Self> {
        let parameter = |name: &str| url.query_pairs().find(|(n, _)| n == name).map(|(_, value)| value.into_owned());
        let (client, scope) = (parameter("client_id")?, parameter("scope")?);
        let callback = Url::parse(&parameter("callback_url")?).ok()?;
        (url.path() == "/login.html").then(|| Self { origin: url.clone(), client, scope, callback })
    }

    /// What it sends for the person called `login`: method, address and JSON. Who does not agree leaves all scopes out that can be.
    pub(super) fn requests(&self, login: &str, agree: bool) -> [(&'static str, Url, Value); 2] {
        let api = |path: &str| {
            let mut url = self.origin.clone();
            url.set_path(&format!("/api/auth/{path}"));
            url.set_query(None);
            url
        };
        let scope = if agree { &self.scope } else { "openid" };
        let grant = api(&format!("grant/{}", self.client));
        [("POST", api(""), json!({ "username": login, "password": "password" })), ("PUT", grant, json!({ "scope": scope }))]
    }

    /// Where it sends the browser after that.
    pub(super) fn then(&self) -> Url {
        let mut url = self.callback.clone();
        url.query_pairs_mut().append_key_only("g_continue");
        url
    }
}
