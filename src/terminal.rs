//! The person: what is told on the terminal, what is reported on standard error, and the browser that is opened.
use crate::config::Environment;
use crate::failure::{Failure, Kind};
use crate::os::{self, HiddenInputError};
use crate::qr_code;
use std::ffi::OsString;
use std::fs::File;
use std::io::{IsTerminal, Write};
use std::process::Command;
use url::Url;
use zeroize::Zeroizing;

/// The most characters of a text from outside that are shown.
const SHOWN: usize = 200;

/// The most bytes of a line that is typed unseen: less than a terminal takes as one line.
const UNSEEN: usize = 1024;

/// What shows a question and returns the line that is typed unseen.
type Asker = Box<dyn Fn(&str) -> Result<Zeroizing<Vec<u8>>, Failure>>;

/// The most combining marks in a row that are shown: more than two pile up over the lines around them.
const MARKS: usize = 2;

/// Returns `text` fit to be shown: on one line, without control, bidirectional, invisible or private characters, cut at 200 characters.
///
/// Everything that a server, a repository or a tool wrote passes through here before a person sees it.
pub(crate) fn printable(text: &str) -> String {
    let mut marks = 0;
    let blank = |c: char| if matches!(c, '\n' | '\t') || (c.is_whitespace() && is_visible(c)) { ' ' } else { c };
    let mut visible = text.chars().map(blank).filter(|c| {
        marks = if is_mark(*c) { marks + 1 } else { 0 };
        is_visible(*c) && marks <= MARKS
    });
    let mut shown: String = visible.by_ref().take(SHOWN).collect();
    if visible.next().is_some() {
        shown.push('…');
    }
    shown
}

/// Whether `c` leaves something to be seen where it stands, and nothing elsewhere: it is no control, format or private character, no
/// separator of lines, no filler, selector or tag, and no place that Unicode keeps empty.
pub(crate) fn is_visible(c: char) -> bool {
    let noncharacter = u32::from(c) & 0xfffe == 0xfffe;
    !c.is_control()
        && !noncharacter
        && !matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{890}'..='\u{891}' | '\u{8e2}'
            | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}' | '\u{e000}'..='\u{f8ff}'
            | '\u{fdd0}'..='\u{fdef}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
            | '\u{110bd}' | '\u{110cd}' | '\u{13430}'..='\u{1343f}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d159}'
            | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}' | '\u{f0000}'..='\u{10ffff}')
}

/// Whether `c` is drawn over the character before it, in whatever script.
fn is_mark(c: char) -> bool {
    matches!(c,
        '\u{300}'..='\u{36f}' | '\u{483}'..='\u{489}' | '\u{591}'..='\u{5bd}' | '\u{610}'..='\u{61a}' | '\u{64b}'..='\u{65f}'
        | '\u{e34}'..='\u{e3a}' | '\u{e47}'..='\u{e4e}' | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}'
        | '\u{20d0}'..='\u{20f0}' | '\u{302a}'..='\u{302d}' | '\u{fe20}'..='\u{fe2f}')
}

/// Whether a person can be told something while a tool runs us: there is a controlling terminal, or standard error is one.
pub(crate) fn is_attended() -> bool {
    crate::os::open_terminal().is_ok() || std::io::stderr().is_terminal()
}

/// Tells the person something that is not an outcome: on the controlling terminal, else on standard error where that is a terminal.
/// Elsewhere it is dropped, because callers keep, hide or even parse standard error.
pub(crate) fn tell(text: &str) {
    tell_with("", text);
}

/// Tells the person `text` as [`tell`] does, below `picture`.
pub(crate) fn tell_with(picture: &str, text: &str) {
    let line = format!("{picture}keyfob: {text}\n");
    if let Ok((_, mut terminal)) = crate::os::open_terminal()
        && terminal.write_all(line.as_bytes()).is_ok()
    {
        return;
    }
    let mut stderr = std::io::stderr();
    if stderr.is_terminal() {
        let _ = stderr.write_all(line.as_bytes());
    }
}

/// Returns `address` as a picture that a phone reads, for the controlling terminal; none where that is not known to show it whole above
/// `text`.
pub(crate) fn picture(address: &str, text: &str, environment: &Environment) -> Option<String> {
    if !environment.speaks_utf8() || !environment.terminal_has_colours() {
        return None;
    }
    let (columns, rows) = os::open_terminal().ok().and_then(|(_, terminal)| os::terminal_size(&terminal))?;
    qr_code::draw(address, text, usize::from(columns), usize::from(rows))
}

/// Waits until no other process asks at the controlling terminal, by a lock in the file `lock`, and returns what asks there until it is
/// dropped: it shows a question on that terminal, and nowhere else, and returns the line that is typed there unseen.
///
/// # Errors
/// Here and then [`Kind::NeedsPerson`] with the bare reason where nobody can be asked, [`Kind::Refused`] where the person does not answer.
pub(crate) fn ask_unseen(lock: Option<File>) -> Result<Asker, Failure> {
    let turn = os::take_turn(lock).map_err(unasked)?;
    Ok(Box::new(move |question| turn.read_hidden(question, UNSEEN).map_err(unasked)))
}

