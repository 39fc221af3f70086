//! A caller that keeps its side of the pipe open: the blank line ends a request as well as the end does.
use crate::support::home::Home;
use crate::support::process;
use std::io::{Read, Write};
use std::process::Stdio;
use std::time::Duration;

const ENTRY: &str = "protocol=https\nhost=open.example\nusername=u\npassword=p\n";

/// Gives `keyfob git action` these pieces of a request one after the other, and keeps its standard input open until it has ended.
#[track_caller]
fn asked(home: &Home, action: &str, pieces: &[&str]) -> String {
    let mut command = home.keyfob(["git", action]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    for (number, piece) in pieces.iter().enumerate() {
        if number > 0 {
            // so that it is read by itself
            std::thread::sleep(Duration::from_millis(150));
        }
        // what is behind the blank line may meet nobody any more
        let _ = input.write_all(piece.as_bytes());
    }
    let ended = process::wait(&mut child, Duration::from_secs(10));
    drop(input);
    assert_eq!(ended, Some(Some(0)), "{action} {pieces:?} waits for more");
    let (mut said, mut complaint) = (String::new(), String::new());
    child.stdout.take().unwrap().read_to_string(&mut said).unwrap();
    child.stderr.take().unwrap().read_to_string(&mut complaint).unwrap();
    assert_eq!(complaint, "", "{action} {pieces:?}");
    said
}

#[test]
fn a_request_is_done_at_its_blank_line_though_the_caller_keeps_standard_input_open() {
    let (home, question, answer) = (Home::new(), "protocol=https\nhost=open.example\n\n", "username=u\npassword=p\n");
    assert_eq!(asked(&home, "store", &[ENTRY, "\n"]), "");
    assert_eq!(asked(&home, "get", &[question]), answer);
    assert_eq!(asked(&home, "get", &["protocol=https\nhost=open", ".example\n", "\n", "host=other.example\n"]), answer);
    let another = format!("{question}{}", "protocol=https\nhost=other.example\nhost=yet.another.example\n".repeat(9));
    assert_eq!(asked(&home, "get", &[&another]), answer, "what is behind the blank line is none of this request");
    assert_eq!(asked(&home, "get", &["\n"]), "");
    let long = format!("{}{question}", "wwwauth[]=Basic realm=x\n".repeat(20_000));
    assert_eq!(asked(&home, "get", &[&long]), answer);
    assert_eq!(asked(&home, "erase", &[&format!("{ENTRY}\n")]), "");
    assert_eq!(asked(&home, "get", &[question]), "");
}
