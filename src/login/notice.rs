//! What a waiting terminal shows of an open sign-in, and what is pasted into it.
use super::Context;
use super::pending::Pending;
use crate::oauth::paste::{Delivery, PASTED, deliver};
use crate::os::{Pasted, Pasting};
use crate::store::Store;
use crate::terminal;
use helper_protocols::Secret;

/// What asks for a text to be pasted.
const ASK: &str = "keyfob: paste it here (it is not shown) and press Enter; waiting - Ctrl-C to stop\n";

/// One caller's terminal, as far as it shows what is waited for.
pub(crate) struct Board<'k> {
    context: &'k Context,
    store: &'k Store,
    shown: Option<Pending>,
    asking: Option<Asking>,
}

/// What asks at this terminal, or would if another process did not.
struct Asking {
    pasting: Pasting,
    /// What is shown first: where to go, and what to paste.
    question: String,
    /// What is shown where another process asks.
    elsewhere: String,
    address: Secret,
    asked: bool,
    /// There is nothing more to be read.
    over: bool,
}

impl<'k> Board<'k> {
    pub(crate) fn new(context: &'k Context, store: &'k Store) -> Self {
        Self { context, store, shown: None, asking: None }
    }

    /// Whether something is to be read at the terminal, so that it should be looked at often.
    pub(crate) fn is_asking(&self) -> bool {
        self.asking.as_ref().is_some_and(|asking| !asking.over)
    }

    /// Shows `pending`; the person's own command started it (`own`), or another's did, which is shown once. None ends what asks.
    pub(crate) fn show(&mut self, pending: Option<&Pending>, own: bool) {
        let Some(pending) = pending else {
            self.asking = None;
            return;
        };
        // what one's own worker says counts anew: it may be the second
        if !own && self.shown.as_ref() == Some(pending) {
            return;
        }
        self.shown = Some(pending.clone());
        self.asking = None;
        let notice = pending.notice(own);
        let picture = pending.to_scan().and_then(|address| terminal::picture(address, &notice, &self.context.environment));
        let picture = picture.unwrap_or_default();
        let Some(paste) = &pending.paste else {
            terminal::tell_with(&picture, &notice);
            return;
        };
        match Pasting::begin(self.store.asking_lock()) {
            Ok(pasting) => {
                let elsewhere = pending.notice_elsewhere(own);
                let question = format!("{picture}keyfob: {notice}\n{ASK}");
                self.asking =
                    Some(Asking { pasting, question, elsewhere, address: paste.address.clone(), asked: false, over: false });
            }
            // the listener waits all the same
            Err(_) => terminal::tell_with(
                &picture,
                &format!(
                    "{notice}\nkeyfob: nothing can be pasted into this terminal: open it on this machine, or use `--flow device`"
                ),
            ),
        }
    }

    /// Looks whether something was pasted, and brings it to the sign-in.
    pub(crate) fn look(&mut self) {
        let Some(asking) = self.asking.as_mut().filter(|asking| !asking.over) else { return };
        match asking.pasting.look(if asking.asked { ASK } else { &asking.question }, PASTED) {
            Pasted::Nothing => {}
            Pasted::Asked => asking.asked = true,
            Pasted::NotHere => {
                let elsewhere = std::mem::take(&mut asking.elsewhere);
                if !asking.asked && !elsewhere.is_empty() {
                    terminal::tell(&elsewhere);
                }
            }
            Pasted::Line(line) if line.is_empty() => asking.pasting.say(ASK),
            Pasted::Line(line) => match deliver(&asking.address, &line) {
                Delivery::Taken => asking.end("that is it; waiting for the server - Ctrl-C to stop"),
                Delivery::Refused(sentence) => asking.again(&sentence),
                Delivery::Over => asking.end("that came to nobody: the sign-in it is for is over; waiting - Ctrl-C to stop"),
            },
            Pasted::TooLong => asking.again(&format!("that is longer than {} KiB, and no address of a sign-in", PASTED >> 10)),
            Pasted::Ended => asking.end("nothing is pasted here, then; waiting for the browser - Ctrl-C to stop"),
        }
    }
}

impl Asking {
    /// Asks no more, and lets nobody else ask here: all wait for the same.
    fn end(&mut self, text: &str) {
        self.pasting.rest();
        self.over = true;
        terminal::tell(text);
    }

    fn again(&self, sentence: &str) {
        self.pasting.say(&format!("keyfob: {sentence}\n{ASK}"));
    }
}
