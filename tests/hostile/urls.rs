//! Addresses that somebody else wrote, given to real git: no token goes anywhere but to the host that was configured, and no program or
//! file in the working directory counts.
use crate::git::versions;
use crate::support::forge::{Forge, value};
use crate::support::git_server::GitServer;
use crate::support::http_server::{HttpServer, Response};
use crate::support::peers;
use crate::support::process::{self, Output};
use crate::support::temp_dir::write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// A server that nobody configured, and every credential that came to it.
struct Stranger {
    server: GitServer,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Stranger {
    fn start() -> Self {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let note = Arc::clone(&seen);
        let server = GitServer::start(move |credential| {
            note.lock().unwrap().push(credential.to_owned());
            false
        });
        server.create("hello");
        Self { server, seen }
    }

    /// Whatever came was in the address itself.
    #[track_caller]
    fn got_nothing(&self, forge: &Forge, by: &str) {
        let (seen, secrets) = (self.seen.lock().unwrap(), forge.server.issued_secrets());
        assert!(!seen.iter().any(|credential| secrets.contains(credential)), "{by}: {seen:?}");
    }
}

#[track_caller]
fn fit_for_a_terminal(output: &Output) {
    let odd = |c: char| c.is_control() && c != '\n' && c != '\r' && c != '\t' || ('\u{202a}'..='\u{202e}').contains(&c);
    let ours = output.stderr.lines().filter(|line| line.starts_with("keyfob")).collect::<Vec<_>>().join("\n");
    assert!(!ours.contains(odd), "{output:?}");
}

#[test]
fn an_address_that_names_two_hosts_or_hides_one_brings_a_stranger_nothing() {
    let (forge, stranger) = (Forge::new(), Stranger::start());
    let token = value(&forge.ask().success().stdout, "password").to_owned();
    forge.wait_for_quiet();
    let asked = forge.server.requests().len();
    let (ours, theirs) = (format!("127.0.0.1:{}", forge.git.port()), format!("127.0.0.1:{}", stranger.server.port()));
    let tail = "private/hello.git";
    let addresses = [
        format!("http://{theirs}%0ahost={ours}/{tail}"),
        format!("http://{theirs}/%0ahost={ours}/{tail}"),
        format!("http://{theirs}/{tail}%0ahost={ours}"),
        format!("http://a%0ahost={ours}@{theirs}/{tail}"),
        format!("http://a%0dhost={ours}@{theirs}/{tail}"),
        format!("http://{theirs}%0dhost={ours}/{tail}"),
        format!("http://{theirs}/{tail}%0d%0ahost={ours}"),
        format!("http://a%00@{theirs}/{tail}"),
        format!("http://{ours}@{theirs}/{tail}"),
        format!("http://{}@{theirs}/{tail}", ours.replace(':', "%3a")),
        format!("http://{ours}\\@{theirs}/{tail}"),
        format!("http://{ours}%2f@{theirs}/{tail}"),
        format!("http://{theirs}/{tail}#@{ours}"),
        format!("http://{theirs}/{tail}?x=@{ours}/"),
        format!("http://%1b[31mx%e2%80%ae@{theirs}/{tail}"),
        format!("http://{theirs}/%1b]0;title%07/{tail}"),
        format!("http://{}@{theirs}/{tail}", "a".repeat(4096)),
        format!("http://{theirs}/{}/{tail}", "a".repeat(4096)),
    ];
    for git in versions::all() {
        for address in &addresses {
            for more in [&["-c", "credential.useHttpPath=true"][..], &["-c", "credential.protectProtocol=false"]] {
                let output = process::run(forge.command(&git).args(more).args(["ls-remote", address]), b"");
                assert_ne!(output.code, Some(0), "{address}: {output:?}");
                fit_for_a_terminal(&output);
                assert!(!output.stderr.contains(&token), "{address}: {output:?}");
                stranger.got_nothing(&forge, address);
            }
        }
    }
    assert_eq!((forge.server.requests().len(), forge.home.browser_runs().len()), (asked, 1), "and nobody was asked anything");
    assert_eq!(value(&forge.ask().success().stdout, "password"), token);
    forge.check();
}

/// A host that may have the token sends git on to one that may not: before it was answered, and after.
#[test]
fn a_host_that_sends_git_elsewhere_takes_no_token_along() {
    for asks_first in [false, true] {
        let (forge, stranger) = (Forge::new(), Stranger::start());
        let elsewhere = stranger.server.url();
        let seen = Arc::new(Mutex::new(0));
        let count = Arc::clone(&seen);
        let host = HttpServer::start(move |request| {
            if asks_first && request.header("authorization").is_none() {
                return Response::text(401, "").with("www-authenticate", "Basic realm=\"x\"");
            }
            *count.lock().unwrap() += usize::from(request.header("authorization").is_some());
            Response::redirect(&format!("{elsewhere}{}?{}", request.path, request.query))
        });
        forge.configure(&format!("{}[git.\"{}\"]\nlogin = \"corp\"\n", forge.login("corp", ""), host.url()));
        for git in versions::all() {
            for follow in ["initial", "true"] {
                let mut command = forge.command(&git);
                command.args(["-c", &format!("http.followRedirects={follow}"), "ls-remote"]);
                let output = process::run(command.arg(format!("{}/private/hello.git", host.url())), b"");
                assert_eq!(output.code, Some(128), "{output:?}");
                stranger.got_nothing(&forge, follow);
            }
        }
        assert_eq!(*seen.lock().unwrap() > 0, asks_first, "the host itself got the token where it asked");
        assert!(!stranger.server.log().is_empty(), "git was sent on");
        forge.check();
    }
}

const TRAPS: [&str; 6] = ["git", "sh", "xdg-open", "keyfob", "gio", "www-browser"];

/// A repository by somebody else: programs that tools might run, and configuration of every kind.
fn trap(forge: &Forge) -> PathBuf {
    let folder = forge.home.path().join("theirs");
    let theirs =
        "[login.corp]\nissuer = \"http://127.0.0.1:1\"\nclient_id = \"theirs\"\n[git.\"http://127.0.0.1:1\"]\nlogin = \"corp\"\n";
    for file in ["config.toml", "keyfob.toml", ".keyfob.toml", ".config/keyfob/config.toml"] {
        write(&folder.join(file), theirs);
    }
    let keys = "[keyfob]\n\tconfig = config.toml\n\tissuer = http://127.0.0.1:1\n[credential]\n\toauthAuthURL = http://127.0.0.1:1/a\n\
                \toauthTokenURL = http://127.0.0.1:1/t\n\tinteractive = false\n[core]\n\trepositoryformatversion = 0\n";
    write(&folder.join(".git/config"), keys);
    write(&folder.join(".git/HEAD"), "ref: refs/heads/main\n");
    for name in TRAPS {
        write(&folder.join(name), "#!/bin/sh\n: >\"$HOME/sprung\"\nexit 1\n");
        process::run(forge.home.command("chmod").arg("700").arg(folder.join(name)), b"").success();
    }
    folder
}

/// Whether a traced call names a file by a path that begins at the working directory, or one in `folder`.
fn is_from_here(line: &str, folder: &Path) -> bool {
    let Some((call, rest)) = line.split_once('(') else { return false };
    let (before, path) =
        rest.split_once('"').map_or(("", ""), |(before, rest)| (before, rest.split('"').next().unwrap_or_default()));
    let at_a_descriptor = !before.is_empty() && !before.starts_with("AT_FDCWD");
    let named = !path.is_empty() && !call.ends_with("chdir") && !at_a_descriptor;
    named && (!path.starts_with('/') || Path::new(path).starts_with(folder))
}

#[test]
fn nothing_in_the_working_directory_is_run_or_read_even_where_the_search_path_begins_there() {
    if !peers::require("strace") {
        return;
    }
    let forge = Forge::new();
    let folder = trap(&forge);
    let browser = crate::support::home::browser_program();
    forge.script("xdg-open", &format!("exec '{}' \"$@\"", browser.display()));
    let path = std::env::var("PATH").unwrap();
    let trace = forge.home.path().join("trace");
    // signs in with the desktop's browser, answers from the cache, renews, erases
    let ask = |arguments: &[&str], stdin: &str| {
        let mut command = forge.command("strace");
        command.args(["-f", "-qq", "-e", "trace=%file", "-o"]).arg(&trace).arg(forge.home.bin().join("keyfob")).args(arguments);
        command.env("PATH", format!(".::{}:{path}", forge.home.bin().display())).env_remove("KEYFOB_BROWSER");
        let output = process::run(command.current_dir(&folder), stdin.as_bytes()).success();
        forge.wait_for_quiet();
        let traced = std::fs::read_to_string(&trace).unwrap();
        let sins: Vec<&str> = traced.lines().filter(|line| is_from_here(line, &folder)).collect();
        assert_eq!(sins, Vec::<&str>::new(), "{arguments:?}");
        assert!(traced.contains("execve("), "{traced}");
        output.stdout
    };
    let first = ask(&["git", "get"], &forge.request());
    let token = value(&first, "password").to_owned();
    assert_eq!((forge.home.wait_for_browser_runs(1).len(), forge.server.counts().authorizations), (1, 1));
    assert_eq!(ask(&["git", "get"], &forge.request()), first);
    ask(&["git", "erase"], &format!("{}username=oauth2\npassword={token}\n", forge.request()));
    let renewed = ask(&["git", "get"], &forge.request());
    assert!(value(&renewed, "password") != token && forge.server.counts().refreshes == 1);
    ask(&["git", "get"], "protocol=http\nhost=127.0.0.1:1\n");
    assert!(!forge.home.path().join("sprung").exists(), "a program of the working directory ran");
    std::fs::remove_file(trace).unwrap();
    forge.check();
}

/// Openers of desktops encode what they find raw once more, and servers take what is not encoded for parameters of its own.
#[test]
fn the_address_that_the_browser_is_sent_to_has_nothing_raw_in_it() {
    let forge = Forge::new();
    let account = "bob & co+x=1&prompt=none#z%20?\u{e9}";
    forge.server.configure(|settings| settings.account = account.into());
    let login = forge.login("corp", &format!("account = \"{account}\""));
    forge.configure(&format!("{login}[git.\"{}\"]\nlogin = \"corp\"\n", forge.git.url()));
    forge.ask().success();
    let visit = forge.home.wait_for_browser_runs(1).remove(0);
    let hops: Vec<&str> = visit["hops"].as_array().unwrap().iter().filter_map(|hop| hop["url"].as_str()).collect();
    let address = hops.into_iter().find(|url| url.contains("/authorize?")).unwrap_or_else(|| panic!("{visit}"));
    let query = address.split_once('?').unwrap().1;
    assert!(query.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~%=&".contains(&byte)), "{query}");
    let pairs: Vec<(String, String)> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let of = |name: &str| pairs.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str()).collect::<Vec<_>>();
    assert_eq!((of("login_hint"), of("scope"), of("prompt")), (vec![account], vec!["openid offline_access"], vec!["consent"]));
    forge.check();
}
