//! What a server may send instead of an answer, or around a proper one: a row for each distinct behaviour.
use super::bench::Place;
use crate::support::http_server::Act;
use serde_json::{Map, Value, json};
use std::time::Duration;

/// What a row is made of.
pub(super) struct Sample {
    /// A proper answer of the endpoint, but for tokens and codes that nobody issued.
    pub(super) json: Value,
    /// An address that nobody may be led to.
    pub(super) elsewhere: String,
}

/// Acts that stand for no proper answer: none of them may be taken for one.
pub(super) type Instead = fn(&Sample) -> Vec<Act>;
/// Acts that carry a proper answer: it has to be taken.
pub(super) type Around = fn(&[(String, String)], &[u8]) -> Vec<Act>;

fn send(bytes: impl Into<Vec<u8>>) -> Vec<Act> {
    vec![Act::Send(bytes.into())]
}

/// A whole answer with this status line, these further header lines and this body.
fn answer(status: &str, headers: &str, body: impl AsRef<[u8]>) -> Vec<Act> {
    let body = body.as_ref();
    let mut bytes = format!("HTTP/1.1 {status}\r\n{headers}content-length: {}\r\n\r\n", body.len()).into_bytes();
    bytes.extend_from_slice(body);
    send(bytes)
}

fn ok(body: impl AsRef<[u8]>) -> Vec<Act> {
    answer("200 OK", "content-type: application/json\r\n", body)
}

/// A head with these lines, and the acts after it.
fn head(lines: &str, then: Vec<Act>) -> Vec<Act> {
    send(format!("HTTP/1.1 200 OK\r\n{lines}\r\n")).into_iter().chain(then).collect()
}

fn redirect(status: &str, to: &str) -> Vec<Act> {
    answer(status, &format!("location: {to}\r\n"), "")
}

/// The sample with each value replaced.
fn each(sample: &Sample, change: impl Fn(&Value) -> Value) -> Vec<Act> {
    let changed: Map<String, Value> =
        sample.json.as_object().unwrap().iter().map(|(name, value)| (name.clone(), change(value))).collect();
    ok(Value::Object(changed).to_string())
}

/// The same for texts alone.
fn each_text(sample: &Sample, change: impl Fn(&str) -> String) -> Vec<Act> {
    each(sample, |value| value.as_str().map_or_else(|| value.clone(), |text| change(text).into()))
}

fn text(sample: &Sample) -> String {
    sample.json.to_string()
}

fn utf16(text: &str, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
    std::iter::once(0xfeff).chain(text.encode_utf16()).flat_map(bytes).collect()
}

/// So many bytes that unpack to twenty times thirteen as many (RFC 1951): matches of the greatest length, one after the other.
fn bomb(length: usize) -> Vec<u8> {
    let mut bits: Vec<bool> = vec![true, true, false]; // the last block, with fixed codes
    bits.extend([0, 0, 1, 1, 0, 0, 0, 0].map(|bit| bit == 1)); // one NUL
    while bits.len() < length * 8 {
        bits.extend([1, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0].map(|bit| bit == 1)); // 258 bytes from one before
    }
    let pack = |bits: &[bool]| bits.iter().enumerate().fold(0, |byte, (place, bit)| byte | (u8::from(*bit) << place));
    let mut packed = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3];
    packed.extend(bits.chunks(8).map(pack));
    packed
}

const HTML: &str = "<!doctype html><title>Sign in to the network</title><h1>secret-of-the-page</h1>";
const ONE_MIB: usize = 1 << 20;

