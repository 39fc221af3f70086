//! Gets a record up to date with everybody else who wants the same: reads, starts the worker, or waits for another's.
use super::Keeper;
use super::failed::{Class, Failed, Person};
use super::hand_off::{self, Job, Meanwhile, Outcome, Target};
use super::interaction::Refusal;
use super::notice::Board;
use super::pending::Pending;
use super::worker;
use crate::config::Login;
use crate::failure::{Failure, Kind};
use crate::store::{Note, ReadError, RecordId, Waiting};
use crate::terminal;
use crate::token::{Ended, Moment, Need};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// The longest that somebody else's renewal is waited for while no sign-in is open.
const LONGEST: Duration = Duration::from_secs(75);
/// How long after its announced end a sign-in is still waited for, in seconds.
const GRACE: i64 = 60;
/// How many workers one caller starts, should they end without a result.
const WORKERS: u32 = 2;
/// How long a renewal usually takes at most, in milliseconds.
const USUAL: u64 = 1000;
/// How often a waiter makes sure that the holder of an open sign-in is still there.
const LOOK_AFTER: Duration = Duration::from_secs(1);

/// What a stored payload is worth to the caller.
#[derive(Debug)]
pub(crate) enum Ready<T> {
    /// It answers; `renew` asks for a renewal behind the answer.
    Yes { value: T, renew: bool },
    /// It has to be renewed; `fallback` still works should that fail.
    /// `renewable`: that takes no person.
    No { fallback: Option<T>, renewable: bool },
}

/// Decides what a stored payload is worth at a moment.
pub(crate) type Judge<'g, T> = &'g dyn Fn(&[u8], Moment) -> Result<Ready<T>, Failure>;

/// What is wanted of a record.
pub(crate) struct Goal<'g, T> {
    pub(crate) record: RecordId,
    pub(crate) target: Target,
    pub(crate) login: &'g Login,
    pub(crate) need: Need,
    pub(crate) force: bool,
    /// As in [`Job`].
    pub(crate) former_ms: Option<i64>,
    pub(crate) judge: Judge<'g, T>,
}

impl<T> Goal<'_, T> {
    fn job(&self, keeper: &Keeper<'_>) -> Job {
        Job {
            target: self.target.clone(),
            record: self.record.to_string(),
            need: self.need,
            refusal: keeper.refusal.clone(),
            attended: keeper.attended,
            force: self.force,
            former_ms: self.former_ms,
            flow: super::interaction::flow_of(self.login, keeper.flow),
            switch_account: keeper.switch_account,
            asker: keeper.asker.clone(),
            pid: std::process::id(),
            since_ms: keeper.since_ms,
            key: keeper.store.key_to_hand_over(),
        }
    }
}

/// Reaches `goal` for `keeper`'s caller.
///
/// Reads without a lock first. Whoever wins the record's lock hands it to a worker; all others leave by reading what it wrote. Nobody
/// queues through the lock.
///
/// # Errors
/// The worker's failure, or one that another's worker left for those who waited.
pub(crate) fn obtain<T>(keeper: &Keeper<'_>, goal: &Goal<'_, T>) -> Result<T, Failure> {
    let mut vigil = Vigil::begin(keeper);
    let mut pause = Pause::new();
    let interrupted = crate::os::on_interrupt();
    loop {
        let (fallback, renewable) = match read(keeper, goal)? {
            Ready::Yes { value, renew } => {
                if renew {
                    renew_behind(keeper, goal);
                }
                return Ok(value);
            }
            Ready::No { fallback, renewable } => (fallback, renewable),
        };
        if interrupted.load(Ordering::SeqCst) {
            return Err(hand_off::stopped());
        }
        if let Some(failed) = shared_failure(keeper, goal, renewable) {
            keeper.context.trace(|| format!("sharing a failure of {:?}", goal.target));
            return still_good(keeper, goal)?.ok_or_else(|| in_own_words(keeper, goal, &failed));
        }
        let pending = pending(keeper, goal);
        if vigil.is_due(pending.is_some()) {
            match vigil.renew(keeper, goal, renewable) {
                Err(failure) => return fall_back(fallback, failure),
                Ok(None) => {}
                Ok(Some(Outcome::Failed(failed))) => return still_good(keeper, goal)?.ok_or_else(|| failed.failure()),
                Ok(Some(Outcome::Unkept(form))) => return unkept(goal, form.as_bytes(), keeper.context.moment()),
                Ok(Some(Outcome::Look(broke_off))) => {
                    vigil.broke_off = broke_off;
                    continue;
                }
            }
        }
        if let (Some(_), Some(refusal), false) = (&pending, &keeper.refusal, renewable) {
            // a person is at it somewhere, but this caller was told to wait for none
            return fallback.ok_or_else(|| worker::needs_person(goal.login, refusal, ended(keeper, goal)));
        }
        vigil.show(pending);
        if vigil.is_over(keeper.context.now()) {
            return fall_back(fallback, took_too_long(goal.login));
        }
        vigil.join(keeper, goal)?;
        vigil.say_what_takes_long(goal.login);
        pause.take();
    }
}

