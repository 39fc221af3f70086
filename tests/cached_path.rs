//! What a cached answer asks of the system: a few reads and one write; counted with strace, among many records and routes.
use crate::support::authorization_server::AuthorizationServer;
use crate::support::home::Home;
use crate::support::peers;
use crate::support::process::{self, Output};
use crate::support::sts::Sts;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

const RECORDS: usize = 1000;
const LINES: usize = 300;
/// A configuration younger than this is read at each call, since it could change again without a new time stamp.
const SETTLED: Duration = Duration::from_millis(2100);
const GIT: &str = "protocol=https\nhost=git.example.com\n\n";
const REGISTRY: &str = "registry.example.com";

/// The system calls by which one would open a socket.
const SOCKETS: [&str; 4] = ["socket", "socketpair", "connect", "bind"];
/// A process or a thread is made by these.
const CHILDREN: [&str; 5] = ["clone", "clone3", "fork", "vfork", "execveat"];
const WRITES: [&str; 8] = ["write", "writev", "pwrite64", "pwritev", "pwritev2", "sendto", "sendmsg", "sendfile"];
/// What changes files or the folders they are in.
const CHANGES: [&str; 19] = [
    "rename",
    "renameat",
    "renameat2",
    "unlink",
    "unlinkat",
    "link",
    "linkat",
    "symlinkat",
    "mkdir",
    "mkdirat",
    "creat",
    "truncate",
    "ftruncate",
    "fallocate",
    "chmod",
    "fchmod",
    "fchmodat",
    "fsync",
    "fdatasync",
];

/// What strace saw of one program: each call as a line, without the process id before it.
struct Trace(Vec<String>);

impl Trace {
    fn name(call: &str) -> &str {
        call.split('(').next().unwrap_or_default()
    }

    fn of<'a>(&'a self, names: &'a [&str]) -> impl Iterator<Item = &'a String> {
        self.0.iter().filter(move |call| names.contains(&Self::name(call)))
    }

    /// The locks that are taken or asked about, by any of the three interfaces.
    fn locks(&self) -> impl Iterator<Item = &String> {
        self.0.iter().filter(|call| Self::name(call) == "flock" || call.contains("F_SETLK") || call.contains("F_OFD_SETLK"))
    }

    /// The successful openings of files whose path ends so.
    fn opened(&self, end: &str) -> usize {
        let end = format!("{end}\",");
        self.of(&["open", "openat", "openat2"]).filter(|call| call.contains(&end) && !call.contains(" = -1 ")).count()
    }

    /// The openings, successful or not, by which something could be written.
    fn opened_to_write(&self) -> impl Iterator<Item = &String> {
        let writes = ["O_WRONLY", "O_RDWR", "O_CREAT", "O_TRUNC", "O_APPEND"];
        self.of(&["open", "openat", "openat2"]).filter(move |call| writes.iter().any(|flag| call.contains(flag)))
    }

    /// The calls by name and, where a file is opened, its name, in order: the same for two homes where the same is done.
    fn steps(&self) -> Vec<String> {
        let named = |call: &String| {
            let file = call.split('"').nth(1).and_then(|path| path.rsplit('/').next()).filter(|_| call.starts_with("open"));
            let file = file.map(|name| if name.ends_with(".rec") { "record" } else { name });
            format!("{} {}", Self::name(call), file.unwrap_or_default())
        };
        self.0.iter().map(named).collect()
    }

    fn summary(&self) -> String {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        self.0.iter().for_each(|call| *counts.entry(Self::name(call)).or_default() += 1);
        let mut counts: Vec<_> = counts.into_iter().collect();
        counts.sort_by_key(|(name, count)| (std::cmp::Reverse(*count), *name));
        let each: Vec<String> = counts.iter().map(|(name, count)| format!("{name} {count}")).collect();
        format!("{} system calls: {}", self.0.len(), each.join(", "))
    }
}

/// A home with a login, routes of every tool, and a settled configuration of `LINES` lines.
struct Desk {
    home: Home,
    sts: String,
}

