//! keyfob as a storage helper of credentials with a scheme (`authtype`), which git knows since 2.46.
use super::storage::{Drawer, HOST};

const KNOWS: &str = "capability[]=authtype\n";

/// A drawer that keeps a Bearer credential of alice's.
fn drawer() -> Option<Drawer> {
    let drawer = Drawer::new()?;
    drawer.approve(&format!("{KNOWS}authtype=Bearer\ncredential=token\n{HOST}username=alice\n"));
    Some(drawer)
}

#[test]
fn a_credential_with_a_scheme_is_found_by_who_knows_schemes() {
    let Some(drawer) = Drawer::new() else { return };
    drawer.approve(&format!("{KNOWS}authtype=Bearer\ncredential=token\n{HOST}"));
    drawer.finds(&format!("{KNOWS}{HOST}"), "authtype=Bearer\ncredential=token\n");
}

#[test]
fn a_credential_with_a_scheme_is_hidden_from_who_does_not_know_schemes() {
    let Some(drawer) = drawer() else { return };
    drawer.lacks(HOST);
}

#[test]
fn a_credential_with_a_scheme_is_found_by_its_user_name() {
    let Some(drawer) = drawer() else { return };
    drawer.finds(&format!("{KNOWS}{HOST}username=alice\n"), "authtype=Bearer\ncredential=token\n");
}

#[test]
fn a_credential_with_a_scheme_is_not_found_by_another_user_name() {
    let Some(drawer) = drawer() else { return };
    drawer.lacks(&format!("{KNOWS}{HOST}username=bob\n"));
}

#[test]
fn a_passing_credential_is_not_kept() {
    let Some(drawer) = Drawer::new() else { return };
    drawer.approve(&format!("{KNOWS}authtype=Bearer\ncredential=token\nephemeral=1\n{HOST}"));
    drawer.lacks(&format!("{KNOWS}{HOST}"));
}

#[test]
fn a_passing_password_is_not_kept() {
    let Some(drawer) = Drawer::new() else { return };
    drawer.approve(&format!("{KNOWS}ephemeral=1\n{HOST}username=u\npassword=p\n"));
    drawer.lacks(&format!("{KNOWS}{HOST}"));
    drawer.lacks(HOST);
}

#[test]
fn rejecting_another_credential_forgets_nothing_and_rejecting_the_kept_one_forgets_it() {
    let Some(drawer) = drawer() else { return };
    let asked = format!("{KNOWS}{HOST}");
    drawer.reject(&format!("{KNOWS}authtype=Bearer\ncredential=other\n{HOST}username=alice\n"));
    drawer.finds(&asked, "username=alice\nauthtype=Bearer\ncredential=token\n");
    drawer.reject(&format!("{KNOWS}authtype=Bearer\ncredential=token\n{HOST}username=alice\n"));
    drawer.lacks(&asked);
}

#[test]
fn a_password_and_a_credential_with_a_scheme_are_kept_beside_each_other() {
    let Some(drawer) = Drawer::new() else { return };
    drawer.approve(&format!("{HOST}username=alice\npassword=p\n"));
    drawer.approve(&format!("{KNOWS}authtype=Bearer\ncredential=token\n{HOST}username=alice\n"));
    drawer.finds(HOST, "username=alice\npassword=p\n");
    drawer.reject(&format!("{HOST}username=alice\npassword=p\n"));
    drawer.finds(&format!("{KNOWS}{HOST}"), "username=alice\nauthtype=Bearer\ncredential=token\n");
}
