//! Token sets: what one holds, its stored form, and what to do with it now.
use crate::failure::{Failure, Kind};
use helper_protocols::Secret;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// How many tokens' hashes are remembered, so that a tool which hands an older one back is recognised.
const REMEMBERED: usize = 8;

/// A token with its life, in seconds since the epoch.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Token {
    #[serde(with = "stored_secret")]
    pub(crate) value: Secret,
    pub(crate) obtained_at: i64,
    /// How long the machine had run then, in seconds.
    pub(crate) obtained_uptime: i64,
    /// Absent where the server names no end: good until a tool says it was refused (RFC 6749 §5.1).
    pub(crate) expires_at: Option<i64>,
    /// A tool reported that its server refuses this token.
    #[serde(default)]
    pub(crate) rejected: bool,
    /// It was obtained because the one before it was reported as refused.
    #[serde(default)]
    pub(crate) after_rejection: bool,
}

/// The present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment {
    /// By the clock: seconds since the epoch.
    pub(crate) now: i64,
    /// By how long the machine has run, sleep included, in seconds: nobody sets it, but it begins anew with the machine.
    pub(crate) uptime: i64,
}

impl Moment {
    /// Whether something of `at_ms` happened from `since_ms` to this moment, all in milliseconds since the epoch. What seems to be later
    /// was written by a clock that has been set back since.
    pub(crate) fn covers(self, since_ms: i64, at_ms: i64) -> bool {
        at_ms >= since_ms && at_ms / 1000 <= self.now
    }
}

/// From when to when something is good.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Life {
    pub(crate) obtained: Moment,
    /// Seconds since the epoch, by the clock of that moment.
    pub(crate) expires_at: Option<i64>,
}

/// All that one login holds: one token family at one authorization server.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct TokenSet {
    pub(crate) issuer: String,
    /// The only place the refresh token may be sent to.
    pub(crate) token_endpoint: String,
    pub(crate) revocation_endpoint: Option<String>,
    /// The client that it was issued to, where that is another than the login's own.
    #[serde(default)]
    pub(crate) client_id: Option<String>,
    pub(crate) subject: Option<String>,
    /// What a person calls the account: a user name or a mail address.
    pub(crate) account: Option<String>,
    #[serde(default)]
    pub(crate) email: Option<String>,
    pub(crate) scope: Vec<String>,
    pub(crate) access_token: Option<Token>,
    #[serde(with = "stored_optional_secret")]
    pub(crate) refresh_token: Option<Secret>,
    pub(crate) id_token: Option<Token>,
    /// When a person signed in, in milliseconds since the epoch.
    pub(crate) signed_in_at_ms: i64,
    /// When the server answered last, in milliseconds since the epoch.
    pub(crate) renewed_at_ms: i64,
    /// Short hashes of the latest access tokens, newest last.
    #[serde(default)]
    pub(crate) minted: Vec<String>,
    /// Why there is no refresh token to spend, as far as that is known.
    #[serde(default)]
    pub(crate) ended: Option<Ended>,
}

/// Why there is no refresh token to spend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Ended {
    /// The server does not take it any more.
    Refused,
    /// The same, after an answer that would have brought the next one did not arrive.
    AnswerLost,
    /// The server wants a person to do more; the token is kept, so that it can be revoked.
    Interaction,
    /// There never was one.
    NotGiven,
}

impl Ended {
    /// Returns what a person reads: why they have to sign in again.
    pub(crate) const fn sentence(self) -> &'static str {
        match self {
            Self::Refused => "the server no longer takes its refresh token (expired, revoked, or back from a backup)",
            Self::AnswerLost => {
                "the server's answer to a renewal was lost on its way, and the server takes a refresh token only once"
            }
            Self::Interaction => {
                "the server wants a further step from you, as a second factor, consent or a policy of your organisation"
            }
            Self::NotGiven => "the server gave no refresh token with it",
        }
    }
}

/// What a caller needs of a login, and for how many seconds it should still last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Need {
    Access { min_life: i64 },
    IdToken { min_life: i64 },
}

/// What to do about a need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Answer with what is there.
    Use,
    /// Answer with what is there, and let it be renewed without waiting.
    UseAndRenew,
    /// Spend the refresh token first.
    Renew,
    /// A person has to sign in.
    SignIn,
}

