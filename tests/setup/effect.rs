//! What real git does after `keyfob setup git` alone: whom it asks, and whom it tells.
use crate::support::forge::{Forge, value};
use crate::support::peers;
use crate::support::process::{self, Output};
use crate::support::temp_dir::write;
use std::path::{Path, PathBuf};

/// A helper that writes down what it is asked and told.
const LISTENER: &str = "!f() { { echo \"$1\"; cat; } >>\"$HOME/heard\"; }; f";

/// A forge whose git has a helper in the system's configuration, and a person's file without any.
struct Workplace {
    forge: Forge,
    git: PathBuf,
}

impl Workplace {
    fn new(git: PathBuf) -> Self {
        let mut forge = Forge::new();
        let system = forge.home.path().join("system-gitconfig");
        write(&system, format!("[credential]\n\thelper = \"{}\"\n", LISTENER.replace('"', "\\\"")));
        forge.home.set("GIT_CONFIG_NOSYSTEM", "0");
        forge.home.set("GIT_CONFIG_SYSTEM", &system.display().to_string());
        let quoted = LISTENER.replace('"', "\\\"");
        write(&forge.home.path().join("included"), format!("[credential]\n\thelper = \"{quoted}\"\n"));
        let own = "# mine\n[include]\n\tpath = included\n[includeIf \"gitdir:~/work/\"]\n\tpath = included\n\
                   [user]\n\tname = T\n\temail = t@example.com";
        write(&forge.home.path().join(".gitconfig"), own);
        Self { forge, git }
    }

    #[track_caller]
    fn git(&self, arguments: &[&str]) -> Output {
        process::run(self.forge.command(&self.git).args(arguments), b"")
    }

    #[track_caller]
    fn credential(&self, action: &str, about: &str) -> Output {
        process::run(self.forge.command(&self.git).args(["credential", action]), about.as_bytes())
    }

    fn heard(&self) -> String {
        std::fs::read_to_string(self.forge.home.path().join("heard")).unwrap_or_default()
    }

    fn config(&self) -> Vec<u8> {
        std::fs::read(self.forge.home.path().join(".gitconfig")).unwrap()
    }

    /// What git asks about the forge.
    fn about(&self) -> String {
        format!("protocol=http\nhost=127.0.0.1:{}\n", self.forge.git.port())
    }
}

/// Every git that is installed.
pub(super) fn gits() -> Vec<PathBuf> {
    use crate::git::versions::{newer, older};
    [newer(), older()].into_iter().flatten().collect()
}

#[test]
fn clone_fetch_and_push_work_after_it_alone_and_another_helper_hears_nothing() {
    for git in gits() {
        let place = Workplace::new(git);
        let elsewhere = "protocol=https\nhost=elsewhere.example\nusername=a\npassword=listened-to\n";
        place.credential("approve", elsewhere).success();
        assert_eq!(place.heard().matches("password=listened-to\n").count(), 2, "or what follows proves nothing");
        std::fs::remove_file(place.forge.home.path().join("heard")).unwrap();
        let before = place.config();
        let said = place.forge.keyfob(&["setup", "git"]).success();
        assert_eq!(said.stderr, "");
        let url = place.forge.git.create("hello");
        place.git(&["clone", "--quiet", &url, "work"]).success();
        place.git(&["-C", "work", "commit", "--quiet", "--allow-empty", "--message", "more"]).success();
        place.git(&["-C", "work", "push", "--quiet"]).success();
        place.git(&["-C", "work", "fetch", "--quiet"]).success();
        assert_eq!(place.forge.git.head("hello"), place.git(&["-C", "work", "rev-parse", "HEAD"]).success().stdout.trim());
        let token = value(&place.credential("fill", &place.about()).success().stdout, "password").to_owned();
        assert!(place.forge.server.is_alive(&token));
        place.credential("reject", &format!("{}username=x\npassword={token}\n", place.about())).success();
        assert_eq!(place.heard(), "", "{}", place.git.display());
        assert_eq!(place.forge.server.counts().authorizations, 1);
        place.forge.keyfob(&["setup", "git", "--undo"]).success();
        assert_eq!(place.config(), before);
        let asked = place.credential("fill", &place.about());
        assert!(asked.code != Some(0) && place.heard().starts_with("get\n"), "it is as it was: {asked:?}");
        place.forge.check();
    }
}