/// Status lines, and what comes where one should be.
#[rustfmt::skip]
pub(super) fn lines() -> Vec<(&'static str, Instead)> {
    vec![
        ("status 000", |s| answer("000 Zero", "", text(s))),
        ("status 99", |s| answer("99 Odd", "", text(s))),
        ("status 600", |s| answer("600 Odd", "", text(s))),
        ("status 999", |s| answer("999 Odd", "", text(s))),
        ("status of four digits", |s| answer("2000 OK", "", text(s))),
        ("status of words", |s| answer("OK", "", text(s))),
        ("a status line of 1 MiB", |s| answer(&format!("200 {}", "o".repeat(ONE_MIB)), "", text(s))),
        ("an unknown version", |s| send(format!("HTTP/3.7 200 OK\r\n\r\n{}", text(s)))),
        ("HTTP/0.9", |s| send(text(s))),
        ("the preface of HTTP/2", |_| send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")),
        ("TLS where none is", |_| send(b"\x15\x03\x03\x00\x02\x02\x46\x16\x03\x01\x02\x00".to_vec())),
        ("another protocol", |_| send("SSH-2.0-OpenSSH_9.9\r\n")),
        ("noise", |_| send((0..4096_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24).to_le_bytes()[0]).collect::<Vec<_>>())),
        ("NUL bytes", |_| send(vec![0; 1000])),
        ("nothing", |_| Vec::new()),
        ("a reset", |_| vec![Act::Reset]),
        ("a line feed alone", |_| send("\n")),
        ("100 and no more", |_| send("HTTP/1.1 100 Continue\r\n\r\n")),
        ("a flood of 100", |_| vec![Act::Repeat(b"HTTP/1.1 100 Continue\r\n\r\n".into(), 100_000)]),
        ("101", |s| send(format!("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n{}", text(s)))),
        ("204 with a body", |s| answer("204 No Content", "", text(s))),
        ("206", |s| answer("206 Partial Content", "content-range: bytes 0-9/900\r\n", &text(s)[..10])),
        ("300 with a proper body", |s| answer("300 Multiple Choices", "", text(s))),
        ("304", |_| send("HTTP/1.1 304 Not Modified\r\n\r\n")),
        ("305", |s| answer("305 Use Proxy", &format!("location: {}\r\n", s.elsewhere), text(s))),
        ("301 to elsewhere", |s| redirect("301 Moved Permanently", &s.elsewhere)),
        ("302 to this machine", |s| redirect("302 Found", &s.elsewhere.replace("127.0.0.1", "localhost"))),
        ("303 to a file", |_| redirect("303 See Other", "file:///etc/passwd")),
        ("307 to elsewhere", |s| redirect("307 Temporary Redirect", &s.elsewhere)),
        ("308 to elsewhere with a proper body", |s| answer("308 Permanent Redirect", &format!("location: {}\r\n", s.elsewhere), text(s))),
        ("302 to a script", |_| redirect("302 Found", "javascript:alert(1)")),
        ("302 to nowhere", |_| answer("302 Found", "", "")),
        ("302 to many places", |s| answer("302 Found", &format!("location: {}\r\n", s.elsewhere).repeat(50), "")),
        ("401 with a challenge", |_| answer("401 Unauthorized", "www-authenticate: Basic realm=\"\u{1b}[2J\"\r\n", HTML)),
        ("404 with a proper body", |s| answer("404 Not Found", "", text(s))),
        ("407", |_| answer("407 Proxy Authentication Required", "proxy-authenticate: Negotiate\r\n", HTML)),
        ("451", |_| answer("451 Unavailable For Legal Reasons", "", HTML)),
        ("500 with a proper body", |s| answer("500 Internal Server Error", "", text(s))),
        ("503 that names a thousand years", |_| answer("503 Busy", "retry-after: 31536000000\r\n", HTML)),
        ("429 that names a time before now", |_| answer("429 Slow", "retry-after: -99999999999999999999\r\n", "")),
        ("429 that names nonsense", |_| answer("429 Slow", "retry-after: \"soon\"; drop\r\n", "")),
        ("511", |_| answer("511 Network Authentication Required", "", HTML)),
    ]
}