/// How fresh a life still is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Freshness {
    Fresh,
    /// Good, but near enough to its end to be renewed behind the answer.
    Ageing,
    Stale,
}

/// What freshness depends on beside the token itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Habits {
    /// Renewing ends the old token, so it is done as late as can be, and never behind an answer.
    pub(crate) late: bool,
    /// 0 to 25: percent by which this process looks further ahead, so that many do not renew at one instant.
    pub(crate) jitter: i64,
}

/// The margin of a server whose old access token dies at the refresh, in seconds.
const LATE_MARGIN: i64 = 30;
/// A clock that stands this far before the moment of obtaining was set back, in seconds. No margin is smaller.
const CLOCK_DOUBT: i64 = 30;

impl Life {
    /// Returns how many seconds are left at `moment`, 0 at the end; `None` where that cannot be known, because the clock was set back.
    ///
    /// Of clock and run time the one by which more has passed counts. The run time never says too much: where the machine began anew
    /// in between, it has run for less than has passed. An end that is not known is far away, whatever the clock says.
    pub(crate) fn left(&self, moment: Moment) -> Option<i64> {
        let Some(length) = self.length() else { return Some(i64::MAX) };
        let by_clock = moment.now.saturating_sub(self.obtained.now);
        if by_clock < -CLOCK_DOUBT {
            return None;
        }
        let age = by_clock.max(moment.uptime.saturating_sub(self.obtained.uptime));
        Some(length.saturating_sub(age).max(0))
    }

    fn length(&self) -> Option<i64> {
        self.expires_at.map(|end| end.saturating_sub(self.obtained.now).max(0))
    }
}

/// Clocks that differ by no more than this count as equal: an answer takes its time to arrive. In seconds.
const CLOCK_DIFFERENCE: i64 = 10;

/// Returns the moment `theirs` of a server by this machine's clock: both in seconds since the epoch, `server_now` what the server took
/// for the present when this machine took it for `now` (RFC 9110 §6.6.1). Pure.
pub(crate) fn by_our_clock(theirs: i64, server_now: Option<i64>, now: i64) -> i64 {
    let ahead = server_now.map_or(0, |server_now| server_now.saturating_sub(now));
    if ahead.saturating_abs() <= CLOCK_DIFFERENCE { theirs } else { theirs.saturating_sub(ahead) }
}

/// Decides how fresh `life` is at `moment` for a caller that wants `min_life` more seconds.
///
/// The margin is 60 s or a tenth of the life up to 5 min, or `min_life` where that is more, but never more than a third of the life,
/// so that a fresh short token counts as fresh. Twice the margin is the window in which it is ageing. What was obtained in the future
/// is stale, because the clock was set back; a life without an end is fresh. Pure.
pub(crate) fn freshness(life: Life, min_life: i64, habits: Habits, moment: Moment) -> Freshness {
    let Some(left) = life.left(moment) else { return Freshness::Stale };
    let Some(length) = life.length() else { return Freshness::Fresh };
    if habits.late {
        return if left > LATE_MARGIN.min(length / 3) { Freshness::Fresh } else { Freshness::Stale };
    }
    let margin = (length / 10).clamp(60, 300).max(min_life).min(length / 3);
    if left <= margin {
        Freshness::Stale
    } else if left <= 2 * margin + margin * habits.jitter / 100 {
        Freshness::Ageing
    } else {
        Freshness::Fresh
    }
}

/// Decides how to meet `need` from `cached` at `moment`: use it, renew it, or sign in again.
///
/// A refused token is never used. Without a refresh token a larger `min_life` cannot be had, so what is good by its own margin is
/// used; so is an ageing ID token where the latest renewal brought none. Pure: does not look at the clock.
pub(crate) fn next_step(cached: Option<&TokenSet>, need: Need, habits: Habits, moment: Moment) -> Step {
    let Some(tokens) = cached else { return Step::SignIn };
    let renewable = tokens.is_renewable();
    let (token, min_life) = match need {
        Need::Access { min_life } => (tokens.access_token.as_ref(), min_life),
        Need::IdToken { min_life } => (tokens.id_token.as_ref(), min_life),
    };
    let min_life = if renewable { min_life } else { 0 };
    let freshness = match token {
        Some(token) if !token.rejected => freshness(token.life(), min_life, habits, moment),
        _ => Freshness::Stale,
    };
    match (freshness, renewable) {
        (Freshness::Fresh, _) | (Freshness::Ageing, false) => Step::Use,
        (Freshness::Ageing, true) if matches!(need, Need::IdToken { .. }) && tokens.came_without_id_token() => Step::Use,
        (Freshness::Ageing, true) => Step::UseAndRenew,
        (Freshness::Stale, true) => Step::Renew,
        (Freshness::Stale, false) => Step::SignIn,
    }
}

