//! A test's home ends what lives in it and betrays what leaked into it.
use crate::support::home::Home;
use crate::support::process;
use crate::support::temp_dir::write;

#[test]
#[should_panic(expected = "holds a secret")]
fn a_secret_in_a_home_is_found() {
    let home = Home::new();
    write(&home.state().join("deep/down"), "something rt_0123456789 else");
    home.scan_for_secrets(&["rt_0123456789".to_owned()]);
}

#[cfg(target_os = "linux")]
#[test]
fn a_home_ends_what_lives_in_it() {
    let home = Home::new();
    let mut child = home.command("sleep").arg("60").spawn().unwrap();
    assert_eq!(home.processes(), [child.id()]);
    drop(home);
    assert_eq!(process::wait(&mut child, process::LIMIT), Some(None));
}
