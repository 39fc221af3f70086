//! A family of tokens at oidc-provider from its first token to its end: by a code with PKCE, renewed in rotation, revoked, reused.
use super::desk::Desk;
use crate::support::front::Front;
use crate::support::introspection::active_at;
use crate::support::peers::OidcProvider;

/// A desk at the server behind `front`, and a check of its tokens.
fn desk(front: &Front) -> (Desk, impl Fn(&str) -> bool) {
    let login = format!("issuer = \"{}\"\nscopes = [\"openid\", \"email\", \"offline_access\"]", front.url());
    let checker = Some(("checker".into(), "checker-secret".into()));
    (Desk::new("keyfob", &login), active_at(&front.url(), checker))
}

#[test]
fn a_family_at_oidc_provider_is_renewed_and_revoked() {
    let front = Front::start();
    let Some(_server) = OidcProvider::start_behind(&front) else { return };
    let (desk, takes) = desk(&front);
    desk.signs_in_renews_and_revokes(&front, &takes);
}

#[test]
fn a_family_that_a_reuse_ended_at_oidc_provider_needs_a_person_again() {
    let front = Front::start();
    let Some(_server) = OidcProvider::start_behind(&front) else { return };
    let (desk, takes) = desk(&front);
    desk.asks_again_after_a_reuse(&front, &takes);
}