impl Desk {
    fn new(home: Home, server: &AuthorizationServer, sts: &Sts) -> Self {
        let mut text = format!(
            "[login.corp]\nissuer = \"{}\"\nclient_id = \"keyfob\"\nscopes = [\"openid\", \"offline_access\"]\n\
             [git.\"https://git.example.com\"]\nlogin = \"corp\"\n[docker.\"{REGISTRY}\"]\nlogin = \"corp\"\n\
             [aws.prod]\nlogin = \"corp\"\nrole_arn = \"arn:aws:iam::123456789012:role/Developer\"\n",
            server.issuer()
        );
        for number in 0.. {
            match LINES - text.lines().count() {
                0 => break,
                1 => text.push_str("# the last line\n"),
                _ => text.push_str(&format!("[git.\"https://host{number}.example.net/team\"]\nlogin = \"corp\"\n")),
            }
        }
        home.write_config(&text);
        Self { home, sts: sts.url() }
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = self.home.command(words[0]);
        command.args(&words[1..]).env("AWS_ENDPOINT_URL_STS", &self.sts);
        command
    }

    #[track_caller]
    fn run(&self, words: &[&str], stdin: &str) -> Output {
        process::run(&mut self.command(words), stdin.as_bytes()).success()
    }

    /// Runs it under strace; gives what it said and what it did.
    #[track_caller]
    fn trace(&self, words: &[&str], stdin: &str) -> (Output, Trace) {
        let log = self.home.path().join("trace");
        let mut command = self.command(&["strace", "-f", "-s", "4096", "-o", log.to_str().unwrap()]);
        let program = self.home.bin().join(words[0]);
        let output = process::run(command.arg(program).args(&words[1..]), stdin.as_bytes()).success();
        let text = std::fs::read_to_string(&log).unwrap();
        let calls = text.lines().filter_map(|line| line.split_once(' ')).map(|(_, call)| call.trim_start());
        let calls = calls.filter(|call| call.starts_with(|c: char| c.is_ascii_lowercase() || c == '_'));
        (output, Trace(calls.map(str::to_owned).collect()))
    }

    /// Signs in and asks for everything once, so that all of it is cached and the routes are compiled.
    fn warm_up(&self) {
        self.run(&["keyfob", "login", "corp"], "");
        self.run(&["keyfob", "git", "get"], GIT);
        self.run(&["docker-credential-keyfob", "get"], REGISTRY);
        self.run(&["keyfob", "aws", "get", "prod"], "");
    }

    /// What git hands back or reports where no route answers, and must cost no more than an answer: `same` is kept already, and `token` was
    /// minted for one of two accounts that are answered under one name.
    fn hand_back_everything(&self, same: &str, token: &str) {
        for (what, action, request) in [
            ("git store, kept already", "store", same),
            ("git store, another account's", "store", token),
            ("git erase, nothing kept", "erase", "protocol=https\nhost=elsewhere.example.net\nusername=u\npassword=p\n"),
            ("git erase, not ours", "erase", "protocol=https\nhost=git.example.com\nusername=u\npassword=p\n"),
        ] {
            let (output, trace) = self.trace(&["keyfob", "git", action], request);
            self.judge(what, "key file", &output, &trace, "");
        }
    }

    /// The file with the compiled routes.
    fn table(&self) -> PathBuf {
        self.home.files().into_iter().find(|file| file.ends_with("routes")).expect("the routes are compiled")
    }

    /// The four things that tools ask most, with what each must answer by.
    fn ask_for_everything(&self, key: &str) {
        let (git, trace) = self.trace(&["keyfob", "git", "get"], GIT);
        self.judge("git get", key, &git, &trace, "\npassword=");
        let handed_back = format!("{}\n{}\n\n", GIT.trim_end(), git.stdout.trim_end());
        let (kept, trace) = self.trace(&["keyfob", "git", "store"], &handed_back);
        self.judge("git store", key, &kept, &trace, "");
        let (docker, trace) = self.trace(&["docker-credential-keyfob", "get"], REGISTRY);
        self.judge("docker get", key, &docker, &trace, "\"Secret\":");
        let (aws, trace) = self.trace(&["keyfob", "aws", "get", "prod"], "");
        self.judge("aws get", key, &aws, &trace, "\"SecretAccessKey\":");
    }

