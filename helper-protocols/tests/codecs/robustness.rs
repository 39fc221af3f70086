//! Requests that nobody meant: 20,000 mutations of good ones a codec, the same ones on every run.
use helper_protocols::{Answer, Aws, Credential, Docker, Framing, Git, Input, Proof, Protocol, Reply, Secret, docker};

/// A xorshift generator: fixed seed, no dependency, good enough to hit odd bytes.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: usize) -> usize {
        let limit = u64::try_from(limit.max(1)).expect("a length fits");
        usize::try_from(self.next() % limit).expect("it is below a length")
    }

    fn mutate(&mut self, seeds: &[&[u8]]) -> Vec<u8> {
        let mut bytes = seeds[self.below(seeds.len())].to_vec();
        for _ in 0..=self.below(6) {
            let at = self.below(bytes.len() + 1);
            let end = (at + self.below(12)).min(bytes.len());
            match self.below(6) {
                0 => bytes.truncate(at),
                1 => drop(bytes.drain(at..end)),
                2 => drop(bytes.splice(at..at, WORDS[self.below(WORDS.len())].iter().copied())),
                3 => bytes.extend_from_within(at..end),
                4 => bytes.insert(at, u8::try_from(self.next() & 0xff).expect("eight bits")),
                _ => bytes.get_mut(at).into_iter().for_each(|byte| *byte ^= 1 << (end & 7)),
            }
        }
        bytes
    }
}

const WORDS: &[&[u8]] = &[
    b"\n",
    b"\r\n",
    b"\0",
    b"=",
    b"host=",
    b"url=",
    b"://",
    b"%0a",
    b"%",
    b"@",
    b"[]=",
    b"state[]=x\n",
    b"capability[]=authtype\n",
    b"\xff",
    b"\xc2\x85",
    b"\xe2\x80\xa8",
    b"\x1b[31m",
    b"{",
    b"}",
    b"\"",
    b"\\ud800",
    b"\\u0000",
    b"null",
    b"[[[[",
    b":99999",
    b"[::1]",
    b"password_expiry_utc=99999999999999999999\n",
    b"ServerURL",
    b"1e999",
];

fn credentials() -> Vec<Credential> {
    let secret = || Secret::new("s3cret".to_owned());
    let proofs = [
        Proof::Password(secret()),
        Proof::Authorization { scheme: "Bearer".to_owned(), credential: secret() },
        Proof::Aws { access_key_id: "A".to_owned(), secret_access_key: secret(), session_token: secret(), account_id: None },
    ];
    let full = |proof| {
        let mut credential = Credential::new(Some("alice".to_owned()), Some(proof));
        credential.expires_at = Some(1_795_245_296);
        credential.mark = Some("keyfob:1".to_owned());
        credential
    };
    proofs.into_iter().map(full).chain([Credential::new(None, None)]).collect()
}

/// Feeds 20,000 inputs to `P` and every reply to `check`; returns how many requests were understood.
fn storm<P: Protocol>(commands: &[&[&str]], seeds: &[&[u8]], check: impl Fn(&str, &Reply)) -> usize {
    let (mut random, mut understood) = (Random(0x9e37_79b9_7f4a_7c15), 0);
    let credentials = credentials();
    let entries = [("r.example.com".to_owned(), "alice".to_owned())];
    for _ in 0..20_000 {
        let stdin = random.mutate(seeds);
        let mutated: Vec<String>;
        let mut arguments = commands[random.below(commands.len())].to_vec();
        if P::FRAMING == Framing::Nothing || random.below(8) == 0 {
            let words = arguments.iter().map(|word| String::from_utf8_lossy(&random.mutate(&[word.as_bytes()])).into_owned());
            mutated = words.collect();
            arguments = mutated.iter().map(String::as_str).collect();
        }
        let operation = arguments.last().copied().unwrap_or_default();
        let _ = P::framing(&arguments);
        let request = match P::parse(Input { arguments: &arguments, stdin: &stdin }) {
            Ok(request) => request,
            Err(malformed) => {
                assert!(!malformed.message.contains("s3cret"), "{malformed}");
                check(operation, &P::refuse(&malformed));
                continue;
            }
        };
        understood += 1;
        let _ = P::query(&request);
        let failed = Answer::Failed { message: "no\nhint", stop: true };
        let answers = [Answer::Done, Answer::NotFound, Answer::Entries(&entries), failed];
        for answer in credentials.iter().map(Answer::Credential).chain(answers) {
            check(operation, &P::render(&request, &answer));
        }
    }
    understood
}

