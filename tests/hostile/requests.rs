//! Bad requests by raw pipe, on all three fronts: refused in one line, and nothing stored is lost.
use crate::support::scene::{KEPT, Scene, one_error, printable};

/// Refused, or nothing to say: (request, what the one line says; empty where there must be none).
fn git_requests() -> Vec<(Vec<u8>, &'static str)> {
    let text = |text: &str| text.as_bytes().to_vec();
    let long = |length: usize| [b"protocol=https\nhost=".to_vec(), vec![b'a'; length], b"\n\n".to_vec()].concat();
    vec![
        (text(""), ""),
        (text("\n"), ""),
        (text("protocol=https\n"), ""),
        (text("host=\n"), ""),
        (text("protocol=https\nhost=\n\n"), ""),
        (text("host=git.example.com\n"), ""),
        (text("protocol\n"), "no `=`"),
        (text("=\n"), ""),
        (text("protocol=https\nhost=evil.example\nhost=git.example.com\n\n"), "`host` comes twice"),
        (text("protocol=https\nprotocol=http\nhost=git.example.com\n\n"), "`protocol` comes twice"),
        (text("protocol=https\nhost=evil.example\rhost=git.example.com\n\n"), "carriage return"),
        (text("protocol=https\r\nhost=git.example.com\r\n\r\n"), "carriage return"),
        (text("protocol=https\nhost=git.example.com\nusername=\ra\n"), "carriage return"),
        (text("protocol=https\nhost=git.example.com\0\n\n"), "NUL"),
        (text("protocol=https\nhost=git.example.com\nx\0y=1\n\n"), "NUL"),
        (text("protocol=https\nhost=git.example.com\npath=team\rhost=x\n\n"), "carriage return"),
        (text("protocol=https\nhost=evil.example\u{2028}host=git.example.com\n\n"), ""),
        (text("protocol=https\nhost=git.example.com\u{85}\n\n"), "host"),
        (text("protocol=https\nhost=evil.example\u{b}host=git.example.com\n\n"), "host"),
        (text("protocol=https\nhost=git.example.com\u{c}\n\n"), "host"),
        (text("protocol=https\nhost=git.example.com\u{202e}\n\n"), ""),
        (text("protocol=https\nhost=git.example.com\nusername=\u{1b}[31mx\n\n"), "username"),
        (text("protocol=https\nxhost=git.example.com\n\n"), ""),
        (text("protocol=https\nhost[]=git.example.com\n\n"), ""),
        (text("protocol=https\n host=git.example.com\n\n"), ""),
        (text("protocol=https\nhost =git.example.com\n\n"), ""),
        (text("protocol=https\n=host=git.example.com\n\n"), ""),
        (text("protocol=https\nHOST=git.example.com\n\n"), ""),
        (text("protocol=https\nhost==git.example.com\n\n"), ""),
        (text("protocol=https\nhost=\u{1b}[31mgit.example.com\n\n"), "host"),
        (text("protocol=https\nhost=git.example.com\npath=\u{1b}]0;x\u{7}\n\n"), "path"),
        (text("\u{feff}protocol=https\nhost=git.example.com\n\n"), ""),
        (text("url=https://evil%0ahost=git.example.com/\n\n"), "url"),
        (text("url=https://evil%00.git.example.com/\n\n"), "url"),
        (b"protocol=https\nhost=git.\xff.example.com\n\n".to_vec(), "UTF-8"),
        (long(64 << 10), ""),
        (long(10 << 20), "1 MiB"),
        (vec![b'a'; 10 << 20], "1 MiB"),
        (vec![0; 10 << 20], "1 MiB"),
        (b"wwwauth[]=Basic realm=x\n".repeat(500_000), "1 MiB"),
    ]
}