    #[track_caller]
    fn judge(&self, what: &str, key: &str, output: &Output, trace: &Trace, answer: &str) {
        // Not `eprintln!`: the test runner would keep it to itself.
        let _ = writeln!(std::io::stderr(), "{what} ({key}): {}", trace.summary());
        assert!(output.stdout.contains(answer) && output.stderr.is_empty(), "{what}: {output:?}");
        let none = |kind: &str, calls: Vec<&String>| assert!(calls.is_empty(), "{what} ({key}): {kind}: {calls:#?}");
        none("sockets", trace.of(&SOCKETS).collect());
        none("children or threads", trace.of(&CHILDREN).chain(trace.of(&["execve"]).skip(1)).collect());
        none("locks", trace.locks().collect());
        none("changes", trace.of(&CHANGES).chain(trace.opened_to_write()).collect());
        none("writes beside the answer", trace.of(&WRITES).filter(|call| !call.contains("(1,")).collect());
        assert_eq!(trace.of(&WRITES).count(), usize::from(!answer.is_empty()), "{what} ({key}): one write is the whole answer");
        assert_eq!(trace.opened("/config.toml"), 0, "{what} ({key}): the configuration was read in spite of the compiled routes");
        assert_eq!(trace.opened("routes"), 1, "{what} ({key}): the compiled routes were not used");
        assert!(trace.of(&["getdents64", "getdents"]).next().is_none(), "{what} ({key}): a folder was listed");
    }
}

/// Keeps `RECORDS` credentials as `docker login` would, some at a time.
fn fill(desk: &Desk) {
    let numbers: Vec<usize> = (0..RECORDS).collect();
    std::thread::scope(|scope| {
        for part in numbers.chunks(RECORDS.div_ceil(4)) {
            scope.spawn(move || {
                for number in part {
                    let text = format!(
                        "{{\"ServerURL\":\"registry{number}.example.org\",\"Username\":\"a\",\"Secret\":\"kept {number}\"}}"
                    );
                    desk.run(&["docker-credential-keyfob", "store"], &text);
                }
            });
        }
    });
}

#[test]
fn a_cached_answer_opens_no_socket_takes_no_lock_starts_nothing_and_writes_only_the_answer() {
    if !peers::require("strace") {
        return;
    }
    let began = Instant::now();
    let server = AuthorizationServer::start();
    let sts = Sts::trusting(&server.issuer(), "keyfob");
    // two homes of one user: what the system keeps per user, such as the kernel's keyring, is shared by them
    let desk = Desk::new(Home::new(), &server, &sts);
    let beside = Desk::new(Home::without_key_file(), &server, &sts);
    fill(&desk);
    std::thread::sleep(SETTLED.saturating_sub(began.elapsed()));
    desk.warm_up();
    beside.warm_up();
    let listed = desk.run(&["docker-credential-keyfob", "list"], "").stdout;
    assert_eq!(listed.matches("registry").count(), RECORDS + 1, "the records are there");
    let (authorized, requests, exchanges) = (server.counts(), server.requests().len(), sts.counts().exchanges);
    desk.ask_for_everything("key file");
    let kept = beside.run(&["keyfob", "status"], "").stdout;
    if kept.contains("kernel") {
        beside.ask_for_everything("kernel keyring");
    } else {
        eprintln!("not traced: there is no kernel keyring here: {kept}");
    }
    assert_eq!((server.requests().len(), sts.counts().exchanges), (requests, exchanges), "{authorized:?}: a server was asked");
    assert_eq!(exchanges, 2, "one exchange for each home");
}

/// Two accounts of a host that are answered under one name.
const ACCOUNTS: &str = "[git.\"https://alice@many.example.com\"]\nlogin = \"corp\"\nusername = \"oauth2\"\n\
                        [git.\"https://bob@many.example.com\"]\nlogin = \"bob\"\nusername = \"oauth2\"\n\
                        [login.bob]\npreset = \"gitlab\"\nclient_id = \"keyfob\"\n";
const MANY: &str = "protocol=https\nhost=many.example.com\n";

