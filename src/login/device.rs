//! Signing in by device code: shown on every terminal that waits, polled for, and resumed by another worker where this one is killed.
use super::failed::Class;
use super::pending::{Pending, UserCode};
use super::sign_in::{Miss, Session};
use super::worker::{Broken, Done, Work, passing, sign_in_hint, with_sign_in_hint};
use crate::config::{Flow, Login};
use crate::failure::{Failure, Kind};
use crate::oauth::Registration;
use crate::oauth::device::{Authorization, LONGEST, NoCode, Pace, Step};
use crate::oauth::metadata::{Metadata, lacking};
use crate::store::{Note, RecordLock};
use crate::terminal::printable;
use crate::token::{stored_optional_secret, stored_secret};
use helper_protocols::Secret;
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};
use url::Url;

/// How many codes a person gets in one sign-in, should they end unused.
const CODES: u32 = 3;
/// How often a waiting sign-in looks whether it should stop.
const GLANCE: Duration = Duration::from_millis(200);
/// How soon a poll that is due looks again for the record's lock, where somebody else has it for a moment.
const SOON: Duration = Duration::from_millis(20);

/// The code that is open now, in the form that is sealed beside the record: everything that another worker needs to go on with it.
#[derive(Serialize, Deserialize)]
struct Open {
    #[serde(with = "stored_secret")]
    device_code: Secret,
    #[serde(with = "stored_optional_secret")]
    verifier: Option<Secret>,
    user_code: String,
    verification_uri: String,
    verification_uri_complete: Option<String>,
    /// When the code was issued, in milliseconds since the epoch.
    begun_at_ms: i64,
    /// When it ends, in seconds since the epoch.
    ends_at: i64,
    /// Seconds between polls, as the server wants them by now.
    interval: i64,
    slow_downs: u32,
    /// Which code of this sign-in it is, from 1.
    number: u32,
    /// The client that it was issued to.
    client_id: String,
    issuer: String,
    device_authorization_endpoint: String,
    /// The only place the code may be sent to.
    token_endpoint: String,
    revocation_endpoint: Option<String>,
    #[serde(default)]
    userinfo_endpoint: Option<String>,
}

/// What the polls of one code came to.
enum Polled {
    Done(Done),
    /// Nobody used the code before it ended.
    Expired,
}

/// Asks the server that `metadata` describes for a code, shows it, and waits until a person has used it.
///
/// # Errors
/// See [`Miss`]; it is not the way where the server says that this client may not.
pub(super) fn run(session: &Session<'_>, metadata: &Metadata, lock: &mut Option<RecordLock>) -> Result<Done, Miss> {
    let registration = Registration::for_devices(session.login).map_err(passing)?;
    let open = Open::request(session, &registration, metadata, 1)?;
    // who forced this flow may still have a browser; elsewhere one was tried, or there is none
    let opens = session.work.job.flow == Flow::Device;
    Wait { session, registration, metadata }.see_through(open, lock, opens)
}

/// Goes on with the code that a worker which was killed has left, where it is still good and can be shown: none where not, and then it
/// is left behind for good.
pub(super) fn resume(session: &Session<'_>, lock: &mut Option<RecordLock>) -> Option<Result<Done, Miss>> {
    if !session.work.keeps {
        return None;
    }
    let form = session.work.store.read_note(&session.work.record, Note::Device).ok()??;
    let found = serde_json::from_slice::<Open>(&form).ok().and_then(|open| Some((open.metadata()?, open)));
    let registration = Registration::for_devices(session.login);
    let resumed = match (found, registration) {
        (Some((metadata, open)), Ok(registration)) if open.can_be_resumed(session, &registration) => {
            session.work.context.trace(|| "resuming a device code".into());
            Some(Wait { session, registration, metadata: &metadata }.see_through(open, lock, false))
        }
        _ => None,
    };
    if !matches!(resumed, Some(Ok(_) | Err(Miss::Ended(_)))) {
        let _ = session.work.store.clear_note(&session.lock, Note::Device);
    }
    resumed
}

impl Open {
    fn request(session: &Session<'_>, registration: &Registration<'_>, metadata: &Metadata, number: u32) -> Result<Self, Miss> {
        let lacks = || Miss::Ended(passing(lacking(&metadata.issuer, registration.login, "device_authorization")));
        let endpoint = metadata.device_authorization_endpoint.as_ref().ok_or_else(lacks)?;
        let context = session.work.context;
        // its life counts from the request, so that it is not believed to last longer than it does
        let begun_at_ms = (context.now_ms)();
        let given = registration.request_device_code(endpoint).map_err(|no_code| match no_code {
            NoCode::NotOffered(failure) => Miss::NotThisGrant(failure),
            NoCode::LessScope(failure) | NoCode::Failed(failure) => Miss::Ended(passing(failure)),
        })?;
        let Authorization { device_code, user_code, verification_uri, verification_uri_complete, .. } = given;
        Ok(Self {
            device_code,
            verifier: given.verifier,
            user_code,
            verification_uri: verification_uri.into(),
            verification_uri_complete: verification_uri_complete.map(Into::into),
            begun_at_ms,
            ends_at: begun_at_ms / 1000 + given.expires_in,
            interval: given.interval,
            slow_downs: 0,
            number,
            client_id: registration.client_id.clone(),
            issuer: metadata.issuer.clone(),
            device_authorization_endpoint: endpoint.to_string(),
            token_endpoint: metadata.token_endpoint.to_string(),
            revocation_endpoint: metadata.revocation_endpoint.as_ref().map(ToString::to_string),
            userinfo_endpoint: metadata.userinfo_endpoint.as_ref().map(ToString::to_string),
        })
    }