#[test]
fn a_helper_that_was_added_after_ours_is_told_until_it_is_run_again() {
    for git in gits() {
        let place = Workplace::new(git);
        place.forge.keyfob(&["setup", "git"]).success();
        let url = place.forge.git.url();
        let tell = |path: &str| {
            let told = format!("{}path={path}\nusername=x\npassword=foreign-secret\n", place.about());
            place.credential("approve", &told).success();
            let heard = place.heard();
            let _ = std::fs::remove_file(place.forge.home.path().join("heard"));
            heard
        };
        for key in [format!("credential.{url}.helper"), "credential.helper".into(), format!("credential.{url}/private.helper")] {
            place.git(&["config", "--global", "--add", &key, LISTENER]).success();
            assert!(tell("private/hello.git").contains("foreign-secret"), "{key}");
            let said = place.forge.keyfob(&["setup", "git"]).success();
            assert_eq!((said.stderr.as_str(), tell("private/hello.git").as_str()), ("", ""), "{key}");
        }
        // a file that git reads after the person's; the first time keyfob's lines are new
        place.forge.keyfob(&["setup", "git", "--undo"]).success();
        for (number, (name, setting)) in [("beside", LISTENER), ("reset", "")].into_iter().enumerate() {
            let mut command = place.forge.command("keyfob");
            command.args(["setup", "git"]).env("GIT_CONFIG_COUNT", "1").env("GIT_CONFIG_KEY_0", "credential.helper");
            let said = process::run(command.env("GIT_CONFIG_VALUE_0", setting), b"").success();
            let expected = ["git hands the token for", "git does not ask keyfob for"][number];
            assert!(said.stderr.contains(expected) && said.stderr.contains(&url), "{name}: {said:?}");
            assert!(!said.stderr.contains("heard") && !said.stdout.contains("heard"), "a helper may hold a secret: {said:?}");
            let begin = ["git's configuration now names keyfob for\n", "nothing to change, "][number];
            assert!(said.stdout.contains(begin) && !said.stdout.contains("nobody else"), "{name}: {said:?}");
        }
        place.forge.check();
    }
}

#[test]
fn a_program_is_called_by_its_name_in_the_search_path_whatever_is_in_it() {
    for git in gits() {
        for folder in
            ["with blanks", "it's", "\"quoted\"", "$HOME `x`", "semi;colon #hash", "back\\slash", "größe 名", "two\nlines"]
        {
            let place = Workplace::new(git.clone());
            let folder = place.forge.home.path().join(folder);
            std::fs::create_dir(&folder).unwrap();
            std::os::unix::fs::symlink(place.forge.home.bin().join("keyfob"), folder.join("keyfob")).unwrap();
            let path = format!("{}:/usr/local/bin:/usr/bin:/bin", folder.display());
            let mut command = place.forge.command(folder.join("keyfob"));
            process::run(command.args(["setup", "git"]).env("PATH", &path), b"").success();
            let key = format!("credential.{}.helper", place.forge.git.url());
            let found = place.git(&["config", "--global", "--get-all", &key]).success().stdout;
            let quoted = folder.join("keyfob").display().to_string().replace('\'', "'\\''");
            assert_eq!(found, format!("\n!exec '{quoted}' git\n"));
            let mut command = place.forge.command(&place.git);
            let answer =
                process::run(command.args(["credential", "fill"]).env("PATH", "/usr/bin:/bin"), place.about().as_bytes());
            assert!(place.forge.server.is_alive(value(&answer.success().stdout, "password")));
            place.forge.keyfob(&["setup", "git", "--undo"]).success();
            place.forge.check();
        }
    }
}

