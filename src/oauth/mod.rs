//! Talks to one authorization server on behalf of one login.
mod arrival;
pub(crate) mod authorization_code;
mod bind;
pub(crate) mod device;
pub(crate) mod error_codes;
pub(crate) mod id_token;
pub(crate) mod loopback;
pub(crate) mod metadata;
pub(crate) mod paste;
pub(crate) mod request;
pub(crate) mod result_page;
pub(crate) mod revocation;
pub(crate) mod token_endpoint;
pub(crate) mod userinfo;
mod visitors;

use crate::config::{ClientAuth, Login};
use crate::failure::{Failure, Kind};
use crate::http::{Client, Proof, is_loopback};
use error_codes::{Place, Sent, Tried};
use helper_protocols::Secret;
use url::Url;

/// One login's client at its authorization server, ready to send requests.
#[derive(Debug)]
pub(crate) struct Registration<'a> {
    pub(crate) login: &'a Login,
    pub(crate) http: Client,
    /// Which of the login's clients this is.
    pub(crate) client_id: String,
    secret: Option<Secret>,
}

impl<'a> Registration<'a> {
    /// Prepares requests for `login`, and reads its client secret where it has one.
    ///
    /// # Errors
    /// [`Kind::Misconfigured`] where the login names no server, or its secret or CA file cannot be read.
    pub(crate) fn new(login: &'a Login) -> Result<Self, Failure> {
        Self::of_client(login, &login.client_id)
    }

    /// Prepares requests of the client that `login` has for the device grant, which may be one of its own.
    ///
    /// # Errors
    /// Those of [`Registration::new`].
    pub(crate) fn for_devices(login: &'a Login) -> Result<Self, Failure> {
        Self::of_client(login, login.device.client_id.as_ref().unwrap_or(&login.client_id))
    }

    /// Prepares requests of the client that tokens were issued to: only that one may refresh and revoke them. One that `login` does not
    /// name any more has no secret here.
    ///
    /// # Errors
    /// Those of [`Registration::new`].
    pub(crate) fn of_client(login: &'a Login, client_id: &str) -> Result<Self, Failure> {
        let server = [&login.issuer, &login.endpoints.token].into_iter().find_map(Option::as_ref).ok_or_else(|| {
            Failure::new(Kind::Misconfigured, format!("login `{}` names no server", login.name)).hint("give it an `issuer`")
        })?;
        let http = Client::towards(server, login.ca_file.as_deref())?;
        let secret_file = if client_id == login.client_id {
            login.client_secret_file.as_deref()
        } else {
            login.device.client_secret_file.as_deref().filter(|_| login.device.client_id.as_deref() == Some(client_id))
        };
        let secret = secret_file.map(read_secret).transpose()?;
        Ok(Self { login, http, client_id: client_id.to_owned(), secret })
    }

    /// Adds the client's identification to `fields` and returns what goes into the header (RFC 6749 §2.3.1).
    fn authenticate<'s>(&'s self, fields: &mut Vec<(&'s str, &'s str)>) -> Proof<'s> {
        match (&self.secret, self.login.client_auth) {
            (Some(secret), ClientAuth::Post) => {
                fields.push(("client_id", &self.client_id));
                fields.push(("client_secret", secret.expose()));
                Proof::None
            }
            // every server has to understand this one (RFC 6749 §2.3.1)
            (Some(secret), ClientAuth::Basic | ClientAuth::None) => Proof::Basic { id: &self.client_id, secret },
            (None, _) => {
                fields.push(("client_id", &self.client_id));
                Proof::None
            }
        }
    }

    /// Returns what an error at `place` of `endpoint` is held against; the parameters are still to be named.
    pub(crate) fn sent<'s>(&'s self, place: Place, endpoint: &'s Url) -> Sent<'s> {
        let tried = match (&self.secret, self.login.client_auth) {
            (None, _) => Tried::NoSecret,
            (Some(_), ClientAuth::Post) => Tried::SecretInBody,
            (Some(_), ClientAuth::Basic | ClientAuth::None) => Tried::SecretInHeader,
        };
        Sent {
            place,
            host: endpoint.host_str().unwrap_or_default(),
            login: &self.login.name,
            client_id: &self.client_id,
            tried,
            names: &[],
            scopes: &self.login.scopes,
            redirect_uri: "",
        }
    }
}

fn read_secret(path: &std::path::Path) -> Result<Secret, Failure> {
    let failure = |reason: String| {
        Failure::new(Kind::Misconfigured, format!("cannot read the client secret in `{}`", path.display()))
            .because(reason)
            .hint("put the secret alone into that file, readable by you only")
    };
    let text = zeroize::Zeroizing::new(std::fs::read_to_string(path).map_err(|error| failure(error.kind().to_string()))?);
    let secret = text.trim();
    if secret.is_empty() || secret.len() > 4096 {
        return Err(failure("it is empty or longer than 4 KiB".into()));
    }
    Ok(Secret::new(secret.to_owned()))
}

/// Whether `endpoint` may be used where `issuer` is what the person configured: https, or plain http only where the issuer itself
/// is plain http by the person's own word; never from a remote issuer to this machine, nor in the clear from this machine to another.
pub(crate) fn leads_on(issuer: &Url, endpoint: &Url) -> bool {
    let stays_here = is_loopback(endpoint) || !is_loopback(issuer);
    let scheme = endpoint.scheme() == "https" || (endpoint.scheme() == "http" && issuer.scheme() == "http" && stays_here);
    scheme && (is_loopback(issuer) || !is_loopback(endpoint)) && endpoint.username().is_empty() && endpoint.password().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_never_leads_to_plain_http_or_to_this_machine() {
        let rows = [
            ("https://sso.example.com", "https://sso.example.com/token", true),
            ("https://sso.example.com", "https://tokens.example.net/token", true),
            ("https://sso.example.com", "http://sso.example.com/token", false),
            ("https://sso.example.com", "https://127.0.0.1/token", false),
            ("https://sso.example.com", "https://[::1]/token", false),
            ("https://sso.example.com", "https://localhost/token", false),
            ("https://sso.example.com", "https://user:pw@sso.example.com/token", false),
            ("https://sso.example.com", "file:///etc/passwd", false),
            ("http://127.0.0.1:4000", "http://127.0.0.1:4000/token", true),
            ("http://127.0.0.1:4000", "http://127.0.0.1:4001/token", true),
            ("http://127.0.0.1:4000", "http://sso.example.com/token", false),
            ("http://127.0.0.1:4000", "https://sso.example.com/token", true),
            ("http://sso.example.com", "http://tokens.example.com/token", true),
            ("http://sso.example.com", "http://127.0.0.1/token", false),
        ];
        for (issuer, endpoint, expected) in rows {
            assert_eq!(leads_on(&Url::parse(issuer).unwrap(), &Url::parse(endpoint).unwrap()), expected, "{issuer} {endpoint}");
        }
    }
}