/// Heads, and how a body is framed.
#[rustfmt::skip]
pub(super) fn frames() -> Vec<(&'static str, Instead)> {
    vec![
        ("100,000 header lines", |_| head("", Vec::new()).into_iter().take(0).chain([
            Act::Send(b"HTTP/1.1 200 OK\r\n".into()), Act::Repeat(b"x-padding: 1\r\n".into(), 100_000), Act::Send(b"\r\n{}".into()),
        ]).collect()),
        ("a header of 1 MiB", |s| answer("200 OK", &format!("x: {}\r\n", "a".repeat(ONE_MIB)), text(s))),
        ("a header of 1 GiB", |_| vec![Act::Send(b"HTTP/1.1 200 OK\r\nx: ".into()), Act::Repeat(vec![b'a'; 1 << 16], 1 << 14)]),
        ("a header without a colon", |s| answer("200 OK", "this is no header\r\n", text(s))),
        ("a header name with a NUL", |s| answer("200 OK", "x\0y: 1\r\n", text(s))),
        ("a header value with an escape", |s| answer("200 OK", "x: \u{1b}[2J\r\n", text(s))),
        ("half a head", |_| send("HTTP/1.1 200 OK\r\ncontent-le")),
        ("a reset after the head", |_| head("content-length: 10\r\n", vec![Act::Reset])),
        ("closed after the head", |_| head("content-length: 1000\r\n", Vec::new())),
        ("closed half way", |s| head("content-length: 1000\r\n", send(text(s).split_off(20)))),
        ("a reset half way", |s| head("content-length: 1000\r\n", vec![Act::Send(text(s).into()), Act::Reset])),
        ("a length that is too short", |s| head("content-length: 10\r\n", send(text(s)))),
        ("a negative length", |s| head("content-length: -1\r\n", send(text(s)))),
        ("the greatest length", |s| head("content-length: 18446744073709551615\r\n", send(text(s)))),
        ("a length beyond all numbers", |s| head("content-length: 99999999999999999999999999\r\n", send(text(s)))),
        ("a length of words", |s| head("content-length: many\r\n", send(text(s)))),
        ("two lengths", |s| head(&format!("content-length: 5\r\ncontent-length: {}\r\n", text(s).len()), send(text(s)))),
        ("a chunk size that is no number", |s| head("transfer-encoding: chunked\r\n", send(format!("zz\r\n{}\r\n0\r\n\r\n", text(s))))),
        ("a negative chunk size", |s| head("transfer-encoding: chunked\r\n", send(format!("-1\r\n{}\r\n0\r\n\r\n", text(s))))),
        ("the greatest chunk size", |s| head("transfer-encoding: chunked\r\n", send(format!("ffffffffffffffff\r\n{}", text(s))))),
        ("a chunk size beyond all numbers", |s| head("transfer-encoding: chunked\r\n", send(format!("{}\r\n{}", "f".repeat(40), text(s))))),
        ("a chunk that never ends", |s| head("transfer-encoding: chunked\r\n", send(format!("{:x}\r\n{}", text(s).len() + 9, text(s))))),
        ("chunks without a last one", |s| head("transfer-encoding: chunked\r\n", send(format!("{:x}\r\n{}\r\n", text(s).len(), text(s))))),
        ("a chunk extension of 1 GiB", |_| head("transfer-encoding: chunked\r\n", vec![Act::Send(b"1;".into()), Act::Repeat(vec![b'a'; 1 << 16], 1 << 14)])),
        ("trailers of 1 GiB", |_| head("transfer-encoding: chunked\r\n", vec![Act::Send(b"2\r\n{}\r\n0\r\n".into()), Act::Repeat(b"x-padding: 1234567890\r\n".repeat(3000), 1 << 14)])),
        ("a transfer encoding that nobody knows", |s| head("transfer-encoding: x-odd\r\n", send(text(s)))),
        ("a body of 1 GiB until the end", |_| head("", vec![Act::Send(b"{\"a\":\"".into()), Act::Repeat(vec![b'a'; 1 << 16], 1 << 14)])),
        ("a body of 1 GiB by length", |_| head("content-length: 1073741824\r\n", vec![Act::Repeat(vec![b' '; 1 << 16], 1 << 14)])),
        ("a body of 1 GiB in chunks", |_| head("transfer-encoding: chunked\r\n", vec![Act::Repeat([b"10000\r\n".to_vec(), vec![b' '; 1 << 16], b"\r\n".to_vec()].concat(), 1 << 14)])),
        ("a gzip bomb", |_| answer("200 OK", "content-encoding: gzip\r\n", bomb(700 << 10))),
        ("deflated", |_| answer("200 OK", "content-encoding: deflate\r\n", &bomb(1 << 10)[10..])),
        ("brotli", |_| answer("200 OK", "content-encoding: br\r\n", b"\x8b\x02\x80\x00\x00\x00\x00\x00\x03")),
        ("a second answer after a page", |s| {
            let mut acts = answer("200 OK", "content-type: text/html\r\n", HTML);
            acts.extend(ok(text(s)));
            acts
        }),
    ]
}

