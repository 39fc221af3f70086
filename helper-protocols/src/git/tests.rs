//! The git codec, byte for byte.
use super::*;
use crate::{Capabilities, Proof, Secret};
use std::{format, string::ToString, vec, vec::Vec};

fn parse(operation: &str, stdin: impl AsRef<[u8]>) -> Result<Request, Malformed> {
    Git::parse(Input { arguments: &[operation], stdin: stdin.as_ref() })
}

fn refusal(operation: &str, stdin: impl AsRef<[u8]>) -> String {
    let malformed = parse(operation, stdin).unwrap_err();
    let reply = Git::refuse(&malformed);
    assert_eq!((reply.stdout.as_slice(), reply.exit_code), (&b""[..], 0));
    assert_eq!(reply.stderr, format!("malformed request: {}\n", malformed.message).into_bytes());
    malformed.message
}

fn url<'a>(protocol: Option<&'a str>, host: Option<&'a str>, path: Option<&'a str>) -> Resource<'a> {
    Resource::Url { protocol, host, path }
}

fn secret(value: &str) -> Secret {
    Secret::new(value.to_string())
}

fn password(username: &str, value: &str) -> Credential {
    Credential::new(Some(username.to_string()), Some(Proof::Password(secret(value))))
}

fn bearer(value: &str) -> Credential {
    Credential::new(None, Some(Proof::Authorization { scheme: "Bearer".to_string(), credential: secret(value) }))
}

#[test]
fn a_get_asks_for_the_url_in_its_parts_as_they_were_written() {
    let stdin = "capability[]=authtype\ncapability[]=state\nprotocol=https\nhost=Git.Example.com:8443\npath=/team/app.git/\n\
                 username=alice\nstate[]=other:1\nstate[]=keyfob:2\nwwwauth[]=Basic realm=\"x\"\nfuture=1\nfuture[]=1\n=odd\n\n";
    for stdin in [stdin, stdin.trim_end_matches('\n')] {
        let request = parse("get", stdin).unwrap();
        let query = Git::query(&request);
        assert_eq!(query.operation, Operation::Get);
        assert_eq!(query.resource, url(Some("https"), Some("Git.Example.com:8443"), Some("team/app.git")));
        assert_eq!((query.username, query.marks), (Some("alice"), vec!["other:1", "keyfob:2"]));
        assert_eq!(query.capabilities, Capabilities { authtype: true, state: true });
        assert_eq!((query.offered, query.lifetime), (None, None));
        assert_eq!(request.wwwauth(), ["Basic realm=\"x\""]);
    }
}

#[test]
fn what_a_request_leaves_out_stays_absent_and_what_it_sends_empty_stays_empty() {
    for stdin in ["", "\n", "\n\n\n", "\nhost=after-the-blank-line\n"] {
        for operation in ["get", "store", "erase"] {
            let request = parse(operation, stdin).unwrap();
            assert_eq!(Git::query(&request).resource, url(None, None, None));
        }
    }
    let request = parse("get", "protocol=cert\nhost=\nusername=\npath=home/me/key.pem\n").unwrap();
    let query = Git::query(&request);
    assert_eq!((query.resource, query.username), (url(Some("cert"), Some(""), Some("home/me/key.pem")), Some("")));
    assert_eq!(Git::query(&parse("get", "protocol=https\n").unwrap()).resource, url(Some("https"), None, None));
}

#[test]
fn an_empty_list_value_clears_the_list() {
    let stdin = "capability[]=authtype\ncapability[]=state\ncapability[]=\ncapability[]=state\ncapability[]=later\n\
                 state[]=a\nstate[]=\nstate[]=b\nwwwauth[]=a\nwwwauth[]=\n";
    let request = parse("get", stdin).unwrap();
    let query = Git::query(&request);
    assert_eq!((query.marks, query.capabilities), (vec!["b"], Capabilities { authtype: false, state: true }));
    assert!(request.wwwauth().is_empty());
}

