//! Revoking a token set: refresh token, then access token, and what is left at the server afterwards.
use super::worker::sign_in_hint;
use crate::config::Login;
use crate::failure::{Failure, Kind};
use crate::oauth::Registration;
use crate::oauth::revocation::Fate;
use crate::terminal::printable;
use crate::token::TokenSet;
use url::Url;

/// What became of a token set at its server; a token that was not there has no fate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AtServer {
    /// Whether the server has a way to revoke at all.
    offered: bool,
    refresh: Option<Fate>,
    access: Option<Fate>,
    issuer: String,
    /// When the access token ends by itself, in seconds since the epoch.
    pub(crate) access_ends_at: Option<i64>,
}

/// Asks the server of `tokens` to revoke them, which it issued to a client of `login`.
pub(crate) fn stored(login: &Login, tokens: &TokenSet) -> AtServer {
    let endpoint = tokens.revocation_endpoint.as_deref().and_then(|text| Url::parse(text).ok());
    let client = tokens.client_id.as_ref().unwrap_or(&login.client_id);
    match Registration::of_client(login, client) {
        Ok(registration) => at(&registration, endpoint.as_ref(), tokens),
        Err(failure) => {
            let fate = || Fate::Unreached(failure.message.clone());
            let (refresh, access) = (tokens.refresh_token.as_ref().map(|_| fate()), tokens.access_token.as_ref().map(|_| fate()));
            AtServer { refresh, access, ..nothing_told(endpoint.is_some(), tokens) }
        }
    }
}

/// The same at `endpoint`, by `registration`. Where the refresh token goes the whole grant goes, so it comes first; a server that is not
/// reached for the one is not asked for the other.
pub(crate) fn at(registration: &Registration<'_>, endpoint: Option<&Url>, tokens: &TokenSet) -> AtServer {
    let Some(endpoint) = endpoint else { return nothing_told(false, tokens) };
    let refresh = tokens.refresh_token.as_ref().map(|token| registration.revoke(endpoint, token, "refresh_token"));
    let access = tokens.access_token.as_ref().map(|token| match &refresh {
        Some(Fate::Unreached(reason)) => Fate::Unreached(reason.clone()),
        _ => registration.revoke(endpoint, &token.value, "access_token"),
    });
    AtServer { refresh, access, ..nothing_told(true, tokens) }
}

fn nothing_told(offered: bool, tokens: &TokenSet) -> AtServer {
    let access_ends_at = tokens.access_token.as_ref().and_then(|token| token.expires_at);
    let not_asked = || Fate::Unreached("it was not asked".to_owned());
    AtServer {
        offered,
        refresh: tokens.refresh_token.as_ref().map(|_| not_asked()),
        access: tokens.access_token.as_ref().map(|_| not_asked()),
        issuer: tokens.issuer.clone(),
        access_ends_at,
    }
}

impl AtServer {
    /// Whether the server confirmed the end of what renews itself, or of the access token where that is all.
    pub(crate) fn is_revoked(&self) -> bool {
        self.refresh.as_ref().or(self.access.as_ref()).is_some_and(|fate| *fate == Fate::Revoked)
    }

    /// Whether all that is left is an access token that this server revokes for nobody.
    pub(crate) fn leaves_what_ends_by_itself(&self) -> bool {
        self.access == Some(Fate::NotThisKind) && matches!(self.refresh, None | Some(Fate::Revoked))
    }

    /// Returns what a person should know of the tokens of `login` that are still good at the server, and where to end them; none where
    /// nothing is to be done. `ends` says when the access token ends by itself, as `in 52 min`. Pure.
    pub(crate) fn remains(&self, login: &Login, ends: &str) -> Option<Failure> {
        let (name, issuer) = (&login.name, printable(&self.issuer));
        let reason = |fate: &Fate| match fate {
            Fate::Revoked => None,
            _ if !self.offered => Some("it offers no revocation".to_owned()),
            Fate::NotThisKind => Some("it revokes none of this kind".to_owned()),
            Fate::Refused(said) => Some(format!("it refused: {said}")),
            Fate::Unreached(reason) => Some(reason.clone()),
        };
        if let Some(reason) = self.refresh.as_ref().and_then(reason) {
            let message =
                format!("the refresh token of `{name}` was not revoked and stays good until its server ends it: {reason}");
            return Some(
                Failure::new(Kind::Unreachable, message)
                    .hint(format!("end the session, or take keyfob's access away, on the server's own pages: {issuer}")),
            );
        }
        if self.leaves_what_ends_by_itself() {
            return None;
        }
        let reason = self.access.as_ref().and_then(reason)?;
        let message = format!("the access token of `{name}` was not revoked and is good until it ends, {ends}: {reason}");
        Some(Failure::new(Kind::Unreachable, message).hint(format!("if that is too long, end the session at {issuer}")))
    }
}

/// Returns what is said where a record went that did not open.
pub(crate) fn unopened(login: &Login) -> Failure {
    Failure::new(
        Kind::Misconfigured,
        format!("the record of `{}` did not open, so its server was not told to end its tokens", login.name),
    )
    .hint(format!("end the session on the server's own pages; to sign in again, {}", sign_in_hint(login)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn login() -> Login {
        let text = "[login.corp]\nissuer = \"https://sso.example.com\"\nclient_id = \"c\"\n";
        let config: Config = crate::config::tests::from_texts(&[text]).unwrap();
        config.logins["corp"].clone()
    }

    #[test]
    fn what_is_left_at_the_server_is_said_with_where_to_end_it_and_nothing_else_is() {
        let refused = || Some(Fate::Refused("status 401".into()));
        let unreached = || Some(Fate::Unreached("cannot reach `h`".into()));
        let (revoked, other) = (|| Some(Fate::Revoked), || Some(Fate::NotThisKind));
        let renews = "the refresh token of `corp` was not revoked and stays good until its server ends it: ";
        let ends = "the access token of `corp` was not revoked and is good until it ends, in 52 min: ";
        let rows = [
            // offered, refresh, access, what is said
            (true, revoked(), revoked(), None),
            (true, None, revoked(), None),
            (true, revoked(), None, None),
            (true, None, None, None),
            (true, revoked(), other(), None),
            (true, None, other(), None),
            (true, refused(), refused(), Some((renews, "it refused: status 401"))),
            (true, refused(), revoked(), Some((renews, "it refused: status 401"))),
            (true, unreached(), unreached(), Some((renews, "cannot reach `h`"))),
            (true, other(), other(), Some((renews, "it revokes none of this kind"))),
            (false, unreached(), unreached(), Some((renews, "it offers no revocation"))),
            (false, None, unreached(), Some((ends, "it offers no revocation"))),
            (true, revoked(), refused(), Some((ends, "it refused: status 401"))),
            (true, None, unreached(), Some((ends, "cannot reach `h`"))),
        ];
        for (offered, refresh, access, expected) in rows {
            let issuer = "https://sso.example.com".to_owned();
            let at_server = AtServer { offered, refresh, access, issuer, access_ends_at: None };
            let said = at_server.remains(&login(), "in 52 min");
            let message = said.as_ref().map(|failure| failure.message.clone());
            assert_eq!(message, expected.map(|(left, why)| format!("{left}{why}")), "{at_server:?}");
            assert!(said.is_none_or(|failure| failure.hints[0].contains("https://sso.example.com")), "{at_server:?}");
        }
    }
}
