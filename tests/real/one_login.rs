//! One sign-in in one browser visit answers git, docker and its relatives, and AWS.
use super::git::{configure as configure_git, git};
use super::{attended, configuration, good_tokens};
use crate::support::containers::ContainerHome;
use crate::support::git_server::GitServer;
use crate::support::home::Home;
use crate::support::peers::{self, Moto, OidcProvider};
use crate::support::process::{self, Output};
use crate::support::registry::Registry;
use crate::support::sts::Sts;
use crate::support::temp_dir::write;
use crate::support::{introspection, oci_image};
use serde_json::{Value, json};

const PROGRAMS: [&str; 10] =
    ["git", "docker", "docker-registry", "skopeo", "podman", "oidc-provider", "moto", "aws", "boto3", "buildah"];
const BOTO3: &str = "import boto3, sys\nprint(boto3.Session(profile_name='prod').client('sts').get_caller_identity()['Arn'])";

/// Everything that one login answers.
struct Company {
    home: Home,
    containers: ContainerHome,
    git: GitServer,
    registry: Registry,
    moto: Moto,
    sts: Sts,
    /// Last, so that it outlives those who ask it.
    server: OidcProvider,
}

impl Company {
    fn open() -> Option<Self> {
        if !PROGRAMS.into_iter().all(peers::require) {
            return None;
        }
        let (server, moto, home) = (OidcProvider::start()?, Moto::start()?, Home::new());
        let git = GitServer::start(good_tokens(&server));
        let registry = Registry::start(good_tokens(&server));
        let sts = Sts::in_front_of(moto.url(), introspection::id_tokens_of(server.issuer(), "keyfob"));
        let routes = format!(
            "[git.\"{}\"]\nlogin = \"corp\"\n[docker.\"{}\"]\nlogin = \"corp\"\n\
             [aws.prod]\nlogin = \"corp\"\nrole_arn = \"arn:aws:iam::123456789012:role/Developer\"\n",
            git.url(),
            registry.host()
        );
        home.write_config(&configuration(&server, &routes));
        configure_git(&home);
        let containers = ContainerHome::new(&home.path(), &[&registry.host()]);
        let helper = home.bin().join("keyfob");
        let profile = format!("[profile prod]\nregion = eu-central-1\ncredential_process = {} aws get prod\n", helper.display());
        write(&home.path().join(".aws/config"), profile);
        Some(Self { home, containers, git, registry, moto, sts, server })
    }

    /// A client of the registry, or of AWS, with a person to ask.
    #[track_caller]
    fn client(&self, words: &[&str], stdin: &str) -> Output {
        let mut command = attended(self.home.command(words[0]));
        command.args(&words[1..]).envs(self.containers.environment()).env("AWS_ENDPOINT_URL", self.sts.url());
        process::run(&mut command, stdin.as_bytes())
    }

    fn clone_fetch_and_push(&self) {
        let url = self.git.create_with_submodules("app", 2);
        git(&self.home, &["clone", "--quiet", "--recurse-submodules", &url, "app"]).success();
        assert!(self.home.path().join("app/part-2/README.md").exists());
        write(&self.home.path().join("app/new"), "new\n");
        git(&self.home, &["-C", "app", "add", "new"]).success();
        git(&self.home, &["-C", "app", "commit", "--quiet", "--message", "More"]).success();
        git(&self.home, &["-C", "app", "fetch", "--quiet"]).success();
        git(&self.home, &["-C", "app", "push", "--quiet"]).success();
        assert_eq!(self.git.head("app"), git(&self.home, &["-C", "app", "rev-parse", "HEAD"]).success().stdout.trim());
    }