#[test]
fn store_and_erase_offer_what_came_with_them() {
    let offered = |stdin: &str| {
        let stored = Git::query(&parse("store", stdin).unwrap()).offered;
        assert_eq!(Git::query(&parse("erase", stdin).unwrap()).offered, stored);
        stored.unwrap()
    };
    let full = "username=alice\npassword=s3cret\npassword_expiry_utc=1795245296\noauth_refresh_token=r\n";
    let expected =
        Credential { expires_at: Some(1_795_245_296), refresh_token: Some(secret("r")), ..password("alice", "s3cret") };
    assert_eq!(offered(full), expected);
    assert_eq!(offered("username=\npassword=\n"), password("", ""));
    assert_eq!(offered("host=h\n"), Credential::new(None, None));
    assert_eq!(offered("username=alice\n"), Credential::new(Some("alice".to_string()), None));
    assert_eq!(offered("authtype=Bearer\ncredential=t\npassword=p\n"), bearer("t"));
    for half in ["authtype=\ncredential=t\n", "authtype=Bearer\n", "authtype=Bearer\ncredential=\n"] {
        assert_eq!(offered(&format!("{half}username=u\npassword=p\n")), password("u", "p"), "{half}");
    }
    assert_eq!(offered("password= \u{2028}=x \n").proof, Some(Proof::Password(secret(" \u{2028}=x "))));
}

#[test]
fn an_expiry_that_is_no_whole_number_counts_as_not_said() {
    for (text, end) in [("0", Some(0)), ("12", Some(12)), ("-5", None), ("+5", None), ("1.5e9", None), ("abc", None), ("", None)]
    {
        let request = parse("store", format!("password_expiry_utc={text}\n")).unwrap();
        assert_eq!(Git::query(&request).offered.unwrap().expires_at, end, "{text}");
    }
    assert_eq!(
        Git::query(&parse("store", "password_expiry_utc=99999999999999999999\n").unwrap()).offered.unwrap().expires_at,
        None
    );
}

#[test]
fn ephemeral_is_read_as_git_reads_its_booleans() {
    for (text, truth) in [("1", true), ("true", true), ("Yes", true), ("0", false), ("OFF", false), ("", false), ("odd", true)] {
        let request = parse("store", format!("ephemeral={text}\n")).unwrap();
        assert_eq!(Git::query(&request).offered.unwrap().ephemeral, truth, "{text}");
    }
}

#[test]
fn a_request_that_might_have_been_tampered_with_is_refused() {
    let table: &[(&[u8], &str)] = &[
        (b"host=a\nhost=b\n", "`host` comes twice with different values"),
        (b"password=hunter2\npassword=other\n", "`password` comes twice with different values"),
        (b"host=evil\rhost=github.com\n", "`host` holds a carriage return or NUL"),
        (b"protocol=https\r\nhost=h\r\n\r\n", "`protocol` holds a carriage return or NUL"),
        (b"host=h\n\r\n", "line 2 holds a carriage return or NUL"),
        (b"username=a\rb\n", "`username` holds a carriage return or NUL"),
        (b"path=a\0b\n", "`path` holds a carriage return or NUL"),
        (b"password=hunter2\0\n", "`password` holds a carriage return or NUL"),
        (b"wwwauth[]=a\0b\n", "`wwwauth[]` holds a carriage return or NUL"),
        (b"host=h\nhunter2=\r\n", "line 2 holds a carriage return or NUL"),
        (b"host=h\nhunter2\n", "line 2 has no `=`"),
        (b"\xef\xbb\xbfhunter2\n", "line 1 has no `=`"),
        (b"host=\xff\n", "`host` is not UTF-8"),
        (b"password=hunter2\xff\n", "`password` is not UTF-8"),
        (b"state[]=\xff\n", "`state[]` is not UTF-8"),
        (b"username=\x1b[31mx\n", "`username` holds a control character"),
        (b"host=h\x0b\n", "`host` holds a control character"),
        (b"path=a\x0cb\n", "`path` holds a control character"),
        ("host=h\u{85}x\n".as_bytes(), "`host` holds a control character"),
        (b"protocol=\x7f\n", "`protocol` holds a control character"),
    ];
    for (stdin, message) in table {
        for operation in ["get", "store", "erase"] {
            assert_eq!(refusal(operation, stdin), *message);
        }
    }
    assert!(parse("get", "host=a\nhost=a\nxhost=b\nhost[]=c\nhost =d\n").is_ok());
    assert_eq!(parse("get", b"wwwauth[]=caf\xe9\n").unwrap().wwwauth(), ["caf\u{fffd}"]);
}