impl Token {
    pub(crate) fn life(&self) -> Life {
        Life { obtained: Moment { now: self.obtained_at, uptime: self.obtained_uptime }, expires_at: self.expires_at }
    }
}

impl TokenSet {
    /// Returns the token that meets `need` at all: not refused, and not at its end. For the moment after a renewal, when nothing
    /// better can be had, and for when the server cannot be reached.
    pub(crate) fn usable(&self, need: Need, moment: Moment) -> Option<&Token> {
        let token = match need {
            Need::Access { .. } => self.access_token.as_ref(),
            Need::IdToken { .. } => self.id_token.as_ref(),
        };
        token.filter(|token| !token.rejected && token.life().left(moment).is_some_and(|left| left > 0))
    }

    /// Whether there is a refresh token to spend: one that the server takes without a person.
    pub(crate) fn is_renewable(&self) -> bool {
        self.refresh_token.is_some() && self.ended != Some(Ended::Interaction)
    }

    /// Whether the server's latest answer brought no ID token: a refresh need not (OpenID Connect Core §12.2), and the next one will not
    /// either.
    pub(crate) fn came_without_id_token(&self) -> bool {
        let id_token_at = self.id_token.as_ref().map(|token| token.obtained_at);
        self.access_token.as_ref().is_some_and(|token| id_token_at.is_none_or(|at| at < token.obtained_at))
    }

    /// Remembers the current access token as one of ours.
    pub(crate) fn remember_access_token(&mut self) {
        let Some(token) = &self.access_token else { return };
        let hash = short_hash(&token.value);
        self.minted.retain(|known| *known != hash);
        self.minted.push(hash);
        let surplus = self.minted.len().saturating_sub(REMEMBERED);
        self.minted.drain(..surplus);
    }

    /// Whether `secret` is one of the latest access tokens of this set.
    pub(crate) fn minted(&self, secret: &Secret) -> bool {
        let hash = short_hash(secret);
        self.minted.contains(&hash)
    }

    /// Returns the stored form: JSON that only [`TokenSet::read`] and the seal around it need to know.
    pub(crate) fn stored_form(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(serde_json::to_vec(self).expect("a token set holds only text, numbers and flags"))
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// [`Kind::Misconfigured`] where it is not one: written by a newer version, since the seal rules out damage.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, Failure> {
        serde_json::from_slice(bytes).map_err(|error| {
            // the parser's own sentence quotes values
            Failure::new(
                Kind::Misconfigured,
                format!("a stored sign-in is of a form that this version does not know (column {})", error.column()),
            )
            .hint("use the newer keyfob that wrote it, or run `keyfob logout --all` and sign in again")
        })
    }
}

/// Returns twelve hex digits that name `secret` in marks, logs and comparisons without giving it away.
pub(crate) fn short_hash(secret: &Secret) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, secret.expose().as_bytes());
    digest.as_ref()[..6].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A [`Secret`] in a stored form that will be sealed.