/// One caller's waiting.
struct Vigil<'k> {
    begun: Instant,
    board: Board<'k>,
    /// The sign-in that is open now.
    shown: Option<Pending>,
    looked_after: Option<Instant>,
    workers: u32,
    /// How the latest one ended, where that was not by itself.
    broke_off: Option<String>,
    /// The person knows that this takes long.
    told: bool,
    /// Tells the worker that Ctrl-C elsewhere must not end what we wait for.
    waiting: Option<Waiting>,
}

impl<'k> Vigil<'k> {
    fn begin(keeper: &'k Keeper<'_>) -> Self {
        Self {
            begun: Instant::now(),
            board: Board::new(keeper.context, &keeper.store),
            shown: None,
            looked_after: None,
            workers: 0,
            broke_off: None,
            told: false,
            waiting: None,
        }
    }

    /// Whether to try to become the one who starts the worker: at every look, but while a sign-in is `open` only now and then.
    fn is_due(&mut self, open: bool) -> bool {
        let due = !open || self.looked_after.is_none_or(|last| last.elapsed() >= LOOK_AFTER);
        if due {
            self.looked_after = Some(Instant::now());
        }
        due
    }

    /// Starts the worker, if nobody else has one at work; none where somebody has.
    ///
    /// What is `renewable` without a person waits for no sign-in that is open beside it.
    fn renew<T>(&mut self, keeper: &Keeper<'_>, goal: &Goal<'_, T>, renewable: bool) -> Result<Option<Outcome>, Failure> {
        let Some(lock) = keeper.store.try_lock(&goal.record)? else { return Ok(None) };
        if is_settled(keeper, goal)? || !renewable && is_someone_signing_in(keeper, goal, &lock)? {
            return Ok(None);
        }
        self.waiting = None;
        self.workers += 1;
        if self.workers > WORKERS {
            return Err(ended_without_result(goal.login, self.broke_off.as_deref()));
        }
        keeper.context.trace(|| format!("starting the worker for {:?}", goal.target));
        let job = goal.job(keeper);
        let (board, told, was_shown) = (&mut self.board, &mut self.told, self.shown.is_some());
        let mut meanwhile = |what: Meanwhile<'_>| {
            match what {
                Meanwhile::Open(pending) => board.show(Some(pending), true),
                Meanwhile::TakesLong if !was_shown && !*told => {
                    *told = true;
                    terminal::tell(&format!("the server of `{}` takes its time; waiting - Ctrl-C to stop", goal.login.name));
                }
                Meanwhile::TakesLong => {}
                Meanwhile::Look => board.look(),
            }
            board.is_asking()
        };
        let outcome = hand_off::run(keeper.context, &job, lock, &mut meanwhile);
        self.board.show(None, true);
        outcome.map(Some)
    }

    fn say_what_takes_long(&mut self, login: &Login) {
        if self.shown.is_none() && !self.told && self.begun.elapsed() > hand_off::NOTICEABLE {
            self.told = true;
            terminal::tell(&format!("another process is renewing `{}`; waiting - Ctrl-C to stop", login.name));
        }
    }

    fn show(&mut self, pending: Option<Pending>) {
        self.board.show(pending.as_ref(), false);
        self.board.look();
        self.shown = pending.or(self.shown.take());
    }

    /// A renewal takes so long and no longer; a person may take their time.
    fn is_over(&self, now: i64) -> bool {
        let someone = self.shown.as_ref().is_some_and(|pending| now < pending.ends_at + GRACE);
        !someone && self.begun.elapsed() > LONGEST
    }

    fn join<T>(&mut self, keeper: &Keeper<'_>, goal: &Goal<'_, T>) -> Result<(), Failure> {
        if self.waiting.is_none() {
            keeper.context.trace(|| format!("waiting for another process's worker for {:?}", goal.target));
            self.waiting = Some(keeper.store.wait_for(&goal.record)?);
        }
        Ok(())
    }
}

