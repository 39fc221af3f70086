//! The commands that a person types, one file each.
pub(crate) mod lock;
pub(crate) mod log;
pub(crate) mod login;
pub(crate) mod logout;
pub(crate) mod setup;
pub(crate) mod status;
pub(crate) mod token;

use crate::config::{Config, Login};
use crate::failure::{Failure, Kind};
use crate::login::{Context, find_login};
use std::io::{IsTerminal, Write};

/// Writes `text` to the person's standard output. Whoever closed it does not want it.
pub(crate) fn say(text: &str) {
    crate::os::survive_file_size_limit();
    let mut stdout = std::io::stdout();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}

/// Writes what was found in a file of the person's to their standard output: as it is where a program reads it, without what could act on
/// the terminal where it is shown.
pub(crate) fn show(bytes: &[u8]) {
    let mut stdout = std::io::stdout();
    let text = if stdout.is_terminal() {
        let visible = |c: &char| matches!(c, '\n' | '\t') || crate::terminal::is_visible(*c);
        String::from_utf8_lossy(bytes).chars().filter(visible).collect::<String>().into_bytes()
    } else {
        bytes.to_vec()
    };
    let _ = stdout.write_all(&text).and_then(|()| stdout.flush());
}

/// Finds the login called `name`, or the only one there is.
///
/// # Errors
/// [`Kind::Unrouted`] where there is none of that name, or more than one to choose from.
fn choose<'c>(config: &'c Config, name: Option<&str>) -> Result<&'c Login, Failure> {
    if let Some(name) = name {
        return find_login(config, name);
    }
    let mut logins = config.logins.values();
    match (logins.next(), logins.next()) {
        (Some(login), None) => Ok(login),
        (None, _) => {
            Err(Failure::new(Kind::Unrouted, "no login is configured").hint("configure one: see `[login.NAME]` in the README"))
        }
        (Some(_), Some(_)) => {
            let known: Vec<&str> = config.logins.keys().map(String::as_str).collect();
            Err(Failure::new(Kind::Unrouted, "there are several logins").hint(format!("name one of: {}", known.join(", "))))
        }
    }
}

/// Says how far `moment` is from now, both in seconds, as `in 52 min` or `3 h ago`.
fn distance(context: &Context, moment: i64) -> String {
    let seconds = moment.saturating_sub(context.now());
    if seconds == 0 {
        return "just now".into();
    }
    let amount = seconds.unsigned_abs();
    let text = match amount {
        0..=119 => format!("{amount} s"),
        120..=7199 => format!("{} min", amount / 60),
        7200..=172_799 => format!("{} h", amount / 3600),
        _ => format!("{} days", amount / 86_400),
    };
    if seconds < 0 { format!("{text} ago") } else { format!("in {text}") }
}
