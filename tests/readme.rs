//! The README is true: its commands are run, its examples load and work with real tools, its names and numbers are the program's.
use crate::support::authorization_server::AuthorizationServer;
use crate::support::containers::ContainerHome;
use crate::support::git_server::GitServer;
use crate::support::home::{Home, program};
use crate::support::process::{self, Output};
use crate::support::registry::Registry;
use crate::support::sts::Sts;
use crate::support::temp_dir::write;
use crate::support::{introspection, oci_image, peers};
use std::path::{Path, PathBuf};

/// One fenced block: its language, and its text.
struct Block {
    language: String,
    text: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn file(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn readme() -> String {
    file("README.md")
}

fn blocks() -> Vec<Block> {
    let text = readme();
    let parts: Vec<&str> = text.split("\n```").collect();
    assert_eq!(parts.len() % 2, 1, "each fence that opens closes");
    let inside = parts.iter().skip(1).step_by(2);
    inside
        .map(|part| part.split_once('\n').expect("a fence has its line"))
        .map(|(language, text)| Block { language: language.to_owned(), text: format!("{text}\n") })
        .collect()
}

/// The only block of this language.
fn block(language: &str) -> String {
    let mut found: Vec<String> =
        blocks().into_iter().filter(|block| block.language == language).map(|block| block.text).collect();
    assert_eq!(found.len(), 1, "blocks of {language}");
    found.remove(0)
}

/// The lines of the shell blocks that begin so.
fn commands(start: &str) -> Vec<String> {
    let shell = blocks().into_iter().filter(|block| block.language == "sh");
    let lines: Vec<String> = shell.flat_map(|block| block.text.lines().map(str::to_owned).collect::<Vec<_>>()).collect();
    lines.into_iter().filter(|line| line.starts_with(start)).collect()
}

/// `text` with `from`, which must be there, replaced.
#[track_caller]
fn with(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "the README no longer says {from}");
    text.replace(from, to)
}

/// Backticked words of `text`.
fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// What stands between `start` and the next empty line.
#[track_caller]
fn paragraph(start: &str) -> String {
    let text = readme();
    let place = text.find(start).unwrap_or_else(|| panic!("the README no longer says {start}"));
    text[place..].split("\n\n").next().unwrap_or_default().to_owned()
}

/// The README's login, at a test server, with routes to test servers.
struct Company {
    home: Home,
    git: GitServer,
    sts: Sts,
    server: AuthorizationServer,
}

impl Company {
    fn open(registry: Option<&str>) -> Self {
        let (server, home) = (AuthorizationServer::start(), Home::new());
        let git = GitServer::start(introspection::active_at(&server.issuer(), None));
        let sts = Sts::trusting(&server.issuer(), "keyfob");
        let config = with(&block("toml"), "https://sso.example.com/realms/dev", &server.issuer());
        let config = with(&config, "https://git.example.com", &git.url());
        home.write_config(&with(&config, "registry.example.com", registry.unwrap_or("registry.example.com")));
        Self { home, git, sts, server }
    }

    /// Any program in the home, where a person could be asked.
    #[track_caller]
    fn run(&self, words: &[&str], environment: &[(&str, PathBuf)]) -> Output {
        let mut command = self.home.command(words[0]);
        command.args(&words[1..]).env_remove("GIT_TERMINAL_PROMPT").env("AWS_ENDPOINT_URL_STS", self.sts.url());
        process::run(command.envs(environment.iter().cloned()), b"")
    }

