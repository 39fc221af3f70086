//! What is known of sign-in servers that come with a git host, so that a login names the host and little else.

/// One kind of host.
#[derive(Clone, Copy, Debug)]
pub(super) struct Preset {
    /// The words that choose it.
    names: &'static [&'static str],
    /// The public instance, where there is one.
    pub(super) host: Option<&'static str>,
    /// Paths below the host's root.
    pub(super) authorization: &'static str,
    pub(super) token: &'static str,
    /// RFC 7009, where the host has it.
    pub(super) revocation: Option<&'static str>,
    /// RFC 8628, where the host has it.
    pub(super) device_authorization: Option<&'static str>,
    /// The narrowest that clones and pushes.
    pub(super) scopes: &'static [&'static str],
    pub(super) git_username: &'static str,
    /// Whether git must be answered with exactly that name, even for a URL that names another.
    pub(super) fixed_username: bool,
    pub(super) docker_username: &'static str,
    /// Whether a refresh ends the access token before it.
    pub(super) late_refresh: bool,
    /// Whether git over HTTP takes the token as `Authorization: Bearer`.
    pub(super) git_bearer: bool,
    /// A public client that every instance knows.
    pub(super) client_id: Option<&'static str>,
    /// Where a person registers a client: a path below the host's root.
    pub(super) registration: &'static str,
}

/// The client that Gitea and Forgejo register on every instance for git's OAuth helpers. Its redirect URIs are `http://127.0.0.1` and
/// `https://127.0.0.1` with any port and no path (Gitea documentation, "Pre-configured Applications", and its database: read).
const GITEA_CLIENT: &str = "a4792ccc-144e-407e-86c9-5e7d8d9c3269";

/// How the clients that every instance knows are registered.
pub(super) const REDIRECT: &str = "http://127.0.0.1";

/// Gitea's endpoints and token rules: read (its documentation and source). That a refresh leaves the old access token good (it is a
/// signed token with its own end): unverified. Bearer for git: read (git-credential-oauth's list). No device grant: read (gitea issue
/// 27309, forgejo issue 4830).
const GITEA: Preset = Preset {
    names: &["gitea", "forgejo"],
    host: None,
    authorization: "login/oauth/authorize",
    token: "login/oauth/access_token",
    revocation: None,
    device_authorization: None,
    scopes: &[],
    git_username: "oauth2",
    fixed_username: false,
    docker_username: "oauth2",
    late_refresh: false,
    git_bearer: true,
    client_id: Some(GITEA_CLIENT),
    registration: "user/settings/applications",
};

const PRESETS: [Preset; 4] = [
    // GitLab: endpoints, scopes, the fixed user name, revocation of the old access token on refresh (gitlab issue 364111): read. The
    // registry takes the same token with the scopes read_registry and write_registry: read. Bearer for git: not known, so not used. Its
    // device endpoint: read; that a public client may use it, and what instances without it answer: unverified.
    Preset {
        names: &["gitlab"],
        host: Some("gitlab.com"),
        authorization: "oauth/authorize",
        token: "oauth/token",
        revocation: Some("oauth/revoke"),
        device_authorization: Some("oauth/authorize_device"),
        scopes: &["read_repository", "write_repository"],
        git_username: "oauth2",
        fixed_username: true,
        docker_username: "oauth2",
        late_refresh: true,
        git_bearer: false,
        client_id: None,
        registration: "-/user_settings/applications",
    },
    // GitHub: endpoints, any user name, and that a GitHub App's refresh ends the old access token: read. Its way to revoke is not RFC
    // 7009. The container registry takes any user name that is not empty: read in an issue of its command line, unverified. Its device
    // endpoint, that an app has to be allowed it, and its answers: read; that no secret is wanted there: unverified.
    Preset {
        names: &["github"],
        host: Some("github.com"),
        authorization: "login/oauth/authorize",
        token: "login/oauth/access_token",
        revocation: None,
        device_authorization: Some("login/device/code"),
        scopes: &["repo"],
        git_username: "x-access-token",
        fixed_username: false,
        docker_username: "x-access-token",
        late_refresh: true,
        git_bearer: false,
        client_id: None,
        registration: "settings/developers",
    },
    GITEA,
    // Codeberg runs Forgejo: read.
    Preset { names: &["codeberg"], host: Some("codeberg.org"), ..GITEA },
];

/// Returns the preset called `name`.
pub(super) fn find(name: &str) -> Option<&'static Preset> {
    PRESETS.iter().find(|preset| preset.names.contains(&name))
}

/// Returns every word that chooses a preset.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    PRESETS.iter().flat_map(|preset| preset.names.iter().copied())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_finds_its_preset_and_no_two_share_one() {
        let all: Vec<_> = names().collect();
        assert_eq!(all, ["gitlab", "github", "gitea", "forgejo", "codeberg"]);
        assert!(all.iter().all(|name| find(name).is_some()));
        assert!(find("GitLab").is_none());
    }

    #[test]
    fn endpoints_are_relative_so_that_they_stay_on_the_host() {
        for preset in &PRESETS {
            let optional = preset.revocation.into_iter().chain(preset.device_authorization);
            for path in [preset.authorization, preset.token, preset.registration].into_iter().chain(optional) {
                assert!(!path.starts_with('/') && !path.contains(':'), "{path}");
            }
        }
    }
}
