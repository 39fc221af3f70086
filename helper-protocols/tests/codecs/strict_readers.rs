//! What git prints is read by stricter readers than git's own: gix refuses a whole reply for one odd line, git2 knows only line
//! feeds, and several clients compare docker's texts.
use helper_protocols::{Answer, Credential, Docker, Git, Input, Proof, Protocol, Resource, Secret};

/// Reads a reply as gix does: UTF-8, every line `key=value`, neither CR nor NUL in either.
fn read_like_gix(stdout: &[u8]) -> Result<Vec<(String, String)>, String> {
    let text = std::str::from_utf8(stdout).map_err(|error| error.to_string())?;
    let pair = |line: &str| {
        let (key, value) = line.split_once('=').ok_or_else(|| format!("no `=` in {line:?}"))?;
        if key.is_empty() || line.contains(['\r', '\0']) {
            return Err(format!("odd line {line:?}"));
        }
        Ok((key.to_owned(), value.to_owned()))
    };
    text.lines().map(pair).collect()
}

/// Reads a reply as git2 does: bytes between line feeds, the last line ended by one, the values kept with whatever is in them.
fn read_like_git2(stdout: &[u8]) -> Option<(String, String)> {
    let (mut username, mut password) = (None, None);
    for line in stdout.split(|&byte| byte == b'\n') {
        let mut parts = line.splitn(2, |&byte| byte == b'=');
        let (key, value) = (parts.next()?, parts.next());
        let value = value.and_then(|value| String::from_utf8(value.to_vec()).ok());
        match key {
            b"username" => username = value,
            b"password" => password = value,
            _ => {}
        }
    }
    Some((username?, password?))
}

fn replies() -> Vec<(Vec<u8>, &'static str)> {
    let password = |value: &str| Some(Proof::Password(Secret::new(value.to_owned())));
    let bearer = Proof::Authorization { scheme: "Bearer".to_owned(), credential: Secret::new("a=b==".to_owned()) };
    let mut full = Credential::new(Some("älice@example.com".to_owned()), password("p=w \u{2028}d"));
    full.expires_at = Some(1_795_245_296);
    full.refresh_token = Some(Secret::new("r".to_owned()));
    full.mark = Some("keyfob:1f".to_owned());
    full.ephemeral = true;
    let plain = Credential::new(None, password(""));
    let bearer = Credential::new(None, Some(bearer));
    let answers = [
        (Answer::Credential(&full), "p=w \u{2028}d"),
        (Answer::Credential(&plain), ""),
        (Answer::Credential(&bearer), "none"),
        (Answer::NotFound, "none"),
        (Answer::Failed { message: "no", stop: true }, "none"),
    ];
    let mut replies = Vec::new();
    for stdin in [&b"protocol=https\nhost=h\n"[..], b"capability[]=authtype\ncapability[]=state\nprotocol=https\nhost=h\n\n"] {
        let request = Git::parse(Input { arguments: &["get"], stdin }).expect("the request is well formed");
        replies.extend(answers.iter().map(|(answer, password)| (Git::render(&request, answer).stdout.to_vec(), *password)));
    }
    replies
}

#[test]
fn every_line_for_git_survives_the_reader_of_gix() {
    for (stdout, _) in replies() {
        let pairs = read_like_gix(&stdout).expect("gix would refuse it");
        assert!(!pairs.iter().any(|(key, _)| key == "host" || key == "protocol"), "it would redirect the caller");
        // gix drops an end that is no whole number of seconds, and git2 and gix take no other word for a yes
        let of =
            |wanted: &str| pairs.iter().filter(|(key, _)| key == wanted).map(|(_, value)| value.as_str()).collect::<Vec<_>>();
        assert!(of("password_expiry_utc").iter().all(|end| *end == "1795245296"), "{pairs:?}");
        for flag in ["quit", "ephemeral", "continue"] {
            assert!(of(flag).is_empty() || of(flag) == ["1"], "{pairs:?}");
        }
        let uses_capability = pairs.iter().rposition(|(key, _)| key == "capability[]");
        assert!(uses_capability.is_none_or(|last| pairs[..=last].iter().all(|(key, _)| key == "capability[]")));
    }
}

#[test]
fn the_reader_of_git2_finds_the_very_password() {
    for (stdout, password) in replies() {
        assert!(!stdout.contains(&b'\r') && (stdout.is_empty() || stdout.ends_with(b"\n")));
        match read_like_git2(&stdout) {
            Some((_, found)) => assert_eq!(found, password),
            None => assert_eq!(password, "none"),
        }
    }
}

/// What gix and git2 send: gix a URL beside its parts, without a blank line at the end of a `get` and with one at the end of the others;
/// git2 no more than protocol, host, path and user.
#[test]
fn the_requests_of_gix_and_git2_are_read_as_they_mean_them() {
    let rows: [(&str, &str, Option<&str>, Option<&str>); 5] = [
        ("get", "url=https://h.example/team/app.git\n", Some("team/app.git"), None),
        ("get", "path=team/app.git\nprotocol=https\nhost=h.example\nusername=alice\n", Some("team/app.git"), Some("alice")),
        (
            "store",
            "url=https://h.example/team/app.git\npath=team/app.git\nprotocol=https\nhost=h.example\nusername=alice\npassword=p\n\
             password_expiry_utc=1795245296\nwwwauth[]=Basic realm=\"x\"\n\n",
            Some("team/app.git"),
            Some("alice"),
        ),
        ("get", "protocol=https\nhost=h.example\n", None, None),
        ("get", "protocol=https\nhost=h.example\npath=team/app.git\nusername=alice\n", Some("team/app.git"), Some("alice")),
    ];
    for (operation, stdin, path, username) in rows {
        let request = Git::parse(Input { arguments: &[operation], stdin: stdin.as_bytes() }).expect("a caller sends this");
        let query = Git::query(&request);
        assert_eq!(query.resource, Resource::Url { protocol: Some("https"), host: Some("h.example"), path }, "{stdin}");
        assert_eq!((query.username, query.capabilities.state, query.capabilities.authtype), (username, false, false), "{stdin}");
    }
    // git2 leaves the host out where it is an address of numbers
    let request = Git::parse(Input { arguments: &["get"], stdin: b"protocol=https\n" }).expect("it is well formed");
    assert_eq!(Git::query(&request).resource, Resource::Url { protocol: Some("https"), host: None, path: None });
}

#[test]
fn docker_clients_find_their_two_keys_or_the_text_they_compare() {
    let request = Docker::parse(Input { arguments: &["get"], stdin: b"r.example.com\n" }).expect("the request is well formed");
    let credential = Credential::new(None, Some(Proof::Password(Secret::new("s\n\"".to_owned()))));
    let reply = Docker::render(&request, &Answer::Credential(&credential));
    let value: serde_json::Value = serde_json::from_slice(&reply.stdout).expect("the reply is JSON");
    assert_eq!((value["Username"].as_str(), value["Secret"].as_str()), (Some(""), Some("s\n\"")));
    let reply = Docker::render(&request, &Answer::NotFound);
    let text = String::from_utf8_lossy(&reply.stdout).into_owned();
    assert_eq!((text.trim(), reply.exit_code), ("credentials not found in native keychain", 1));
}
