//! Real git clones from, pushes to and is refused by the git server.
use crate::support::encoding::{base64, sha256_hex};
use crate::support::front::Front;
use crate::support::git_server::{Challenge, GitServer, Manners};
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

#[test]
fn a_host_with_manners_takes_one_scheme_and_user_name_and_a_front_has_nothing_beside_its_paths() {
    let (server, front) = (GitServer::start(|token| token == "good"), Front::start());
    server.create_at("/team/app.git");
    front.lead("/team/", &server.url());
    let refusal = vec![("www-authenticate", "Basic realm=\"Theirs\"".into()), ("x-theirs", "7".into())];
    server.behave(Manners { schemes: &["basic"], username: Some("x-token-auth"), refusal });
    let ask = |path: &str, authorization: &str| {
        let url = format!("{}{path}/info/refs?service=git-upload-pack", front.url());
        http_client::get(&url, &[("authorization", authorization)]).unwrap()
    };
    let basic = |text: &str| format!("Basic {}", base64(text.as_bytes()));
    for wrong in ["Bearer good", "", &basic("alice:good"), &basic("x-token-auth:bad"), &basic("x-token-auth"), "Negotiate good"] {
        let answer = ask("/team/app.git", wrong);
        assert_eq!((answer.status, answer.header("x-theirs")), (401, Some("7")), "{wrong}");
    }
    assert_eq!(ask("/team/app.git", &basic("x-token-auth:good")).status, 200);
    assert_eq!(ask("/app.git", &basic("x-token-auth:good")).status, 404);
    assert_eq!(front.passed().iter().map(|one| one.status).collect::<Vec<_>>(), [401, 401, 401, 401, 401, 401, 200, 404]);
    assert_eq!(server.log().iter().filter(|one| one.attempt).count(), 5, "an empty header brings nothing");
}
