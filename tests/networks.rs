//! Signing in from inside a company: through its proxies, past its own authorities, and where there is no authority at all.
mod authorities;
mod proxies;

use crate::support::authorization_server::{AuthorizationServer, Options};
use crate::support::home::Home;
use crate::support::process::{self, Output};
use crate::support::scene::Scene;
use crate::support::temp_dir::write;
use crate::support::tls::{TlsIdentity, Wrong};
use std::path::PathBuf;
use std::process::Command;

/// A name that no resolver knows: whoever gets there went through a proxy.
const HOST: &str = "sso.corp.invalid";

/// A scene whose tokens come from `https://sso.corp.invalid/token`, which only a proxy leads to. The page to sign in at is on this
/// machine, as the browser uses no proxy.
struct Office {
    scene: Scene,
    /// The authority that both are certified by.
    authority: PathBuf,
}

impl Office {
    fn new() -> Self {
        let identity = TlsIdentity::with(&["127.0.0.1", HOST], Wrong::Nothing);
        let server = AuthorizationServer::start_with(Options { tls: Some(identity.clone()), ..Options::default() });
        server.configure(|settings| settings.iss_parameter = false);
        let scene = Scene::with(Home::new(), server);
        let authority = scene.home.path().join("company.pem");
        write(&authority, identity.authority_pem());
        scene.home.browser_settings(&[("MODE", "ok"), ("CA", &authority.display().to_string())]);
        let endpoints = format!(
            "endpoints.authorization = \"{}/authorize\"\nendpoints.token = \"https://{HOST}/token\"\n\
             endpoints.revocation = \"https://{HOST}/revoke\"\nca_file = \"{}\"",
            scene.server.issuer(),
            authority.display()
        );
        let issuer = format!("issuer = \"{}\"", scene.server.issuer());
        let text = scene.config().replace(&issuer, &endpoints).replace("\"openid\", ", "");
        scene.home.write_config(&text);
        Self { scene, authority }
    }

    fn run(&self, arguments: &[&str], change: impl FnOnce(&mut Command)) -> Output {
        let mut command = self.scene.home.keyfob(arguments);
        command.env_remove("NO_PROXY");
        change(&mut command);
        process::run(&mut command, b"")
    }
}