/// Starts a renewal behind an answer, where nobody else is at it and none has just failed.
pub(crate) fn renew_behind<T>(keeper: &Keeper<'_>, goal: &Goal<'_, T>) {
    let failed = keeper.store.read_note(&goal.record, Note::Failed).ok().flatten().and_then(|bytes| Failed::read(&bytes));
    if failed.is_some_and(|failed| failed.is_recent((keeper.context.now_ms)())) {
        return;
    }
    if let Ok(Some(lock)) = keeper.store.try_lock(&goal.record) {
        let job = Job { refusal: Some(Refusal::of_haste()), ..goal.job(keeper) };
        hand_off::start_behind(keeper.context, &job, lock);
    }
}

fn read<T>(keeper: &Keeper<'_>, goal: &Goal<'_, T>) -> Result<Ready<T>, Failure> {
    if !keeper.keeps {
        return Ok(Ready::No { fallback: None, renewable: false });
    }
    match keeper.store.read(&goal.record) {
        Ok(record) => match record.and_then(|record| record.payload) {
            Some(payload) => (goal.judge)(&payload, keeper.context.moment()),
            None => Ok(Ready::No { fallback: None, renewable: false }),
        },
        // this one needs a new sign-in and is kept aside; its neighbours are none the worse
        Err(ReadError::Damaged(_) | ReadError::AnotherKey(_)) => Ok(Ready::No { fallback: None, renewable: false }),
        Err(other) => Err(other.into()),
    }
}

/// Whether the record became good enough since it was last read.
fn is_settled<T>(keeper: &Keeper<'_>, goal: &Goal<'_, T>) -> Result<bool, Failure> {
    Ok(match read(keeper, goal)? {
        Ready::Yes { .. } => true,
        Ready::No { renewable, .. } => shared_failure(keeper, goal, renewable).is_some(),
    })
}

/// Returns what still answers after a failed renewal, whatever it failed of: the refusal of a refresh token says nothing of the access
/// token beside it.
fn still_good<T>(keeper: &Keeper<'_>, goal: &Goal<'_, T>) -> Result<Option<T>, Failure> {
    match read(keeper, goal)? {
        Ready::Yes { value, .. } => Ok(Some(value)),
        Ready::No { fallback, .. } => Ok(fallback),
    }
}

/// Whether the pending record that is there belongs to somebody alive. Only the record's holder may take the sign-in lock, so probing
/// it under `lock` takes it from nobody.
fn is_someone_signing_in<T>(keeper: &Keeper<'_>, goal: &Goal<'_, T>, lock: &crate::store::RecordLock) -> Result<bool, Failure> {
    Ok(keeper.store.try_sign_in_lock(&goal.record, lock)?.is_none())
}

fn pending<T>(keeper: &Keeper<'_>, goal: &Goal<'_, T>) -> Option<Pending> {
    let bytes = keeper.store.read_note(&goal.record, Note::Pending).ok().flatten()?;
    Pending::read(&bytes).filter(|pending| pending.ends_at > keeper.context.now())
}

