//! A sign-in by pasting at a server that nobody here wrote, with real git, whose several helpers wait at one terminal.
use super::{configuration, good_tokens};
use crate::support::browser::{Mode, Settings, visit};
use crate::support::git_server::GitServer;
use crate::support::home::Home;
use crate::support::peers::{self, OidcProvider};
use crate::support::terminal::Terminal;

const ASKED: &str = "paste it here (it is not shown)";

#[test]
fn parallel_clones_of_git_are_signed_in_by_one_paste_at_their_terminal() {
    if !["git", "script", "stty"].into_iter().all(peers::require) {
        return;
    }
    let Some(server) = OidcProvider::start() else { return };
    let (home, hosted) = (Home::new(), GitServer::start(good_tokens(&server)));
    home.write_config(&configuration(&server, &format!("flow = \"paste\"\n[git.\"{}\"]\nlogin = \"corp\"\n", hosted.url())));
    super::git::configure(&home);
    let clones: String =
        (1..=4).map(|number| format!("git clone --quiet {} {number} & ", hosted.create(&format!("app{number}")))).collect();
    let line =
        format!("unset DISPLAY KEYFOB_BROWSER; {clones} wait; stty -a >\"$SAID/stty\"; ls -d [1-4]/.git >\"$SAID/clones\"");
    let mut terminal = Terminal::open(&home, "clones", &line);
    terminal.shows(ASKED, 1);
    let screen = terminal.said("screen");
    let url = screen.lines().find(|line| line.contains("code_challenge=")).unwrap().trim().to_owned();
    let seen = visit(&url, &Settings { mode: Mode::Away, ..Settings::from(&Default::default()) });
    let ended = seen["ended"].as_str().unwrap_or_else(|| panic!("{seen}"));
    terminal.types(format!("{ended}\n"));
    assert!(terminal.wrote("stty").contains(" echo "));
    assert_eq!(terminal.wrote("clones"), "1/.git\n2/.git\n3/.git\n4/.git\n");
    let said = terminal.end().success();
    assert_eq!((said.stdout.matches(ASKED).count(), said.stdout.matches("code_challenge=").count()), (1, 1), "{said:?}");
    assert_eq!((server.token_requests("authorization_code", "ok"), home.browser_runs().len()), (1, 0));
}