#[test]
fn a_bad_request_of_git_gets_one_line_at_most_and_nothing_stored_is_lost() {
    let (scene, token) = Scene::signed_in();
    scene.keep_entries();
    let before = scene.server.counts();
    for (request, said) in git_requests() {
        let shown = String::from_utf8_lossy(&request[..request.len().min(80)]).into_owned();
        for operation in ["get", "store", "erase"] {
            let output = scene.git(operation, &request);
            printable(&output);
            assert_eq!((output.code, output.stdout.as_str()), (Some(0), ""), "{operation} {shown:?}: {output:?}");
            assert!(output.stderr.lines().count() <= 1, "{operation} {shown:?}: {output:?}");
            if operation == "get" {
                assert!(output.stderr.contains(said) && output.stderr.is_empty() == said.is_empty(), "{shown:?}: {output:?}");
            }
        }
    }
    // a request that broke off changes nothing
    scene.git("erase", b"protocol=https\nhost=kept.example.org\nusername=al");
    scene.git("store", format!("protocol=https\nhost=kept.example.org\nusername=alice\npassword={}", &KEPT[..5]).as_bytes());
    scene.entries_answer();
    scene.still_answers(&token);
    let answer = scene.git_get("git.example.com").success();
    assert!(answer.stdout.contains(&format!("password={token}\n")), "{answer:?}");
    assert_eq!(scene.server.counts(), before, "no bad request reached the server");
}

/// Every attribute that has a value, with `odd` in the middle of it.
fn with_each_value_broken_by(odd: char) -> Vec<String> {
    let lines = [
        "protocol=https",
        "host=git.example.com",
        "path=team/app.git",
        "username=alice",
        "password=hunter2x",
        "authtype=Bearer",
        "credential=hunter2x",
        "password_expiry_utc=1795245296",
        "oauth_refresh_token=hunter2x",
        "ephemeral=1",
        "capability[]=state",
        "state[]=keyfob:0123456789ab",
        "wwwauth[]=Basic realm=x",
        "url=https://git.example.com/x",
        "unknown=value",
    ];
    let broken = |at: usize| {
        let whole = lines.iter().enumerate().map(|(number, line)| {
            let (front, back) = line.split_at(if number == at { line.len() - 1 } else { line.len() });
            if number == at { format!("{front}{odd}{back}\n") } else { format!("{front}\n") }
        });
        // `url` and `path` would differ
        whole.filter(|line| at == 13 || !line.starts_with("url=")).filter(|line| at != 13 || !line.starts_with("path=")).collect()
    };
    (0..lines.len()).map(broken).collect()
}

#[test]
fn a_carriage_return_or_nul_in_any_value_is_refused_and_no_value_is_repeated() {
    let (scene, token) = Scene::signed_in();
    for request in [with_each_value_broken_by('\0'), with_each_value_broken_by('\r')].concat() {
        for operation in ["get", "store", "erase"] {
            let output = scene.git(operation, request.as_bytes());
            printable(&output);
            assert_eq!((output.code, output.stdout.as_str()), (Some(0), ""), "{operation} {request:?}: {output:?}");
            assert!(output.stderr.contains("holds a carriage return or NUL"), "{operation} {request:?}: {output:?}");
            assert!(!output.stderr.contains("hunter2") && !output.stderr.contains(&token), "{output:?}");
        }
    }
    scene.still_answers(&token);
}

#[test]
fn what_is_long_and_allowed_is_read_to_its_end_and_answered_for_its_own_host() {
    let (scene, token) = Scene::signed_in();
    scene.keep_entries();
    let lines = |host: &str| {
        let long = format!("wwwauth[]=basic realm={}host=git.example.com\n", "a".repeat(65_535 - 44));
        let many = "wwwauth[]=\n".repeat(90_000);
        let names = format!("username={}\npath={}\n", "u".repeat(60_000), "p/".repeat(30_000));
        [long, many, names].map(|more| format!("protocol=https\n{more}host={host}\n"))
    };
    for request in lines("git.example.com") {
        let answer = scene.git("get", request.as_bytes()).success();
        assert!(answer.stdout.contains(&format!("password={token}\n")) && answer.stderr.is_empty(), "{} bytes", request.len());
    }
    for request in lines("evil.example") {
        let answer = scene.git("get", request.as_bytes()).success();
        assert_eq!((answer.stdout.as_str(), answer.stderr.as_str()), ("", ""), "{} bytes", request.len());
    }
    // as long as it may be or longer, in the place of each name: kept, or refused in one line, and the others stay
    for length in [1 << 10, 40 << 10, 64 << 10, 500 << 10] {
        let long = "n".repeat(length);
        for (host, username, password) in [(long.as_str(), "u", "p"), ("long.example", &long, "p"), ("long.example", "u", &long)]
        {
            let account = format!("protocol=https\nhost={host}\nusername={username}\n");
            let stored = scene.git("store", format!("{account}password={password}\n").as_bytes()).success();
            printable(&stored);
            let answer = scene.git("get", account.as_bytes()).success();
            let found = answer.stdout == format!("username={username}\npassword={password}\n");
            assert!(found || answer.stdout.is_empty() && stored.stderr.lines().count() == 1, "{length}: {stored:?}");
            scene.git("erase", account.as_bytes()).success();
            assert_eq!(scene.git("get", account.as_bytes()).success().stdout, "", "{length}");
        }
    }
    scene.entries_answer();
    scene.still_answers(&token);
}