#[test]
fn a_request_is_long_only_up_to_a_mebibyte() {
    let long = format!("wwwauth[]={}\n", "x".repeat(65_535));
    assert!(parse("get", &long).is_ok());
    assert_eq!(parse("get", "wwwauth[]=x\n".repeat(80_000)).unwrap().wwwauth().len(), 80_000);
    assert_eq!(refusal("get", vec![b'x'; (1 << 20) + 1]), "the request is longer than 1 MiB");
    assert!(parse("capability", vec![0; (1 << 20) + 1]).is_ok());
}

#[test]
fn half_a_line_changes_no_store() {
    for operation in ["store", "erase"] {
        assert_eq!(refusal(operation, "protocol=https\nhost=github.co"), "line 2 breaks off");
        assert!(parse(operation, "protocol=https\nhost=github.com\n").is_ok());
    }
    assert!(parse("get", "protocol=https\nhost=github.com").is_ok());
}

#[test]
fn a_url_is_taken_apart_the_way_git_does_it() {
    type Row<'a> = (&'a str, Resource<'a>, Option<&'a str>, Option<&'a str>);
    let table: [Row<'_>; 8] = [
        ("https://h", url(Some("https"), Some("h"), None), None, None),
        ("https://h/", url(Some("https"), Some("h"), None), None, None),
        ("https://a%40b@h:8443/team/app.git/", url(Some("https"), Some("h:8443"), Some("team/app.git")), Some("a@b"), None),
        ("https://a:p%3aw@h/x%20y", url(Some("https"), Some("h"), Some("x y")), Some("a"), Some("p:w")),
        ("https://:p@h", url(Some("https"), Some("h"), None), Some(""), Some("p")),
        ("cert:///home/me/key.pem", url(Some("cert"), Some(""), Some("home/me/key.pem")), None, None),
        ("https://h/100%/%zz%", url(Some("https"), Some("h"), Some("100%/%zz%")), None, None),
        ("https://h/a@b:c", url(Some("https"), Some("h"), Some("a@b:c")), None, None),
    ];
    for (text, resource, username, word) in table {
        let request = parse("store", format!("url={text}\n")).unwrap();
        let query = Git::query(&request);
        assert_eq!((query.resource, query.username), (resource, username), "{text}");
        assert_eq!(query.offered.unwrap().proof, word.map(|word| Proof::Password(secret(word))), "{text}");
    }
    let agreed = parse("get", "url=https://alice@Host/a/\nhost=host\npath=/a\nusername=alice\nprotocol=https\n").unwrap();
    assert_eq!(Git::query(&agreed).resource, url(Some("https"), Some("host"), Some("a")));
}

#[test]
fn a_url_that_could_be_read_in_two_ways_is_refused() {
    let table = [
        ("url=github.com\n", "`url` has no scheme"),
        ("url=://github.com\n", "`url` has no scheme"),
        ("url=https://evil%0ahost=github.com/\n", "`url` holds a line break or NUL when decoded"),
        ("url=https://h/a%0Db\n", "`url` holds a line break or NUL when decoded"),
        ("url=https://u%00@h/\n", "`url` holds a line break or NUL when decoded"),
        ("url=https://u%ff@h/\n", "`url` is not UTF-8 when decoded"),
        ("url=https://%1b[31m/\n", "`host` holds a control character"),
        ("url=https://github.com@evil.test@h/\n", "`url` does not say clearly which host it means"),
        ("url=https://evil.test\\@github.com/\n", "`url` does not say clearly which host it means"),
        ("url=https://a/\nhost=b\n", "`url` and `host` differ"),
        ("url=https://a/\nprotocol=http\n", "`url` and `protocol` differ"),
        ("url=https://a/x\npath=y\n", "`url` and `path` differ"),
        ("url=https://u@a/\nusername=v\n", "`url` and `username` differ"),
        ("url=https://u:hunter2@a/\npassword=other\n", "`url` and `password` differ"),
    ];
    for (stdin, message) in table {
        assert_eq!(refusal("store", stdin), message, "{stdin}");
    }
}

