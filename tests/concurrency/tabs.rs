//! After a tab that nobody came to, no further one until a person acts. It takes the five minutes that a person has, so this is a long
//! round alone; the table in `src/login/failed.rs` is tested always.
use crate::support::crowd::{Crowd, soak};
use crate::support::forge::{Forge, end, until, value};
use crate::support::{peers, process};
use std::time::Duration;

/// A little longer than a person may take.
const PATIENCE: Duration = Duration::from_secs(330);

#[test]
fn after_a_tab_that_nobody_came_to_no_other_is_opened_until_a_person_acts() {
    if !soak() || !peers::require("faketime") {
        return;
    }
    let forge = Forge::new();
    forge.home.browser("never");
    let mut first = forge.spawn(&mut forge.caller());
    forge.home.wait_for_browser_runs(1);
    assert_eq!(process::wait(&mut first, PATIENCE), Some(Some(0)));
    let told = end(first);
    assert!(told.stdout == "quit=1\n" && told.stderr.contains("nobody signed in to `corp` within 5 minutes"), "{told:?}");
    until("the worker has ended", || forge.workers().is_empty());

    // callers without a terminal, where a browser can be seen: many at once, and for days
    let ended = Crowd::start((0..20).map(|_| forge.caller())).end();
    assert_eq!(ended.workers, 0);
    assert!(ended.outputs.iter().all(|output| output.stderr == told.stderr), "{:?}", ended.outputs[0]);
    for later in ["+100", "+4000", "+400000"] {
        let mut caller = forge.command("faketime");
        caller.args(["-f", later, "keyfob", "git", "get"]);
        caller.stdin(std::fs::File::open(forge.home.path().join("request")).unwrap());
        assert_eq!(end(forge.spawn(&mut caller)).stderr, told.stderr, "{later}");
    }
    assert_eq!((forge.home.browser_runs().len(), forge.server.counts().authorizations), (1, 0), "one tab was opened");

    forge.home.browser("ok");
    forge.keyfob(&["login", "corp"]).success();
    let answer = forge.ask().success().stdout;
    assert!(forge.server.is_alive(value(&answer, "password")));
    assert_eq!((forge.home.wait_for_browser_runs(2).len(), forge.server.counts().authorizations), (2, 1));
    forge.check();
}