#[test]
fn git_sends_the_path_only_where_a_route_has_one() {
    for git in gits() {
        let place = Workplace::new(git);
        let root = place.forge.git.url();
        let logins = place.forge.login("wide", "account = \"alice\"") + &place.forge.login("deep", "account = \"bob\"");
        let routes: String = [("", "wide"), ("/private/team", "deep"), ("/private/one.git", "deep"), ("/a%20b", "deep")]
            .iter()
            .map(|(path, login)| format!("[git.\"{root}{path}\"]\nlogin = \"{login}\"\n"))
            .collect();
        place.forge.configure(&(logins + &routes));
        place.forge.keyfob(&["setup", "git"]).success();
        let ask = |path: &str| {
            let answer = place.credential("fill", &format!("url={root}/{path}\n")).success().stdout;
            (value(&answer, "password").to_owned(), answer.contains("path="))
        };
        let (wide, path) = ask("private/other.git");
        assert!(!path);
        place.forge.server.configure(|settings| settings.account = "bob".into());
        let (deep, path) = ask("private/team/tool.git");
        assert!(path && deep != wide);
        for (path, expected) in [
            ("private/team/tool", &deep),
            ("private/team.git", &deep),
            ("private/one", &deep),
            ("private/one.git", &deep),
            ("a%20b/c.git", &deep),
            ("private/teams/x.git", &wide),
            ("private/one.git.evil", &wide),
            ("", &wide),
        ] {
            assert_eq!(ask(path).0, *expected, "{path}");
        }
        place.forge.check();
    }
}

#[test]
fn a_token_that_is_sent_at_once_saves_a_request_and_a_stale_one_is_still_replaced() {
    let Some(git) = crate::git::versions::newer() else { return };
    let place = Workplace::new(git);
    let url = place.forge.git.create("hello");
    place.forge.keyfob(&["setup", "git"]).success();
    place.git(&["clone", "--quiet", &url, "work"]).success();
    let fetch = || {
        let before = place.forge.git.log().len();
        place.git(&["-C", "work", "fetch", "--quiet"]).success();
        place.forge.git.log().len() - before
    };
    assert_eq!(fetch(), 3);
    place.forge.keyfob(&["setup", "git", "--proactive-auth"]).success();
    assert_eq!(fetch(), 2);
    place.forge.server.kill_access_tokens();
    fetch();
    assert_eq!((place.forge.server.counts().refreshes, place.forge.server.counts().authorizations), (1, 1));
    let said = place.forge.keyfob(&["setup", "git"]).success().stdout;
    assert!(said.contains("nothing to change"), "it stays once it was asked for: {said}");
    assert_eq!(fetch(), 2);
    place.forge.keyfob(&["setup", "git", "--undo"]).success();
    assert!(!String::from_utf8(place.config()).unwrap().contains("proactive"));
    place.forge.check();
}

#[test]
fn nothing_of_a_hostile_repository_is_read_run_or_changed() {
    if !peers::require("strace") {
        return;
    }
    for git in gits() {
        let place = Workplace::new(git.clone());
        let evil = place.forge.home.path().join("evil");
        std::fs::create_dir(&evil).unwrap();
        place.git(&["init", "--quiet", "evil"]).success();
        let own = "[credential]\n\thelper = evil\n[include]\n\tpath = more\n[core]\n\tfsmonitor = touch ran\n";
        write(&evil.join(".git/config"), own);
        write(&evil.join("git"), "#!/bin/sh\ntouch \"$HOME/ran\"\n");
        process::run(place.forge.home.command("chmod").arg("700").arg(evil.join("git")), b"").success();
        let trace = place.forge.home.path().join("trace");
        let mut command = place.forge.home.command("strace");
        command.args(["-f", "-qq", "-e", "trace=%file", "-o"]).arg(&trace);
        command.args(["keyfob", "setup", "git"]).current_dir(&evil);
        let folder = git.parent().unwrap().display().to_string();
        command.env("PATH", format!(".:{}::{folder}:/usr/bin:/bin", place.forge.home.bin().display()));
        process::run(command.env("GIT_DIR", evil.join(".git")).env("GIT_CONFIG", evil.join(".git/config")), b"").success();
        let seen = std::fs::read_to_string(&trace).unwrap();
        assert!(seen.contains("gitconfig"), "or this proves nothing: {seen}");
        let touched: Vec<&str> = seen
            .lines()
            .filter(|line| line.contains("evil") || line.contains(".git/") || line.contains("\".git\""))
            .filter(|line| !line.contains("execve(") && !line.contains("getcwd("))
            .collect();
        assert_eq!(touched, Vec::<&str>::new());
        assert_eq!(std::fs::read_to_string(evil.join(".git/config")).unwrap(), own);
        assert!(!Path::exists(&place.forge.home.path().join("ran")));
    }
}
