//! The worker: the detached process that alone spends a token or waits for a person, and outlives whoever started it.
use super::failed::{Class, Failed};
use super::hand_off::{CANCEL, Job, LINE, Report, Target};
use super::interaction::Refusal;
use super::pending::Pending;
use super::refresh::Refreshed;
use super::{Context, record_of, role, sign_in};
use crate::audit::{self, Entry, Event};
use crate::config::{Config, Login};
use crate::failure::{Failure, Kind};
use crate::oauth::Registration;
use crate::os;
use crate::store::{Held, Note, ReadError, RecordId, RecordLock, Store};
use crate::token::{Ended, TokenSet};
use std::fs::File;
use std::io::{Read, Write};
use std::time::Duration;

/// A failed job: why, and how far others share it.
pub(crate) type Broken = (Class, Failure);

/// What a job came to.
pub(crate) enum Done {
    /// The record holds it, or another worker is about to write it.
    Kept,
    /// It could not be kept: this is the stored form, for the one who waits.
    Unkept(zeroize::Zeroizing<Vec<u8>>),
}

/// One job with everything it needs, opened.
#[derive(Debug)]
pub(crate) struct Work<'a> {
    pub(crate) context: &'a Context,
    pub(crate) config: &'a Config,
    pub(crate) store: Store,
    pub(crate) keeps: bool,
    pub(crate) job: Job,
    pub(crate) record: RecordId,
    stdin: File,
    caller_is_gone: std::cell::Cell<bool>,
    /// The person pressed Ctrl-C, and it counts as soon as nobody else waits.
    cancelled: std::cell::Cell<bool>,
}

/// Runs the job that the caller sends on standard input, under the lock that came as standard error.
///
/// Returns the process's exit code: 0 where a result was reported or kept, 70 where the hand-over made no sense.
pub(crate) fn run(context: &Context) -> u8 {
    os::make_files_private();
    let Ok(lock_file) = os::take_lock_from_stderr() else { return 70 };
    let Ok(mut stdin) = os::take_stdin() else { return 70 };
    let Some(job) = read_line(&mut stdin).and_then(|line| serde_json::from_slice::<Job>(&line).ok()) else { return 70 };
    let outcome = Config::load(&context.environment).map_err(passing).and_then(|config| {
        let (work, lock) = open(context, &config, job, stdin, lock_file).map_err(passing)?;
        let mut lock = Some(lock);
        let outcome = work.perform(&mut lock);
        if let (Err(broken), Some(lock)) = (&outcome, &lock) {
            work.leave_failure(lock, &work.failed(broken));
        }
        outcome
    });
    match outcome {
        Ok(Done::Kept) => {}
        Ok(Done::Unkept(form)) => report(&Report::Unkept(String::from_utf8_lossy(&form).into_owned())),
        Err((class, failure)) => report(&Report::Failed(Failed::new(class, &failure, (context.now_ms)()))),
    }
    0
}

fn open<'a>(
    context: &'a Context,
    config: &'a Config,
    mut job: Job,
    stdin: File,
    lock_file: File,
) -> Result<(Work<'a>, RecordLock), Failure> {
    let mut store = Store::open_or_create(&context.settings(Some(config), job.refusal.is_none())?)?;
    // whoever started us holds the key where it is, and waits for us
    store.hold_key_with_others()?;
    if let Some(key) = job.key.take() {
        store.accept_key(&key)?;
    }
    let keeps = store.unlock(true)?;
    let record = RecordId::from_hex(&job.record).ok_or_else(|| Failure::new(Kind::Bug, "the worker was handed no record"))?;
    let lock = store.adopt_lock(&record, lock_file)?;
    if let Some(warning) = store.recover(&lock)? {
        warn(context, &warning);
    }
    let work = Work {
        context,
        config,
        store,
        keeps,
        job,
        record,
        stdin,
        caller_is_gone: std::cell::Cell::default(),
        cancelled: std::cell::Cell::default(),
    };
    Ok((work, lock))
}

fn read_line(stdin: &mut File) -> Option<zeroize::Zeroizing<Vec<u8>>> {
    let mut line = zeroize::Zeroizing::new(Vec::with_capacity(LINE));
    let mut byte = [0];
    loop {
        // byte by byte, for what follows the line is a later wish
        if stdin.read(&mut byte).ok()? == 0 || line.len() > LINE {
            return None;
        }
        if byte[0] == b'\n' {
            return Some(line);
        }
        line.push(byte[0]);
    }
}

/// Tells the person whose command waits what could not be done for them.
pub(crate) fn warn(context: &Context, warning: &Failure) {
    report(&Report::Warning(Failed::new(Class::Passing, warning, (context.now_ms)())));
}

/// Tells the one who started us. Nobody there is no failure: what counts is in the records.
pub(crate) fn report(report: &Report) {
    let Ok(mut line) = serde_json::to_vec(report).map(zeroize::Zeroizing::new) else { return };
    line.push(b'\n');
    let mut stdout = std::io::stdout();
    let _ = stdout.write_all(&line).and_then(|()| stdout.flush());
}

