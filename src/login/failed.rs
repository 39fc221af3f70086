//! The failure record: one outcome shared by all who waited for it, and by those who must not try again at once.
use crate::failure::{Failure, Kind};
use serde::{Deserialize, Serialize};

/// Why an attempt failed, as far as it decides how long others share it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Class {
    /// The person stopped it.
    Cancelled,
    /// The server or the person said no.
    Denied,
    /// A tab was opened and nobody came: no further one until a person acts.
    NobodyCame,
    /// A person has to act, and none could be asked.
    NeedsPerson,
    /// A tool's server refuses a token that was just issued.
    Rejected,
    /// The server cannot answer now, and is left alone for so many seconds.
    Busy(i64),
    /// Anything else: shared with those who waited, and with nobody later.
    Passing,
}

/// For how long a busy server is left alone that does not say, and for how long at most one that does, in seconds.
const BUSY: (i64, i64) = (5, 300);

impl Class {
    /// For how many seconds later unattended callers share it.
    const fn holds(self) -> i64 {
        match self {
            Self::Cancelled => 5,
            Self::Denied | Self::NeedsPerson | Self::Rejected => 60,
            Self::NobodyCame => i64::MAX / 1000,
            Self::Busy(seconds) => seconds,
            Self::Passing => 0,
        }
    }

    /// Returns the class of a server's answer that it cannot answer now; `wait` is for how many seconds it wants to be left alone.
    pub(crate) fn busy(wait: Option<i64>) -> Self {
        let (short, long) = BUSY;
        Self::Busy(wait.map_or(short, |wait| wait.clamp(1, long)))
    }
}

/// Where the person of a caller can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Person {
    AtTerminal,
    /// In a browser alone: the caller is an editor, or another program without a terminal.
    AtBrowser,
    Nowhere,
}

/// A failed attempt.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Failed {
    pub(crate) class: Class,
    /// When it failed, in milliseconds since the epoch.
    pub(crate) at_ms: i64,
    /// What it was for, where it concerns nothing else.
    #[serde(default)]
    resource: Option<String>,
    /// The repository that it was for, where that is known: another one of the host may well take the token.
    #[serde(default)]
    repository: Option<String>,
    /// A person was at it, so it says nothing of what takes none.
    #[serde(default)]
    of_sign_in: bool,
    kind: String,
    message: String,
    hints: Vec<String>,
}

impl Failed {
    pub(crate) fn new(class: Class, failure: &Failure, at_ms: i64) -> Self {
        Self {
            class,
            at_ms,
            resource: None,
            repository: None,
            of_sign_in: false,
            kind: failure.kind.word().into(),
            message: failure.message.clone(),
            hints: failure.hints.clone(),
        }
    }

    /// Limits it to requests for `resource`, and to those of whom it is not known that they are for another repository than `repository`.
    #[must_use]
    pub(crate) fn about(mut self, resource: &str, repository: Option<&str>) -> Self {
        (self.resource, self.repository) = (Some(resource.to_owned()), repository.map(ToOwned::to_owned));
        self
    }

    /// Limits it to those who need a person: a refresh beside a sign-in that was denied may still succeed.
    #[must_use]
    pub(crate) fn of_sign_in(mut self) -> Self {
        self.of_sign_in = true;
        self
    }

    pub(crate) fn failure(&self) -> Failure {
        let mut failure = Failure::new(Kind::from_word(&self.kind), self.message.clone());
        failure.hints.clone_from(&self.hints);
        failure
    }

    fn is_about(&self, resource: &str) -> bool {
        self.resource.as_ref().is_none_or(|about| about == resource)
    }

    fn is_of_another_repository(&self, repository: Option<&str>) -> bool {
        self.repository.as_deref().zip(repository).is_some_and(|(about, theirs)| about != theirs)
    }

