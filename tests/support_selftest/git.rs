//! Real git clones from, pushes to and is refused by the git server.
use crate::support::encoding::{base64, sha256_hex};
use crate::support::git_server::{Challenge, GitServer};
use crate::support::home::Home;
use crate::support::temp_dir::write;
use crate::support::{http_client, process};

/// git with the token in a header, as no helper is asked for.
fn git(home: &Home, header: &str, arguments: &[&str]) -> process::Output {
    let mut command = home.command("git");
    command.args(["-c", &format!("http.extraHeader=Authorization: {header}"), "-c", "user.name=T", "-c", "user.email=t@t"]);
    process::run(command.args(arguments), b"")
}

#[test]
fn git_clones_pushes_and_fetches_with_a_good_token_only() {
    let home = Home::new();
    let server = GitServer::start(|token| token == "good");
    let url = server.create("hello");
    let basic = format!("Basic {}", base64(b"anybody:good"));
    git(&home, &basic, &["clone", "--quiet", &url, "work"]).success();
    let work = home.path().join("work");
    let work = work.to_str().unwrap();
    // Larger than http.postBuffer, so that git sends it in chunks; text, so that git compresses the request before it.
    write(&home.path().join("work/large"), (0..60_000u32).map(|n| sha256_hex(&n.to_le_bytes())).collect::<String>());
    git(&home, &basic, &["-C", work, "add", "large"]).success();
    git(&home, &basic, &["-C", work, "commit", "--quiet", "--message", "More"]).success();
    let before = server.head("hello");
    git(&home, "Bearer good", &["-C", work, "push", "--quiet"]).success();
    assert_ne!(server.head("hello"), before);
    git(&home, &basic, &["-C", work, "fetch", "--quiet"]).success();
    let refused = git(&home, "Bearer bad", &["ls-remote", &url]);
    assert!(refused.code == Some(128) && refused.stderr.contains("could not read Username"), "{refused:?}");
    server.forbid(true);
    assert!(git(&home, &basic, &["ls-remote", &url]).stderr.contains("403"));
    let log = server.log();
    assert!(log.iter().any(|one| one.scheme == "bearer" && one.authorized && one.path.ends_with("/git-receive-pack")));
    assert!(log.iter().any(|one| !one.authorized && one.status == 401) && log.last().unwrap().status == 403);
    server.challenge(Challenge::Both);
    let answer = http_client::get(&format!("{url}/info/refs?service=git-upload-pack"), &[]).unwrap();
    assert_eq!(answer.headers.iter().filter(|(name, _)| name == "www-authenticate").count(), 2);
}

#[test]
fn git_clones_submodules_of_the_same_server() {
    let home = Home::new();
    let server = GitServer::start(|token| token == "good");
    let url = server.create_with_submodules("whole", 3);
    let header = format!("Authorization: Basic {}", base64(b"x:good"));
    let mut command = home.command("git");
    command.env("GIT_CONFIG_COUNT", "1").env("GIT_CONFIG_KEY_0", "http.extraHeader");
    command.env("GIT_CONFIG_VALUE_0", header);
    process::run(command.args(["clone", "--quiet", "--recurse-submodules", &url, "whole"]), b"").success();
    for part in 1..=3 {
        assert!(home.path().join(format!("whole/part-{part}/README.md")).exists());
    }
}
