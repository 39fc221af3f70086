//! Refreshing a token set: whether it is still needed, spending the refresh token, and taking in what came for it.
use super::account;
use super::failed::Class;
use super::sign_in;
use super::spend::Unspent;
use super::worker::{Broken, Done, Work, passing, sign_in_hint};
use crate::audit::Event;
use crate::config::Login;
use crate::failure::{Failure, Kind};
use crate::oauth::Registration;
use crate::oauth::token_endpoint::{Claims, Grant};
use crate::store::{Note, RecordLock};
use crate::token::{Ended, Habits, Moment, Need, Step, Token, TokenSet, by_our_clock, next_step};
use url::Url;

/// What a refresh came to.
pub(crate) enum Refreshed {
    Enough(Done),
    /// A person has to sign in; why, where the server said so, and what it wants to be asked for.
    NeedsPerson(Option<Ended>, Option<Claims>),
}

impl Work<'_> {
    /// Whether somebody else, or a worker that was killed before its last step, has already done what this job is for.
    pub(crate) fn is_enough(&self, login: &Login, tokens: &TokenSet) -> bool {
        let (moment, widest) = (self.context.moment(), Habits { late: login.late_refresh, jitter: 25 });
        if self.job.force {
            return self.job.former_ms != Some(tokens.signed_in_at_ms);
        }
        let renewed_for_us =
            moment.covers(self.job.since_ms, tokens.renewed_at_ms) && tokens.usable(self.job.need, moment).is_some();
        renewed_for_us || next_step(Some(tokens), self.job.need, widest, moment) == Step::Use
    }

    /// Spends the refresh token of `tokens` under `lock`, and keeps what comes.
    ///
    /// # Errors
    /// What the server said, and how far others share it.
    pub(crate) fn refresh(
        &self,
        registration: &Registration<'_>,
        mut tokens: TokenSet,
        lock: &RecordLock,
    ) -> Result<Refreshed, Broken> {
        let login = registration.login;
        let Some(refresh_token) = tokens.refresh_token.clone() else { return Ok(Refreshed::NeedsPerson(tokens.ended, None)) };
        // a refresh token goes only to the endpoint that was sealed with it
        let endpoint = Url::parse(&tokens.token_endpoint).map_err(|_| {
            passing(
                Failure::new(Kind::Misconfigured, format!("the stored sign-in of `{}` names no server", login.name))
                    .hint(sign_in_hint(login)),
            )
        })?;
        let slot = self.store.reserve(lock).map_err(passing)?;
        match self.spend(registration, &endpoint, &refresh_token, &slot) {
            Ok(grant) => {
                let rejected = tokens.access_token.as_ref().is_some_and(|token| token.rejected);
                self.merge(&mut tokens, &grant, rejected);
                let mut identified = tokens.clone();
                let claims = self.note_id_token(&mut identified, &grant, &registration.client_id, None).and_then(|()| {
                    if tokens.subject.is_some() && identified.subject != tokens.subject {
                        Err(account::other(login))
                    } else {
                        Ok(())
                    }
                });
                match &claims {
                    Ok(()) => tokens = identified,
                    // whose it is stands in doubt; the refresh token that came with it is kept all the same
                    Err(_) => tokens.access_token = None,
                }
                let form = tokens.stored_form();
                let done = self.done(lock, slot.commit(&form), form, false);
                // what is not kept was spent all the same: a later refusal is explained by that
                if matches!(done, Done::Kept) {
                    let _ = self.store.clear_note(lock, Note::Sent);
                }
                let entry = self.entry(Event::Refreshed, login, &tokens);
                self.note(&claims.as_ref().err().into_iter().fold(entry, |entry, failure| entry.because(&failure.message)));
                claims.map_err(|failure| (Class::Denied, failure))?;
                if tokens.usable(self.job.need, self.context.moment()).is_some() {
                    return Ok(Refreshed::Enough(done));
                }
                match self.job.need {
                    // a refresh need not bring a new one (OpenID Connect Core §12.2)
                    Need::IdToken { .. } => Ok(Refreshed::NeedsPerson(None, None)),
                    Need::Access { .. } => Err((Class::Denied, sign_in::not_what_is_needed(login, self.job.need))),
                }
            }
            Err(Unspent::Over(ended, claims)) => {
                drop(slot);
                if ended != Ended::Interaction {
                    // still under the lock, so it is still the stored one
                    tokens.refresh_token = None;
                }
                tokens.ended = Some(ended);
                self.store.write(lock, &tokens.stored_form()).map_err(passing)?;
                let _ = self.store.clear_note(lock, Note::Sent);
                self.note(&self.entry(Event::Refused, login, &tokens).because(ended.sentence()));
                Ok(Refreshed::NeedsPerson(Some(ended), claims))
            }
            Err(Unspent::Broken(broken)) => Err(broken),
        }
    }

    /// Takes what `grant` brings into `tokens`; what it leaves out stays.
    pub(crate) fn merge(&self, tokens: &mut TokenSet, grant: &Grant, after_rejection: bool) {
        let Moment { now, uptime } = self.context.moment();
        tokens.access_token = Some(Token {
            value: grant.access_token.clone(),
            obtained_at: now,
            obtained_uptime: uptime,
            expires_at: grant.expires_in.map(|life| now.saturating_add(life)),
            rejected: false,
            after_rejection,
        });
        if let Some(refresh_token) = &grant.refresh_token {
            tokens.refresh_token = Some(refresh_token.clone());
        }
        if let Some(scope) = &grant.scope {
            tokens.scope.clone_from(scope);
        }
        tokens.renewed_at_ms = (self.context.now_ms)();
        tokens.remember_access_token();
    }

    /// Reads the ID token of `grant` into `tokens`, where it brought one.
    pub(crate) fn note_id_token(
        &self,
        tokens: &mut TokenSet,
        grant: &Grant,
        client_id: &str,
        nonce: Option<&str>,
    ) -> Result<(), Failure> {
        let Some(id_token) = &grant.id_token else { return Ok(()) };
        let Moment { now, uptime } = self.context.moment();
        // its end is by the server's clock, so it is judged by that one
        let server_now = now.saturating_add(now.saturating_sub(by_our_clock(now, grant.server_now, now)));
        let claims = crate::oauth::id_token::read(id_token, &tokens.issuer, client_id, nonce, server_now)?;
        tokens.subject = Some(claims.subject);
        tokens.account = claims.account.or_else(|| tokens.account.take());
        tokens.email = claims.email.or_else(|| tokens.email.take());
        tokens.id_token = Some(Token {
            value: id_token.clone(),
            obtained_at: now,
            obtained_uptime: uptime,
            expires_at: Some(by_our_clock(claims.expires_at, grant.server_now, now)),
            rejected: false,
            after_rejection: false,
        });
        Ok(())
    }
}