    fn push_pull_and_inspect_images(&self) {
        let (host, layout) = (self.registry.host(), self.home.path().join("image"));
        let digest = oci_image::write_layout(&layout, "v1");
        let (named, local) = (format!("docker://{host}/team/app:v1"), format!("oci:{}:v1", layout.display()));
        let back = format!("oci:{}:v1", self.home.path().join("back").display());
        self.client(&["skopeo", "copy", &local, &named], "").success();
        self.client(&["skopeo", "copy", &named, &back], "").success();
        let inspected = self.client(&["skopeo", "inspect", &named], "").success().stdout;
        assert_eq!(serde_json::from_str::<Value>(&inspected).unwrap()["Digest"], digest);
        let pulled = self.home.path().join("back/blobs/sha256").join(digest.trim_start_matches("sha256:"));
        assert!(pulled.exists(), "the image that came back is the one that was pushed");
        self.client(&["podman", "pull", "--quiet", &format!("{host}/team/app:v1")], "").success();
        self.client(&["buildah", "pull", "--quiet", &format!("{host}/team/app:v1")], "").success();
        self.inspect_with_docker();
    }

    fn inspect_with_docker(&self) {
        let image = format!("{}/team/app:v1", self.registry.host());
        let manifest = self.client(&["docker", "manifest", "inspect", "--insecure", &image], "").success().stdout;
        assert_eq!(serde_json::from_str::<Value>(&manifest).unwrap()["schemaVersion"], 2);
    }

    /// What `docker login` stores wins until `docker logout`; then the login answers again.
    fn log_in_and_out_with_docker(&self, token: &str) {
        let host = self.registry.host();
        let identities = || self.registry.counts().identity_token;
        let by_login = identities();
        self.client(&["docker", "login", "--username", "alice", "--password-stdin", &host], token).success();
        self.inspect_with_docker();
        assert!(identities() > by_login, "the identity token that docker stored was not used: {:?}", self.registry.counts());
        self.client(&["docker", "logout", &host], "").success();
        let (identities_before, basic) = (identities(), self.registry.counts().basic);
        self.inspect_with_docker();
        assert_eq!(identities(), identities_before, "what `docker logout` erased was used");
        assert!(self.registry.counts().basic > basic);
    }

    fn ask_aws_who_i_am(&self) {
        let caller = "arn:aws:sts::123456789012:assumed-role/Developer/alice@example.com";
        let (aws, python) = (peers::aws(), peers::python());
        let identity = ["sts", "get-caller-identity", "--profile", "prod", "--output", "text", "--query", "Arn"];
        let said = self.client(&[&[aws.to_str().unwrap()], &identity[..]].concat(), "").success().stdout;
        assert_eq!(said.trim(), caller);
        assert_eq!(self.client(&[python.to_str().unwrap(), "-c", BOTO3], "").success().stdout.trim(), caller);
        let (gate, behind) = (self.sts.counts(), self.moto.stats());
        assert_eq!((gate.exchanges, gate.issued, gate.signed, gate.refused), (1, 1, 2, 0));
        assert_eq!(behind["ok"], json!({ "AssumeRoleWithWebIdentity": 1, "GetCallerIdentity": 2 }));
        assert_eq!(behind["roles"][0]["DurationSeconds"], "3600");
    }
}

#[test]
fn one_sign_in_answers_git_docker_and_aws() {
    let Some(company) = Company::open() else { return };
    company.clone_fetch_and_push();
    company.push_pull_and_inspect_images();
    company.ask_aws_who_i_am();
    let token = company.home.run(["token", "corp"], "").success().stdout.trim().to_owned();
    company.log_in_and_out_with_docker(&token);

    assert_eq!(company.home.wait_for_browser_runs(1).len(), 1);
    let stats = company.server.stats();
    assert_eq!(stats["authorizations"], json!({ "begun": 1, "ok": 1, "error": 0 }));
    assert_eq!(stats["token"], json!({ "authorization_code": { "arrived": 1, "ok": 1, "error": 0 } }));
    let refused: Vec<_> = company.git.log().into_iter().filter(|one| !one.authorized && !one.scheme.is_empty()).collect();
    assert!(refused.is_empty() && company.registry.counts().refused == 0, "{refused:?} {:?}", company.registry.counts());
    let mut secrets = [company.sts.issued_secrets(), company.registry.issued_secrets()].concat();
    secrets.push(token);
    company.home.scan_for_secrets(&secrets);
}
