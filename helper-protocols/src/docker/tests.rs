//! The docker codec, byte for byte.
use super::*;
use std::string::ToString;

fn parse(action: &str, stdin: &[u8]) -> Result<Request, Malformed> {
    Docker::parse(Input { arguments: &[action], stdin })
}

fn said(reply: &Reply) -> (String, String, u8) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (text(&reply.stdout), text(&reply.stderr), reply.exit_code)
}

fn replied(stdout: &str, stderr: &str, exit_code: u8) -> (String, String, u8) {
    (stdout.to_string(), stderr.to_string(), exit_code)
}

fn password(username: Option<&str>, secret: &str) -> Credential {
    Credential::new(username.map(ToString::to_string), Some(Proof::Password(Secret::new(secret.to_string()))))
}

fn refused(arguments: &[&str], stdin: &[u8]) -> String {
    let malformed = Docker::parse(Input { arguments, stdin }).unwrap_err();
    assert_eq!(said(&Docker::refuse(&malformed)), replied(&std::format!("{}\n", malformed.message), "", 1));
    malformed.message
}

#[test]
fn a_get_answers_with_the_server_as_it_was_asked() {
    for stdin in ["https://r.example.com/v1/", "https://r.example.com/v1/\n", " https://r.example.com/v1/\r\n"] {
        let request = parse("get", stdin.as_bytes()).unwrap();
        assert_eq!(Docker::query(&request).operation, Operation::Get);
        assert_eq!(Docker::query(&request).resource, Resource::Registry("https://r.example.com/v1/"));
        let credential = password(Some("alice"), "p\"\\\u{1}<é>");
        assert_eq!(
            said(&Docker::render(&request, &Answer::Credential(&credential))),
            replied(
                "{\"ServerURL\":\"https://r.example.com/v1/\",\"Username\":\"alice\",\"Secret\":\"p\\\"\\\\\\u0001<é>\"}\n",
                "",
                0
            )
        );
    }
    let request = parse("get", b"r").unwrap();
    assert_eq!(
        said(&Docker::render(&request, &Answer::Credential(&password(None, "")))),
        replied("{\"ServerURL\":\"r\",\"Username\":\"\",\"Secret\":\"\"}\n", "", 0)
    );
}

#[test]
fn not_found_is_one_constant_line_on_standard_output() {
    let request = parse("get", b"r.example.com").unwrap();
    let bearer = Proof::Authorization { scheme: "Bearer".to_string(), credential: Secret::new("t".to_string()) };
    let unspeakable = [Credential::new(None, Some(bearer)), Credential::new(Some("alice".to_string()), None)];
    let answers = [
        Answer::NotFound,
        Answer::Done,
        Answer::Entries(&[]),
        Answer::Credential(&unspeakable[0]),
        Answer::Credential(&unspeakable[1]),
    ];
    for answer in answers {
        let expected = replied("credentials not found in native keychain\n", "", 1);
        assert_eq!(said(&Docker::render(&request, &answer)), expected);
    }
}