#[test]
fn a_bad_request_of_docker_gets_a_reason_and_nothing_stored_is_lost() {
    let (scene, token) = Scene::signed_in();
    scene.keep_entries();
    let before = scene.server.counts();
    let large = vec![b'a'; 10 << 20];
    let object = |inner: &str| format!("{{\"ServerURL\":\"kept.example.org\"{inner}}}").into_bytes();
    let rows: Vec<(&str, Vec<u8>, &str)> = vec![
        ("get", b"".to_vec(), "no credentials server URL"),
        ("get", b"\n".to_vec(), "no credentials server URL"),
        ("get", b"registry.example.com\0".to_vec(), "control character"),
        ("get", b"evil.example\rregistry.example.com".to_vec(), "control character"),
        ("get", b"\x1b[31mregistry.example.com".to_vec(), "control character"),
        ("get", b"evil.example\nregistry.example.com\n".to_vec(), "control character"),
        ("get", b"registry.\xff.example.com".to_vec(), "UTF-8"),
        ("get", "\u{feff}registry.example.com".into(), "credentials not found in native keychain"),
        ("get", large.clone(), "1 MiB"),
        ("store", b"".to_vec(), "not a JSON object"),
        ("store", b"{}".to_vec(), "no credentials server URL"),
        ("store", b"[]".to_vec(), "not a JSON object"),
        ("store", b"{\"ServerURL\":\"kept.example.org\",\"Username\":\"alice\",\"Secret\":\"pw-cut-of".to_vec(), "breaks off"),
        ("store", object(""), "no credentials username"),
        ("store", object(",\"Username\":7,\"Secret\":\"pw-typed-wrong\""), "one string each"),
        ("store", object(",\"Username\":\"a\",\"Secret\":\"pw-twice-a\",\"Secret\":\"pw-twice-b\""), "one string each"),
        ("store", [b"{\"ServerURL\":\"".to_vec(), large.clone()].concat(), "1 MiB"),
        ("frobnicate", b"".to_vec(), "unknown action: frobnicate"),
        ("\u{1b}[31m", b"".to_vec(), "unknown action: ?[31m"),
    ];
    for (action, request, said) in rows {
        let output = scene.docker(action, &request);
        let shown = String::from_utf8_lossy(&request[..request.len().min(80)]).into_owned();
        assert_eq!(output.code, Some(1), "{action} {shown:?}: {output:?}");
        assert!(output.stdout.contains(said) && output.stdout.lines().count() == 1, "{action} {shown:?}: {output:?}");
        assert!(!format!("{output:?}").contains("pw-"), "{action} {shown:?}: {output:?}");
        printable(&output);
    }
    for request in [b"".to_vec(), b"\0".to_vec(), large] {
        let output = scene.docker("erase", &request);
        assert!(output.code.is_some_and(|code| code <= 1), "{output:?}");
        printable(&output);
    }
    scene.entries_answer();
    scene.still_answers(&token);
    assert_eq!(scene.server.counts(), before, "no bad request reached the server");
}

