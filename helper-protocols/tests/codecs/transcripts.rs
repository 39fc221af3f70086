//! Plays every conversation in `tests/transcripts` of the repository; the format is in the README there.
use helper_protocols::{
    Answer, Aws, Credential, Docker, Framing, Git, Input, Operation, Proof, Protocol, Query, Resource, Secret,
};
use std::{fmt::Write as _, path::Path};

/// One call of a helper: what goes in, what must come out.
#[derive(Default)]
struct Step {
    answer: String,
    query: Option<String>,
    command: String,
    stdin: String,
    stdout: String,
    stderr: String,
}

#[test]
fn every_recorded_conversation_comes_out_byte_for_byte() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/transcripts");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).expect("the repository has its transcripts") {
        let path = entry.expect("a folder can be listed").path();
        if path.extension().is_none_or(|extension| extension != "txt") {
            continue;
        }
        let text = std::fs::read_to_string(&path).expect("a transcript is UTF-8");
        let name = path.file_name().expect("a file has a name").to_string_lossy();
        let steps = play(&name, &text);
        assert!(steps > 0, "{name} holds no conversation");
        count += 1;
    }
    assert!(count >= 12, "only {count} transcripts were found");
}

fn play(name: &str, text: &str) -> usize {
    let (mut step, mut steps) = (Step::default(), 0);
    for (index, line) in text.lines().enumerate() {
        let (mark, rest) = line.split_once(' ').unwrap_or((line, ""));
        match mark {
            "#" | "" => {}
            "answer:" => step.answer = rest.to_owned(),
            "query:" => step.query = Some(rest.to_owned()),
            "$" => step.command = rest.to_owned(),
            "<" => writeln!(step.stdin, "{rest}").expect("a string takes everything"),
            ">" => writeln!(step.stdout, "{rest}").expect("a string takes everything"),
            "!" => writeln!(step.stderr, "{rest}").expect("a string takes everything"),
            "exit" => {
                check(&format!("{name}:{}", index + 1), &std::mem::take(&mut step), rest.parse().expect("a code is a number"));
                steps += 1;
            }
            other => panic!("{name}:{}: what is `{other}`?", index + 1),
        }
    }
    assert!(step.command.is_empty(), "{name} ends without `exit`");
    steps
}

fn check(place: &str, step: &Step, exit_code: u8) {
    let words: Vec<&str> = step.command.split(' ').collect();
    let (protocol, arguments) = words.split_first().expect("a command has a first word");
    match *protocol {
        "git" => converse::<Git>(place, step, arguments, exit_code),
        "docker" => converse::<Docker>(place, step, arguments, exit_code),
        "aws" => converse::<Aws>(place, step, arguments, exit_code),
        other => panic!("{place}: no protocol `{other}`"),
    }
}

fn converse<P: Protocol>(place: &str, step: &Step, arguments: &[&str], exit_code: u8) {
    let stdin = step.stdin.as_bytes();
    assert!(stdin.is_empty() || P::framing(arguments) != Framing::Nothing, "{place}: this input would not be read");
    let reply = match P::parse(Input { arguments, stdin }) {
        Err(malformed) => {
            assert_eq!(step.answer, "refused", "{place}: {malformed}");
            P::refuse(&malformed)
        }
        Ok(request) => {
            assert_ne!(step.answer, "refused", "{place}: this was to be refused");
            if let Some(query) = &step.query {
                assert_eq!(&neutral(&P::query(&request)), query, "{place}: query");
            }
            answered::<P>(&request, &step.answer)
        }
    };
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("a reply is UTF-8");
    assert_eq!(text(&reply.stdout), step.stdout, "{place}: standard output");
    assert_eq!(text(&reply.stderr), step.stderr, "{place}: standard error");
    assert_eq!(reply.exit_code, exit_code, "{place}: exit code");
}