#[test]
fn the_command_line_names_the_operation_and_the_limit() {
    let of = |arguments: &[&str]| command_line(arguments).map_err(|malformed| malformed.message);
    let get = |lifetime| Ok((Operation::Get, lifetime));
    assert_eq!(of(&["get"]), get(None));
    assert_eq!(of(&["--timeout=1", "get"]), get(Some(1)));
    assert_eq!(of(&["--timeout", "900", "get"]), get(Some(900)));
    for arguments in [&[][..], &[""], &["frobnicate"], &["--timeout=1"], &["--other", "get"], &["GET"]] {
        assert_eq!(of(arguments).unwrap().0, Operation::Unknown, "{arguments:?}");
    }
    for arguments in
        [&["--timeout", "get"][..], &["--timeout"], &["--timeout=", "get"], &["--timeout=-1"], &["--timeout=4294967296"]]
    {
        assert_eq!(of(arguments), Err("`--timeout` takes a whole number of seconds".to_string()), "{arguments:?}");
    }
    let request = Git::parse(Input { arguments: &["--timeout=5", "store"], stdin: b"host=h\n" }).unwrap();
    assert_eq!(Git::query(&request).lifetime, Some(5));
}

#[test]
fn standard_input_is_awaited_only_where_the_request_is() {
    for arguments in [&["get"][..], &["store"], &["erase"], &["--timeout=1", "get"]] {
        assert_eq!(Git::framing(arguments), Framing::ToBlankLine, "{arguments:?}");
    }
    for arguments in [&[][..], &["capability"], &["frobnicate"], &["--timeout=x", "get"]] {
        assert_eq!(Git::framing(arguments), Framing::Nothing, "{arguments:?}");
    }
}

#[test]
fn every_other_outcome_is_silent_or_one_complaint() {
    let reply = |operation: &str, answer: &Answer<'_>| {
        let reply = Git::render(&parse(operation, "").unwrap(), answer);
        assert_eq!(reply.exit_code, 0);
        (String::from_utf8(reply.stdout.to_vec()).unwrap(), String::from_utf8(reply.stderr.clone()).unwrap())
    };
    let said = |stdout: &str, stderr: &str| (stdout.to_string(), stderr.to_string());
    let credential = password("a", "b");
    let (stop, go_on) = (Answer::Failed { message: "no\nhint", stop: true }, Answer::Failed { message: "no\nhint", stop: false });
    assert_eq!(reply("get", &stop), said("quit=1\n", "no\nhint\n"));
    assert_eq!(reply("get", &go_on), said("", "no\nhint\n"));
    for operation in ["store", "erase"] {
        assert_eq!(reply(operation, &stop), said("", "no\nhint\n"));
        assert_eq!(reply(operation, &Answer::Credential(&credential)), said("", ""));
        assert_eq!(reply(operation, &Answer::Done), said("", ""));
    }
    for answer in [Answer::NotFound, Answer::Done, Answer::Entries(&[]), Answer::Credential(&Credential::new(None, None))] {
        assert_eq!(reply("get", &answer), said("", ""));
    }
    for answer in [Answer::Done, Answer::NotFound, stop] {
        assert_eq!(reply("frobnicate", &answer), said("", ""));
        assert_eq!(reply("capability", &answer), said("version 0\ncapability authtype\ncapability state\n", ""));
    }
}

#[test]
fn debug_shows_no_secret() {
    let stdin = b"url=https://u:hunter2@h/\npassword=hunter2\nauthtype=Bearer\ncredential=hunter2\noauth_refresh_token=hunter2\n";
    let input = Input { arguments: &["store"], stdin };
    let request = Git::parse(input).unwrap();
    let credential = Credential { refresh_token: Some(secret("hunter2")), ..bearer("hunter2") };
    let reply = Git::render(&parse("get", "capability[]=authtype\n").unwrap(), &Answer::Credential(&credential));
    assert!(reply.stdout.windows(7).any(|window| window == b"hunter2"));
    let shown: Vec<String> = vec![
        format!("{input:?}"),
        format!("{request:?}"),
        format!("{:?}", Git::query(&request)),
        format!("{:?}", Answer::Credential(&credential)),
        format!("{reply:?}"),
    ];
    for text in shown {
        assert!(!text.contains("hunter2") && !text.contains("104, 117"), "{text}");
    }
}