#[test]
fn a_failure_is_one_line_on_standard_output_and_whole_on_standard_error() {
    let failed = Answer::Failed { message: "keyfob: error: no\nkeyfob: hint: run `keyfob login`", stop: true };
    let whole = "keyfob: error: no\nkeyfob: hint: run `keyfob login`\n";
    for (action, stdin) in [("get", "r"), ("list", ""), ("store", r#"{"ServerURL":"r","Username":"u","Secret":"s"}"#)] {
        let request = parse(action, stdin.as_bytes()).unwrap();
        assert_eq!(said(&Docker::render(&request, &failed)), replied("keyfob: error: no\n", whole, 1), "{action}");
    }
    let erase = parse("erase", b"r").unwrap();
    assert_eq!(said(&Docker::render(&erase, &failed)), replied("", whole, 0));
}

#[test]
fn store_and_erase_say_nothing_when_done() {
    let store = parse("store", br#"{"ServerURL":"r","Username":"u","Secret":"s"}"#).unwrap();
    let erase = parse("erase", b"r\n").unwrap();
    assert_eq!(said(&Docker::render(&store, &Answer::Done)), replied("", "", 0));
    assert_eq!(said(&Docker::render(&erase, &Answer::Done)), replied("", "", 0));
    assert_eq!(said(&Docker::render(&erase, &Answer::NotFound)), replied("", "", 0));
    let query = Docker::query(&erase);
    assert_eq!((query.operation, query.resource, query.offered), (Operation::Erase, Resource::Registry("r"), None));
}

#[test]
fn store_reads_json_as_go_writes_it() {
    let cases: [(&[u8], &str, &str); 6] = [
        (br#"{"ServerURL":"r","Username":"\u003ctoken\u003e","Secret":"t\u0026"}"#, "<token>", "t&"),
        (b"{\"ServerURL\":\"r\",\n\"Username\":\"u\",\r\n\"Secret\":\"s\"}\n", "u", "s"),
        (br#"{"Extra":[1,{"a":null}],"ServerURL":" r ","Username":"u","Secret":"s"} trailing"#, "u", "s"),
        ("{\"ServerURL\":\"r\",\"Username\":\"ü\",\"Secret\":\"пароль\"}".as_bytes(), "ü", "пароль"),
        (br#"{"ServerURL":"r","Username":"u","Secret":null}"#, "u", ""),
        (br#"  {"ServerURL":"r","Username":"u"}"#, "u", ""),
    ];
    for (stdin, username, secret) in cases {
        let request = parse("store", stdin).unwrap();
        let query = Docker::query(&request);
        assert_eq!(
            (query.operation, query.resource, query.username),
            (Operation::Store, Resource::Registry("r"), Some(username))
        );
        assert_eq!(query.offered, Some(password(Some(username), secret)));
    }
    let big = std::format!(r#"{{"ServerURL":"r","Username":"u","Secret":"{}"}}"#, "x".repeat(70_000));
    assert!(parse("store", big.as_bytes()).is_ok());
}

#[test]
fn a_request_that_lacks_something_gets_the_exact_text_that_clients_compare() {
    for stdin in [&b""[..], b"\r\n", b"   "] {
        assert_eq!(refused(&["get"], stdin), "no credentials server URL");
        assert_eq!(refused(&["erase"], stdin), "no credentials server URL");
    }
    for stdin in [&b"{}"[..], br#"{"ServerURL":""}"#, br#"{"ServerURL":null,"Username":"u"}"#] {
        assert_eq!(refused(&["store"], stdin), "no credentials server URL");
    }
    for stdin in [&br#"{"ServerURL":"r"}"#[..], br#"{"ServerURL":"r","Username":"","Secret":"s"}"#] {
        assert_eq!(refused(&["store"], stdin), "no credentials username");
    }
}

#[test]
fn a_request_that_cannot_be_read_is_named_without_being_quoted() {
    let cases: [(&[u8], &str); 7] = [
        (b"hunter2", "the credentials are not a JSON object"),
        (br#"["hunter2","u","s"]"#, "the credentials are not a JSON object"),
        (br#"{"Secret":"hunter2""#, "cannot read the credentials: the JSON object breaks off (line 1, column 19)"),
        (br#"{"Secret":hunter2}"#, "cannot read the credentials: invalid JSON (line 1, column 11)"),
        (
            br#"{"Secret":"hunter2","Username":7}"#,
            "cannot read the credentials: `ServerURL`, `Username` and `Secret` must be one string each (line 1, column 32)",
        ),
        (
            br#"{"Secret":"a","Secret":"hunter2"}"#,
            "cannot read the credentials: `ServerURL`, `Username` and `Secret` must be one string each (line 1, column 22)",
        ),
        (b"{\"Secret\":\"hunter2\xff\"}", "cannot read the credentials: invalid JSON (line 1, column 19)"),
    ];
    for (stdin, message) in cases {
        assert_eq!(refused(&["store"], stdin), message);
    }
    assert_eq!(refused(&["get"], b"\xff"), "the server is not UTF-8");
    for stdin in ["a\nb", "a\rb", "a\0b", "a\u{1b}[31m", "a\u{85}b"] {
        assert_eq!(refused(&["get"], stdin.as_bytes()), "the server holds a control character", "{stdin:?}");
    }
    let huge = [b'x'; (1 << 20) + 1];
    for action in ["get", "erase", "store"] {
        assert_eq!(refused(&[action], &huge), "the request is longer than 1 MiB");
    }
}

#[test]
fn the_list_is_one_object_whose_keys_can_be_asked_for() {
    let request = parse("list", b"unused").unwrap();
    let query = Docker::query(&request);
    assert_eq!((query.operation, query.resource), (Operation::List, Resource::Everything));
    let entries = [("r.example.com", "alice"), ("https://index.docker.io/v1/", "b\"ob"), ("r.example.com", "second")]
        .map(|(server, username)| (server.to_string(), username.to_string()));
    assert_eq!(
        said(&Docker::render(&request, &Answer::Entries(&entries))),
        replied("{\"r.example.com\":\"alice\",\"https://index.docker.io/v1/\":\"b\\\"ob\"}\n", "", 0)
    );
    for answer in [Answer::Entries(&[]), Answer::NotFound, Answer::Done] {
        assert_eq!(said(&Docker::render(&request, &answer)), replied("{}\n", "", 0));
    }
    assert!(parse("list", &[0xff; (1 << 20) + 1]).is_ok(), "the input of `list` is not looked at");
}

#[test]
fn the_command_line_is_answered_on_standard_output() {
    assert_eq!(refused(&[], b""), USAGE);
    assert_eq!(refused(&["get", "r"], b"r"), USAGE);
    assert_eq!(refused(&["pull"], b""), "docker-credential-keyfob: unknown action: pull");
    assert_eq!(refused(&["a\u{1b}[31m\n"], b""), "docker-credential-keyfob: unknown action: a?[31m?");
    for word in ["version", "--version", "-v"] {
        let request = parse(word, b"").unwrap();
        assert_eq!(Docker::query(&request).operation, Operation::Describe);
        let expected = replied(&std::format!("docker-credential-keyfob (keyfob) {}\n", env!("CARGO_PKG_VERSION")), "", 0);
        assert_eq!(said(&Docker::render(&request, &Answer::Done)), expected);
    }
    for word in ["--help", "-h"] {
        let request = parse(word, b"").unwrap();
        assert_eq!(said(&Docker::render(&request, &Answer::Done)), replied(&std::format!("{USAGE}\n"), "", 0));
    }
}

#[test]
fn standard_input_is_awaited_only_where_the_request_is() {
    for action in ["get", "store", "erase"] {
        assert_eq!(Docker::framing(&[action]), Framing::ToEof);
    }
    for arguments in [&[][..], &["list"], &["version"], &["--help"], &["pull"], &["get", "x"]] {
        assert_eq!(Docker::framing(arguments), Framing::Nothing, "{arguments:?}");
    }
}

#[test]
fn debug_shows_no_secret() {
    let stdin = br#"{"ServerURL":"r","Username":"u","Secret":"hunter2"}"#;
    let input = Input { arguments: &["store"], stdin };
    let request = Docker::parse(input).unwrap();
    let credential = password(None, "hunter2");
    let reply = Docker::render(&parse("get", b"r").unwrap(), &Answer::Credential(&credential));
    let shown =
        std::format!("{input:?} {request:?} {:?} {reply:?} {:?}", Docker::query(&request), Answer::Credential(&credential));
    assert!(!shown.contains("hunter2") && !shown.contains("104, 117"), "{shown}");
}
