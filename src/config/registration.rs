//! What a person does where a login has no client yet: where to register one, as what, and what to write down afterwards. One screen.
use super::{
    document::Section,
    preset::{Part, Preset, Wanted},
    redirect::Redirect,
    server::Place,
};
use crate::failure::Failure;

/// What is registered at servers of no known kind.
const KIND: &str = "a public client with PKCE";

/// What a registration is made for.
#[derive(Debug)]
pub(super) struct Applicant<'a> {
    pub(super) login: &'a str,
    pub(super) preset: Option<&'a Preset>,
    pub(super) place: &'a Place,
    pub(super) redirect: &'a Redirect,
    pub(super) ports: &'a [u16],
    pub(super) scopes: &'a [String],
}

impl Applicant<'_> {
    /// Returns the failure of a login whose table `section` lacks `key`, with the steps that mend it.
    pub(super) fn lacks(&self, section: &Section<'_>, key: &str) -> Failure {
        let fault = section.fault(&format!("login `{}` has no `{key}`", self.login));
        fault.hint("`keyfob status` shows where and how to register one").steps(self.steps(section))
    }

    fn steps(&self, section: &Section<'_>) -> Vec<String> {
        let registration = self.preset.map(|preset| preset.registration);
        let endpoint = self.place.issuer.as_ref().or(self.place.endpoints.authorization.as_ref());
        let server = endpoint.and_then(|url| url.host_str()).unwrap_or("the sign-in server");
        let page = self.place.registration.clone().unwrap_or_else(|| format!("ask who runs {server}"));
        let redirect = match registration {
            Some(registration) if !registration.enters_redirect => "none to enter".to_owned(),
            _ => self.redirect.registered(self.ports),
        };
        let permissions = match registration.and_then(|registration| registration.permissions) {
            Some(words) => words.to_owned(),
            None if self.scopes.is_empty() => "none".to_owned(),
            None => self.scopes.join(" "),
        };
        let wanted = self.preset.map_or(Wanted::Never, |preset| preset.secret);
        let mut steps = vec![
            format!("register keyfob at {server} once, and note what it is given there:"),
            format!("  page         {page}"),
            format!("  kind         {}", registration.map_or(KIND, |registration| registration.kind)),
            format!("  redirect     {redirect}"),
            format!("  permissions  {permissions}"),
            format!("  secret       {}", secret(wanted)),
            format!("then add to the table [login.{}]:", self.login),
        ];
        if !section.value.contains_key("client_id") {
            steps.push("  client_id = \"THE ID\"".to_owned());
        }
        if wanted != Wanted::Never && !section.value.contains_key("client_secret_file") {
            steps.push("  client_secret_file = \"/THE/PATH/OF/A/FILE/WITH/THE/SECRET/ALONE\"".to_owned());
        }
        if let Some(Part { key, usual: Some(usual), example }) = self.preset.and_then(|preset| preset.part)
            && !section.value.contains_key(key)
        {
            steps.push(format!("  {key} = \"{example}\"  # yours, unless `{usual}` may sign in"));
        }
        steps
    }
}

fn secret(wanted: Wanted) -> &'static str {
    match wanted {
        Wanted::Never => "none",
        Wanted::Issued => "it comes with the id; put it alone into a file that only you can read",
        Wanted::InBrowser => "only to sign in by browser; without it you sign in with a code",
        Wanted::Always => "it comes with the id; put it alone into a file that only you can read",
    }
}

#[cfg(test)]
mod tests {
    use crate::config::tests::from_texts;

