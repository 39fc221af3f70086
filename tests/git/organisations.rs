//! Azure DevOps, where organisations of several tenants share one host: which of them it is stands in the path or, in older URLs, before
//! the host; and the tenant that the server's refusal names is text that decides nothing.
use super::versions;
use crate::support::authorization_server::{AuthorizationServer, Client, Endpoint, Options};
use crate::support::forge::until;
use crate::support::front::Front;
use crate::support::git_server::{GitServer, Manners};
use crate::support::home::Home;
use crate::support::http_server::{HttpServer, Response};
use crate::support::process::{self, Output};
use crate::support::temp_dir::write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

const PATHS: [(&str, Endpoint); 4] = [
    ("/contoso.onmicrosoft.com/oauth2/v2.0/authorize", Endpoint::Authorize),
    ("/contoso.onmicrosoft.com/oauth2/v2.0/token", Endpoint::Token),
    ("/fabrikam.onmicrosoft.com/oauth2/v2.0/authorize", Endpoint::Authorize),
    ("/fabrikam.onmicrosoft.com/oauth2/v2.0/token", Endpoint::Token),
];

/// One organisation: its tenant, which alone issues tokens for it, and its repositories `shop` and `tools`.
struct Organisation {
    tenant: Arc<AuthorizationServer>,
    git: GitServer,
}

/// The organisations `contoso` and `fabrikam`, and `tailspin`, for which nothing is configured; all below one host.
struct Azure {
    home: Home,
    contoso: Organisation,
    fabrikam: Organisation,
    tailspin: Organisation,
    front: Front,
    /// Where the refusals of all send whoever believes them, and how many came.
    decoy: (HttpServer, Arc<AtomicUsize>),
}

fn organisation(name: &str, decoy: &str) -> Organisation {
    let options = Options { clients: vec![Client::public("the-id")], paths: PATHS.to_vec(), ..Options::default() };
    let tenant = Arc::new(AuthorizationServer::start_with(options));
    tenant.configure(|settings| {
        (settings.iss_parameter, settings.consent_free, settings.refresh_always) = (false, true, true);
        settings.redirect = "http://localhost/callback".into();
    });
    let judge = Arc::clone(&tenant);
    let git = GitServer::start(move |token| judge.is_alive(token));
    let refusal = vec![
        ("www-authenticate", format!("Bearer authorization_uri={decoy}/{name}.onmicrosoft.com")),
        ("www-authenticate", "Basic realm=\"https://tfsprodweu3.visualstudio.com/\"".into()),
        ("x-vss-resourcetenant", format!("{decoy}/")),
    ];
    git.behave(Manners { schemes: &["basic", "bearer"], username: None, refusal });
    for repository in ["shop", "tools"] {
        git.create_at(&format!("/{name}/web/_git/{repository}"));
    }
    Organisation { tenant, git }
}

impl Azure {
    fn new() -> Self {
        let came = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&came);
        let decoy = HttpServer::start(move |_| {
            count.fetch_add(1, Ordering::SeqCst);
            Response::text(200, "sign in here")
        });
        let [contoso, fabrikam, tailspin] = ["contoso", "fabrikam", "tailspin"].map(|name| organisation(name, &decoy.url()));
        let front = Front::start();
        for (name, organisation) in [("contoso", &contoso), ("fabrikam", &fabrikam), ("tailspin", &tailspin)] {
            front.lead(&format!("/{name}/"), &organisation.git.url());
        }
        let azure = Self { home: Home::new(), contoso, fabrikam, tailspin, front, decoy: (decoy, came) };
        write(&azure.home.path().join(".gitconfig"), "[user]\n\tname = T\n\temail = t@example.com\n");
        azure
    }

    /// Lets both logins answer, each for the place that `place` makes of its organisation's name; and one more host without a path.
    fn configure(&self, place: impl Fn(&str) -> String) {
        let mut config = String::new();
        for (name, organisation) in [("contoso", &self.contoso), ("fabrikam", &self.fabrikam)] {
            let (host, place) = (organisation.tenant.issuer(), place(name));
            config += &format!(
                "[login.{name}]\npreset = \"azure\"\nhost = \"{host}\"\ntenant = \"{name}.onmicrosoft.com\"\nclient_id = \"the-id\"\n\
                 [git.\"{place}\"]\nlogin = \"{name}\"\n"
            );
        }
        self.home.write_config(&format!("{config}[git.\"https://git.example.com\"]\nlogin = \"contoso\"\n"));
        self.home.run(["setup", "git"], "").success();
    }

    /// The URL of a repository, with `user` before the host.
    fn url(&self, user: &str, name: &str, repository: &str) -> String {
        format!("{}/{name}/web/_git/{repository}", self.front.url().replace("://", &format!("://{user}")))
    }

    #[track_caller]
    fn git(&self, git: &Path, arguments: &[&str]) -> Output {
        let mut command = self.home.command("setsid");
        process::run(command.arg(git).args(arguments).env_remove("GIT_TERMINAL_PROMPT"), b"")
    }

    /// The URLs for which git sends the path, in order.
    fn with_paths(&self) -> Vec<String> {
        let listed =
            process::run(self.home.command("git").args(["config", "--global", "--get-regexp", "usehttppath$"]), b"").stdout;
        let url = |line: &str| Some(line.strip_prefix("credential.")?.strip_suffix(".usehttppath true")?.to_owned());
        listed.lines().map(|line| url(line).unwrap_or_else(|| panic!("{line}"))).collect()
    }

    /// How often people signed in at the tenant of each, and how often a token was refreshed there.
    fn asked(&self) -> [(usize, usize); 2] {
        [&self.contoso, &self.fabrikam].map(|one| (one.tenant.counts().authorizations, one.tenant.counts().refreshes))
    }

    /// How often each was sent a token that it does not take.
    fn refused(&self) -> [usize; 3] {
        let refused = |one: &Organisation| one.git.log().iter().filter(|one| one.attempt && !one.authorized).count();
        [&self.contoso, &self.fabrikam, &self.tailspin].map(refused)
    }

    #[track_caller]
    fn check(&self) {
        until("the home is quiet", || self.home.processes().is_empty());
        assert_eq!(self.decoy.1.load(Ordering::SeqCst), 0, "what a refusal says decides nothing");
        for one in [&self.contoso, &self.fabrikam, &self.tailspin] {
            assert_eq!(one.tenant.violations(), Vec::<String>::new());
            self.home.scan_for_secrets(&one.tenant.issued_secrets());
        }
    }
}