fn answered<P: Protocol>(request: &P::Request, text: &str) -> helper_protocols::Reply {
    let (kind, rest) = text.split_once(' ').unwrap_or((text, ""));
    let message = rest.replace("\\n", "\n");
    match kind {
        "credential" => P::render(request, &Answer::Credential(&credential(rest))),
        "entries" => {
            let pair = |word: &str| word.rsplit_once('=').map(|(server, username)| (server.to_owned(), username.to_owned()));
            let entries: Vec<_> = rest.split_whitespace().map(|word| pair(word).expect("an entry has a `=`")).collect();
            P::render(request, &Answer::Entries(&entries))
        }
        "done" => P::render(request, &Answer::Done),
        "not-found" => P::render(request, &Answer::NotFound),
        "failed" => P::render(request, &Answer::Failed { message: &message, stop: false }),
        "failed-stop" => P::render(request, &Answer::Failed { message: &message, stop: true }),
        other => panic!("no answer `{other}`"),
    }
}

fn credential(text: &str) -> Credential {
    let value = |name: &str| text.split(' ').find_map(|word| word.strip_prefix(name)?.strip_prefix('=')).map(ToOwned::to_owned);
    let secret = |name: &str| value(name).map(Secret::new);
    let scheme = value("authtype").zip(secret("credential"));
    let proof = if let Some((scheme, credential)) = scheme {
        Some(Proof::Authorization { scheme, credential })
    } else if let Some(access_key_id) = value("access_key_id") {
        Some(Proof::Aws {
            access_key_id,
            secret_access_key: secret("secret_access_key").expect("a key has its secret"),
            session_token: secret("session_token").expect("temporary keys have a session"),
            account_id: value("account_id"),
        })
    } else {
        secret("password").map(Proof::Password)
    };
    let mut credential = Credential::new(value("username"), proof);
    credential.expires_at = value("expires").map(|end| end.parse().expect("an end is a number"));
    credential.refresh_token = secret("refresh_token");
    credential.ephemeral = text.split(' ').any(|word| word == "ephemeral");
    credential.mark = value("mark");
    credential
}

/// Writes a query as a transcript does: only what is there, in one order.
fn neutral(query: &Query<'_>) -> String {
    let mut words = vec![
        match query.operation {
            Operation::Get => "get",
            Operation::Store => "store",
            Operation::Erase => "erase",
            Operation::List => "list",
            Operation::Describe => "describe",
            _ => "unknown",
        }
        .to_owned(),
    ];
    let mut say = |name: &str, value: Option<&str>| words.extend(value.map(|value| format!("{name}={value}")));
    match query.resource {
        Resource::Url { protocol, host, path } => {
            say("protocol", protocol);
            say("host", host);
            say("path", path);
        }
        Resource::Registry(server) => say("registry", Some(server)),
        Resource::Profile(name) => say("profile", Some(name)),
        _ => say("resource", Some("everything")),
    }
    say("username", query.username);
    query.marks.iter().for_each(|mark| say("mark", Some(mark)));
    say("understands", query.capabilities.authtype.then_some("authtype"));
    say("understands", query.capabilities.state.then_some("state"));
    say("lifetime", query.lifetime.map(|seconds| seconds.to_string()).as_deref());
    if let Some(offered) = &query.offered {
        words.push("with".to_owned());
        words.extend(parts(offered));
    }
    words.join(" ")
}

fn parts(offered: &Credential) -> Vec<String> {
    let mut words = Vec::new();
    let mut say = |name: &str, value: Option<&str>| words.extend(value.map(|value| format!("{name}={value}")));
    say("username", offered.username.as_deref());
    match &offered.proof {
        Some(Proof::Password(password)) => say("password", Some(password.expose())),
        Some(Proof::Authorization { scheme, credential }) => {
            say("authtype", Some(scheme));
            say("credential", Some(credential.expose()));
        }
        _ => {}
    }
    say("expires", offered.expires_at.map(|end| end.to_string()).as_deref());
    say("refresh_token", offered.refresh_token.as_ref().map(Secret::expose));
    if offered.ephemeral {
        words.push("ephemeral".to_owned());
    }
    words
}