    /// Returns what the server said of itself when the code was issued.
    fn metadata(&self) -> Option<Metadata> {
        Some(Metadata {
            issuer: self.issuer.clone(),
            // no authorization response is held against it
            knows_issuer: false,
            authorization_endpoint: None,
            token_endpoint: Url::parse(&self.token_endpoint).ok()?,
            revocation_endpoint: self.revocation_endpoint.as_deref().and_then(|text| Url::parse(text).ok()),
            userinfo_endpoint: self.userinfo_endpoint.as_deref().and_then(|text| Url::parse(text).ok()),
            device_authorization_endpoint: Some(Url::parse(&self.device_authorization_endpoint).ok()?),
            sends_iss: false,
            prompts: None,
        })
    }

    /// Whether this code can still bring what `session` is for: it has time left and was not used, the configuration is the one that it
    /// was asked for by, and the person can see it.
    fn can_be_resumed(&self, session: &Session<'_>, registration: &Registration<'_>) -> bool {
        let work = session.work;
        let used = session.before.tokens.as_ref().is_some_and(|tokens| tokens.signed_in_at_ms >= self.begun_at_ms);
        let configured = session.login.endpoints.token.as_ref();
        let same_server = configured.is_none_or(|url| url.as_str() == self.token_endpoint);
        let same = same_server && registration.client_id == self.client_id;
        let shown = work.job.attended && matches!(work.job.flow, Flow::Auto | Flow::Device);
        let in_time = (0..=LONGEST).contains(&self.left(work)) && matches!(self.pace(work).first(), Step::Wait(_));
        !used && same && shown && in_time
    }

    fn left(&self, work: &Work<'_>) -> i64 {
        self.ends_at.saturating_sub(work.context.now())
    }

    fn pace(&self, work: &Work<'_>) -> Pace {
        Pace::new(self.interval, self.slow_downs, self.left(work))
    }

    fn notice(&self, session: &Session<'_>, browser_opened: bool) -> Pending {
        let (work, login) = (session.work, session.login);
        let server = Url::parse(&self.device_authorization_endpoint).ok();
        Pending {
            login: login.name.clone(),
            server: printable(server.as_ref().and_then(|url| url.host_str()).unwrap_or_default()),
            address: printable(&self.verification_uri),
            browser_opened,
            paste: None,
            why: session.why(),
            instead: session.instead.borrow().clone(),
            code: Some(UserCode {
                code: printable(&self.user_code),
                address: self.verification_uri_complete.as_deref().map(printable),
            }),
            asker: printable(&work.job.asker),
            pid: work.job.pid,
            ends_at: self.ends_at,
            tabs: 0,
        }
    }
}

/// One sign-in's waiting for its codes.
struct Wait<'s> {
    session: &'s Session<'s>,
    registration: Registration<'s>,
    metadata: &'s Metadata,
}

