//! `--undo` in each way in which git could still ask keyfob afterwards: another file, changed marks, every host.
use super::hosts::{Desk, ROUTES};
use crate::support::scene::one_error;
use crate::support::temp_dir::write;
use std::path::PathBuf;

fn xdg(desk: &Desk) -> PathBuf {
    desk.home.path().join(".config/git/config")
}

fn read(path: &PathBuf) -> String {
    std::fs::read_to_string(path).unwrap()
}

/// What git says when it is asked for all helpers.
fn helpers(desk: &Desk) -> String {
    desk.git(&["config", "--get-regexp", "^credential.*helper$"]).stdout
}

#[test]
fn undo_takes_keyfobs_lines_out_of_each_file_that_git_reads_for_the_user() {
    let desk = Desk::new(ROUTES);
    let (own, other) = (desk.file(), xdg(&desk));
    write(&other, "[user]\n\tname = x\n");
    desk.keyfob(&["setup", "git"]).success();
    write(&own, "[alias]\n\tst = status\n");
    // the lines are in the file that is not the first any more
    let shown = desk.keyfob(&["setup", "git", "--undo", "--dry-run"]).success().stdout;
    assert!(shown.contains(&format!("--- {}\n", other.display())) && read(&other).contains("keyfob"), "{shown}");
    let said = desk.keyfob(&["setup", "git", "--undo"]).success();
    assert_eq!(said.stdout, format!("{}: keyfob's lines were taken out\n", other.display()));
    assert_eq!((read(&other).as_str(), helpers(&desk).as_str(), said.stderr.as_str()), ("[user]\n\tname = x\n", "", ""));
    // and in both
    write(&own, "");
    std::fs::remove_file(&own).unwrap();
    desk.keyfob(&["setup", "git"]).success();
    write(&own, "[alias]\n\tst = status\n");
    desk.keyfob(&["setup", "git"]).success();
    assert!(read(&own).contains("keyfob") && read(&other).contains("keyfob"));
    desk.keyfob(&["setup", "git", "--undo", "two.example.com"]).success();
    assert!(!helpers(&desk).contains("two.example.com") && helpers(&desk).contains("git.example.com"));
    let said = desk.keyfob(&["setup", "git", "--undo"]).success();
    assert_eq!(said.stdout.matches("keyfob's lines were taken out\n").count(), 2, "{said:?}");
    assert_eq!((read(&own).as_str(), read(&other).as_str()), ("[alias]\n\tst = status\n", "[user]\n\tname = x\n"));
    let said = desk.keyfob(&["setup", "git", "--undo"]).success();
    let expected = format!("{}, {}: nothing of keyfob's stands there\n", own.display(), other.display());
    assert_eq!((said.stdout, said.stderr), (expected, String::new()));
}

#[test]
fn lines_with_blanks_behind_them_are_still_keyfobs() {
    for made in [true, false] {
        let desk = Desk::new(ROUTES);
        if !made {
            write(&desk.file(), "[user]\n\tname = x\n");
        }
        desk.keyfob(&["setup", "git"]).success();
        write(&desk.file(), desk.content().replace('\n', "  \n"));
        let with_blanks = desk.content();
        let said = desk.keyfob(&["setup", "git"]).success();
        assert!(said.stdout.contains("nothing to change") && desk.content() == with_blanks, "{said:?}");
        let said = desk.keyfob(&["setup", "git", "--undo"]).success();
        assert_eq!((helpers(&desk).as_str(), said.stderr.as_str()), ("", ""), "{made}");
        assert_eq!(desk.file().exists(), !made);
    }
}

#[test]
fn what_undo_leaves_that_asks_keyfob_is_said_with_its_file() {
    let desk = Desk::new(&ROUTES[..1]);
    write(&desk.file(), "[user]\n\tname = x\n");
    desk.keyfob(&["setup", "git"]).success();
    write(&desk.file(), desk.content().replace(" # keyfob setup git", ""));
    desk.keyfob(&["setup", "git"]).success();
    let said = desk.keyfob(&["setup", "git", "--undo"]).success();
    assert!(helpers(&desk).contains("keyfob"), "its marks are gone, so these lines are the person's");
    let file = desk.file().display().to_string();
    let expected = format!("git's configuration still names keyfob for https://git.example.com, in `{file}`");
    assert!(said.stdout.contains("keyfob's lines were taken out") && said.stderr.contains(&expected), "{said:?}");
    // where nothing was taken out, too
    let said = desk.keyfob(&["setup", "git", "--undo"]).success();
    assert!(said.stdout.contains("nothing of keyfob's stands there") && said.stderr.contains(&expected), "{said:?}");
    // the one of another host is another matter
    desk.configure(&["https://git.example.com", "https://two.example.com"]);
    desk.keyfob(&["setup", "git", "two.example.com"]).success();
    let said = desk.keyfob(&["setup", "git", "--undo", "two.example.com"]).success();
    assert_eq!(said.stderr, "");
    write(&desk.file(), "[credential]\n\thelper = store\n\thelper = keyfob\n");
    let said = desk.keyfob(&["setup", "git", "--undo"]).success();
    assert!(said.stderr.contains("still names keyfob for all hosts, in `") && !said.stderr.contains("store"), "{said:?}");
}

#[test]
fn one_host_cannot_be_taken_out_of_all_hosts() {
    let desk = Desk::new(ROUTES);
    desk.keyfob(&["setup", "git", "--all-hosts"]).success();
    let before = desk.content();
    for host in ["git.example.com", "elsewhere.example.org"] {
        let refused = desk.keyfob(&["setup", "git", "--undo", host]);
        one_error(&refused);
        assert!(refused.code == Some(1) && desk.content() == before, "{refused:?}");
        let file = desk.file().display().to_string();
        assert!(refused.stderr.contains("every host") && refused.stderr.contains(&file), "{refused:?}");
        assert!(refused.stderr.contains("`keyfob setup git --undo`"), "{refused:?}");
    }
}

#[test]
fn where_nothing_stands_for_a_host_each_file_is_named() {
    let desk = Desk::new(ROUTES);
    let refused = desk.keyfob(&["setup", "git", "--undo", "two.example.com"]);
    let expected = format!("nothing of keyfob's for two.example.com stands in `{}`", desk.file().display());
    assert!(refused.code == Some(1) && refused.stderr.contains(&expected), "{refused:?}");
}

#[test]
fn a_line_of_the_persons_that_ends_with_the_mark_stays() {
    const MARK: &str = " # keyfob setup git";
    let desk = Desk::new(&ROUTES[..1]);
    let own = format!(
        "[user]{MARK}\n\tname = x{MARK}\n[credential]{MARK}\n\tusername = alice{MARK}\n\
         [http \"https://git.example.com\"] extraheader = [a]{MARK}\n\tsslVerify = true{MARK}\n"
    )
    .replace(&format!("[credential]{MARK}"), "[credential]");
    write(&desk.file(), &own);
    desk.keyfob(&["setup", "git"]).success();
    assert!(desk.content().starts_with(&own), "{}", desk.content());
    desk.keyfob(&["setup", "git", "--undo"]).success();
    assert_eq!(desk.content(), own);
}