    fn sign_ins(&self) -> usize {
        self.server.requests().iter().filter(|request| request.path.ends_with("/authorize")).count()
    }
}

#[test]
fn every_command_line_of_the_readme_is_known_to_these_tests() {
    let known = ["./install/try.sh", "cargo install ", "ln -s ", "keyfob setup git", "./tests/run --install"];
    for line in commands("") {
        assert!(known.iter().any(|start| line.starts_with(start)), "nothing runs `{line}`");
    }
    for start in known {
        assert!(!commands(start).is_empty(), "the README no longer has `{start}`");
    }
    let run = file("tests/run");
    let steps: Vec<&str> = run.lines().filter(|line| line.starts_with("step ")).collect();
    assert!(steps.iter().any(|step| step.ends_with(&commands("./install/")[0])), "tests/run has no step for the try-out");
    assert!(steps.iter().any(|step| step.ends_with("installation")), "tests/run has no step for the installation");
    assert!(run.contains(&format!("{} --root ", commands("cargo install")[0])), "tests/run installs in another way");
    assert!(file(".ci/run").contains(&commands("./tests/run")[0]), "CI calls something else");
    #[cfg(unix)]
    for name in ["install/try.sh", "tests/run", ".ci/run"] {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(root().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o111, 0o111, "{name} cannot be run");
    }
}

#[cfg(unix)]
#[test]
fn the_links_that_the_readme_makes_are_the_helpers_of_git_and_docker() {
    let home = Home::new();
    let bin = home.path().join(".cargo/bin");
    std::fs::create_dir_all(&bin).unwrap();
    std::fs::copy(program(), bin.join("keyfob")).unwrap();
    for line in commands("ln -s ") {
        process::run(home.command("sh").args(["-c", &line]), b"").success();
    }
    let version = process::run(home.command(bin.join("docker-credential-keyfob")).arg("version"), b"").success();
    assert!(version.stdout.contains(env!("CARGO_PKG_VERSION")), "{version:?}");
    let capability = process::run(home.command(bin.join("git-credential-keyfob")).arg("capability"), b"").success();
    assert!(capability.stdout.contains("capability state"), "{capability:?}");
}

#[test]
fn the_example_configuration_loads_as_it_stands() {
    let home = Home::new();
    home.write_config(&block("toml"));
    let status = home.run(["status"], "").success();
    assert!(status.stdout.starts_with("corp: not signed in"), "{status:?}");
    assert!(status.stderr.is_empty(), "{status:?}");
}

#[test]
fn the_further_keys_and_the_presets_load() {
    let values = [
        ("account", "\"alice@example.com\""),
        ("client_secret_file", "\"/etc/keyfob/secret\""),
        ("client_auth", "\"basic\""),
        ("endpoints.authorization", "\"https://sso.example.com/authorize\""),
        ("endpoints.token", "\"https://sso.example.com/token\""),
        ("endpoints.revocation", "\"https://sso.example.com/revoke\""),
        ("endpoints.userinfo", "\"https://sso.example.com/userinfo\""),
        ("endpoints.device_authorization", "\"https://sso.example.com/device\""),
        ("device_client_id", "\"keyfob-device\""),
        ("device_client_secret_file", "\"/etc/keyfob/device-secret\""),
        ("device_pkce", "true"),
        ("ca_file", "\"/etc/ssl/company.pem\""),
        ("redirect_uri", "\"http://localhost/callback\""),
        ("redirect_ports", "[8400, 8401]"),
        ("allow_http", "true"),
    ];
    let (of_a_login, of_the_whole) =
        paragraph("Further keys of a login").split_once("Of the whole").map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    let mut login = String::new();
    for word in quoted(&of_a_login) {
        let value = values.iter().find(|(name, _)| *name == word).map(|(_, value)| *value);
        match (word, value) {
            ("interactive", _) => login.push_str("interactive = \"terminal\"\n"),
            ("flow", _) => login.push_str("flow = \"browser\"\n"),
            // what these may be
            ("auto" | "terminal" | "never" | "browser" | "device" | "paste", _) => {}
            (_, Some(value)) => login.push_str(&format!("{word} = {value}\n")),
            (_, None) => panic!("no value for `{word}` of a login is known here"),
        }
    }
    assert!(values.iter().all(|(name, _)| login.contains(name)), "the README leaves a key out: {login}");
    for word in ["browser", "audit", "min_version", "[store] key", "key_file"] {
        assert!(quoted(&of_the_whole).contains(&word), "the README no longer names {word}");
    }
    let whole = "browser = \"firefox\"\naudit = \"all\"\nmin_version = \"0.1.0\"\n";
    let store = "[store]\nkey = \"file\"\nkey_file = \"/nowhere/key\"\n";
    let route = "[aws.b]\nlogin = \"corp\"\nrole_arn = \"arn:aws:iam::123456789012:role/D\"\nregion = \"eu-central-1\"\nduration = 3600\nsession_name = \"me\"\n";
    let home = Home::new();
    home.write_config(&format!(
        "{whole}{}",
        with(&block("toml"), "client_id = \"keyfob\"\n", &format!("client_id = \"keyfob\"\n{login}"))
    ));
    home.run(["status"], "").success();
    home.write_config(&format!("{}{store}{route}", block("toml")));
    home.run(["status"], "").success();
}

#[test]
fn the_presets_of_the_readme_are_those_of_the_program_and_load() {
    let home = Home::new();
    let text = readme();
    let rows = text.lines().skip_while(|line| !line.starts_with("| preset |")).skip(2).take_while(|line| line.starts_with('|'));
    let mut presets: Vec<&str> = rows.flat_map(|row| quoted(row.split('|').nth(1).unwrap_or_default())).collect();
    home.write_config("[login.forge]\npreset = \"?\"\n");
    let said = home.run(["status"], "").stderr;
    let known = said.split("known presets: ").nth(1).and_then(|rest| rest.lines().next()).unwrap_or_else(|| panic!("{said}"));
    let mut known: Vec<&str> = known.split(", ").collect();
    presets.sort_unstable();
    known.sort_unstable();
    assert_eq!(presets, known, "the README's table of presets is the program's");
    for preset in presets {
        let mut table = format!("preset = \"{preset}\"\nclient_id = \"x\"\nclient_secret_file = \"/etc/keyfob/secret\"\n");
        for (key, value) in [("host", "git.example.com"), ("realm", "dev")] {
            home.write_config(&format!("[login.forge]\n{table}"));
            if home.run(["status"], "").stderr.contains(&format!("needs the `{key}`")) {
                table.push_str(&format!("{key} = \"{value}\"\n"));
            }
        }
        home.write_config(&format!("[login.forge]\n{table}"));
        home.run(["status"], "").success();
    }
}

#[test]
fn the_git_settings_of_the_readme_make_a_helper() {
    let company = Company::open(None);
    for line in commands("keyfob setup git") {
        process::run(company.home.command("sh").args(["-c", &line]), b"").success();
    }
    let url = company.git.create("app");
    company.run(&["git", "clone", "--quiet", &url, "app"], &[]).success();
    company.run(&["git", "-C", "app", "fetch", "--quiet"], &[]).success();
    assert_eq!(company.sign_ins(), 1);
    assert!(company.git.log().iter().all(|request| request.authorized || request.scheme.is_empty()));
}

#[test]
fn the_docker_settings_of_the_readme_make_a_helper() {
    if !["docker", "skopeo", "docker-registry"].into_iter().all(peers::require) {
        return;
    }
    // the registry must be there before the configuration that names it, and asks a server that comes after it
    let issuer = std::sync::Arc::new(std::sync::OnceLock::<String>::new());
    let asked = std::sync::Arc::clone(&issuer);
    let registry = Registry::start(move |token| introspection::active_at(asked.get().expect("the server is there"), None)(token));
    let company = Company::open(Some(&registry.host()));
    issuer.set(company.server.issuer()).unwrap();
    let home = company.home.path();
    let surroundings = ContainerHome::new(&home, &[&registry.host()]);
    let json = with(&block("json"), "registry.example.com", &registry.host());
    write(&home.join(".docker/config.json"), &json);
    let mut environment = surroundings.environment();
    environment.retain(|(name, _)| !["DOCKER_CONFIG", "REGISTRY_AUTH_FILE"].contains(name));
    environment.push(("REGISTRY_AUTH_FILE", home.join(".docker/config.json")));
    oci_image::write_layout(&home.join("image"), "v1");
    let image = format!("{}/team/app:v1", registry.host());
    company.run(&["skopeo", "copy", "oci:image:v1", &format!("docker://{image}")], &environment).success();
    let manifest = company.run(&["docker", "manifest", "inspect", "--insecure", &image], &environment).success();
    assert!(manifest.stdout.contains("\"layers\""), "{manifest:?}");
    assert_eq!((company.sign_ins(), registry.counts().refused), (1, 0));
}

#[test]
fn the_aws_settings_of_the_readme_make_a_profile() {
    if !peers::require("aws") {
        return;
    }
    let company = Company::open(None);
    let program = company.home.bin().join("keyfob");
    let text = with(&block("ini"), "/home/you/.cargo/bin/keyfob", program.to_str().unwrap());
    write(&company.home.path().join(".aws/config"), text);
    let region = [("AWS_DEFAULT_REGION", PathBuf::from("eu-central-1"))];
    let sts = company.sts.url();
    let words = [peers::aws().to_str().unwrap(), "sts", "get-caller-identity", "--profile", "prod", "--endpoint-url", &sts]
        .map(str::to_owned);
    let said = company.run(&words.each_ref().map(String::as_str), &region).success();
    assert!(said.stdout.contains("assumed-role/Developer/"), "{said:?}");
    assert_eq!((company.sign_ins(), company.sts.counts().issued), (1, 1));
}

#[test]
fn the_table_of_commands_is_what_the_program_has() {
    let home = Home::new();
    let help = home.run(["--help"], "").success().stdout;
    let text = readme();
    let rows: Vec<Vec<&str>> = text
        .lines()
        .filter_map(|line| line.strip_prefix("| `keyfob "))
        .map(|line| line.split('`').next().unwrap_or_default().split_whitespace().collect())
        .collect();
    assert!(rows.len() > 5, "{rows:?}");
    let lists = |name: &str| help.lines().any(|line| line.split_whitespace().next() == Some(name));
    for row in &rows {
        assert!(lists(row[0]), "`keyfob {}` is not in: {help}", row[0]);
        let path: Vec<&str> = row.iter().take_while(|word| word.starts_with(|c: char| c.is_ascii_lowercase())).copied().collect();
        let own = home.run(path.iter().copied().chain(["--help"]), "").success().stdout;
        for word in &row[path.len()..] {
            let word = word.trim_matches(['[', ']']);
            assert!(own.contains(word), "`{word}` is not in: {own}");
        }
    }
    let shown = help.lines().skip_while(|line| !line.starts_with("Commands:")).skip(1).take_while(|line| !line.is_empty());
    for name in shown.filter_map(|line| line.split_whitespace().next()) {
        let told = rows.iter().any(|row| row[0] == name) || ["git", "docker", "aws", "help"].contains(&name);
        assert!(told, "`keyfob {name}` is not in the README");
    }
}

#[test]
fn the_exit_codes_are_those_of_the_program() {
    let kinds = [
        ("done", ""),
        ("no such login or route", "Unrouted"),
        ("command line", "Usage"),
        ("a person is needed", "NeedsPerson"),
        ("refused", "Refused"),
        ("unreachable", "Unreachable"),
        ("misconfigured", "Misconfigured"),
        ("our defect", "Bug"),
    ];
    let source = file("src/failure.rs");
    let sentence = paragraph("Exit codes: ").replace('\n', " ");
    let listed = sentence.trim_start_matches("Exit codes: ").trim_end_matches('.').split(", ");
    let listed: Vec<(u8, &str)> =
        listed.map(|one| one.split_once(' ').unwrap()).map(|(n, words)| (n.parse().unwrap(), words)).collect();
    assert_eq!(listed.iter().map(|(_, words)| *words).collect::<Vec<_>>(), kinds.map(|(words, _)| words));
    for ((code, _), (_, kind)) in listed.iter().zip(kinds).skip(1) {
        assert!(source.contains(&format!("Self::{kind} => {code},")), "{kind} is not {code}");
    }
    assert_eq!(
        source.matches("=> ").count() - source.matches("=> \"").count(),
        kinds.len() - 1,
        "a kind is missing in the README"
    );
    let (server, home) = (AuthorizationServer::start(), Home::new());
    let code = |words: &[&str]| home.run(words, "").code;
    let login = |issuer: &str| home.write_config(&format!("[login.corp]\nissuer = \"{issuer}\"\nclient_id = \"keyfob\"\n"));
    login(&server.issuer());
    assert_eq!((code(&["status"]), code(&["token", "another"]), code(&["--unknown"])), (Some(0), Some(1), Some(2)));
    assert_eq!(code(&["status", "--check", "corp"]), Some(3));
    home.browser("deny");
    server.configure(|settings| settings.deny = true);
    assert_eq!(code(&["login", "corp"]), Some(4));
    login("http://127.0.0.1:1");
    assert_eq!(code(&["login", "corp"]), Some(5));
    home.write_config("[login.corp]\nisuer = \"x\"\n");
    assert_eq!(code(&["status"]), Some(6));
}

#[test]
fn the_readme_is_short_and_what_it_names_exists() {
    let text = readme();
    assert!(text.lines().count() <= 200, "{} lines", text.lines().count());
    for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()).filter(|target| !target.contains("://")) {
        assert!(root().join(target.split('#').next().unwrap_or_default()).exists(), "the link to {target} is broken");
    }
    let environment = file("src/config/environment.rs") + &file("src/config/preset/table.rs");
    for name in text.split(|c: char| !(c.is_ascii_uppercase() || c == '_')).filter(|word| word.starts_with("KEYFOB_")) {
        assert!(environment.contains(&format!("\"{name}\"")), "{name} is not read");
    }
    let manifest = file("Cargo.toml");
    let oldest = manifest.split("rust-version = \"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    assert!(text.contains(&format!("Rust {oldest} or newer")), "the README names another Rust than {oldest}");
}