impl Wait<'_> {
    /// Shows `open` and polls for it; where it ends unused while somebody looks on, the same with a new code, a few times.
    fn see_through(&self, mut open: Open, lock: &mut Option<RecordLock>, opens: bool) -> Result<Done, Miss> {
        let Self { session, registration, metadata } = self;
        loop {
            self.show(&open, lock, opens && open.number == 1)?;
            match self.poll_until_over(&mut open, lock)? {
                Polled::Done(done) => return Ok(done),
                Polled::Expired if open.number < CODES && session.work.is_waited_for() => {
                    session.lock_again(lock)?;
                    open = Open::request(session, registration, metadata, open.number + 1)?;
                }
                Polled::Expired => return Err(Miss::Ended(nobody_came(session.login, &open))),
            }
        }
    }

    /// Seals the code and tells everybody, in that order; the record's lock is free afterwards.
    fn show(&self, open: &Open, lock: &mut Option<RecordLock>, opens: bool) -> Result<(), Broken> {
        let (session, work) = (self.session, self.session.work);
        self.write(open).map_err(passing)?;
        let mut pending = open.notice(session, false);
        // written before the lock is free, so that nobody finds neither the one nor the other
        work.write_pending(&session.lock, &pending).map_err(passing)?;
        drop(lock.take());
        if work.should_stop() {
            return Err(session.stopped());
        }
        let address = open.verification_uri_complete.as_ref().unwrap_or(&open.verification_uri);
        pending.browser_opened = opens && Url::parse(address).is_ok_and(|url| session.open_browser(&url));
        work.announce(&session.lock, &pending).map_err(passing)
    }

    fn write(&self, open: &Open) -> Result<(), Failure> {
        if !self.session.work.keeps {
            return Ok(());
        }
        let form = zeroize::Zeroizing::new(serde_json::to_vec(open).expect("a code holds only text and numbers"));
        self.session.work.store.write_note(&self.session.lock, Note::Device, &form)
    }

    /// Polls at the pace that the server sets, until it says how it ended or the code's time is over.
    fn poll_until_over(&self, open: &mut Open, lock: &mut Option<RecordLock>) -> Result<Polled, Miss> {
        let begun = Instant::now();
        let mut pace = open.pace(self.session.work);
        let mut step = pace.first();
        loop {
            step = match step {
                Step::Wait(due) => {
                    self.pause(begun, due)?;
                    match self.poll(open, &mut pace, begun, lock)? {
                        Next::Step(step) => step,
                        Next::Kept(done) => return Ok(Polled::Done(done)),
                        Next::Busy if pace.is_over(begun.elapsed()) => Step::Expired(None),
                        Next::Busy => Step::Wait(begun.elapsed() + SOON),
                    }
                }
                Step::Expired(None) => return Ok(Polled::Expired),
                other => return Err(self.ended(other, open)),
            }
        }
    }

    /// Waits until `due` after `begun`.
    fn pause(&self, begun: Instant, due: Duration) -> Result<(), Broken> {
        loop {
            if self.session.work.should_stop() {
                return Err(self.session.stopped());
            }
            let left = due.saturating_sub(begun.elapsed());
            if left.is_zero() {
                return Ok(());
            }
            std::thread::sleep(left.min(GLANCE));
        }
    }

    /// Polls once. The record's lock and a place for tokens are held from before the request until they are written: any poll may bring
    /// them. What the server says of the pace is sealed before the lock is free, for whoever takes over.
    fn poll(&self, open: &mut Open, pace: &mut Pace, begun: Instant, kept_lock: &mut Option<RecordLock>) -> Result<Next, Broken> {
        let (session, work) = (self.session, self.session.work);
        let Some(lock) = work.store.try_lock(&work.record).map_err(passing)? else { return Ok(Next::Busy) };
        let slot = session.reserve(&lock)?;
        let heard = self.registration.poll(&self.metadata.token_endpoint, &open.device_code, open.verifier.as_ref());
        let step = pace.next(heard, begun.elapsed());
        if let Step::Granted(grant) = &step {
            let kept = session.keep(&self.registration, self.metadata, slot, grant, None);
            return kept.map(|(done, _)| Next::Kept(done));
        }
        drop(slot);
        if pace.slow_downs != open.slow_downs {
            (open.interval, open.slow_downs) = (pace.interval, pace.slow_downs);
            self.write(open).map_err(passing)?;
        }
        if matches!(step, Step::NotOffered(_)) {
            *kept_lock = Some(lock);
        }
        Ok(Next::Step(step))
    }

    fn ended(&self, step: Step, open: &Open) -> Miss {
        let login = self.session.login;
        Miss::Ended(match step {
            Step::NotOffered(failure) => return Miss::NotThisGrant(failure),
            Step::Denied(failure) => (Class::Denied, with_sign_in_hint(failure, login)),
            Step::Failed(failure) => {
                let class = if failure.kind == Kind::Refused { Class::Denied } else { Class::Passing };
                (class, with_sign_in_hint(failure, login))
            }
            Step::Expired(Some(why)) => passing(
                Failure::new(Kind::Unreachable, format!("nothing was heard of the code {} to its end", open.user_code))
                    .because(why)
                    .hint(sign_in_hint(login)),
            ),
            Step::Expired(None) | Step::Wait(_) | Step::Granted(_) => nobody_came(login, open),
        })
    }
}

/// What one poll leads to.
enum Next {
    Step(Step),
    /// Tokens came, and were kept.
    Kept(Done),
    /// Somebody else has the record's lock.
    Busy,
}

fn nobody_came(login: &Login, open: &Open) -> Broken {
    let minutes = (open.ends_at - open.begun_at_ms / 1000 + 59) / 60;
    let failure = Failure::new(
        Kind::NeedsPerson,
        format!("nobody signed in to `{}` with the code {} within {minutes} minutes", login.name, open.user_code),
    )
    .hint(sign_in_hint(login));
    let failure = if open.slow_downs > 1 {
        failure.hint("the server said that it was asked too often: in a virtual machine the clock may run too fast")
    } else {
        failure
    };
    (Class::NobodyCame, failure)
}
