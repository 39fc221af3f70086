//! The program: which mode a name and its arguments mean, what exit code an outcome is, and the clock.
#![cfg_attr(all(bare_start, not(test)), no_main)]
mod audit;
mod commands;
mod config;
mod exchange;
mod failure;
mod helper;
mod http;
mod login;
mod oauth;
mod os;
mod qr_code;
mod setup;
mod store;
mod terminal;
mod token;

use clap::{Parser, Subcommand};
use config::{Environment, Flow, Tool};
use failure::{Failure, Kind};
use helper_protocols::{Aws, Docker, Git, Reply};
use login::Context;
use login::hand_off::WORKER;
use std::io::Write;
use std::path::PathBuf;

/// Sign in once; git, docker and AWS tools just work, in every terminal.
#[derive(Debug, Parser)]
#[command(name = "keyfob", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Sign in, whatever is stored
    Login {
        /// The login to sign in to; may be left out where there is only one
        name: Option<String>,
        /// How: by browser, by a code that is entered in a browser anywhere, or by pasting what a browser anywhere ends at; left out,
        /// the login's own way
        #[arg(long, value_name = "FLOW", value_parser = ["auto", "browser", "device", "paste"])]
        flow: Option<String>,
        /// Choose an account at the server, which may be another than before; that one's tokens are revoked then
        #[arg(long)]
        switch_account: bool,
    },
    /// Forget a login here, and revoke its tokens at the server
    ///
    /// What is here goes in any case. Tokens that the server did not revoke are warned of on standard error, with the place to end them,
    /// and the exit code is 0 all the same: running it again would change nothing.
    Logout {
        /// The login to forget; may be left out where there is only one
        #[arg(conflicts_with = "all")]
        name: Option<String>,
        /// Forget all of them
        #[arg(long)]
        all: bool,
    },
    /// Forget the copy of the key that makes answers fast, until the keyring or you are asked again
    Lock,
    /// Show what happened to the tokens here, and who asked for it
    Log {
        /// As the lines of JSON that the log consists of, with times in UTC
        #[arg(long)]
        json: bool,
        /// Only what happened to this login
        #[arg(long, value_name = "NAME")]
        login: Option<String>,
        /// Only what happened since then: 90s, 30min, 2h, 7d ago, a day as 2026-11-21, or a time as 2026-11-21T13:15:17Z
        #[arg(long, value_name = "WHEN")]
        since: Option<String>,
    },
    /// Set up what keyfob works with
    Setup {
        #[command(subcommand)]
        what: Setup,
    },
    /// Show who is signed in where, and until when
    Status {
        /// As JSON, for programs
        #[arg(long, conflicts_with = "check")]
        json: bool,
        /// Only tell whether this login can answer without a person: exit code 0, else 3
        #[arg(long, value_name = "NAME")]
        check: Option<String>,
    },
    /// Print an access token
    Token {
        /// The login it is of
        name: String,
        /// Seconds that it should still last
        #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u32).range(0..=86_400))]
        min_life: u32,
    },
    /// Serve git (`credential.helper`): get, store, erase, capability
    Git { arguments: Vec<String> },
    /// Serve docker (`credHelpers`): get, store, erase, list, version
    Docker { arguments: Vec<String> },
    /// Serve AWS tools (`credential_process`): get PROFILE
    Aws { arguments: Vec<String> },
}

#[derive(Debug, Subcommand)]
enum Setup {
    /// Move the key that opens the records, or make it; everything is sealed anew, or nothing is changed
    Key {
        /// Where to: file, keyring, kernel, passphrase, or none to give it up; without it, where the settings say
        source: Option<String>,
        /// The file, by a path that begins at the root
        path: Option<PathBuf>,
    },
    /// Let git ask keyfob, and no other helper, for the configured hosts: in its configuration for you, never in a repository's
    Git {
        /// The hosts or URLs it is about; left out, all that have a route
        hosts: Vec<String>,
        /// For every host, also those without a route: what you type in for them is kept; stays until --undo
        #[arg(long, conflicts_with_all = ["hosts", "undo"])]
        all_hosts: bool,
        /// Let git (2.46 or newer) send the token at once, which saves a request each time; public repositories then need it,
        /// too; stays until --undo
        #[arg(long, conflicts_with = "undo")]
        proactive_auth: bool,
        /// Take keyfob's lines out again
        #[arg(long)]
        undo: bool,
        /// Take over what git's configuration says about sign-ins for Git Credential Manager and git-credential-oauth
        #[arg(long, conflicts_with_all = ["all_hosts", "proactive_auth", "undo"])]
        import: bool,
        /// Take over what `git credential-store` has stored, and for the hosts that are named what libsecret, cache and the like have; they
        /// tell of one account at a time: name each, as alice@git.example.com
        #[arg(long, conflicts_with_all = ["all_hosts", "proactive_auth", "undo", "import"])]
        import_stored: bool,
        /// Remove from the plain file what was taken over; refused where keyfob's key would be gone at the machine's next start
        #[arg(long, requires = "import_stored")]
        remove: bool,
        /// Show what would change, with the three lines before and after it as they stand in your file, secrets too; change nothing
        #[arg(long)]
        dry_run: bool,
    },
}

os::entry!(start);