/// Bodies.
#[rustfmt::skip]
pub(super) fn bodies() -> Vec<(&'static str, Instead)> {
    vec![
        ("an empty body", |_| ok("")),
        ("a page", |_| answer("200 OK", "content-type: text/html\r\n", HTML)),
        ("a form", |_| answer("200 OK", "content-type: application/x-www-form-urlencoded\r\n", "access_token=at_forged&token_type=bearer")),
        ("XML", |_| ok("<?xml version=\"1.0\"?><!DOCTYPE a [<!ENTITY b SYSTEM \"file:///etc/passwd\">]><a>&b;</a>")),
        ("a token alone", |_| ok("eyJhbGciOiJub25lIn0.e30.")),
        ("a byte order mark", |s| ok(format!("\u{feff}{}", text(s)))),
        ("UTF-16, the small end first", |s| ok(utf16(&text(s), u16::to_le_bytes))),
        ("UTF-16, the great end first", |s| ok(utf16(&text(s), u16::to_be_bytes))),
        ("bytes that are no UTF-8", |s| ok([b"{\"x\":\"\xff\xfe\xc0\x80\",".as_slice(), &text(s).as_bytes()[1..]].concat())),
        ("a guard in front", |s| ok(format!(")]}}',\n{}", text(s)))),
        ("a call around it", |s| ok(format!("callback({});", text(s)))),
        ("cut off", |s| ok(&text(s)[..text(s).len() / 2])),
        ("two documents", |s| ok(format!("{0}{0}", text(s)))),
        ("something after it", |s| ok(format!("{}]", text(s)))),
        ("a comment", |s| ok(format!("/* */{}", text(s)))),
        ("a comma too many", |s| ok(text(s).replace('}', ",}"))),
        ("single quotes", |s| ok(text(s).replace('"', "'"))),
        ("not a number", |s| ok(text(s).replacen('{', "{\"x\":NaN,", 1))),
        ("a number beyond all numbers", |s| ok(text(s).replacen('{', "{\"x\":1e999999999999,", 1))),
        ("a lone surrogate", |s| ok(text(s).replacen('{', "{\"x\":\"\\ud800\",", 1))),
        ("a control character", |s| ok(text(s).replacen('{', "{\"x\":\"\u{1}\",", 1))),
        ("100,000 arrays deep", |_| ok("[".repeat(100_000))),
        ("100,000 objects deep", |s| ok(text(s).replacen('{', &format!("{{\"x\":{}1{},", "{\"a\":".repeat(100_000), "}".repeat(100_000)), 1))),
        ("null", |_| ok("null")),
        ("true", |_| ok("true")),
        ("a number", |_| ok("7")),
        ("a text", |s| ok(json!(text(s)).to_string())),
        ("an array", |s| ok(json!([s.json]).to_string())),
        ("an empty object", |_| ok("{}")),
        ("one level too deep", |s| ok(json!({ "data": s.json }).to_string())),
        ("names in capitals", |s| ok(s.json.as_object().unwrap().iter().map(|(name, value)| (name.to_uppercase(), value.clone())).collect::<Map<_, _>>().into_iter().collect::<Value>().to_string())),
        ("every value null", |s| each(s, |_| Value::Null)),
        ("every value a number", |s| each(s, |_| json!(7))),
        ("every value true", |s| each(s, |_| json!(true))),
        ("every value an array", |s| each(s, |value| json!([value]))),
        ("every value an object", |s| each(s, |value| json!({ "value": value }))),
        ("every text empty", |s| each_text(s, |_| String::new())),
        ("every text with a line feed", |s| each_text(s, |text| format!("{text}\npassword=evil"))),
        ("every text with a NUL", |s| each_text(s, |text| format!("{text}\0"))),
        ("every text with an escape", |s| each_text(s, |text| format!("\u{1b}]0;owned\u{7}{text}"))),
        ("every text turned around", |s| each_text(s, |text| format!("\u{202e}{text}"))),
        ("every text 100 KiB long", |s| each_text(s, |text| text.repeat((100 << 10) / text.len() + 1))),
        ("every text 17 KiB long", |s| each_text(s, |text| format!("{text}{}", "a".repeat(17 << 10)))),
        ("a byte more than 1 MiB", |_| ok(format!("{{\"padding\":\"{}\"}}", "a".repeat(ONE_MIB - 13)))),
        ("an error with 200", |_| ok(json!({ "error": "server_error" }).to_string())),
        ("an error beside a proper answer", |s| ok(text(s).replacen('{', "{\"error\":\"server_error\",", 1))),
        ("an error that is an object", |_| ok(json!({ "error": { "code": 403, "message": "secret-of-the-page" } }).to_string())),
        ("an error that is a number", |_| answer("400 Bad Request", "", json!({ "error": 7 }).to_string())),
        ("an error code of 40 KiB", |_| answer("400 Bad Request", "", json!({ "error": "e".repeat(40 << 10) }).to_string())),
        ("an error code of 900 KiB", |_| answer("400 Bad Request", "", json!({ "error": "e".repeat(900 << 10) }).to_string())),
        ("an error full of escapes", |_| answer("400 Bad Request", "", json!({
            "error": "\u{1b}[2J\u{9b}31m\u{202e}odd", "error_description": "\u{1b}]52;c;aGk=\u{7}\r\nkeyfob: signed in\u{2028}", "error_uri": "javascript:alert(1)",
        }).to_string())),
    ]
}

