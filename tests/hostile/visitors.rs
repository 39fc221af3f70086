//! Whoever else comes to the port of an open sign-in: other pages, scanners, other users, floods. The sign-in goes on, and its answer
//! still gets through.
#![cfg(target_os = "linux")]
use crate::support::open_sign_in::{OpenSignIn, Reply, get, parameters, read, send};
use crate::support::peers;
use crate::support::process::is_quick;
use crate::support::scene::{Scene, one_error};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// The longest that one request may take, and what a slow machine adds. Who is not cut off is there for a minute and more.
const REQUEST: std::ops::Range<Duration> = Duration::from_millis(4500)..Duration::from_secs(40);

/// Ends an open sign-in as its person would, and says how long that took; panics unless that works.
#[track_caller]
fn goes_through(scene: &Scene, mut open: OpenSignIn) -> Duration {
    assert!(open.is_open());
    let begun = Instant::now();
    let page = get(&open.redirect());
    assert!(page.status == 200 && page.text().contains("Signed in to corp"), "{}", page.text());
    let took = begun.elapsed();
    open.end().success();
    assert!(scene.server.is_alive(&scene.token()));
    assert_eq!((scene.server.counts().codes_redeemed, scene.server.violations()), (1, Vec::new()));
    took
}

/// One request: its line, the fields after the host, and the status it gets.
type Row = (&'static str, &'static str, &'static str, u16);

/// `$GOOD` is the redirect with a code and the right state.
const ROWS: [Row; 44] = [
    ("favicon", "GET /favicon.ico", "", 404),
    ("root", "GET /", "", 404),
    ("robots", "GET /robots.txt", "", 404),
    ("another path", "GET /elsewhere?code=stray&$STATE", "", 404),
    ("a path below", "GET /callback/?code=stray&$STATE", "", 404),
    ("a path in other case", "GET /CALLBACK?code=stray&$STATE", "", 404),
    ("an encoded path", "GET /%63allback?code=stray&$STATE", "", 404),
    ("a path that climbs", "GET /x/../callback?code=stray&$STATE", "", 404),
    ("another one-time address", "GET /start/0123456789abcdef", "", 404),
    ("another page of ours", "GET /ask/0123456789abcdef", "", 404),
    ("another link of ours", "GET /go/0123456789abcdef", "", 404),
    ("absolute form", "GET http://127.0.0.1:$PORT/callback?code=stray&$STATE", "", 404),
    ("another state", "GET /callback?code=stray&state=another", "", 400),
    ("an empty state", "GET /callback?code=stray&state=", "", 400),
    ("no state", "GET /callback?code=stray", "", 400),
    ("no code", "GET /callback?$STATE", "", 400),
    ("code and error", "GET /callback?code=stray&error=x&$STATE", "", 400),
    ("an error of another sign-in", "GET /callback?error=access_denied&state=another", "", 400),
    ("an error without state", "GET /callback?error=access_denied", "", 400),
    ("two codes", "GET /callback?code=stray&code=other&$STATE", "", 400),
    ("two states", "GET $GOOD&state=another", "", 400),
    ("a parameter of no meaning twice", "GET $GOOD&x=1&x=2", "", 400),
    ("the answer behind a #", "GET /callback", "", 400),
    ("the same with a ?", "GET /callback?", "", 400),
    ("a second host", "GET $GOOD", "host: 127.0.0.1:$PORT\r\n", 400),
    ("a script of a page", "GET $GOOD", "sec-fetch-site: cross-site\r\nsec-fetch-mode: cors\r\nsec-fetch-dest: empty\r\n", 400),
    (
        "a frame of a page",
        "GET $GOOD",
        "sec-fetch-site: cross-site\r\nsec-fetch-mode: navigate\r\nsec-fetch-dest: iframe\r\n",
        400,
    ),
    (
        "an image of a page",
        "GET $GOOD",
        "sec-fetch-site: cross-site\r\nsec-fetch-mode: no-cors\r\nsec-fetch-dest: image\r\n",
        400,
    ),
    ("an object of a page", "GET $GOOD", "sec-fetch-mode: navigate\r\nsec-fetch-dest: object\r\n", 400),
    ("a prefetch", "GET $GOOD", "sec-purpose: prefetch\r\nsec-fetch-mode: navigate\r\nsec-fetch-dest: document\r\n", 400),
    ("a prerendering", "GET $GOOD", "sec-purpose: prefetch;prerender\r\n", 400),
    ("an older prefetch", "GET $GOOD", "purpose: prefetch\r\n", 400),
    ("a prefetch of the one-time address", "GET $START", "sec-purpose: prefetch;prerender\r\n", 400),
    ("the one-time address as an image", "GET $START", "sec-fetch-mode: no-cors\r\nsec-fetch-dest: image\r\n", 400),
    ("a look at the one-time address", "HEAD $START", "", 405),
    ("a look at the redirect", "HEAD $GOOD", "", 405),
    ("lower case", "get $GOOD", "", 405),
    (
        "a preflight",
        "OPTIONS /callback",
        "origin: https://evil.example\r\naccess-control-request-method: GET\r\n\
     access-control-request-private-network: true\r\n",
        405,
    ),
    ("a form for nothing", "POST $GOOD", "content-type: text/plain\r\ncontent-length: 4\r\n", 405),
    ("a form for another path", "POST /elsewhere", "content-length: 4\r\n", 405),
    ("a form too large", "POST /callback", "content-type: application/x-www-form-urlencoded\r\ncontent-length: 999999\r\n", 431),
    ("a form without end", "POST /callback", "content-length: 18446744073709551615\r\n", 431),
    ("an upgrade", "GET /elsewhere", "connection: upgrade\r\nupgrade: websocket\r\nsec-fetch-mode: websocket\r\n", 400),
    ("a tunnel", "CONNECT 127.0.0.1:$PORT", "", 405),
];

#[test]
fn no_request_of_another_page_or_program_ends_or_answers_a_sign_in() {
    let scene = Scene::new();
    let mut open = OpenSignIn::begin(&scene);
    // the state is known to the person's browser alone; here even to whoever comes
    let state = format!("state={}", parameters(&open.authorization_url())["state"]);
    let good = format!("/callback?code=stray&{state}");
    let port = open.port().to_string();
    let fill = |text: &str| {
        let text = text.replace("$GOOD", &good).replace("$STATE", &state).replace("$PORT", &port);
        // the one-time address was used already: this one must not be taken for it again
        text.replace("$START", open.start.path())
    };
    let rows: Vec<(&str, Vec<u8>, u16)> = ROWS
        .iter()
        .map(|(name, line, fields, status)| {
            let head = format!("{} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n{}\r\n", fill(line), fill(fields));
            (*name, head.into_bytes(), *status)
        })
        .collect();
    for (name, bytes, status) in rows {
        turned_away(&mut open, name, &bytes, Some(status));
    }
    let header = |size: usize| format!("GET {good} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\ncookie: {}\r\n\r\n", "x".repeat(size));
    let many = format!("GET {good} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n{}\r\n", "a: b\r\n".repeat(200));
    let two = format!(
        "GET /favicon.ico HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n\r\nGET {good} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n\r\n"
    );
    let odd: [(&str, Vec<u8>, Option<u16>); 12] = [
        ("another host", format!("GET {good} HTTP/1.1\r\nhost: evil.example:{port}\r\n\r\n").into(), Some(400)),
        ("the host by name", format!("GET {good} HTTP/1.1\r\nhost: localhost:{port}\r\n\r\n").into(), Some(400)),
        ("the host without port", format!("GET {good} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n").into(), Some(400)),
        ("no host", format!("GET {good} HTTP/1.1\r\n\r\n").into(), Some(400)),
        ("HTTP/0.9", format!("GET {good}\r\n\r\n").into(), Some(400)),
        ("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x12\x04\0\0\0\0\0".to_vec(), Some(400)),
        ("a TLS hello", b"\x16\x03\x01\x00\x31\x01\x00\x00\x2d\x03\x03\x00\x01\x02\x03\r\n\r\n".to_vec(), Some(400)),
        ("no text at all", b"\xff\xfe\0\x01\x1b[2J\r\n\r\n".to_vec(), Some(400)),
        ("a field too many", many.into(), Some(400)),
        ("a head of 9 KiB", header(9 << 10).into(), Some(431)),
        ("a head of 1 MiB", header(1 << 20).into(), Some(431)),
        ("a second request behind one", two.into(), Some(404)),
    ];
    for (name, bytes, status) in odd {
        turned_away(&mut open, name, &bytes, status);
    }
    let issuer: String = url::form_urlencoded::byte_serialize(scene.server.issuer().as_bytes()).collect();
    let refused = good.replace("code=stray", "error=access_denied");
    let page = get(&url::Url::parse(&format!("http://127.0.0.1:{port}{refused}&iss={issuer}")).unwrap());
    assert!(page.text().contains("Not signed in"), "now an answer is taken: {}", page.text());
    let output = open.end();
    one_error(&output);
    assert_eq!((output.code, scene.server.counts().token_requests), (Some(4), 0), "{output:?}");
}

#[track_caller]
fn turned_away(open: &mut OpenSignIn, name: &str, bytes: &[u8], status: Option<u16>) {
    let attempt = || {
        let reply = send(open.port(), bytes);
        assert_eq!(reply.status, status, "{name}: {reply:?}");
        let text = reply.text.to_ascii_lowercase();
        for secret in ["access-control", "location:", "set-cookie", "/go/", "/ask/"] {
            assert!(!text.contains(secret), "{name}: {text}");
        }
        assert!(text.matches("http/1.1 ").count() == 1, "{name}: one answer a connection: {text}");
        assert!(open.is_open(), "{name} ended the sign-in");
        reply.took
    };
    assert!(is_quick(Duration::from_secs(3), attempt), "{name} was cut off only after its five seconds");
}

#[test]
fn after_all_of_them_the_persons_own_answer_is_taken() {
    let attempt = || {
        let scene = Scene::new();
        let mut open = OpenSignIn::begin(&scene);
        let port = open.port().to_string();
        for (name, line, fields, status) in
            ROWS.iter().filter(|(_, line, ..)| !line.contains("$GOOD") && !line.contains("$STATE"))
        {
            let fill = |text: &str| text.replace("$PORT", &port).replace("$START", open.start.path());
            let head = format!("{} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n{}\r\n", fill(line), fill(fields));
            turned_away(&mut open, name, head.as_bytes(), Some(*status));
        }
        goes_through(&scene, open)
    };
    assert!(is_quick(Duration::from_secs(5), attempt), "one of them was waited for first");
}

/// Sends `bytes` and then one byte each 100 ms for as long as the other end listens.
fn drip(port: u16, bytes: &[u8]) -> Reply {
    let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let mut writer = stream.try_clone().unwrap();
    let dripping = std::thread::spawn(move || {
        while std::io::Write::write_all(&mut writer, b"x").is_ok() {
            std::thread::sleep(Duration::from_millis(100));
        }
    });
    let reply = read(stream, bytes);
    dripping.join().unwrap();
    reply
}

type Visit = Box<dyn FnOnce() -> Reply + Send>;

#[test]
fn who_is_silent_or_slow_is_cut_off_after_five_seconds_and_holds_nobody_up() {
    let scene = Scene::new();
    let open = OpenSignIn::begin(&scene);
    let port = open.port();
    let head = format!("GET /favicon.ico HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n");
    let form = format!("POST /callback HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\ncontent-length: 99\r\n\r\ncode=");
    let slow: [(&str, Visit); 5] = [
        ("silent", Box::new(move || send(port, b""))),
        (
            "a head without end",
            Box::new({
                let head = head.clone();
                move || send(port, head.as_bytes())
            }),
        ),
        ("a form without end", Box::new(move || send(port, form.as_bytes()))),
        ("a byte at a time", Box::new(move || drip(port, b"GET /"))),
        ("a field that grows", Box::new(move || drip(port, format!("{head}cookie: ").as_bytes()))),
    ];
    let waiting = slow.map(|(name, visit)| (name, std::thread::spawn(visit)));
    std::thread::sleep(Duration::from_millis(300));
    // four of them are still there when the person's own answer comes
    let redirect = open.redirect();
    for (name, visit) in waiting {
        let reply = visit.join().unwrap();
        assert!(REQUEST.contains(&reply.took), "{name}: {reply:?}");
        assert!(reply.status.is_none() || reply.status == Some(400), "{name}: {reply:?}");
    }
    assert_eq!(get(&redirect).status, 200);
    open.end().success();
}

/// Opens `count` connections at once that each say `bytes`, and keeps them.
fn flood(port: u16, count: usize, bytes: &[u8]) -> Vec<TcpStream> {
    let open = |_| {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap_or_else(|error| panic!("connection: {error}"));
        let _ = std::io::Write::write_all(&mut stream, bytes);
        stream
    };
    (0..count).map(open).collect()
}

fn command_line(process: u32) -> String {
    String::from_utf8_lossy(&std::fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default()).into_owned()
}

#[test]
fn a_thousand_connections_do_not_keep_the_persons_own_from_being_heard() {
    for (name, bytes) in [("silent", &b""[..]), ("slow", b"GET /"), ("answered and kept", b"GET / HTTP/1.1\r\n\r\n")] {
        let scene = Scene::new();
        let open = OpenSignIn::begin(&scene);
        let port = open.port();
        let held = flood(port, 1000, bytes);
        let begun = Instant::now();
        let worker = scene.home.processes().into_iter().find(|id| command_line(*id).contains("--worker")).unwrap();
        let descriptors = std::fs::read_dir(format!("/proc/{worker}/fd")).unwrap().count();
        assert!(descriptors < 100, "{name}: the worker has {descriptors} descriptors");
        let redirect = open.redirect();
        let more = flood(port, 200, bytes);
        assert_eq!(get(&redirect).status, 200, "{name}");
        open.end().success();
        println!("with 1,000 {name} connections: {:?}", begun.elapsed());
        // each of them may say nothing for 5 s, and no more than 64 are read at one time: one after the other, that is 90 s
        assert!(begun.elapsed() < Duration::from_secs(75), "{name}: {:?}", begun.elapsed());
        drop((held, more));
    }
}

/// A connection of another user of this machine.
fn foreign(port: u16) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    std::os::unix::fs::fchown(&stream, Some(4242), None).unwrap();
    stream
}