/// Prepares the process and runs what its arguments ask for; returns the exit code.
fn start() -> u8 {
    os::install_panic_hook();
    os::harden();
    let context = Context { environment: Environment::process(), now_ms, uptime: os::uptime };
    let words: Vec<String> = std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    run(&context, &words)
}

/// Chooses what to be. The tools' own shapes are matched by hand: they come first, and cost nothing.
fn run(context: &Context, words: &[&str]) -> u8 {
    let (name, rest) = words.split_first().map_or(("keyfob", words), |(name, rest)| (base_name(name), rest));
    if rest == [WORKER] {
        return login::worker::run(context);
    }
    match (name, rest) {
        ("git-credential-keyfob", rest) if asks_for_help(rest) => command(context, &[&["keyfob", "git"], rest].concat()),
        ("git-credential-keyfob", rest) => serve(context, Tool::Git, rest),
        ("docker-credential-keyfob", rest) => serve(context, Tool::Docker, rest),
        (_, ["git", rest @ ..]) if !asks_for_help(rest) => serve(context, Tool::Git, rest),
        (_, ["docker", rest @ ..]) if !asks_for_help(rest) => serve(context, Tool::Docker, rest),
        (_, ["aws", rest @ ..]) if !asks_for_help(rest) => serve(context, Tool::Aws, rest),
        _ => command(context, words),
    }
}

fn base_name(path: &str) -> &str {
    let name = path.rsplit(['/', '\\']).next().unwrap_or(path);
    name.strip_suffix(".exe").unwrap_or(name)
}

fn asks_for_help(rest: &[&str]) -> bool {
    matches!(rest, [] | ["--help" | "-h"])
}

fn serve(context: &Context, tool: Tool, arguments: &[&str]) -> u8 {
    let mut stdin = std::io::stdin().lock();
    let reply = match tool {
        Tool::Git => helper::serve::<Git>(context, tool, arguments, &mut stdin),
        Tool::Docker => helper::serve::<Docker>(context, tool, arguments, &mut stdin),
        Tool::Aws => helper::serve::<Aws>(context, tool, arguments, &mut stdin),
    };
    write(&reply)
}

fn write(reply: &Reply) -> u8 {
    if !reply.stderr.is_empty() {
        terminal::report(&reply.stderr);
    }
    if reply.stdout.is_empty() {
        return reply.exit_code;
    }
    let mut stdout = std::io::stdout();
    // a caller that has gone away has no use for an answer, and whatever was renewed for it is kept
    match stdout.write_all(&reply.stdout).and_then(|()| stdout.flush()) {
        Ok(()) => reply.exit_code,
        Err(_) => reply.exit_code.max(1),
    }
}

fn command(context: &Context, words: &[&str]) -> u8 {
    let arguments = match Arguments::try_parse_from(words) {
        Ok(arguments) => arguments,
        Err(error) => {
            // help and version are no errors; where they cannot be printed nobody reads them
            let _ = error.print().and_then(|()| std::io::stdout().flush());
            return if error.use_stderr() { Kind::Usage.exit_code() } else { 0 };
        }
    };
    let outcome = match arguments.command {
        Command::Login { name, flow, switch_account } => {
            commands::login::run(context, name.as_deref(), flow.as_deref().and_then(Flow::from_word), switch_account)
        }
        Command::Logout { name, all } => commands::logout::run(context, name.as_deref(), all),
        Command::Lock => commands::lock::run(context),
        Command::Log { json, login, since } => commands::log::run(context, json, login.as_deref(), since.as_deref()),
        Command::Setup { what } => set_up(context, what),
        Command::Status { json, check: None } => commands::status::run(context, json),
        Command::Status { check: Some(name), .. } => commands::status::check(context, &name),
        Command::Token { name, min_life } => commands::token::run(context, &name, i64::from(min_life)),
        Command::Git { .. } | Command::Docker { .. } | Command::Aws { .. } => {
            Err(Failure::new(Kind::Usage, "this is for tools to call").hint("see `keyfob --help`").into())
        }
    };
    match outcome {
        Ok(()) => 0,
        Err(error) => {
            let failure = error.downcast::<Failure>().unwrap_or_else(|error| Failure::new(Kind::Bug, error.to_string()));
            terminal::report(format!("{}\n", failure.lines()).as_bytes());
            failure.kind.exit_code()
        }
    }
}

fn set_up(context: &Context, what: Setup) -> anyhow::Result<()> {
    match what {
        Setup::Key { source, path } => commands::setup::key::run(context, source.as_deref(), path),
        Setup::Git { hosts, import: true, dry_run, .. } => commands::setup::import::run(context, &hosts, dry_run),
        Setup::Git { hosts, import_stored: true, remove, dry_run, .. } => {
            commands::setup::import_stored::run(context, &hosts, remove, dry_run)
        }
        Setup::Git { hosts, undo: true, dry_run, .. } => commands::setup::git_undo::run(context, &hosts, dry_run),
        Setup::Git { hosts, all_hosts, proactive_auth, dry_run, .. } => {
            let options = commands::setup::git::Options { hosts, all_hosts, proactive_auth, dry_run };
            commands::setup::git::run(context, &options)
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place where the clock is read")]
fn now_ms() -> i64 {
    let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX)
}
