//! Every way in which a server may answer wrong, oddly, too much or too late, at every endpoint: the built program gives one error of one
//! line and its hints, in time and in little memory, and no token is lost.
mod bench;
mod rows;

use bench::{Answer, Place, Stand};
use rows::Sample;
use std::sync::Mutex;
use std::time::Duration;

/// The most memory that any of our processes may have had, in KiB.
const MEMORY: u64 = 64 << 10;
/// How many stands try the rows of one place beside one another.
const STANDS: usize = 3;

/// A row that waits to be tried.
struct Row {
    name: &'static str,
    answer: Answer,
}

fn hostile() -> Vec<(&'static str, rows::Instead)> {
    [rows::lines(), rows::frames(), rows::bodies()].concat()
}

fn all() -> Vec<Row> {
    let instead = hostile().into_iter().map(|(name, make)| Row { name, answer: Answer::Instead(make) });
    let around = rows::around().into_iter().map(|(name, make)| Row { name, answer: Answer::Around(make) });
    instead.chain(around).collect()
}

/// Tries `rows` at `place`, on a few stands at a time.
fn try_all(place: Place, rows: Vec<Row>) {
    let (queue, worst) = (Mutex::new(rows.into_iter()), Mutex::new((0, Duration::ZERO)));
    let next = || queue.lock().unwrap().next();
    std::thread::scope(|scope| {
        let stand = || {
            let mut stand = Stand::at(place);
            while let Some(row) = next() {
                let name = format!("{place:?}: {}", row.name);
                let run = stand.meet(&name, &row.answer);
                let took = run.took;
                assert!(took <= place.longest(), "{name} took {took:?}");
                assert!(run.memory <= MEMORY && run.memory > 0, "{name} took {} KiB", run.memory);
                assert_eq!(run.died, 0, "{name}: {run:?}");
                stand.check(&name, &row.answer, &run);
                let mut worst = worst.lock().unwrap();
                *worst = (worst.0.max(run.memory), worst.1.max(took));
            }
            stand.end();
        };
        let threads: Vec<_> = (0..STANDS).map(|_| scope.spawn(stand)).collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
    let worst = worst.into_inner().unwrap();
    #[expect(clippy::print_stderr, reason = "it is for people who measure")]
    {
        eprintln!("{place:?}: at most {} KiB and {:?}", worst.0, worst.1);
    }
}

#[test]
fn at_discovery() {
    try_all(Place::Discovery, all());
}

#[test]
fn where_a_code_is_redeemed() {
    try_all(Place::Code, all());
}

#[test]
fn where_a_refresh_token_is_spent() {
    try_all(Place::Refresh, all());
}

#[test]
fn where_a_device_code_is_asked_for() {
    try_all(Place::Device, all());
}

#[test]
fn at_a_poll() {
    try_all(Place::Poll, all());
}

#[test]
fn at_a_revocation() {
    try_all(Place::Revocation, all());
}

#[test]
fn where_it_is_asked_whose_a_token_is() {
    try_all(Place::Userinfo, all());
}

/// Each takes thirty seconds, so the short round meets each place with one of them, all at once.
#[test]
fn what_takes_for_ever_is_given_up_in_time() {
    let soak = std::env::var_os("KEYFOB_TESTS_SOAK").is_some_and(|value| value == "1");
    std::thread::scope(|scope| {
        let mut threads = Vec::new();
        for (index, (name, make, places)) in rows::slow().into_iter().enumerate() {
            let chosen = places.iter().enumerate().filter(|(number, _)| soak || *number == index % places.len());
            for (_, place) in chosen {
                threads.push(scope.spawn(move || give_up(*place, name, make)));
            }
        }
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
}

fn give_up(place: Place, name: &str, make: rows::Instead) {
    let (mut stand, answer) = (Stand::at(place), Answer::Instead(make));
    let name = format!("{place:?}: {name}");
    let run = stand.meet(&name, &answer);
    let took = run.took;
    // a sign-out does not wait as long for a word that changes nothing here
    let least = Duration::from_secs(if place == Place::Revocation { 9 } else { 29 });
    assert!(took >= least && took <= place.longest(), "{name} took {took:?}");
    assert!(run.memory <= MEMORY && run.died == 0, "{name}: {run:?}");
    stand.check(&name, &answer, &run);
    stand.end();
}

#[test]
fn no_behaviour_has_two_rows() {
    let mut names: Vec<&str> = hostile().into_iter().map(|(name, _)| name).collect();
    names.extend(rows::slow().into_iter().map(|(name, ..)| name));
    names.extend(rows::around().into_iter().map(|(name, _)| name));
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert!(names.len() == count && hostile().len() >= 60, "{count} rows, {} of them distinct", names.len());
    let sample =
        Sample { json: serde_json::json!({ "issuer": "https://sso.example.com", "n": 1 }), elsewhere: "http://h/".into() };
    let mut forms: Vec<String> = hostile().into_iter().map(|(_, make)| format!("{:?}", make(&sample))).collect();
    forms.sort_unstable();
    forms.dedup();
    assert_eq!(forms.len(), hostile().len(), "two rows send the same");
}