impl Work<'_> {
    /// Does the job. The lock is taken out of `lock` where a person is waited for.
    fn perform(&self, lock: &mut Option<RecordLock>) -> Result<Done, Broken> {
        match &self.job.target {
            Target::Login(name) => {
                let login = super::find_login(self.config, name).map_err(passing)?;
                if record_of(&self.store, login) != self.record {
                    return Err(passing(
                        Failure::new(Kind::Misconfigured, format!("login `{name}` was changed meanwhile"))
                            .hint("run the command again"),
                    ));
                }
                self.bring_up_to_date(login, lock)
            }
            Target::Role(profile) => role::exchange(self, profile, held(lock)),
        }
    }

    /// Renews `login`'s tokens, by its refresh token where that is enough, else with a person.
    fn bring_up_to_date(&self, login: &Login, lock: &mut Option<RecordLock>) -> Result<Done, Broken> {
        let stored = self.read(&self.record).map_err(passing)?;
        if stored.as_ref().is_some_and(|tokens| self.is_enough(login, tokens)) {
            return Ok(Done::Kept);
        }
        let mut ended = stored.as_ref().and_then(|tokens| tokens.ended);
        let mut claims = None;
        if let Some(tokens) = stored.filter(|tokens| !self.job.force && tokens.is_renewable()) {
            let client = tokens.client_id.as_ref().unwrap_or(&login.client_id);
            let registration = Registration::of_client(login, client).map_err(passing)?;
            match self.refresh(&registration, tokens, held(lock))? {
                Refreshed::Enough(done) => return Ok(done),
                Refreshed::NeedsPerson(why, wanted) => (ended, claims) = (why, wanted),
            }
        }
        if let Some(refusal) = &self.job.refusal {
            return Err((Class::NeedsPerson, needs_person(login, refusal, ended)));
        }
        sign_in::run(self, login, lock, claims)
    }

    /// Reads a login's token set. One that is damaged counts as absent: signing in anew keeps it aside.
    pub(crate) fn read(&self, id: &RecordId) -> Result<Option<TokenSet>, Failure> {
        if !self.keeps {
            return Ok(None);
        }
        match self.store.read(id) {
            Ok(record) => record.and_then(|record| record.payload).map(|payload| TokenSet::read(&payload)).transpose(),
            Err(ReadError::Damaged(_) | ReadError::AnotherKey(_)) => Ok(None),
            Err(other) => Err(other.into()),
        }
    }

    /// Writes the pending record, for everybody who would otherwise start a second sign-in.
    pub(crate) fn write_pending(&self, held: &dyn Held, pending: &Pending) -> Result<(), Failure> {
        if !self.keeps {
            return Ok(());
        }
        let form = serde_json::to_vec(pending).expect("a notice holds only text and numbers");
        self.store.write_note(held, Note::Pending, &form)
    }

    /// Announces an open sign-in: to everybody by the record, to our starter by the pipe.
    ///
    /// A notice that a sign-out took away meanwhile stays away, so that [`Work::should_stop`] sees that it is gone.
    pub(crate) fn announce(&self, held: &dyn Held, pending: &Pending) -> Result<(), Failure> {
        // where a refresh holds the lock for longer, the first notice has to do
        if self.keeps
            && let Ok(_lock) = self.store.lock(&self.record, super::PATIENCE)
            && !self.is_called_off()
        {
            self.write_pending(held, pending)?;
        }
        report(&Report::Pending(pending.clone()));
        Ok(())
    }

    /// Whether a sign-out took the notice of an open sign-in away.
    pub(crate) fn is_called_off(&self) -> bool {
        self.keeps && self.store.read_note(&self.record, Note::Pending).is_ok_and(|note| note.is_none())
    }

    /// Whether to give a sign-in up: the person pressed Ctrl-C and nobody else waits, the system asks us to end, the pending record was
    /// taken away (by a sign-out), or what came could reach nobody: it cannot be kept, and the caller is gone.
    pub(crate) fn should_stop(&self) -> bool {
        if os::termination_pending() || self.is_called_off() {
            return true;
        }
        if self.cancelled.get() && self.store.nobody_waits(&self.record).unwrap_or(true) {
            return true;
        }
        if self.caller_is_gone.get() && !self.keeps {
            return true;
        }
        if self.caller_is_gone.get() || !os::wait_readable(&self.stdin, Duration::ZERO).unwrap_or(false) {
            return false;
        }
        let mut byte = [0];
        match (&self.stdin).read(&mut byte) {
            Ok(1) => {
                // whoever waits beside may be about to leave by the same Ctrl-C, so the wish is kept
                self.cancelled.set(self.cancelled.get() || byte[0] == CANCEL);
                self.cancelled.get() && self.store.nobody_waits(&self.record).unwrap_or(true)
            }
            _ => {
                self.caller_is_gone.set(true);
                !self.keeps
            }
        }
    }

    /// Returns the line of the audit log that says what happened to `tokens` of `login`, asked for by who asked for this job.
    pub(crate) fn entry(&self, event: Event, login: &Login, tokens: &TokenSet) -> Entry {
        let entry = Entry::new(event, &login.name, &self.job.asker, self.job.pid, self.context.now());
        let token = tokens.access_token.as_ref().map(|token| &token.value);
        entry.by(&tokens.issuer, tokens.account.as_deref()).of(&self.store, token)
    }

    /// Tells the person whose command waits what they should know, though it stands in nobody's way.
    pub(crate) fn warn(&self, warning: &Failure) {
        warn(self.context, warning);
    }

    /// Notes `entry` in the audit log. That it cannot be written is told, and stands in nobody's way.
    pub(crate) fn note(&self, entry: &Entry) {
        if let Err(failure) = audit::note(&self.store, self.config.audit, entry) {
            self.warn(&failure);
        }
    }

    /// Returns what a job came to whose result is `form`, paid for and then `committed` or not: whoever started us gets it either way.
    ///
    /// Where it is lost to everybody else, those who wait get the failure, by `held`: they would spend the former token at once, or
    /// open the next tab.
    pub(crate) fn done(
        &self,
        held: &dyn Held,
        committed: Result<(), Failure>,
        form: zeroize::Zeroizing<Vec<u8>>,
        of_sign_in: bool,
    ) -> Done {
        let Err(failure) = committed else { return Done::Kept };
        if !self.store.has_next(held.id()) {
            let failed = Failed::new(Class::Passing, &failure, (self.context.now_ms)());
            self.leave_failure(held, &if of_sign_in { failed.of_sign_in() } else { failed });
        }
        warn(self.context, &failure);
        Done::Unkept(form)
    }

    /// Whether anybody is there to read a new notice: whoever started us, or others who wait.
    pub(crate) fn is_waited_for(&self) -> bool {
        !self.caller_is_gone.get() || !self.store.nobody_waits(&self.record).unwrap_or(true)
    }

    /// Leaves a failure for those who wait and those who must not try again at once.
    pub(crate) fn leave_failure(&self, held: &dyn Held, failed: &Failed) {
        if !self.keeps {
            return;
        }
        if let Ok(form) = serde_json::to_vec(failed) {
            let _ = self.store.write_note(held, Note::Failed, &form);
        }
    }

    /// Returns the failure record of `broken`, which failed now.
    pub(crate) fn failed(&self, (class, failure): &Broken) -> Failed {
        Failed::new(*class, failure, (self.context.now_ms)())
    }
}