    /// A table without a client, and what its screen says.
    #[rustfmt::skip]
    const SCREENS: [(&str, &[&str]); 13] = [
        ("preset = \"gitlab\"", &["https://gitlab.com/-/user_settings/applications", "\"Confidential\" off", "`http://127.0.0.1/callback` with any port", "read_repository write_repository", "secret       none"]),
        ("preset = \"gitlab\"\nhost = \"git.example.com/gitlab\"\nredirect_port = 8400", &["https://git.example.com/gitlab/-/user_settings/applications", "`http://127.0.0.1:8400/callback`"]),
        ("preset = \"github\"", &["https://github.com/settings/applications/new", "\"Enable Device Flow\"", "`http://127.0.0.1/callback` with any port", "scopes are asked for at the sign-in", "without it you sign in with a code", "client_secret_file = "]),
        ("preset = \"github\"\nhost = \"github.example.com\"", &["https://github.example.com/settings/applications/new"]),
        ("preset = \"bitbucket\"", &["https://bitbucket.org/WORKSPACE/workspace/settings/oauth-consumers", "`http://127.0.0.1` with any port", "Repositories: Write", "client_secret_file = "]),
        ("preset = \"bitbucket-dc\"\nhost = \"git.example.com\"", &["https://git.example.com/plugins/servlet/applinks/listApplicationLinks", "`http://localhost:8417/callback`", "Repositories: Write", "client_secret_file = "]),
        ("preset = \"azure\"", &["https://entra.microsoft.com/ (App registrations)", "`http://localhost/callback` with any port", "user_impersonation", "tenant = \"contoso.onmicrosoft.com\"", "yours, unless `organizations` may sign in"]),
        ("preset = \"google-source\"", &["https://console.cloud.google.com/apis/credentials", "Desktop app", "redirect     none to enter", "client_secret_file = "]),
        ("preset = \"google-artifact\"", &["https://console.cloud.google.com/apis/credentials", "Desktop app"]),
        ("preset = \"okta\"\nhost = \"dev-1.okta.com/oauth2/default\"", &["https://dev-1.okta.com/admin/apps/active", "`http://127.0.0.1:8417/callback`", "openid email offline_access"]),
        ("preset = \"auth0\"\nhost = \"dev.eu.auth0.com\"", &["https://manage.auth0.com/#/applications", "`http://127.0.0.1:8417/callback`"]),
        ("preset = \"keycloak\"\nhost = \"sso.example.com/auth\"\nrealm = \"dev\"\nscopes = [\"openid\"]", &["https://sso.example.com/auth/admin/dev/console/#/dev/clients", "`http://127.0.0.1/callback` with any port", "permissions  openid", "secret       none"]),
        ("issuer = \"https://sso.example.com\"\nredirect_uri = \"http://localhost/x\"", &["ask who runs sso.example.com", "a public client with PKCE", "`http://localhost/x` with any port"]),
    ];

    #[test]
    fn whoever_has_no_client_is_told_all_in_one_screen() {
        for (table, says) in SCREENS {
            let failure = from_texts(&[&format!("[login.forge]\n{table}\n")]).unwrap_err();
            let screen = failure.lines();
            let missing = screen.contains("/1.toml:1: login `forge` has no `client_id`");
            assert!(missing && screen.contains("[login.forge]:\nkeyfob: hint:   client_id = \"THE ID\""), "{screen}");
            for words in says {
                assert!(screen.contains(words), "{table}: {words} is not in\n{screen}");
            }
            assert!(screen.lines().count() <= 24 && screen.lines().all(|line| line.chars().count() <= 100), "{table}\n{screen}");
            assert!(failure.line().len() < 160 && failure.line().contains("`keyfob status`"), "{}", failure.line());
        }
    }

    #[test]
    fn a_server_that_takes_no_client_without_a_secret_asks_for_it() {
        let bitbucket = "[login.forge]\npreset = \"bitbucket\"\nclient_id = \"c\"\n";
        let screen = from_texts(&[bitbucket]).unwrap_err().lines();
        assert!(screen.contains("login `forge` has no `client_secret_file`") && !screen.contains("client_id = "), "{screen}");
        assert!(from_texts(&[&format!("{bitbucket}client_secret_file = \"/s\"\n")]).is_ok());
        for preset in ["github", "google-source"] {
            assert!(from_texts(&[&format!("[login.forge]\npreset = \"{preset}\"\nclient_id = \"c\"\n")]).is_ok(), "{preset}");
        }
    }
}