fn shared_failure<T>(keeper: &Keeper<'_>, goal: &Goal<'_, T>, renewable: bool) -> Option<Failed> {
    if goal.force {
        return None;
    }
    let bytes = keeper.store.read_note(&goal.record, Note::Failed).ok().flatten()?;
    let person = match (&keeper.refusal, keeper.attended) {
        (Some(_), _) => Person::Nowhere,
        (None, true) => Person::AtTerminal,
        (None, false) => Person::AtBrowser,
    };
    let now_ms = (keeper.context.now_ms)();
    Failed::read(&bytes).filter(|failed| failed.concerns(keeper.wanted(), renewable, keeper.since_ms, person, now_ms))
}

/// Returns what this caller reads of a failure it shares: a lack of persons has a reason of its own for each.
fn in_own_words<T>(keeper: &Keeper<'_>, goal: &Goal<'_, T>, failed: &Failed) -> Failure {
    match &keeper.refusal {
        Some(refusal) if failed.class == Class::NeedsPerson => worker::needs_person(goal.login, refusal, ended(keeper, goal)),
        // what ended the last tab may long be mended
        _ if failed.class == Class::NobodyCame && failed.at_ms < keeper.since_ms => worker::needs_another_tab(goal.login, failed),
        _ => failed.failure(),
    }
}

/// Returns why the login's sign-in ended, where that is known.
fn ended<T>(keeper: &Keeper<'_>, goal: &Goal<'_, T>) -> Option<Ended> {
    keeper.read_tokens(&super::record_of(&keeper.store, goal.login)).ok().flatten().and_then(|tokens| tokens.ended)
}

/// Where no renewal ran: what still works is used unless the person stopped it, or this machine has to be mended.
fn fall_back<T>(fallback: Option<T>, failure: Failure) -> Result<T, Failure> {
    match fallback {
        Some(value) if failure.kind == Kind::Unreachable => Ok(value),
        _ => Err(failure),
    }
}

fn unkept<T>(goal: &Goal<'_, T>, form: &[u8], moment: Moment) -> Result<T, Failure> {
    match (goal.judge)(form, moment)? {
        Ready::Yes { value, .. } | Ready::No { fallback: Some(value), .. } => Ok(value),
        Ready::No { fallback: None, .. } => {
            Err(Failure::new(Kind::Refused, format!("the tokens of `{}` have already ended", goal.login.name))
                .hint("check this machine's clock"))
        }
    }
}

fn ended_without_result(login: &Login, broke_off: Option<&str>) -> Failure {
    Failure::new(Kind::Unreachable, format!("the worker that was to renew `{}` ended twice without a result", login.name))
        .because(broke_off.unwrap_or("it found nothing to do"))
        .hint("run the command again; `keyfob status` shows what is stored")
}

fn took_too_long(login: &Login) -> Failure {
    Failure::new(
        Kind::Unreachable,
        format!("another process is renewing `{}` and has not finished within {} seconds", login.name, LONGEST.as_secs()),
    )
    .hint("run the command again")
}

/// Growing pauses between looks, with a part that differs by process: from 5 to 24 ms as long as a renewal usually takes, which is when
/// many wait; then to 60 ms.
struct Pause {
    next_ms: u64,
    slept_ms: u64,
    odd: u64,
}

impl Pause {
    fn new() -> Self {
        Self { next_ms: 5, slept_ms: 0, odd: u64::from(std::process::id()) }
    }

    fn take(&mut self) {
        self.odd = self.odd.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let jitter = (self.odd >> 33) % (self.next_ms / 2 + 1);
        std::thread::sleep(Duration::from_millis(self.next_ms + jitter));
        self.slept_ms += self.next_ms + jitter;
        self.next_ms = (self.next_ms * 3 / 2).min(if self.slept_ms < USUAL { 16 } else { 40 });
    }
}