fn held(lock: &Option<RecordLock>) -> &RecordLock {
    lock.as_ref().expect("it is given up only where a sign-in begins, which ends the job")
}

pub(crate) fn passing(failure: Failure) -> Broken {
    (Class::Passing, failure)
}

pub(crate) fn sign_in_hint(login: &Login) -> String {
    format!("run `keyfob login {}`", login.name)
}

/// Returns `failure` with the command that signs in, where it does not name that already.
pub(crate) fn with_sign_in_hint(failure: Failure, login: &Login) -> Failure {
    let named = failure.hints.iter().any(|hint| hint.contains("keyfob login"));
    if named { failure } else { failure.hint(sign_in_hint(login)) }
}

/// Returns the failure of a caller that may ask nobody, as `refusal` says; `ended` is why a person is needed again.
pub(crate) fn needs_person(login: &Login, refusal: &Refusal, ended: Option<Ended>) -> Failure {
    let name = &login.name;
    let message = match ended {
        None => format!("you have to sign in to `{name}`, and nobody can be asked here"),
        Some(ended) => format!("you have to sign in to `{name}` again, and nobody can be asked here: {}", ended.sentence()),
    };
    let failure = Failure::new(Kind::NeedsPerson, message).because(&refusal.reason).hint(refusal.hint(name));
    if ended == Some(Ended::NotGiven) { failure.hint(lasting_hint(login)) } else { failure }
}

/// Returns what lets a sign-in last longer than its first token.
pub(crate) fn lasting_hint(login: &Login) -> String {
    if login.scopes.iter().any(|scope| scope == "offline_access") {
        "to stay signed in, let the client have refresh tokens where it is registered".into()
    } else {
        format!(
            "to stay signed in, add `offline_access` to `scopes` of login `{}`, or let the client have refresh tokens where it is registered",
            login.name
        )
    }
}

/// Returns the failure of a caller that comes after a tab which opened by itself and brought nothing, as `failed` says.
pub(crate) fn needs_another_tab(login: &Login, failed: &Failed) -> Failure {
    let mut failure = failed.failure();
    if failure.kind != Kind::NeedsPerson {
        let message = format!("you have to sign in to `{}`; the tab that opened by itself came to nothing", login.name);
        let hints = failure.hints;
        failure = Failure::new(Kind::NeedsPerson, message).because(failure.message);
        failure.hints = hints;
    }
    failure
}