fn unasked(error: HiddenInputError) -> Failure {
    match error {
        HiddenInputError::NoTerminal => Failure::new(Kind::NeedsPerson, "there is no terminal"),
        HiddenInputError::Background => Failure::new(Kind::NeedsPerson, "this runs in the background of its terminal"),
        HiddenInputError::Busy => Failure::new(Kind::NeedsPerson, "another keyfob has been asking at this terminal for minutes"),
        HiddenInputError::TooLong => {
            Failure::new(Kind::Refused, format!("more than {UNSEEN} bytes were typed")).hint("run the command again")
        }
        HiddenInputError::Ended => Failure::new(Kind::Refused, "nothing was typed").hint("run the command again"),
        HiddenInputError::Interrupted => Failure::new(Kind::Refused, "stopped by Ctrl-C").hint("run the command again"),
        HiddenInputError::Failed(error) => Failure::new(Kind::NeedsPerson, "the terminal cannot be read unseen").because(error),
    }
}

/// Writes `bytes` to standard error. Nobody can be told if that fails.
pub(crate) fn report(bytes: &[u8]) {
    crate::os::survive_file_size_limit();
    let _ = std::io::stderr().write_all(bytes);
}

/// Writes what a person should know, though their command goes on, to standard error: one line.
pub(crate) fn warn(warning: &Failure) {
    report(format!("{}\n", warning.line_as("warning")).as_bytes());
}

/// Opens `url` in a browser: with `command` where one is configured, else with what the desktop has.
///
/// The browser gets `environment` and nothing else of ours, null descriptors, and a session of its own. `command` is split at spaces,
/// and `%s` in it stands for the URL.
///
/// # Errors
/// [`Kind::NeedsPerson`] where none could be started.
pub(crate) fn open_browser(commands: &[String], url: &Url, environment: &[(OsString, OsString)]) -> Result<(), Failure> {
    let candidates = match commands {
        [] => open::commands(url.as_str()),
        commands => commands.iter().filter_map(|command| browser_command(command, url)).collect(),
    };
    for mut command in candidates {
        command.env_clear().envs(environment.iter().map(|(name, value)| (name, value)));
        let Ok(mut child) = crate::os::start_browser(command) else { continue };
        // an opener that fails does so at once; a browser may stay
        let mut looks = 0..10;
        loop {
            match child.try_wait() {
                Ok(Some(status)) if status.success() => return Ok(()),
                Ok(Some(_)) => break,
                Ok(None) if looks.next().is_some() => std::thread::sleep(std::time::Duration::from_millis(20)),
                Ok(None) => {
                    // somebody has to collect it when it ends
                    let _ = std::thread::Builder::new().spawn(move || child.wait());
                    return Ok(());
                }
                Err(_) => return Ok(()),
            }
        }
    }
    Err(Failure::new(Kind::NeedsPerson, "no browser could be started")
        .hint("name one in `KEYFOB_BROWSER` or in `browser` of the configuration"))
}

fn browser_command(text: &str, url: &Url) -> Option<Command> {
    let mut words = text.split_ascii_whitespace();
    let mut command = Command::new(words.next()?);
    let rest: Vec<String> = words.map(|word| word.replace("%s", url.as_str())).collect();
    let named = text.contains("%s");
    command.args(rest);
    if !named {
        command.arg(url.as_str());
    }
    Some(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_printable_characters_come_out() {
        let rows = [
            ("plain", "plain"),
            ("two\nlines\tand", "two lines and"),
            ("\u{1b}[2Jx\u{7}\u{9b}m", "[2Jxm"),
            ("\u{202e}gnip\u{2066}", "gnip"),
            ("zero\u{200b}width\u{feff}", "zerowidth"),
            ("r\rn\0", "rn"),
            ("größe 名", "größe 名"),
            ("ti\u{ea}\u{301}ng Vi\u{65}\u{323}\u{302}t", "ti\u{ea}\u{301}ng Vi\u{65}\u{323}\u{302}t"),
            ("Z\u{300}\u{301}\u{302}\u{303}\u{304}algo", "Z\u{300}\u{301}algo"),
            ("so\u{ad}ft\u{34f} fil\u{3164}ler\u{2800}", "soft filler"),
            ("pri\u{e000}va\u{f0000}te\u{10fffd}", "private"),
            ("tag\u{e0041}ged\u{e0100}\u{fe0f}", "tagged"),
            ("no\u{ffff}thing\u{fdd0}\u{1fffe}", "nothing"),
            ("blank\u{a0}and\u{3000}blank", "blank and blank"),
            ("one\u{2028}line\u{2029}", "oneline"),
            ("שלום", "שלום"),
        ];
        for (text, expected) in rows {
            assert_eq!(printable(text), expected);
        }
        assert_eq!(printable(&"x".repeat(1000)).chars().count(), SHOWN + 1);
        assert_eq!(printable(&"x".repeat(SHOWN)).chars().count(), SHOWN);
        assert_eq!(printable(&format!("{}{}", "x".repeat(SHOWN), "\u{200b}".repeat(50))).chars().count(), SHOWN);
    }

    #[test]
    fn a_browser_command_is_split_and_given_the_address() {
        let url = Url::parse("http://127.0.0.1:4000/start/t1").unwrap();
        let shown = |text| format!("{:?}", browser_command(text, &url).unwrap());
        assert_eq!(shown("firefox"), r#""firefox" "http://127.0.0.1:4000/start/t1""#);
        assert_eq!(shown("firefox -P work"), r#""firefox" "-P" "work" "http://127.0.0.1:4000/start/t1""#);
        assert_eq!(shown("chromium --app=%s"), r#""chromium" "--app=http://127.0.0.1:4000/start/t1""#);
        assert!(browser_command("  ", &url).is_none());
    }
}
