//! What other helpers have in git's configuration is taken over: afterwards git works by keyfob alone, with the same client.
use super::effect::gits;
use crate::support::authorization_server::{AuthorizationServer, Client, Options};
use crate::support::forge::Forge;
use crate::support::process;
use crate::support::scene::one_error;
use crate::support::temp_dir::write;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;

const SECRET: &str = "client-secret-0123456789";

/// A forge that nothing of keyfob's knows yet; its client is confidential, registered as other helpers ask for it.
fn forge() -> Forge {
    let clients = vec![Client::confidential("theirs", SECRET)];
    let server = Arc::new(AuthorizationServer::start_with(Options { clients, ..Options::default() }));
    server.configure(|settings| settings.redirect = "http://127.0.0.1".into());
    let judge = Arc::clone(&server);
    let mut forge = Forge::with(server, move |token| judge.is_alive(token));
    std::fs::remove_file(forge.home.config_file()).unwrap();
    let system = forge.home.path().join("system-gitconfig");
    write(&system, "");
    forge.home.set("GIT_CONFIG_NOSYSTEM", "0");
    forge.home.set("GIT_CONFIG_SYSTEM", &system.display().to_string());
    forge
}

/// The user's git configuration with these keys for the forge.
fn configure(forge: &Forge, keys: &[(&str, String)]) {
    let lines: String = keys.iter().map(|(key, value)| format!("\t{key} = {value}\n")).collect();
    let text = format!("[user]\n\tname = T\n\temail = t@example.com\n[credential \"{}\"]\n{lines}", forge.git.url());
    write(&forge.home.path().join(".gitconfig"), text);
}

fn manager(forge: &Forge) -> Vec<(&'static str, String)> {
    let issuer = forge.server.issuer();
    vec![
        ("provider", "generic".into()),
        ("oauthClientId", "theirs".into()),
        ("oauthClientSecret", SECRET.into()),
        ("oauthScopes", "openid offline_access".into()),
        ("oauthAuthorizeEndpoint", format!("{issuer}/authorize")),
        ("oauthTokenEndpoint", format!("{issuer}/token")),
        ("oauthRedirectUri", "http://127.0.0.1".into()),
    ]
}

fn secret_file(forge: &Forge) -> PathBuf {
    forge.home.config_file().with_file_name(format!("127-0-0-1-{}.secret", forge.git.port()))
}

