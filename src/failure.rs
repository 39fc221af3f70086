//! The one error type: what kind of failure it is, what to say, and the command that mends it.
use std::fmt;

/// What a failure is to those who act on it: the exit code of a person's command, and whether others should share it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// No login or route of that name.
    Unrouted,
    /// The command line or the request makes no sense.
    Usage,
    /// A person has to act and none can be asked here.
    NeedsPerson,
    /// The server, or the person at it, said no.
    Refused,
    /// The server could not be reached or did not answer properly; whatever was stored is still good.
    Unreachable,
    /// Something on this machine has to be changed: configuration, permissions, disk, keyring.
    Misconfigured,
    /// A defect of ours.
    Bug,
}

impl Kind {
    /// Returns the exit code that people's commands end with.
    pub(crate) const fn exit_code(self) -> u8 {
        match self {
            Self::Unrouted => 1,
            Self::Usage => 2,
            Self::NeedsPerson => 3,
            Self::Refused => 4,
            Self::Unreachable => 5,
            Self::Misconfigured => 6,
            Self::Bug => 70,
        }
    }

    /// Returns the word under which a record or a report keeps this kind.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Unrouted => "unrouted",
            Self::Usage => "usage",
            Self::NeedsPerson => "needs-person",
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
            Self::Misconfigured => "misconfigured",
            Self::Bug => "bug",
        }
    }

    /// Returns the kind that [`Kind::word`] names; a word from a newer version counts as [`Kind::Unreachable`], which loses nothing.
    pub(crate) fn from_word(word: &str) -> Self {
        [Self::Unrouted, Self::Usage, Self::NeedsPerson, Self::Refused, Self::Misconfigured, Self::Bug]
            .into_iter()
            .find(|kind| kind.word() == word)
            .unwrap_or(Self::Unreachable)
    }
}

/// A failure with its sentence: lower case, no full stop, never a secret; text from outside must be made printable before it gets here.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) kind: Kind,
    pub(crate) message: String,
    pub(crate) hints: Vec<String>,
    /// What mends it, step by step, where it takes more than a line: shown instead of the hints where there is room.
    steps: Vec<String>,
}

impl Failure {
    pub(crate) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hints: Vec::new(), steps: Vec::new() }
    }

    /// Adds the cause to the sentence. `cause` must be free of secrets: an IO error, a status, never a parser's quotation.
    #[must_use]
    pub(crate) fn because(mut self, cause: impl fmt::Display) -> Self {
        self.message = format!("{}: {cause}", self.message);
        self
    }

    /// Adds one line that says what mends it.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Says what mends it step by step, a line each.
    #[must_use]
    pub(crate) fn steps(mut self, steps: Vec<String>) -> Self {
        self.steps = steps;
        self
    }

    /// Returns the lines that a person reads: the error, then the steps or the hints.
    pub(crate) fn lines(&self) -> String {
        let mut text = format!("keyfob: error: {}", self.message);
        for line in if self.steps.is_empty() { &self.hints } else { &self.steps } {
            text.push_str("\nkeyfob: hint: ");
            text.push_str(line);
        }
        text
    }

    /// Returns the same on one line, for callers that show no more.
    pub(crate) fn line(&self) -> String {
        self.line_as("error")
    }

    /// Returns the same as what `word` says it is, as `warning`.
    pub(crate) fn line_as(&self, word: &str) -> String {
        let hints: String = self.hints.iter().map(|hint| format!(" ({hint})")).collect();
        format!("keyfob: {word}: {}{hints}", self.message)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_survives_its_word() {
        for kind in
            [Kind::Unrouted, Kind::Usage, Kind::NeedsPerson, Kind::Refused, Kind::Unreachable, Kind::Misconfigured, Kind::Bug]
        {
            assert_eq!(Kind::from_word(kind.word()), kind);
        }
        assert_eq!(Kind::from_word("from the future"), Kind::Unreachable);
    }

    #[test]
    fn the_lines_carry_the_error_and_then_its_hints() {
        let failure =
            Failure::new(Kind::Unreachable, "cannot reach `sso.example.com`").because("timed out").hint("check `https_proxy`");
        assert_eq!(
            failure.lines(),
            "keyfob: error: cannot reach `sso.example.com`: timed out\nkeyfob: hint: check `https_proxy`"
        );
    }
}
