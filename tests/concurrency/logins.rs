//! Many logins at once: each is renewed by itself, and a slow server holds up nobody but those who want its token.
use crate::support::authorization_server::{AuthorizationServer, Endpoint, Fault};
use crate::support::crowd::{Crowd, soak};
use crate::support::forge::Forge;
use crate::support::scene::ended_when_it_came;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const LOGINS: usize = 20;

fn each() -> usize {
    if soak() { 20 } else { 5 }
}

#[test]
fn twenty_logins_are_refreshed_once_each_and_wait_for_no_slow_server_of_another() {
    let forge = Forge::new();
    let servers: Vec<AuthorizationServer> = (0..LOGINS).map(|_| AuthorizationServer::start()).collect();
    let table = |(n, server): (usize, &AuthorizationServer)| {
        let issuer = server.issuer();
        format!("[login.n{n}]\nissuer = \"{issuer}\"\nclient_id = \"keyfob\"\nscopes = [\"openid\", \"offline_access\"]\n")
    };
    forge.configure(&servers.iter().enumerate().map(table).collect::<String>());
    servers.iter().for_each(|server| server.set_access_life(0));
    for n in 0..LOGINS {
        ended_when_it_came(&forge.home, &forge.keyfob(&["login", &format!("n{n}")]));
    }
    servers.iter().for_each(|server| server.set_access_life(3600));
    // however long the others take: the server of the first login answers when all of them are through
    let all_through = Arc::new(AtomicBool::new(false));
    servers[0].fault(Endpoint::Token, Fault::Until(Arc::clone(&all_through)));

    let ask = |n: usize| {
        let mut command = forge.command("keyfob");
        command.args(["token", &format!("n{n}")]);
        command
    };
    let slow = Crowd::start((0..each()).map(|_| ask(0)));
    // by then those who wait for it do so
    servers[0].wait_for(Endpoint::Token, 2);
    let others = Crowd::start((0..each() * (LOGINS - 1)).map(|place| ask(1 + place % (LOGINS - 1)))).end();
    all_through.store(true, Ordering::SeqCst);
    let slow = slow.end();
    assert!(servers[0].is_alive(slow.answer().trim()));
    assert_eq!((slow.workers, others.workers), (1, LOGINS - 1));
    for (place, output) in others.outputs.iter().enumerate() {
        let n = 1 + place % (LOGINS - 1);
        assert_eq!((output.code, output.stderr.as_str()), (Some(0), ""), "{output:?}");
        assert_eq!(output.stdout, others.outputs[n - 1].stdout, "all who asked for one login got one token");
        assert!(servers[n].is_alive(output.stdout.trim()));
    }
    for server in &servers {
        let counts = server.counts();
        assert_eq!((counts.refresh_requests, counts.refreshes, counts.reuses, counts.authorizations), (1, 1, 0, 1));
        assert_eq!((server.family_alive(), server.violations()), (true, Vec::new()));
        forge.wait_for_quiet();
        forge.home.scan_for_secrets(&server.issued_secrets());
    }
}