    /// Whether at `now_ms` it says that `resource` refuses the newest token for another repository than the caller's. Pure.
    pub(crate) fn is_of_another(&self, (resource, repository): (&str, Option<&str>), now_ms: i64) -> bool {
        let holds = (0..self.class.holds() * 1000).contains(&(now_ms - self.at_ms));
        self.class == Class::Rejected && holds && self.is_about(resource) && self.is_of_another_repository(repository)
    }

    /// Whether a caller for `resource` that began at `since_ms` fails with this instead of trying by itself at `now_ms`.
    ///
    /// Those who were already waiting share it, but for a lack of persons, which concerns only callers who cannot ask one either.
    /// A command begun later at a terminal asks again. The failure of a sign-in does not concern who can renew without one
    /// (`renewable`), and a record from the future nobody. Pure.
    pub(crate) fn concerns(
        &self,
        (resource, repository): (&str, Option<&str>),
        renewable: bool,
        since_ms: i64,
        person: Person,
        now_ms: i64,
    ) -> bool {
        let elsewhere = !self.is_about(resource) || self.is_of_another_repository(repository);
        if self.of_sign_in && renewable || self.at_ms > now_ms || elsewhere {
            return false;
        }
        match self.class {
            Class::NeedsPerson if person != Person::Nowhere => false,
            Class::Rejected => now_ms - self.at_ms < self.class.holds() * 1000,
            _ if self.at_ms >= since_ms => true,
            _ => person != Person::AtTerminal && now_ms - self.at_ms < self.class.holds() * 1000,
        }
    }

    /// Whether a renewal behind an answer would come too soon after this at `now_ms`: a server that just failed is left alone for
    /// half a minute, or as long as it wants, since the answer is still good. Pure.
    pub(crate) fn is_recent(&self, now_ms: i64) -> bool {
        let seconds = if let Class::Busy(seconds) = self.class { seconds.max(30) } else { 30 };
        (0..seconds * 1000).contains(&now_ms.saturating_sub(self.at_ms))
    }

    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_shared_by_the_table() {
        use Person::{AtBrowser, AtTerminal, Nowhere};
        let rows = [
            // class, failed at, began at, person, now, shared
            (Class::Cancelled, 1000, 900, AtTerminal, 1001, true),
            (Class::Cancelled, 1000, 1500, AtTerminal, 1501, false),
            (Class::Cancelled, 1000, 1500, Nowhere, 5999, true),
            (Class::Cancelled, 1000, 1500, Nowhere, 6000, false),
            (Class::Denied, 1000, 1500, AtTerminal, 1501, false),
            (Class::Denied, 1000, 1500, Nowhere, 60_999, true),
            (Class::Denied, 1000, 1500, Nowhere, 61_000, false),
            (Class::NeedsPerson, 1000, 900, AtTerminal, 1001, false),
            (Class::NeedsPerson, 1000, 900, Nowhere, 1001, true),
            (Class::NeedsPerson, 1000, 1500, Nowhere, 60_000, true),
            (Class::NeedsPerson, 1000, 900, AtBrowser, 1001, false),
            (Class::NeedsPerson, 1000, 1500, AtBrowser, 1501, false),
            (Class::Denied, 1000, 1500, AtBrowser, 60_999, true),
            (Class::Rejected, 1000, 1500, AtTerminal, 60_999, true),
            (Class::Rejected, 1000, 1500, AtTerminal, 61_000, false),
            (Class::Passing, 1000, 900, AtTerminal, 1001, true),
            (Class::Passing, 1000, 900, Nowhere, 1001, true),
            (Class::Passing, 1000, 1001, Nowhere, 1002, false),
            (Class::busy(None), 1000, 900, AtTerminal, 1001, true),
            (Class::busy(None), 1000, 1500, AtTerminal, 1501, false),
            (Class::busy(None), 1000, 1500, Nowhere, 5999, true),
            (Class::busy(None), 1000, 1500, Nowhere, 6000, false),
            (Class::busy(Some(20)), 1000, 1500, AtBrowser, 20_999, true),
            (Class::busy(Some(20)), 1000, 1500, AtBrowser, 21_000, false),
            (Class::busy(Some(0)), 1000, 1500, Nowhere, 2000, false),
            (Class::busy(Some(i64::MAX)), 1000, 1500, Nowhere, 300_999, true),
            (Class::busy(Some(i64::MAX)), 1000, 1500, Nowhere, 301_000, false),
            (Class::NobodyCame, 1000, 1500, AtBrowser, 90_000_000, true),
            (Class::NobodyCame, 1000, 1500, AtTerminal, 1501, false),
            (Class::Denied, 2000, 900, Nowhere, 1000, false),
        ];
        for (class, at_ms, since_ms, person, now_ms, expected) in rows {
            let failed = Failed::new(class, &Failure::new(Kind::Refused, "x"), at_ms);
            assert_eq!(
                failed.concerns(("h", None), true, since_ms, person, now_ms),
                expected,
                "{class:?} {at_ms} {since_ms} {person:?} {now_ms}"
            );
        }
    }

