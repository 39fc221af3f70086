//! Kinds of sign-in servers: what a login need not say because its server is one of a known kind.
mod table;

use super::document::{Section, nearest, printable};
use crate::failure::Failure;

/// One kind of server. Where it was learnt stands beside its row in `preset/table.rs`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Preset {
    /// The words that choose it.
    names: &'static [&'static str],
    /// The public instance, where there is one.
    pub(super) host: Option<&'static str>,
    /// What stands for `{}` in its paths.
    pub(super) part: Option<Part>,
    pub(super) server: Server,
    /// Where it says whose an access token is, where it does that without further scopes.
    pub(super) userinfo: Option<Userinfo>,
    /// The parameter that suggests an account to sign in.
    pub(super) account_hint: &'static str,
    /// The narrowest that clones and pushes, pulls and pushes, or identifies.
    pub(super) scopes: &'static [&'static str],
    /// The redirect URI to register; with a port where the server compares that, too.
    pub(super) redirect: &'static str,
    pub(super) secret: Wanted,
    /// Whether the device grant wants another client than the one for browsers.
    pub(super) own_device_client: bool,
    /// Whether a refresh has to name the redirect URI again.
    pub(super) refresh_names_redirect: bool,
    /// Whether a refresh ends the access token before it.
    pub(super) late_refresh: bool,
    /// A public client that every instance knows.
    pub(super) client: Option<KnownClient>,
    /// The client id that whoever built this program registered at the public instance.
    pub(super) built_in: Option<&'static str>,
    pub(super) git_username: &'static str,
    /// Whether git must be answered with exactly that name, even for a URL that names another.
    pub(super) fixed_username: bool,
    pub(super) docker_username: &'static str,
    pub(super) registration: Registration,
}

/// What is known of where a server's endpoints are.
#[derive(Clone, Copy, Debug)]
pub(super) enum Server {
    /// Below the host's root, or at addresses of their own.
    Endpoints {
        authorization: &'static str,
        token: &'static str,
        /// RFC 7009, where the server has it.
        revocation: Option<&'static str>,
        /// RFC 8628, where the server has it.
        device_authorization: Option<&'static str>,
    },
    /// Its metadata tells (OpenID Connect Discovery): the path of the issuer below the host's root, which may be empty.
    Issuer(&'static str),
}

/// Where a server says whose an access token is: at the public instance, and at others. Below the root, or addresses.
#[derive(Clone, Copy, Debug)]
pub(super) struct Userinfo {
    pub(super) at_home: &'static str,
    pub(super) elsewhere: &'static str,
}

/// A part of a server's paths that a login names.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    pub(super) key: &'static str,
    pub(super) usual: Option<&'static str>,
    pub(super) example: &'static str,
}

/// Whether a client needs its secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    Never,
    /// It is issued with the client, and is no secret; whether it has to be sent is not known.
    Issued,
    /// For the code that a browser brings, but not for the device grant.
    InBrowser,
    Always,
}

/// A public client, and how it is registered.
#[derive(Clone, Copy, Debug)]
pub(super) struct KnownClient {
    pub(super) id: &'static str,
    pub(super) redirect: &'static str,
}

/// What a person does to register a client.
#[derive(Clone, Copy, Debug)]
pub(super) struct Registration {
    /// A path below the host's root (in front of it, where it begins with a slash), or an address; `{}` as in the endpoints.
    pub(super) page: &'static str,
    pub(super) kind: &'static str,
    /// What is entered as permissions, where that is not the scopes.
    pub(super) permissions: Option<&'static str>,
    /// Whether the page asks for a redirect URI at all.
    pub(super) enters_redirect: bool,
}

impl Preset {
    /// Returns the public client that is used where a login names none. `at_home` says that the server is the public instance.
    pub(super) fn known_client(&self, at_home: bool) -> Option<KnownClient> {
        let built_in = self.built_in.filter(|id| at_home && !id.is_empty());
        built_in.map(|id| KnownClient { id, redirect: self.redirect }).or(self.client)
    }

    /// Returns whether a login may name another host: not where the endpoints are elsewhere anyway.
    pub(super) fn has_a_host(&self) -> bool {
        !matches!(self.server, Server::Endpoints { authorization, .. } if authorization.contains("://"))
    }
}