/// Clones, fetches and pushes in both organisations, and then heals a token of one; `user` is what the URLs of an organisation have before
/// the host.
fn both_are_used(azure: &Azure, git: &Path, knows: bool, user: impl Fn(&str) -> [String; 2]) {
    for name in ["contoso", "fabrikam"] {
        for (repository, user) in ["shop", "tools"].into_iter().zip(user(name)) {
            let folder = format!("{name}-{repository}");
            azure.git(git, &["clone", "--quiet", &azure.url(&user, name, repository), &folder]).success();
            write(&azure.home.path().join(&folder).join("more"), "a line\n");
            azure.git(git, &["-C", &folder, "add", "more"]).success();
            azure.git(git, &["-C", &folder, "commit", "--quiet", "--message", "More"]).success();
            azure.git(git, &["-C", &folder, "push", "--quiet"]).success();
        }
    }
    assert_eq!(
        (azure.asked(), azure.refused()),
        ([(1, 0), (1, 0)], [0; 3]),
        "one sign-in for each, whose token went nowhere else"
    );
    azure.contoso.tenant.kill_access_tokens();
    let fetch = |folder: &str| azure.git(git, &["-C", folder, "fetch", "--quiet"]);
    if !knows {
        assert_eq!(fetch("contoso-shop").code, Some(128));
    }
    for folder in ["contoso-shop", "contoso-tools", "fabrikam-shop", "fabrikam-tools"] {
        assert_eq!(fetch(folder).success().stderr, "");
    }
    assert_eq!((azure.asked(), azure.refused()), ([(1, 1), (1, 0)], [1, 0, 0]));
}

/// Asks for a repository of the organisation that nobody configured, which says that it is Azure and where to sign in.
fn another_gets_nothing(azure: &Azure, git: &Path) {
    let runs = azure.home.browser_runs().len();
    for user in ["", "tailspin@"] {
        let asks = ["-c", "credential.helper=!exec keyfob git", "ls-remote"];
        let output = azure.git(git, &[&asks[..], &[&azure.url(user, "tailspin", "shop")]].concat());
        assert!(output.code == Some(128) && output.stderr.contains("could not read"), "{output:?}");
        // where the organisations are told apart by their names before the host, it may be one of them
        let says_names = user.is_empty() && output.stderr.contains(" has the accounts contoso, fabrikam: name one in the URL");
        assert!(!output.stderr.contains("keyfob") || says_names, "{output:?}");
    }
    assert_eq!((azure.home.browser_runs().len(), azure.refused()[2]), (runs, 0));
}

fn by_path(git: &Path, knows: bool) {
    let azure = Azure::new();
    azure.configure(|name| format!("{}/{name}", azure.front.url()));
    let base = azure.front.url();
    let both = ["contoso", "contoso.git", "fabrikam", "fabrikam.git"].map(|name| format!("{base}/{name}"));
    assert_eq!(azure.with_paths(), both, "git sends the path for these, and for no other host");
    // the one repository by the URL of today, the other by the older one with the organisation as the user
    both_are_used(&azure, git, knows, |name| [String::new(), format!("{name}@")]);
    another_gets_nothing(&azure, git);
    azure.check();
}

#[test]
fn with_a_newer_git_the_path_chooses_among_the_logins_of_two_tenants() {
    let Some(git) = versions::newer() else { return };
    by_path(&git, true);
}

#[test]
fn with_an_older_git_the_path_chooses_among_the_logins_of_two_tenants() {
    let Some(git) = versions::older() else { return };
    by_path(&git, false);
}

#[test]
fn the_organisation_before_the_host_chooses_where_all_urls_are_of_the_older_form_and_no_path_is_sent() {
    let Some(git) = versions::newer() else { return };
    let azure = Azure::new();
    azure.configure(|name| azure.front.url().replace("://", &format!("://{name}@")));
    assert_eq!(azure.with_paths(), Vec::<String>::new());
    both_are_used(&azure, &git, true, |name| [format!("{name}@"), format!("{name}@")]);
    another_gets_nothing(&azure, &git);
    azure.check();
}

#[test]
fn a_tenant_whose_token_was_sent_to_the_other_organisation_is_refused_there() {
    let azure = Azure::new();
    azure.configure(|name| format!("{}/{}", azure.front.url(), if name == "contoso" { "fabrikam" } else { "contoso" }));
    let output = azure.git(Path::new("git"), &["ls-remote", &azure.url("", "contoso", "shop")]);
    assert!(output.code == Some(128) && azure.refused()[0] > 0, "these servers tell tenants apart: {output:?}");
}