/// What takes its time: each of these is over only by our own limit, and some of them only where several requests share one.
pub(super) fn slow() -> Vec<(&'static str, Instead, &'static [Place])> {
    const SECOND: Duration = Duration::from_secs(1);
    vec![
        ("never a word", |_| vec![Act::Hold], &Place::ALL),
        ("a head that drips", |_| drip(&format!("HTTP/1.1 200 OK\r\nx: {}", "a".repeat(40))), &Place::ALL),
        ("a head and then silence", |_| head("content-length: 10\r\n", vec![Act::Hold]), &Place::ALL),
        ("a body that drips", |_| head("", drip(&" ".repeat(60))), &Place::ALL),
        (
            "chunks that drip",
            |_| {
                let chunk = [Act::Send(b"1\r\n \r\n".into()), Act::Pause(SECOND)];
                head("transfer-encoding: chunked\r\n", std::iter::repeat_n(chunk, 60).flatten().collect())
            },
            &Place::ALL,
        ),
        (
            "100 for ever",
            |_| {
                let again = [Act::Send(b"HTTP/1.1 100 Continue\r\n\r\n".into()), Act::Pause(SECOND)];
                std::iter::repeat_n(again, 60).flatten().collect()
            },
            &Place::ALL,
        ),
        ("a late 404 at each place", |_| late(answer("404 Not Found", "", HTML)), &[Place::Discovery]),
        (
            "a late word against the scopes",
            |_| late(answer("400 Bad Request", "", json!({ "error": "invalid_scope" }).to_string())),
            &[Place::Device],
        ),
    ]
}

/// The same after nearly all of the time that there is: a second one would take as long again.
fn late(acts: Vec<Act>) -> Vec<Act> {
    std::iter::once(Act::Pause(Duration::from_secs(28))).chain(acts).collect()
}

fn drip(text: &str) -> Vec<Act> {
    text.bytes().flat_map(|byte| [Act::Send(vec![byte]), Act::Pause(Duration::from_secs(1))]).collect()
}

