//! After a tab that nobody came to, no further one until a person acts; and what was seen of it is said. It takes the five minutes that a
//! person has, so these are long rounds alone; the tables in `src/login/failed.rs` and `src/login/overdue.rs` are tested always.
use crate::support::crowd::{Crowd, soak};
use crate::support::forge::{Forge, end, until, value};
use crate::support::open_sign_in::{OpenSignIn, get};
use crate::support::process;
use crate::support::scene::{Scene, one_error};
use std::time::Duration;

/// A little longer than a person may take.
const PATIENCE: Duration = Duration::from_secs(330);

#[test]
fn after_a_tab_that_nobody_came_to_no_other_is_opened_until_a_person_acts() {
    let forge = Forge::new();
    if !soak() || !forge.home.use_clock() {
        return;
    }
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
    for later in [100, 4_000, 400_000] {
        forge.home.set_clock(later, later, 0);
        assert_eq!(end(forge.spawn(&mut forge.caller())).stderr, told.stderr, "{later}");
    }
    forge.home.set_clock(0, 0, 0);
    assert_eq!((forge.home.browser_runs().len(), forge.server.counts().authorizations), (1, 0), "one tab was opened");

    forge.home.browser("ok");
    forge.keyfob(&["login", "corp"]).success();
    let answer = forge.ask().success().stdout;
    assert!(forge.server.is_alive(value(&answer, "password")));
    assert_eq!((forge.home.wait_for_browser_runs(2).len(), forge.server.counts().authorizations), (2, 1));
    forge.check();
}

/// What the browser does with a sign-in that it never ends, and what is said of it.
type Way = (fn(&OpenSignIn), &'static [&'static str]);

#[test]
fn what_was_seen_of_a_sign_in_that_nobody_ended_is_said_with_what_to_compare() {
    if !soak() {
        return;
    }
    let ways: [Way; 4] = [
        (|_| {}, &["never asked for the page", "KEYFOB_BROWSER"]),
        (|open| drop(get(&open.start)), &["the tab that asked for it was not gone on with", "`keyfob login` asked for it"]),
        (
            // as a server that does not know the redirect: a page of its own, and nothing comes back
            |open| drop(open.authorization_url()),
            &[
                "went to 127.0.0.1 and did not come back",
                "client `keyfob` with the redirect `http://127.0.0.1/callback` with any port",
            ],
        ),
        (
            |open| {
                open.authorization_url();
                get(&open.start.join("/callback").unwrap());
            },
            &["came back from 127.0.0.1 without an answer", "client `keyfob` at 127.0.0.1 to `query`"],
        ),
    ];
    let waiting = ways.map(|(go, words)| {
        std::thread::spawn(move || {
            let scene = Scene::new();
            let open = OpenSignIn::begin(&scene);
            go(&open);
            let output = open.end_within(PATIENCE);
            one_error(&output);
            assert_eq!((output.code, scene.server.counts().token_requests), (Some(3), 0), "{output:?}");
            assert!(output.stderr.contains("nobody signed in to `corp` within 5 minutes: "), "{output:?}");
            for word in words {
                assert!(output.stderr.contains(word), "{word}: {output:?}");
            }
        })
    });
    waiting.into_iter().for_each(|way| way.join().unwrap());
}