#[test]
fn a_bad_request_of_aws_gets_a_reason_and_its_input_is_never_read() {
    let (scene, token) = Scene::signed_in();
    let rows: [(&[&str], &str); 9] = [
        (&["aws", "get"], "usage"),
        (&["aws", "get", ""], "usage"),
        (&["aws", "get", "--profile"], "usage"),
        (&["aws", "get", "prod", "prod"], "usage"),
        (&["aws", "put", "prod"], "usage"),
        (&["aws", "get", "pr\u{1b}od"], "control character"),
        (&["aws", "get", "pr\rod"], "control character"),
        (&["aws", "get", "prod\u{202e}"], "no AWS profile"),
        (&["aws", "get", "production"], "no AWS profile"),
    ];
    let large = "x".repeat(10 << 20);
    for (arguments, said) in rows {
        let output = scene.home.run(arguments, &large);
        assert_eq!((output.code, output.stdout.as_str()), (Some(1), ""), "{arguments:?}: {output:?}");
        assert!(output.stderr.contains(said), "{arguments:?}: {output:?}");
        printable(&output);
    }
    scene.still_answers(&token);
}

/// Hosts that are another one than `git.example.com`, whatever they look like.
const LOOK_ALIKES: [&str; 22] = [
    "alice@git.example.com",
    "alice:password@git.example.com",
    "git.example.com.evil",
    "git.example.com%00",
    "git.example.com.evil.net",
    "evilgit.example.com",
    "xgit.example.com",
    "evil.git.example.com",
    "example.com",
    "git.example.co",
    "git.example.comm",
    "git.example.com:8443",
    "git.example.com:80",
    "git.example.com@evil.net",
    "evil.net/git.example.com",
    "evil.net?git.example.com",
    "evil.net#git.example.com",
    "git.example.com\\",
    "git.ex\u{430}mple.com",
    "git\u{3002}example.com",
    "git.example.com..",
    "*.example.com",
];

#[test]
fn hosts_that_were_never_configured_cost_nothing_and_look_alikes_get_nothing() {
    let (scene, token) = Scene::signed_in();
    let (before, visits) = (scene.server.counts(), scene.home.wait_for_browser_runs(1).len());
    for host in LOOK_ALIKES {
        let output = scene.git_get(host);
        assert_eq!((output.code, output.stdout.as_str(), output.stderr.as_str()), (Some(0), "", ""), "{host}");
        let output = scene.docker("get", host.replace("git.", "registry.").as_bytes());
        let silent = (Some(1), "credentials not found in native keychain\n", "");
        assert_eq!((output.code, output.stdout.as_str(), output.stderr.as_str()), silent, "{host}");
    }
    let over_http = scene.git("get", b"protocol=http\nhost=git.example.com\n\n");
    one_error(&over_http);
    assert_eq!((over_http.code, over_http.stdout.as_str()), (Some(0), ""), "{over_http:?}");
    for other in ["ssh", "ftp", "smtp", "cert", "httpss", ""] {
        let output = scene.git("get", format!("protocol={other}\nhost=git.example.com\n\n").as_bytes());
        assert_eq!((output.code, output.stdout.as_str(), output.stderr.as_str()), (Some(0), "", ""), "{other}");
    }
    for same in ["git.example.com", "GIT.Example.COM", "git.example.com.", "git.example.com:443"] {
        let output = scene.git_get(same).success();
        assert!(output.stdout.contains(&format!("password={token}\n")), "{same}: {output:?}");
    }
    assert_eq!(scene.server.counts(), before);
    assert_eq!(scene.home.browser_runs().len(), visits);
    assert_eq!(scene.home.processes(), [] as [u32; 0], "nothing was started");
}

#[test]
fn a_home_without_any_configuration_is_silent() {
    let scene = Scene::new();
    std::fs::remove_file(scene.home.config_file()).unwrap();
    for operation in ["get", "erase"] {
        let output = scene.git(operation, b"protocol=https\nhost=git.example.com\n\n");
        assert_eq!((output.code, output.stdout.as_str(), output.stderr.as_str()), (Some(0), "", ""), "{operation}");
    }
    let output = scene.docker("get", b"registry.example.com");
    assert_eq!((output.code, output.stderr.as_str()), (Some(1), ""));
    assert_eq!(output.stdout, "credentials not found in native keychain\n");
    assert_eq!(scene.docker("list", b"").success().stdout, "{}\n");
    assert!(!scene.home.state().join("keyfob").exists(), "asking leaves nothing behind");
    assert_eq!(scene.server.counts(), Default::default());
}