#[test]
fn a_clone_works_after_import_and_setup_by_the_client_that_other_helpers_had() {
    for git in gits() {
        let oauth = |forge: &Forge| {
            let issuer = forge.server.issuer();
            vec![
                ("oauthClientId", "theirs".into()),
                ("oauthClientSecret", SECRET.into()),
                ("oauthScopes", "openid offline_access".into()),
                ("oauthAuthURL", format!("{issuer}/authorize")),
                ("oauthTokenURL", format!("{issuer}/token")),
            ]
        };
        for keys in [manager, oauth as fn(&Forge) -> Vec<(&'static str, String)>] {
            let forge = forge();
            configure(&forge, &keys(&forge));
            let before = std::fs::read(forge.home.path().join(".gitconfig")).unwrap();
            let said = forge.keyfob(&["setup", "git", "--import"]).success();
            assert!(said.stdout.contains("taken over\n  http://127.0.0.1") && said.stderr.is_empty(), "{said:?}");
            assert_eq!(std::fs::read(forge.home.path().join(".gitconfig")).unwrap(), before);
            let config = std::fs::read_to_string(forge.home.config_file()).unwrap();
            assert!(!config.contains(SECRET) && !said.stdout.contains(SECRET), "{config}");
            let file = secret_file(&forge);
            assert_eq!(std::fs::read_to_string(&file).unwrap(), SECRET);
            assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
            forge.keyfob(&["setup", "git"]).success();
            let url = forge.git.create("hello");
            process::run(forge.command(&git).args(["clone", "--quiet", &url, "work"]), b"").success();
            assert_eq!(forge.server.counts().authorizations, 1);
            let again = forge.keyfob(&["setup", "git", "--import"]).success();
            assert!(
                again.stdout.contains("has a route already") && !again.stdout.contains("taken over\n  http://127.0.0.1:1"),
                "{again:?}"
            );
            assert_eq!(std::fs::read_to_string(forge.home.config_file()).unwrap(), config);
            assert_eq!(forge.server.violations(), Vec::<String>::new());
            forge.wait_for_quiet();
        }
    }
}

#[test]
fn a_dry_run_shows_the_tables_and_neither_writes_nor_shows_a_secret() {
    let forge = forge();
    configure(&forge, &manager(&forge));
    let before = forge.home.files();
    let said = forge.keyfob(&["setup", "git", "--import", "--dry-run"]).success();
    assert!(said.stdout.contains("+client_secret_file = ") && said.stdout.contains("would be written"), "{said:?}");
    assert!(!said.stdout.contains(SECRET) && forge.home.files() == before, "{said:?}");
}

#[test]
fn what_cannot_be_taken_is_said_and_what_is_there_stays() {
    let forge = forge();
    forge.configure("# mine\n[login.own]\nissuer = \"https://sso.example.com\"\nclient_id = \"c\"");
    let text = "[credential \"https://unknown.example.com\"]\n\toauthClientId = a\n\
                [credential \"https://page.example.com\"]\n\toauthClientId = a\n\toauthTokenURL = /t\n\toauthAuthURL = /a\n\
                \toauthRedirectURL = http://elsewhere.example.com/\n\
                [credential \"http://plain.example.com\"]\n\toauthClientId = a\n\toauthTokenURL = /t\n\toauthAuthURL = /a\n\
                [credential \"partial.example.com\"]\n\toauthClientId = a\n\
                [credential \"https://gitlab.com\"]\n\toauthClientId = \"x\\\"\\n[login.evil]\"\n\
                [credential \"https://good.example.com\"]\n\toauthClientId = a\n\toauthTokenURL = /t\n\toauthAuthURL = /a\n\
                \toauthResponseMode = fragment\n";
    write(&forge.home.path().join(".gitconfig"), text);
    let said = forge.keyfob(&["setup", "git", "--import"]).success().stdout;
    let lines = [
        "  https://good.example.com, as the login good-example-com (file:",
        "  https://good.example.com: `oauthresponsemode` has no counterpart\n",
        "  https://unknown.example.com: it names no endpoints, and this host's are not known\n",
        "  https://page.example.com: ",
        "  http://plain.example.com: ",
        "  partial.example.com: write the whole URL",
        "  https://gitlab.com: ",
    ];
    for line in lines {
        assert!(said.contains(line), "{line}: {said}");
    }
    let config = std::fs::read_to_string(forge.home.config_file()).unwrap();
    assert!(config.starts_with("# mine\n[login.own]\nissuer = \"https://sso.example.com\"\nclient_id = \"c\"\n\n#"), "{config}");
    assert_eq!(config.matches("[login.").count(), 2, "{config}");
    assert!(forge.keyfob(&["status"]).code == Some(0), "the configuration still loads");
    // one that is broken, and a secret that is another's
    forge.configure("[login\n");
    let refused = forge.keyfob(&["setup", "git", "--import"]);
    one_error(&refused);
    assert_eq!(refused.code, Some(6));
    forge.configure("");
    configure(&forge, &manager(&forge));
    write(&secret_file(&forge), "another");
    let said = forge.keyfob(&["setup", "git", "--import"]).success().stdout;
    assert!(said.contains("is there, and holds something else"), "{said}");
    assert_eq!(std::fs::read_to_string(forge.home.config_file()).unwrap(), "");
}

#[test]
fn a_repository_and_the_environment_say_nothing() {
    let forge = forge();
    write(&forge.home.path().join(".gitconfig"), "[user]\n\tname = x\n");
    process::run(forge.home.command("git").args(["init", "--quiet", "evil"]), b"").success();
    let keys = manager(&forge);
    let lines: String = keys.iter().map(|(key, value)| format!("\t{key} = {value}\n")).collect();
    let own = format!("[credential \"{}\"]\n{lines}", forge.git.url());
    write(&forge.home.path().join("evil/.git/config"), &own);
    let mut command = forge.command("keyfob");
    command.args(["setup", "git", "--import"]).current_dir(forge.home.path().join("evil"));
    command.env("GIT_CONFIG_COUNT", "1").env("GIT_CONFIG_VALUE_0", "evil");
    command.env("GIT_CONFIG_KEY_0", format!("credential.{}.oauthClientId", forge.git.url()));
    let said = process::run(&mut command, b"").success();
    assert_eq!(said.stdout, "git's configuration names no client of another helper's\n");
    assert!(!forge.home.config_file().exists());
    // the same lines count where the person put them
    write(&forge.home.path().join("included"), &own);
    write(&forge.home.path().join(".gitconfig"), "[include]\n\tpath = included\n");
    let said = forge.keyfob(&["setup", "git", "--import"]).success();
    assert!(said.stdout.contains("taken over\n"), "{said:?}");
}