    #[test]
    fn a_failure_about_one_resource_concerns_no_other() {
        let rows = [
            // about, asked for, whether it concerns that
            (("a.example.com", None), ("a.example.com", None), true),
            (("a.example.com", None), ("a.example.com", Some("one")), true),
            (("a.example.com", Some("one")), ("a.example.com", None), true),
            (("a.example.com", Some("one")), ("a.example.com", Some("one")), true),
            (("a.example.com", Some("one")), ("a.example.com", Some("two")), false),
            (("a.example.com", Some("one")), ("b.example.com", Some("one")), false),
            (("a.example.com", None), ("b.example.com", None), false),
        ];
        for ((resource, repository), asked, expected) in rows {
            let failed = Failed::new(Class::Rejected, &Failure::new(Kind::Refused, "x"), 1000).about(resource, repository);
            assert_eq!(
                failed.concerns(asked, true, 1500, Person::AtTerminal, 1501),
                expected,
                "{resource} {repository:?} {asked:?}"
            );
            let of_another = !expected && resource == asked.0;
            assert_eq!(failed.is_of_another(asked, 1501), of_another, "{resource} {repository:?} {asked:?}");
            assert!(!failed.is_of_another(asked, 61_000) && !failed.is_of_another(asked, 999));
        }
    }

    #[test]
    fn a_failed_sign_in_does_not_concern_who_needs_none() {
        for class in [Class::Cancelled, Class::Denied, Class::NobodyCame, Class::Passing] {
            let failed = Failed::new(class, &Failure::new(Kind::Refused, "x"), 1000).of_sign_in();
            assert!(failed.concerns(("h", None), false, 900, Person::AtBrowser, 1001), "{class:?}");
            assert!(!failed.concerns(("h", None), true, 900, Person::AtBrowser, 1001), "{class:?}");
        }
    }

    #[test]
    fn a_failure_is_recent_for_half_a_minute() {
        let failed = Failed::new(Class::Passing, &Failure::new(Kind::Unreachable, "x"), 1000);
        let found: Vec<bool> = [999, 1000, 30_999, 31_000].map(|now| failed.is_recent(now)).to_vec();
        assert_eq!(found, [false, true, true, false]);
        let busy = Failed::new(Class::busy(Some(120)), &Failure::new(Kind::Unreachable, "x"), 1000);
        assert_eq!([120_999, 121_000].map(|now| busy.is_recent(now)), [true, false]);
    }

    #[test]
    fn a_failure_keeps_its_words() {
        let failure = Failure::new(Kind::NeedsPerson, "a person is needed").hint("run `keyfob login corp`");
        let stored = serde_json::to_vec(&Failed::new(Class::NeedsPerson, &failure, 1)).unwrap();
        let read = Failed::read(&stored).unwrap().failure();
        assert_eq!((read.kind, read.lines()), (failure.kind, failure.lines()));
    }
}
