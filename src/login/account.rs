//! Whose tokens came: those of the account before, of the one that is configured, or of another where a person asked for that.
use super::revoke;
use super::sign_out::forget_roles;
use super::worker::Work;
use crate::audit::Event;
use crate::config::Login;
use crate::failure::{Failure, Kind};
use crate::oauth::Registration;
use crate::oauth::metadata::Metadata;
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

/// Finds out whose `tokens` a sign-in brought, and checks it: of the account that is configured, and of that of the tokens `before`,
/// unless the person wants another (`switches`). Returns what a person is to know of it.
///
/// # Errors
/// [`Kind::Refused`], saying what to do to change the account.
pub(super) fn settle(
    registration: &Registration<'_>,
    metadata: &Metadata,
    before: Option<&TokenSet>,
    tokens: &mut TokenSet,
    switches: bool,
) -> Result<Option<Failure>, Failure> {
    let silence = ask(registration, metadata, tokens)?;
    check(registration.login, before, tokens, switches).map_err(|failure| explained(failure, silence.as_ref()))?;
    Ok(doubt(registration.login, tokens).map(|doubt| explained(doubt, silence.as_ref())))
}

/// Adds why the server did not say more.
fn explained(failure: Failure, silence: Option<&Failure>) -> Failure {
    match silence {
        Some(silence) => failure.because(silence),
        None => failure,
    }
}

/// Asks the server whose `tokens` are, where they came without a word of that or are not known to be of the configured account;
/// returns why it did not say.
///
/// # Errors
/// [`Kind::Refused`] where it names another than the ID token does (OpenID Connect Core §5.3.2).
fn ask(registration: &Registration<'_>, metadata: &Metadata, tokens: &mut TokenSet) -> Result<Option<Failure>, Failure> {
    let login = registration.login;
    // a server of OpenID Connect would refuse whoever did not ask for `openid`
    let is_missing = tokens.subject.is_none() && login.endpoints.userinfo.is_some();
    let is_needed = login.account.as_ref().is_some_and(|wanted| !is_of(tokens, wanted));
    let (Some(endpoint), Some(token), true) = (&metadata.userinfo_endpoint, &tokens.access_token, is_missing || is_needed) else {
        return Ok(None);
    };
    let person = match registration.whose(endpoint, &token.value) {
        Ok(person) => person,
        Err(failure) => return Ok(Some(failure)),
    };
    if tokens.subject.is_some() && tokens.subject != person.subject {
        let issuer = terminal::printable(&tokens.issuer);
        return Err(Failure::new(Kind::Refused, format!("`{issuer}` says that the tokens are of two different accounts")));
    }
    tokens.subject = person.subject;
    tokens.account = person.account.or_else(|| tokens.account.take());
    tokens.email = person.email.or_else(|| tokens.email.take());
    Ok(None)
}

fn names(tokens: &TokenSet) -> impl Iterator<Item = &String> {
    [&tokens.account, &tokens.subject, &tokens.email].into_iter().flatten()
}

fn is_of(tokens: &TokenSet, wanted: &str) -> bool {
    names(tokens).any(|name| name == wanted)
}

fn check(login: &Login, before: Option<&TokenSet>, tokens: &TokenSet, switches: bool) -> Result<(), Failure> {
    if let (Some(wanted), Some(name)) = (&login.account, names(tokens).next())
        && !is_of(tokens, wanted)
    {
        let [name, wanted] = [name, wanted].map(|name| terminal::printable(name));
        let said = format!("the server signed in `{name}`, and `{}` is for `{wanted}`", login.name);
        return Err(Failure::new(Kind::Refused, said).hint("choose that account at the server, or change `account` of the login"));
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

/// Returns what is to be known of tokens that are taken for the configured account's although the server did not say whose they are.
fn doubt(login: &Login, tokens: &TokenSet) -> Option<Failure> {
    let wanted = login.account.as_ref().filter(|_| names(tokens).next().is_none())?;
    let (issuer, wanted) = (terminal::printable(&tokens.issuer), terminal::printable(wanted));
    let said = format!("`{issuer}` does not say which account signed in to `{}`; it is taken for `{wanted}`", login.name);
    let failure = Failure::new(Kind::Refused, said).hint(format!("if it is another, run `{}`", switch(login)));
    let has_openid = login.issuer.is_some() && !login.scopes.iter().any(|scope| scope == "openid");
    Some(if has_openid { failure.hint("with `openid` in `scopes` the server would say so") } else { failure })
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
            (alice, None, nobody, false, None),
            (alice, Some(alice), nobody, true, None),
            (alice, Some(alice), nobody, false, Some("keyfob login corp --switch-account` to take whichever")),
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
    #[test]
    fn what_is_taken_for_the_configured_account_without_a_word_of_the_server_is_said() {
        let (alice, nobody) = (Some("alice"), None);
        for (account, now, expected) in [(None, nobody, false), (alice, alice, false), (alice, nobody, true)] {
            let doubt = doubt(&login(account), &tokens(now));
            assert_eq!(doubt.is_some(), expected, "{account:?} {now:?}");
            for hint in doubt.iter().flat_map(|doubt| &doubt.hints) {
                assert!(hint.contains("--switch-account") || hint.contains("`openid` in `scopes`"), "{hint}");
            }
        }
    }
}
