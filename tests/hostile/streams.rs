//! Closed, full and broken standard streams: no token goes where it must not, and what was received is kept.
use crate::support::process;
use crate::support::scene::Scene;
use std::process::Stdio;

/// Runs `keyfob ARGUMENTS REDIRECTION` by a shell in `scene`.
fn redirected(scene: &Scene, arguments: &str, redirection: &str, stdin: &[u8]) -> process::Output {
    let mut shell = scene.home.command("sh");
    shell.args(["-c", &format!("exec keyfob {arguments} {redirection}")]).env_remove("GIT_TERMINAL_PROMPT");
    process::run(&mut shell, stdin)
}

const REQUESTS: [(&str, &[u8]); 4] = [
    ("git get", b"protocol=https\nhost=git.example.com\n\n"),
    ("docker get", b"registry.example.com"),
    ("token corp", b""),
    ("status", b""),
];

#[test]
fn closed_streams_are_no_reason_to_fail_or_to_write_elsewhere() {
    let (scene, token) = Scene::signed_in();
    for (arguments, stdin) in REQUESTS {
        for redirection in ["<&-", ">&-", "2>&-", "<&- >&-", ">&- 2>&-", "<&- >&- 2>&-"] {
            let output = redirected(&scene, arguments, redirection, stdin);
            let shown = format!("{arguments} {redirection}: {output:?}");
            // without its input docker's request names no server; nothing else is wrong where nobody listens
            let nameless = arguments == "docker get" && redirection.contains('<');
            assert_eq!(output.code, Some(i32::from(nameless)), "{shown}");
            let reads_stdin = !stdin.is_empty() && redirection.contains('<');
            if !redirection.contains(">&-") || redirection == "2>&-" {
                assert_eq!(output.stdout.contains(&token), !reads_stdin && arguments != "status", "{shown}");
            }
            assert!(!output.stderr.contains(&token), "{shown}");
        }
    }
    scene.home.scan_for_secrets(&scene.server.issued_secrets());
    scene.still_answers(&token);
}

#[test]
fn a_sign_in_and_a_renewal_with_every_stream_closed_are_kept() {
    let scene = Scene::new();
    let output = redirected(&scene, "login corp", "<&- >&- 2>&-", b"");
    assert_eq!(output.code, Some(0), "{output:?}");
    let refused = format!("protocol=https\nhost=git.example.com\nusername=oauth2\npassword={}\n\n", scene.token());
    scene.git("erase", refused.as_bytes()).success();
    let output = redirected(&scene, "token corp", "<&- >&- 2>&-", b"");
    assert_eq!(output.code, Some(0), "{output:?}");
    let counts = scene.server.counts();
    assert_eq!((counts.codes_redeemed, counts.refreshes), (1, 1));
    assert!(scene.server.is_alive(scene.token_unattended().success().stdout.trim()));
    assert_eq!(scene.server.counts(), counts);
}

#[test]
fn an_answer_that_cannot_be_written_ends_with_an_error_and_is_there_for_the_next() {
    let (scene, token) = Scene::signed_in();
    for (arguments, stdin) in &REQUESTS[..2] {
        let output = redirected(&scene, arguments, ">/dev/full", stdin);
        assert_eq!((output.code, output.stderr.contains("defect")), (Some(1), false), "{arguments}: {output:?}");
    }
    scene.still_answers(&token);
}

#[test]
fn a_sign_in_whose_asker_has_closed_its_end_is_kept() {
    let scene = Scene::new();
    let mut command = scene.home.command(scene.home.bin().join("docker-credential-keyfob"));
    command.arg("get").env_remove("GIT_TERMINAL_PROMPT");
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    drop(child.stdout.take());
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"registry.example.com").unwrap();
    assert_eq!(process::wait(&mut child, process::LIMIT), Some(Some(1)));
    let answer = scene.docker("get", b"registry.example.com").success();
    assert!(answer.stdout.contains("\"Secret\":\"at_"), "{answer:?}");
    assert_eq!(scene.server.counts().authorizations, 1);
    assert_eq!(scene.server.violations(), Vec::<String>::new());
}
