//! Whose tokens came: those of the account before, of the one that is configured, or of another where a person asked for that.
use super::revoke;
use super::sign_out::forget_roles;
use super::worker::Work;
use crate::audit::Event;
use crate::config::Login;
use crate::failure::{Failure, Kind};
use crate::terminal;
use crate::token::TokenSet;

/// The tokens that a sign-in took the place of.
#[derive(Debug)]
pub(super) struct Former {
    tokens: TokenSet,
    relation: Relation,
}

/// Whose former tokens were, beside those that took their place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Relation {
    Same,
    Another,
    /// The server did not say of both whose they are.
    Unknown,
}

fn relation(former: &TokenSet, tokens: &TokenSet) -> Relation {
    match (&former.subject, &tokens.subject) {
        (Some(former), Some(subject)) if former == subject => Relation::Same,
        (Some(_), Some(_)) => Relation::Another,
        _ => Relation::Unknown,
    }
}

/// Checks whose `tokens` a sign-in to `login` brought: of the account that is configured, and of that of the tokens `before`, unless the
/// person wants another (`switches`).
///
/// # Errors
/// [`Kind::Refused`], saying what to do to change the account.
pub(super) fn check(login: &Login, before: Option<&TokenSet>, tokens: &TokenSet, switches: bool) -> Result<(), Failure> {
    if let Some(wanted) = &login.account {
        let names = [&tokens.account, &tokens.subject, &tokens.email];
        if names.iter().all(|name| name.is_none()) {
            return Err(Failure::new(
                Kind::Refused,
                format!(
                    "the server did not say which account it signed in to `{}`, which is for `{}`",
                    login.name,
                    terminal::printable(wanted)
                ),
            )
            .hint("add `openid` to `scopes` of the login where the server has it, or take `account` out"));
        }
        if !names.into_iter().flatten().any(|name| name == wanted) {
            return Err(Failure::new(
                Kind::Refused,
                format!(
                    "the server signed in another account than `{}`, which `{}` is for",
                    terminal::printable(wanted),
                    login.name
                ),
            )
            .hint("choose that account at the server, or change `account` of the login"));
        }
    }
    let known = before.filter(|before| before.subject.is_some() && !switches);
    match known.map(|before| relation(before, tokens)) {
        Some(Relation::Another) => Err(other(login)),
        // it may be anybody's
        Some(Relation::Unknown) => {
            Err(Failure::new(Kind::Refused, format!("the server did not say which account it signed in to `{}`", login.name))
                .hint(format!("run `{}` to take whichever it is", switch(login))))
        }
        Some(Relation::Same) | None => Ok(()),
    }
}

/// Returns the failure of tokens that are another account's.
pub(super) fn other(login: &Login) -> Failure {
    Failure::new(Kind::Refused, format!("the server signed in another account than the one `{}` had before", login.name))
        .hint(format!("choose the same account, or run `{}` to change it", switch(login)))
}

fn switch(login: &Login) -> String {
    format!("keyfob login {} --switch-account", login.name)
}

impl Former {
    /// Holds `tokens` against those that took their place.
    pub(super) fn new(tokens: TokenSet, followers: &TokenSet) -> Self {
        Self { relation: relation(&tokens, followers), tokens }
    }

    /// Ends the credentials that another account's tokens were exchanged for, here.
    pub(super) fn forget_roles(&self, work: &Work<'_>, login: &Login) {
        if self.relation != Relation::Same
            && let Err(failure) = forget_roles(work.config, &work.store, login)
        {
            work.warn(&failure);
        }
    }

    /// Ends what is left of another account: credentials that its tokens were exchanged for, here, and the tokens, at the server.
    ///
    /// Those of the same account are left alone: a server that ends the whole grant would end the new ones with them.
    pub(super) fn retire(self, work: &Work<'_>, login: &Login) {
        self.forget_roles(work, login);
        let Self { tokens, relation } = self;
        if relation == Relation::Same {
            return;
        }
        if relation == Relation::Unknown {
            work.warn(
                &Failure::new(
                    Kind::Refused,
                    format!(
                        "the tokens that `{}` had before were not revoked: the server does not say whose they are",
                        login.name
                    ),
                )
                .hint(format!("end that session on the server's own pages: {}", terminal::printable(&tokens.issuer))),
            );
            return;
        }
        let at_server = revoke::stored(login, &tokens);
        if at_server.is_revoked() {
            work.note(&work.entry(Event::Revoked, login, &tokens).because("another account was signed in"));
        }
        if let Some(failure) = at_server.remains(login, "as it does by itself") {
            work.warn(&failure);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(account: Option<&str>) -> Login {
        let account = account.map(|account| format!("account = \"{account}\"\n")).unwrap_or_default();
        let text = format!("[login.corp]\nissuer = \"https://sso.example.com\"\nclient_id = \"c\"\n{account}");
        crate::config::tests::from_texts(&[&text]).unwrap().logins["corp"].clone()
    }

    fn tokens(subject: Option<&str>) -> TokenSet {
        let form = serde_json::json!({
            "issuer": "https://sso.example.com", "token_endpoint": "", "revocation_endpoint": null, "subject": subject,
            "account": subject, "scope": [], "access_token": null, "refresh_token": null, "id_token": null,
            "signed_in_at_ms": 0, "renewed_at_ms": 0,
        });
        TokenSet::read(form.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn an_account_is_taken_where_it_is_the_same_or_asked_for_and_never_against_the_configuration() {
        let (alice, bob, nobody) = (Some("alice"), Some("bob"), None);
        let rows = [
            // configured, before, now, switches, what is said
            (None, None, bob, false, None),
            (None, Some(alice), alice, false, None),
            (None, Some(alice), bob, false, Some("keyfob login corp --switch-account` to change it")),
            (None, Some(alice), nobody, false, Some("keyfob login corp --switch-account` to take whichever")),
            (None, Some(nobody), bob, false, None),
            (None, Some(nobody), nobody, false, None),
            (None, Some(alice), bob, true, None),
            (None, Some(alice), alice, true, None),
            (None, Some(alice), nobody, true, None),
            (alice, None, bob, false, Some("change `account` of the login")),
            (alice, Some(alice), bob, true, Some("change `account` of the login")),
            (alice, Some(alice), nobody, true, Some("add `openid` to `scopes` of the login")),
            (alice, Some(alice), alice, true, None),
        ];
        for (account, before, now, switches, expected) in rows {
            let before = before.map(tokens);
            let outcome = check(&login(account), before.as_ref(), &tokens(now), switches);
            let said = outcome.err().map(|failure| failure.hints.concat());
            assert_eq!(said.is_some(), expected.is_some(), "{account:?} {now:?} {switches}: {said:?}");
            assert!(expected.is_none_or(|expected| said.as_ref().is_some_and(|said| said.contains(expected))), "{said:?}");
        }
    }
}