/// A proper answer in odd clothes.
fn dressed(status: &str, headers: &str, body: &[u8]) -> Vec<Act> {
    answer(status, &format!("content-type: application/json\r\n{headers}"), body)
}

/// Proper answers, each as some server or proxy might deliver it.
#[rustfmt::skip]
pub(super) fn around() -> Vec<(&'static str, Around)> {
    vec![
        ("no length, until the end", |_, body| head("", send(body))),
        ("chunks of one byte", |_, body| {
            let mut chunked: Vec<u8> = body.iter().flat_map(|byte| [b"1\r\n", &[*byte][..], b"\r\n"].concat()).collect();
            chunked.extend(b"0\r\n\r\n");
            head("transfer-encoding: chunked\r\n", send(chunked))
        }),
        ("a trailer", |_, body| head("transfer-encoding: chunked\r\n", send([format!("{:x};a=b\r\n", body.len()).as_bytes(), body, b"\r\n0\r\nx: 1\r\n\r\n"].concat()))),
        ("bytes after the end", |_, body| dressed("200 OK", "", body).into_iter().chain(send("HTTP/1.1 500 Oops\r\n\r\n")).collect()),
        ("a byte at a time", |_, body| {
            let bytes = [format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len()).as_bytes(), body].concat();
            bytes.into_iter().flat_map(|byte| [Act::Send(vec![byte]), Act::Pause(Duration::from_micros(200))]).collect()
        }),
        ("some 100 before it", |_, body| send("HTTP/1.1 100 Continue\r\n\r\n".repeat(3)).into_iter().chain(dressed("200 OK", "", body)).collect()),
        ("103 before it", |_, body| send("HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n").into_iter().chain(dressed("200 OK", "", body)).collect()),
        ("another charset", |_, body| answer("200 OK", "content-type: application/json; charset=utf-16\r\n", body)),
        ("another content type", |_, body| answer("200 OK", "content-type: text/html\r\n", body)),
        ("no content type", |_, body| answer("200 OK", "", body)),
        ("many cookies", |_, body| dressed("200 OK", &"set-cookie: a=b; domain=.example.com\r\n".repeat(50), body)),
        ("headers for browsers", |_, body| dressed("200 OK", "strict-transport-security: max-age=1\r\nrefresh: 0; url=http://evil.example/\r\nalt-svc: h3=\":443\"\r\nlocation: http://evil.example/\r\n", body)),
        ("the first second of time", |_, body| dressed("200 OK", "date: Thu, 01 Jan 1970 00:00:00 GMT\r\n", body)),
        ("a date that is none", |_, body| dressed("200 OK", "date: \"yesterday\"\r\n", body)),
        ("many dates", |_, body| dressed("200 OK", &"date: Sat, 99 Foo 99999 99:99:99 XYZ\r\n".repeat(20), body)),
        ("a wait that nobody asked for", |_, body| dressed("200 OK", "retry-after: 99999999\r\n", body)),
        ("a reason in another script", |_, body| dressed("200 \u{202e}\u{9b}31mKO", "", body)),
        ("no reason", |_, body| dressed("200", "", body)),
        ("HTTP/1.0", |_, body| send([b"HTTP/1.0 200 OK\r\n\r\n", body].concat())),
        ("40 KiB of blanks before it", |_, body| dressed("200 OK", "", &[vec![b' '; 40 << 10], body.to_vec()].concat())),
        ("blanks after it", |_, body| dressed("200 OK", "", &[body, b"\r\n\t \n"].concat())),
        ("a hundred levels that nobody knows", |_, body| {
            let deep = format!("{{\"x-odd\":{}{},", "[".repeat(100), "]".repeat(100));
            dressed("200 OK", "", &[deep.as_bytes(), body.get(1..).unwrap_or_default()].concat())
        }),
        ("fields that nobody knows", |_, body| dressed("200 OK", "", &[b"{\"x-odd\":\"\\u0000\\u001b[2J\",\"x\":[null,-1e300,{}],".as_slice(), body.get(1..).unwrap_or_default()].concat())),
    ]
}