/// Reads `preset`.
///
/// # Errors
/// Names the line of a word that chooses none.
pub(super) fn read(section: &Section<'_>) -> Result<Option<&'static Preset>, Failure> {
    let Some(name) = section.text("preset")? else { return Ok(None) };
    find(name.value).map(Some).ok_or_else(|| {
        let fault = name.fault(&format!("there is no preset `{}`", printable(name.value)));
        match nearest(name.value, names()) {
            Some(known) => fault.hint(format!("did you mean `{known}`?")),
            None => fault.hint(format!("known presets: {}", names().collect::<Vec<_>>().join(", "))),
        }
    })
}

fn find(name: &str) -> Option<&'static Preset> {
    table::PRESETS.iter().find(|preset| preset.names.contains(&name))
}

/// Returns every word that chooses a preset.
fn names() -> impl Iterator<Item = &'static str> {
    table::PRESETS.iter().flat_map(|preset| preset.names.iter().copied())
}

#[cfg(test)]
mod tests {
    use super::*;
    use url::Url;

    #[test]
    fn every_name_finds_its_preset_and_no_two_share_one() {
        let all: Vec<_> = names().collect();
        let expected =
            "gitlab github gitea forgejo codeberg bitbucket bitbucket-dc azure google-source google-artifact okta auth0 keycloak";
        assert_eq!(all.join(" "), expected);
        assert!(all.iter().all(|name| find(name).is_some()));
        assert!(find("GitLab").is_none());
    }

    #[test]
    fn endpoints_stay_on_the_host_or_are_fixed_https_addresses() {
        for preset in &table::PRESETS {
            let Server::Endpoints { authorization, token, revocation, device_authorization } = preset.server else {
                assert!(preset.has_a_host() && preset.host.is_none(), "{:?}", preset.names);
                continue;
            };
            for path in [authorization, token].into_iter().chain(revocation).chain(device_authorization) {
                assert_eq!(path.contains("://"), !preset.has_a_host(), "{path}");
                assert!(path.starts_with("https://") || (!path.starts_with('/') && !path.contains(':')), "{path}");
                assert_eq!(path.contains("{}"), preset.part.is_some(), "{path}");
            }
            if let Some(Userinfo { at_home, elsewhere }) = preset.userinfo {
                assert!(at_home.starts_with("https://") || !at_home.contains(':'), "{at_home}");
                assert!(!elsewhere.starts_with('/') && !elsewhere.contains(':'), "{elsewhere}");
            }
            let home = Url::parse(&format!("https://{}/", preset.host.unwrap_or("git.example.com"))).unwrap();
            assert!(home.join(preset.registration.page).is_ok());
        }
    }

    #[test]
    fn a_client_that_was_built_in_is_for_the_public_instance_alone() {
        let gitea = find("codeberg").unwrap();
        let with = |built_in| Preset { built_in, ..*gitea };
        let id = |preset: Preset, at_home| preset.known_client(at_home).map(|client| client.id);
        assert_eq!(id(with(Some("theirs")), true), Some("theirs"));
        assert_eq!(id(with(Some("theirs")), false), gitea.client.map(|client| client.id));
        assert_eq!(id(with(Some("")), true), gitea.client.map(|client| client.id));
        let none = Preset { client: None, built_in: None, ..*gitea };
        assert_eq!(id(none, true), None);
        assert_eq!(with(Some("theirs")).known_client(true).unwrap().redirect, gitea.redirect);
    }

    /// What packagers are told: `KEYFOB_CLIENT_ID_` and the preset in capital letters, wherever there is a public instance.
    #[test]
    fn every_public_instance_takes_a_client_id_when_it_is_built() {
        let text = include_str!("preset/table.rs");
        let mut expected = 0;
        for preset in table::PRESETS.iter().filter(|preset| preset.host.is_some() && preset.client.is_none()) {
            let name = preset.names[0].replace('-', "_").to_ascii_uppercase();
            assert!(text.contains(&format!("option_env!(\"KEYFOB_CLIENT_ID_{name}\")")), "{name}");
            expected += 1;
        }
        assert_eq!(text.matches("option_env!").count(), expected);
    }
}