#[test]
fn another_user_of_this_machine_is_refused_the_one_time_address_and_the_sign_in_goes_on() {
    if !peers::require_root() {
        return;
    }
    let scene = Scene::new();
    let mut open = OpenSignIn::begin(&scene);
    let port = open.port();
    let ask = |path: &str| format!("GET {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n\r\n");
    let reply = read(foreign(port), ask(open.start.path()).as_bytes());
    assert!(reply.status == Some(403) && !reply.text.contains("location"), "{reply:?}");
    let redirect = open.redirect();
    let target = format!("{}?{}", redirect.path(), redirect.query().unwrap());
    let reply = read(foreign(port), ask(&target).as_bytes());
    assert_eq!(reply.status, Some(403), "not even with the right answer: {reply:?}");
    assert!(open.is_open());
    assert_eq!(get(&redirect).status, 200);
    open.end().success();
}

#[test]
fn an_answer_that_comes_as_a_form_is_refused_with_its_reason_and_one_of_another_sign_in_is_none() {
    let scene = Scene::new();
    let mut open = OpenSignIn::begin(&scene);
    let (port, redirect) = (open.port(), open.redirect());
    let kind = "content-type: application/x-www-form-urlencoded\r\norigin: http://127.0.0.1\r\nsec-fetch-mode: navigate\r\n\
                sec-fetch-dest: document\r\nsec-fetch-site: cross-site";
    let post = |form: &str| {
        let head =
            format!("POST /callback HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n{kind}\r\ncontent-length: {}\r\n\r\n", form.len());
        send(port, format!("{head}{form}").as_bytes())
    };
    for form in ["code=stray&state=another", "", "code=stray", "state"] {
        let reply = post(form);
        assert!(reply.status == Some(400) && open.is_open(), "{form}: {reply:?}");
    }
    let reply = post(redirect.query().unwrap());
    assert!(reply.status == Some(200) && reply.text.contains("Not signed in") && reply.text.contains("form_post"), "{reply:?}");
    let output = open.end();
    one_error(&output);
    for words in ["`response_mode=form_post`", "set the response mode of client `keyfob` at the server to `query`"] {
        assert!(output.stderr.contains(words), "{output:?}");
    }
    assert_eq!((output.code, scene.server.counts().token_requests), (Some(6), 0), "{output:?}");
}

#[test]
fn an_answer_behind_a_hash_is_explained_in_the_browser_and_the_sign_in_waits_on() {
    let scene = Scene::new();
    let open = OpenSignIn::begin(&scene);
    let url = url::Url::parse(&format!("http://127.0.0.1:{}/callback#code=c&state=s", open.port())).unwrap();
    let page = get(&url);
    assert!(page.status == 400 && page.text().contains("<code>fragment</code>"), "{}", page.text());
    assert!(!page.text().contains("<script") && page.header("content-security-policy").is_some());
    goes_through(&scene, open);
}
