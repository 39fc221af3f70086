//! Sending a refresh token: once more where the answer was lost, and remembered until an answer came.
use super::failed::Class;
use super::worker::{Broken, Work, passing};
use crate::failure::Kind;
use crate::http::TOTAL;
use crate::oauth::Registration;
use crate::oauth::token_endpoint::{Claims, Denial, Grant};
use crate::store::{Note, Reservation};
use crate::token::{Ended, short_hash};
use helper_protocols::Secret;
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};
use url::Url;

/// How soon an answer must be lost for the token to be sent once more: servers that rotate take the former token again for some
/// seconds, if at all.
const HASTE: Duration = Duration::from_secs(10);

/// The note of a refresh token that was sent and not yet answered.
#[derive(Serialize, Deserialize)]
struct Sent {
    /// The short hash of it.
    token: String,
}

/// Why a refresh token brought nothing.
pub(crate) enum Unspent {
    /// The server does not take it, any more, or only after a person did what it names.
    Over(Ended, Option<Claims>),
    Broken(Broken),
}

impl Work<'_> {
    /// Sends `refresh_token` to `endpoint`, with the place for the answer in `slot`.
    ///
    /// What is sent is noted first, and the note stays until an answer came: even where this process is killed in between, a later
    /// refusal can be told from a sign-in that has ended. Where the answer gets lost soon, the token is sent once more.
    ///
    /// # Errors
    /// What the server said, and how far others share it.
    pub(crate) fn spend(
        &self,
        registration: &Registration<'_>,
        endpoint: &Url,
        refresh_token: &Secret,
        slot: &Reservation<'_>,
    ) -> Result<Grant, Unspent> {
        let token = short_hash(refresh_token);
        let note = self.store.read_note(&self.record, Note::Sent).ok().flatten();
        let mut lost = note.and_then(|note| serde_json::from_slice::<Sent>(&note).ok()).is_some_and(|sent| sent.token == token);
        let form = serde_json::to_vec(&Sent { token }).expect("a note holds only text");
        // without it a refusal is explained less well, and nothing else
        let _ = self.store.write_note(slot.lock(), Note::Sent, &form);
        let begun = Instant::now();
        let mut answer = registration.refresh(endpoint, refresh_token, TOTAL);
        if matches!(answer, Err(Denial::Lost(_))) {
            lost = true;
            if begun.elapsed() < HASTE {
                self.context.trace(|| "the answer to a renewal was lost; asking once more".to_owned());
                answer = registration.refresh(endpoint, refresh_token, TOTAL.saturating_sub(begun.elapsed()));
            }
        }
        match answer {
            // the note goes when what came is kept
            Ok(grant) => Ok(grant),
            Err(Denial::Over(_)) => Err(Unspent::Over(if lost { Ended::AnswerLost } else { Ended::Refused }, None)),
            Err(Denial::Interact(_, claims)) => Err(Unspent::Over(Ended::Interaction, claims)),
            Err(Denial::Lost(failure)) => Err(Unspent::Broken(passing(failure))),
            Err(answered) => {
                if !lost {
                    let _ = self.store.clear_note(slot.lock(), Note::Sent);
                }
                let class = match &answered {
                    Denial::Busy(_, wait) => Class::busy(*wait),
                    // the same answer would come again, so those who cannot change anything do not ask for it all the time
                    Denial::Failed(failure) if failure.kind != Kind::Unreachable => Class::Denied,
                    _ => Class::Passing,
                };
                Err(Unspent::Broken((class, answered.failure())))
            }
        }
    }
}
