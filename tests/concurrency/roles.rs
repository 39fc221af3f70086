//! Many processes that ask for the credentials of one AWS role: one exchange, and what it needs of the login once.
use crate::support::authorization_server::Counts;
use crate::support::crowd::{Crowd, Ended};
use crate::support::forge::Forge;
use crate::support::forge::{end, until};
use crate::support::process;
use crate::support::sts::Sts;
use std::path::PathBuf;
use std::time::Duration;

const MANY: usize = 100;

/// A forge with a profile `prod`, and the token service that takes its ID tokens, each after most of a second.
fn with_role() -> (Forge, Sts) {
    let forge = Forge::new();
    forge.with_role();
    let verify = crate::support::introspection::id_tokens_of(&forge.server.issuer(), "keyfob");
    let sts = Sts::start(move |token| {
        std::thread::sleep(Duration::from_millis(700));
        verify(token)
    });
    (forge, sts)
}

/// All of `MANY` ask at once, and get one answer by one exchange.
#[track_caller]
fn ask(forge: &Forge, sts: &Sts) -> Ended {
    let command = || {
        let mut command = forge.command("keyfob");
        command.args(["aws", "get", "prod"]).env("AWS_ENDPOINT_URL_STS", sts.url());
        command
    };
    let ended = Crowd::start((0..MANY).map(|_| command())).end();
    let answer = ended.answer();
    let secrets = sts.issued_secrets();
    forge.home.scan_for_secrets(&secrets);
    assert!(secrets.len() == 2 && secrets.iter().all(|secret| answer.contains(secret)), "{answer}");
    assert_eq!((sts.counts().exchanges, sts.counts().issued, ended.outputs.len()), (1, 1, MANY));
    ended
}

#[track_caller]
fn counted(forge: &Forge, refreshes: usize) {
    let counts = forge.server.counts();
    let Counts { authorizations, codes_redeemed, refresh_requests, reuses, .. } = counts;
    assert_eq!((authorizations, codes_redeemed, refresh_requests, reuses), (1, 1, refreshes, 0));
    assert!(forge.server.family_alive());
    assert_eq!(forge.home.wait_for_browser_runs(1).len(), 1);
    forge.check();
}

#[test]
fn a_sign_out_waits_for_an_exchange_that_is_under_way() {
    let (forge, sts) = with_role();
    let records = || {
        let is_record = |file: &PathBuf| file.extension().is_some_and(|ending| ending == "rec");
        forge.home.files().into_iter().filter(is_record).collect::<Vec<_>>()
    };
    forge.ask().success();
    let login = records();
    let mut command = forge.command("keyfob");
    process::run(command.args(["aws", "get", "prod"]).env("AWS_ENDPOINT_URL_STS", sts.url()), b"").success();
    forge.wait_for_quiet();
    let role = records().into_iter().find(|record| !login.contains(record)).unwrap();
    let lock = role.with_extension("lock");
    let exchange = std::fs::File::open(&lock).unwrap();
    fs2::FileExt::lock_exclusive(&exchange).unwrap();
    let mut command = forge.command("keyfob");
    let mut sign_out = forge.spawn(command.args(["logout", "corp"]));
    until("it waits", || forge.home.having_open(&lock.display().to_string()).contains(&sign_out.id()));
    assert_eq!(sign_out.try_wait().unwrap(), None);
    drop(exchange);
    let said = end(sign_out).success();
    assert!(said.stdout.contains("its tokens are revoked"), "{said:?}");
    assert!(!forge.server.family_alive());
    forge.check();
}

#[test]
fn a_hundred_who_ask_for_one_role_make_one_exchange() {
    let (forge, sts) = with_role();
    forge.keyfob(&["login", "corp"]).success();
    assert_eq!(ask(&forge, &sts).workers, 1);
    counted(&forge, 0);
}

#[test]
fn a_hundred_who_ask_for_one_role_with_an_ended_id_token_refresh_once_and_make_one_exchange() {
    let (forge, sts) = with_role();
    if !forge.home.use_clock() {
        return;
    }
    forge.server.configure(|settings| settings.id_token_life = 60);
    forge.keyfob(&["login", "corp"]).success();
    forge.server.configure(|settings| settings.id_token_life = 3600);
    forge.home.set_clock(90, 90, 0);
    assert_eq!(ask(&forge, &sts).workers, 2, "one of the login, one of the role");
    counted(&forge, 1);
}

#[test]
fn a_hundred_who_ask_for_one_role_without_a_login_sign_in_once_and_make_one_exchange() {
    let (forge, sts) = with_role();
    forge.home.browser_settings(&[("MODE", "slow"), ("MS", "1300")]);
    assert_eq!(ask(&forge, &sts).workers, 2, "one of the login, one of the role");
    counted(&forge, 0);
}