#[test]
fn what_git_hands_back_costs_no_more_where_no_route_answers_and_is_judged_right_by_a_table_that_is_stale_or_gone() {
    if !peers::require("strace") {
        return;
    }
    let server = AuthorizationServer::start();
    let sts = Sts::trusting(&server.issuer(), "keyfob");
    let desk = Desk::new(Home::new(), &server, &sts);
    let config = std::fs::read_to_string(desk.home.config_file()).unwrap();
    desk.home.write_config(&format!("{ACCOUNTS}{config}"));
    std::thread::sleep(SETTLED);
    desk.warm_up();
    let token = |desk: &Desk| {
        let answer = desk.run(&["keyfob", "git", "get"], &format!("{MANY}username=alice\n")).stdout;
        assert!(answer.starts_with("username=oauth2\npassword="), "{answer}");
        format!("{MANY}{answer}")
    };
    let same = "protocol=https\nhost=kept.example.org\nusername=u\npassword=kept\n";
    desk.run(&["keyfob", "git", "store"], same);
    let before = desk.home.files();
    desk.hand_back_everything(same, &token(&desk));
    let left_out = [desk.home.path().join("trace")];
    let files: Vec<PathBuf> = desk.home.files().into_iter().filter(|file| !left_out.contains(file)).collect();
    assert_eq!(files, before, "nothing is kept");

    // the table is gone each time; it does not know these accounts yet; it is as it should be
    let gone = |desk: &Desk| std::fs::remove_file(desk.table()).unwrap();
    let fresh = |desk: &Desk| {
        std::thread::sleep(SETTLED);
        desk.run(&["keyfob", "git", "get"], GIT);
    };
    let stale = |desk: &Desk| {
        desk.home.write_config(&config);
        gone(desk);
        fresh(desk);
        let table = std::fs::read(desk.table()).unwrap();
        desk.home.write_config(&format!("{ACCOUNTS}{config}"));
        assert_eq!(std::fs::read(desk.table()).unwrap(), table);
    };
    for (number, prepare) in [&fresh as &dyn Fn(&Desk), &stale, &fresh].into_iter().enumerate() {
        // or the refusal of what was issued just now would be believed less
        desk.run(&["keyfob", "login", "corp"], "");
        let minted = token(&desk);
        let is_gone = number == 0;
        prepare(&desk);
        is_gone.then(|| gone(&desk));
        desk.run(&["keyfob", "git", "store"], &minted);
        let kept = desk.run(&["keyfob", "git", "get"], &format!("{MANY}username=oauth2\n")).stdout;
        assert_eq!((kept.as_str(), server.counts().refreshes), ("", number), "what a login minted is not kept");
        is_gone.then(|| gone(&desk));
        desk.run(&["keyfob", "git", "erase"], &minted);
        assert_ne!(token(&desk), minted);
        assert_eq!(server.counts().refreshes, number + 1, "what was refused is renewed");
        is_gone.then(|| gone(&desk));
        desk.run(&["keyfob", "git", "erase"], same);
        assert_eq!(desk.run(&["keyfob", "git", "get"], "protocol=https\nhost=kept.example.org\n").stdout, "");
        desk.run(&["keyfob", "git", "store"], same);
    }
}

#[test]
fn what_the_audit_log_is_to_hold_costs_a_cached_answer_nothing_unless_that_is_all() {
    if !peers::require("strace") {
        return;
    }
    let server = AuthorizationServer::start();
    let sts = Sts::trusting(&server.issuer(), "keyfob");
    let desks = ["off", "tokens", "all"].map(|audit| {
        let desk = Desk::new(Home::new(), &server, &sts);
        let config = desk.home.config_file();
        desk.home.write_config(&format!("audit = \"{audit}\"\n{}", std::fs::read_to_string(config).unwrap()));
        desk
    });
    std::thread::sleep(SETTLED);
    let [off, tokens, all] = desks.map(|desk| {
        desk.warm_up();
        let (answer, trace) = desk.trace(&["keyfob", "git", "get"], GIT);
        assert!(answer.stdout.contains("\npassword=") && answer.stderr.is_empty(), "{answer:?}");
        trace
    });
    assert_eq!(tokens.steps(), off.steps());
    assert_eq!((tokens.opened("audit.jsonl"), tokens.opened("audit.jsonl.lock"), tokens.opened("/config.toml")), (0, 0, 0));
    assert_eq!((all.opened("audit.jsonl"), all.opened("audit.jsonl.lock"), all.opened("/config.toml")), (1, 1, 1));
    assert_eq!(all.of(&CHILDREN).count() + all.of(&SOCKETS).count(), 0);
    let _ = writeln!(std::io::stderr(), "git get, noted: {}", all.summary());
}
