//! keyfob as a storage helper of credentials with a scheme (`authtype`), which git knows since 2.46.
use super::storage::{Drawer, HOST, cases};

const KNOWS: &str = "capability[]=authtype\n";

/// Lets `drawer` keep a Bearer credential of alice's.
fn keep(drawer: &Drawer) {
    drawer.approve(&format!("{KNOWS}authtype=Bearer\ncredential=token\n{HOST}username=alice\n"));
}

cases! {
    a_credential_with_a_scheme_is_found_by_who_knows_schemes
    a_credential_with_a_scheme_is_hidden_from_who_does_not_know_schemes
    a_credential_with_a_scheme_is_found_by_its_user_name
    a_credential_with_a_scheme_is_not_found_by_another_user_name
    a_passing_credential_is_not_kept
    a_passing_password_is_not_kept
    rejecting_another_credential_forgets_nothing_and_rejecting_the_kept_one_forgets_it
    a_password_and_a_credential_with_a_scheme_are_kept_beside_each_other
}

fn a_credential_with_a_scheme_is_found_by_who_knows_schemes(drawer: &Drawer) {
    drawer.approve(&format!("{KNOWS}authtype=Bearer\ncredential=token\n{HOST}"));
    drawer.finds(&format!("{KNOWS}{HOST}"), "authtype=Bearer\ncredential=token\n");
}

fn a_credential_with_a_scheme_is_hidden_from_who_does_not_know_schemes(drawer: &Drawer) {
    keep(drawer);
    drawer.lacks(HOST);
}

fn a_credential_with_a_scheme_is_found_by_its_user_name(drawer: &Drawer) {
    keep(drawer);
    drawer.finds(&format!("{KNOWS}{HOST}username=alice\n"), "authtype=Bearer\ncredential=token\n");
}

fn a_credential_with_a_scheme_is_not_found_by_another_user_name(drawer: &Drawer) {
    keep(drawer);
    drawer.lacks(&format!("{KNOWS}{HOST}username=bob\n"));
}

fn a_passing_credential_is_not_kept(drawer: &Drawer) {
    drawer.approve(&format!("{KNOWS}authtype=Bearer\ncredential=token\nephemeral=1\n{HOST}"));
    drawer.lacks(&format!("{KNOWS}{HOST}"));
}

fn a_passing_password_is_not_kept(drawer: &Drawer) {
    drawer.approve(&format!("{KNOWS}ephemeral=1\n{HOST}username=u\npassword=p\n"));
    drawer.lacks(&format!("{KNOWS}{HOST}"));
    drawer.lacks(HOST);
}

fn rejecting_another_credential_forgets_nothing_and_rejecting_the_kept_one_forgets_it(drawer: &Drawer) {
    keep(drawer);
    let asked = format!("{KNOWS}{HOST}");
    drawer.reject(&format!("{KNOWS}authtype=Bearer\ncredential=other\n{HOST}username=alice\n"));
    drawer.finds(&asked, "username=alice\nauthtype=Bearer\ncredential=token\n");
    drawer.reject(&format!("{KNOWS}authtype=Bearer\ncredential=token\n{HOST}username=alice\n"));
    drawer.lacks(&asked);
}

fn a_password_and_a_credential_with_a_scheme_are_kept_beside_each_other(drawer: &Drawer) {
    drawer.approve(&format!("{HOST}username=alice\npassword=p\n"));
    drawer.approve(&format!("{KNOWS}authtype=Bearer\ncredential=token\n{HOST}username=alice\n"));
    drawer.finds(HOST, "username=alice\npassword=p\n");
    drawer.reject(&format!("{HOST}username=alice\npassword=p\n"));
    drawer.finds(&format!("{KNOWS}{HOST}"), "username=alice\nauthtype=Bearer\ncredential=token\n");
}
