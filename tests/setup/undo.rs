//! `--undo` in each way in which git could still ask keyfob afterwards: another file, changed marks, every host.
use super::hosts::{Desk, ROUTES};
use crate::support::temp_dir::write;

/// What git says when it is asked for all helpers.
fn helpers(desk: &Desk) -> String {
    desk.git(&["config", "--get-regexp", "^credential.*helper$"]).stdout
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