pub(crate) mod stored_secret {
    use helper_protocols::Secret;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(secret: &Secret, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(secret.expose())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Secret, D::Error> {
        String::deserialize(from).map(Secret::new)
    }
}

/// The same where it may be absent.
pub(crate) mod stored_optional_secret {
    use helper_protocols::Secret;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(secret: &Option<Secret>, to: S) -> Result<S::Ok, S::Error> {
        match secret {
            Some(secret) => to.serialize_some(secret.expose()),
            None => to.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Secret>, D::Error> {
        Option::<String>::deserialize(from).map(|value| value.map(Secret::new))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EARLY: Habits = Habits { late: false, jitter: 0 };
    const LATE: Habits = Habits { late: true, jitter: 0 };

    fn token(obtained_at: i64, expires_at: Option<i64>) -> Token {
        let value = Secret::new("at".into());
        Token { value, obtained_at, obtained_uptime: 0, expires_at, rejected: false, after_rejection: false }
    }

    /// A moment on a machine whose clock alone says how much has passed.
    fn at(now: i64) -> Moment {
        Moment { now, uptime: 0 }
    }

    fn set(access: Option<Token>, refresh: bool) -> TokenSet {
        TokenSet {
            issuer: "https://sso.example.com".into(),
            token_endpoint: "https://sso.example.com/token".into(),
            revocation_endpoint: None,
            client_id: None,
            subject: Some("alice".into()),
            account: None,
            email: None,
            scope: Vec::new(),
            access_token: access,
            refresh_token: refresh.then(|| Secret::new("rt".into())),
            id_token: None,
            signed_in_at_ms: 0,
            renewed_at_ms: 0,
            minted: Vec::new(),
            ended: None,
        }
    }

    #[test]
    fn freshness_follows_the_table() {
        use Freshness::{Ageing, Fresh, Stale};
        // obtained, expires, min_life, habits, now, expected
        let rows = [
            (0, Some(3600), 60, EARLY, 0, Fresh),
            (0, Some(3600), 60, EARLY, 3600 - 601, Fresh),
            (0, Some(3600), 60, EARLY, 3600 - 600, Ageing),
            (0, Some(3600), 60, EARLY, 3600 - 301, Ageing),
            (0, Some(3600), 60, EARLY, 3600 - 300, Stale),
            (0, Some(3600), 900, EARLY, 3600 - 901, Ageing),
            (0, Some(3600), 900, EARLY, 3600 - 900, Stale),
            (0, Some(3600), 60, Habits { late: false, jitter: 25 }, 3600 - 640, Ageing),
            (0, Some(3600), 60, LATE, 3600 - 31, Fresh),
            (0, Some(3600), 900, LATE, 3600 - 30, Stale),
            (0, Some(30), 60, EARLY, 0, Fresh),
            (0, Some(30), 60, EARLY, 21, Stale),
            (0, Some(0), 0, EARLY, 0, Stale),
            (0, None, 900, EARLY, i64::MAX, Fresh),
            (0, None, 900, EARLY, -1_000_000, Fresh),
            (1000, Some(4600), 60, EARLY, 969, Stale),
            (1000, Some(4600), 60, EARLY, 970, Fresh),
            (i64::MIN, Some(i64::MAX), 60, EARLY, 0, Stale),
            (0, Some(i64::MIN), 60, EARLY, i64::MAX, Stale),
        ];
        for (obtained, expires, min_life, habits, now, expected) in rows {
            let life = Life { obtained: at(obtained), expires_at: expires };
            let found = freshness(life, min_life, habits, at(now));
            assert_eq!(found, expected, "{obtained} to {expires:?}, wanting {min_life}, {habits:?}, at {now}");
        }
    }

    #[test]
    fn what_is_left_follows_the_table_of_clocks() {
        let obtained = Moment { now: 10_000, uptime: 500 };
        let hour = Life { obtained, expires_at: Some(13_600) };
        let rows = [
            // clock, run time, left
            (10_000, 500, Some(3600)),
            (10_100, 600, Some(3500)),
            // slept: both went on
            (13_000, 3500, Some(600)),
            (20_000, 10_500, Some(0)),
            // set forward: it may have ended
            (99_000, 501, Some(0)),
            // set back a little: the run time knows better
            (9_980, 600, Some(3500)),
            (9_970, 4200, Some(0)),
            // set back by more: nobody can say
            (9_969, 600, None),
            (-1_000_000, 600, None),
            // another run of the machine
            (10_100, 20, Some(3500)),
            (10_100, 550, Some(3500)),
            (i64::MAX, i64::MAX, Some(0)),
            (i64::MIN, i64::MIN, None),
        ];
        for (now, uptime, left) in rows {
            assert_eq!(hour.left(Moment { now, uptime }), left, "clock {now}, run time {uptime}");
        }
        for now in [i64::MAX, i64::MIN] {
            assert_eq!(Life { obtained, expires_at: None }.left(at(now)), Some(i64::MAX));
        }
        assert_eq!(Life { obtained, expires_at: Some(9_000) }.left(obtained), Some(0));
    }

    #[test]
    fn a_servers_moment_is_told_by_our_clock() {
        let rows = [
            (4600, None, 1000, 4600),
            (4600, Some(1010), 1000, 4600),
            (4600, Some(990), 1000, 4600),
            (4600, Some(1011), 1000, 4589),
            (11_800, Some(8200), 1000, 4600),
            (-2600, Some(-6200), 1000, 4600),
            (i64::MAX, Some(i64::MIN), i64::MAX, i64::MAX),
        ];
        for (theirs, server_now, now, ours) in rows {
            assert_eq!(by_our_clock(theirs, server_now, now), ours, "{theirs} {server_now:?} {now}");
        }
    }

    #[test]
    fn the_next_step_follows_the_table() {
        let need = Need::Access { min_life: 60 };
        let rejected = Token { rejected: true, ..token(0, Some(3600)) };
        // an ID token of the beginning, and an access token of later
        let with_id_token =
            |later| TokenSet { id_token: Some(token(0, Some(3600))), ..set(Some(token(later, Some(later + 3600))), true) };
        let rows = [
            (None, need, 0, Step::SignIn),
            (Some(set(None, true)), need, 0, Step::Renew),
            (Some(set(None, false)), need, 0, Step::SignIn),
            (Some(set(Some(token(0, Some(3600))), true)), need, 100, Step::Use),
            (Some(set(Some(token(0, Some(3600))), true)), need, 3100, Step::UseAndRenew),
            (Some(set(Some(token(0, Some(3600))), false)), need, 3100, Step::Use),
            (Some(set(Some(token(0, Some(3600))), true)), need, 3400, Step::Renew),
            (Some(set(Some(token(0, Some(3600))), false)), need, 3400, Step::SignIn),
            (Some(set(Some(token(0, Some(3600))), false)), Need::Access { min_life: 900 }, 2800, Step::Use),
            (Some(set(Some(token(0, Some(3600))), true)), Need::Access { min_life: 900 }, 2800, Step::Renew),
            (Some(set(Some(rejected.clone()), true)), need, 100, Step::Renew),
            (Some(set(Some(rejected), false)), need, 100, Step::SignIn),
            (Some(set(Some(token(0, Some(3600))), true)), Need::IdToken { min_life: 60 }, 100, Step::Renew),
            (Some(with_id_token(0)), Need::IdToken { min_life: 60 }, 3100, Step::UseAndRenew),
            (Some(with_id_token(3000)), Need::IdToken { min_life: 60 }, 3100, Step::Use),
            (Some(with_id_token(3000)), Need::IdToken { min_life: 60 }, 3400, Step::Renew),
        ];
        for (cached, need, now, expected) in rows {
            assert_eq!(next_step(cached.as_ref(), need, EARLY, at(now)), expected, "{need:?} at {now}: {cached:?}");
        }
    }

    #[test]
    fn a_token_set_survives_its_stored_form_and_shows_no_secret() {
        let mut tokens = set(Some(token(0, Some(3600))), true);
        tokens.remember_access_token();
        let read = TokenSet::read(&tokens.stored_form()).unwrap();
        assert_eq!(read.refresh_token.as_ref().unwrap().expose(), "rt");
        assert!(read.minted(&Secret::new("at".into())));
        assert!(!format!("{read:?}").contains("\"rt\""));
        let error = TokenSet::read(br#"{"refresh_token": {"oops": "topsecret"}}"#).unwrap_err();
        assert!(!error.lines().contains("topsecret"));
    }

    #[test]
    fn only_the_latest_tokens_are_remembered() {
        let mut tokens = set(None, true);
        for n in 0..20 {
            tokens.access_token = Some(Token { value: Secret::new(format!("at{n}")), ..token(0, None) });
            tokens.remember_access_token();
        }
        assert_eq!(tokens.minted.len(), REMEMBERED);
        assert!(tokens.minted(&Secret::new("at19".into())));
        assert!(!tokens.minted(&Secret::new("at1".into())));
    }

    #[test]
    fn a_token_at_its_end_is_not_usable() {
        let need = Need::Access { min_life: 360 };
        let tokens = set(Some(token(0, Some(100))), true);
        assert!(tokens.usable(need, at(99)).is_some());
        assert!(tokens.usable(need, at(100)).is_none());
        assert!(tokens.usable(Need::IdToken { min_life: 0 }, at(0)).is_none());
    }
}