#[test]
fn no_input_upsets_the_git_codec() {
    let seeds: [&[u8]; 4] = [
        b"",
        b"capability[]=authtype\ncapability[]=state\nprotocol=https\nhost=git.example.com\npath=a/b\nwwwauth[]=Basic\nstate[]=k:1\n",
        b"protocol=https\nhost=h\nusername=alice\npassword=s3cret\npassword_expiry_utc=12\noauth_refresh_token=s3cret\n\n",
        b"url=https://alice:s3cret@h:8443/a%20b/c.git\nauthtype=Bearer\ncredential=s3cret\nephemeral=1\n",
    ];
    let commands: [&[&str]; 5] = [&["get"], &["store"], &["erase"], &["--timeout=5", "get"], &["capability"]];
    let understood = storm::<Git>(&commands, &seeds, |operation, reply| {
        assert_eq!(reply.exit_code, 0);
        let text = std::str::from_utf8(&reply.stdout).expect("a reply is UTF-8");
        assert!(!text.contains(['\r', '\0']) && (text.is_empty() || text.ends_with('\n')));
        match operation {
            "get" => assert!(text.lines().all(|line| line.contains('=')), "{text}"),
            "capability" => {}
            _ => assert_eq!(text, "", "{operation}"),
        }
    });
    assert!((2_000..18_000).contains(&understood), "{understood} understood: the mutations are too mild or too wild");
}

#[test]
fn no_input_upsets_the_docker_codec() {
    let seeds: [&[u8]; 4] = [
        b"",
        b"https://index.docker.io/v1/\n",
        b"127.0.0.1:5000/team/app",
        br#"{"ServerURL":"r.example.com","Username":"\u003ctoken\u003e","Secret":"s3cret","Extra":[1,{"a":null}]}"#,
    ];
    let commands: [&[&str]; 6] = [&["get"], &["store"], &["erase"], &["list"], &["version"], &["get", "x"]];
    let understood = storm::<Docker>(&commands, &seeds, |operation, reply| {
        assert!(reply.exit_code <= 1);
        if reply.exit_code == 0 && !reply.stdout.is_empty() && matches!(operation, "get" | "list") {
            let value: serde_json::Value = serde_json::from_slice(&reply.stdout).expect("a reply is JSON");
            assert!(value.is_object());
        }
        assert!(reply.exit_code == 0 || !reply.stdout.is_empty(), "a failure says why");
    });
    assert!((2_000..18_000).contains(&understood), "{understood} understood: the mutations are too mild or too wild");
}

#[test]
fn no_input_upsets_the_aws_codec() {
    let understood = storm::<Aws>(&[&["get", "prod"], &["get"], &["get", "a b"]], &[b""], |_, reply| {
        assert_eq!(reply.stdout.is_empty(), reply.exit_code == 1);
        assert_eq!(reply.stderr.is_empty(), reply.exit_code == 0);
    });
    assert!(understood > 100, "{understood} understood");
}

#[test]
fn a_normalized_registry_is_plain_and_stays_as_it_is() {
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    let seeds: [&[u8]; 4] =
        [b"https://Registry.Example.com:443/v2/", b"http://[2001:db8::1]:5000/", b"docker.io", b"a.b.c:80/x@y"];
    for _ in 0..20_000 {
        let bytes = random.mutate(&seeds);
        let Some(name) = docker::normalize(&String::from_utf8_lossy(&bytes)) else { continue };
        assert!(!name.is_empty() && name.is_ascii() && !name.contains(['@', '/', '\\', ' ', '\n', '%']), "{name:?}");
        assert_eq!(docker::normalize(&name).as_deref(), Some(name.as_str()));
    }
}
