//! `keyfob log`: what happened to the tokens here, and who asked for it.
use super::say;
use crate::audit::{self, Entry, Log};
use crate::config::{Audit, Config};
use crate::failure::{Failure, Kind};
use crate::login::{Context, find_login};
use crate::store::Store;
use crate::terminal::{printable, warn};
use chrono::{DateTime, Local, NaiveDate, NaiveTime};

/// Shows the audit log, oldest first: as text in the person's own time, or as the lines of JSON that it consists of. Limited to the login
/// `name` and to what happened `since` then, where these are given.
///
/// # Errors
/// [`Kind::Unrouted`] for a login that is neither configured nor in the log, [`Kind::Usage`] for a time that is none; those of
/// configuration and store.
pub(crate) fn run(context: &Context, as_json: bool, name: Option<&str>, since: Option<&str>) -> anyhow::Result<()> {
    let since = since.map(|text| moment(text, context.now())).transpose()?;
    let config = Config::load(&context.environment)?;
    let store = Store::open(&context.settings(Some(&config), false)?)?;
    let Log { mut entries, unreadable } = store.as_ref().map(audit::read).transpose()?.unwrap_or_default();
    if let Some(name) = name {
        entries.retain(|entry| entry.login == name);
        if entries.is_empty() {
            find_login(&config, name)?;
        }
    }
    entries.retain(|entry| since.is_none_or(|since| entry.at() >= since));
    let mut text = String::new();
    for entry in &entries {
        let line =
            if as_json { serde_json::to_string(entry).expect("a line holds only text and numbers") } else { sentence(entry) };
        text.push_str(&line);
        text.push('\n');
    }
    if !as_json && entries.is_empty() {
        text.push_str(if name.is_none() && since.is_none() {
            "nothing is in the log yet\n"
        } else {
            "nothing of that is in the log\n"
        });
    }
    if !as_json && config.audit == Audit::Off {
        text.push_str("nothing is added to it: the configuration has `audit = \"off\"`\n");
    }
    say(&text);
    if unreadable > 0 {
        let lines = if unreadable == 1 { "1 line is".to_owned() } else { format!("{unreadable} lines are") };
        let path = store.as_ref().map(|store| crate::os::shown(&audit::path(store))).unwrap_or_default();
        warn(&Failure::new(Kind::Misconfigured, format!("{lines} left out: damaged, or of a newer keyfob (`{path}`)")));
    }
    Ok(())
}

fn sentence(entry: &Entry) -> String {
    let Entry { time, event, login, server, account, token, resource, asker, pid, reason } = entry;
    // with its distance from UTC, so that it can be held against a server's log
    let time = DateTime::parse_from_rfc3339(time)
        .map_or_else(|_| time.clone(), |time| time.with_timezone(&Local).format("%Y-%m-%d %H:%M:%S %z").to_string());
    let part = |before: &str, text: &Option<String>| text.as_ref().map(|text| format!("{before}{text}")).unwrap_or_default();
    format!(
        "{time}  {} {login}{}{}{}, asked by {asker} (pid {pid}){}{}",
        event.words(),
        part(" of ", account),
        part(" at ", server),
        part(" for ", resource),
        part(", token ", token),
        part(": ", reason)
    )
}

/// Returns the moment that `text` names, in seconds since the epoch: so long before `now`, as `2h`, or a day or a time.
fn moment(text: &str, now: i64) -> Result<i64, Failure> {
    let ago = || {
        let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
        let seconds = match unit {
            "s" => 1,
            "m" | "min" => 60,
            "h" => 3600,
            "d" => 86_400,
            _ => return None,
        };
        Some(now.saturating_sub(number.parse::<i64>().ok()?.saturating_mul(seconds)))
    };
    let time = || DateTime::parse_from_rfc3339(text).ok().map(|time| time.timestamp());
    let day = || {
        let midnight = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?.and_time(NaiveTime::MIN);
        midnight.and_local_timezone(Local).earliest().map(|time| time.timestamp())
    };
    ago().or_else(time).or_else(day).ok_or_else(|| {
        Failure::new(Kind::Usage, format!("`{}` names no time", printable(text)))
            .hint("write how long ago (90s, 30min, 2h, 7d), a day (2026-11-21) or a time (2026-11-21T13:15:17Z)")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_so_long_ago_or_a_day_or_a_moment() {
        let now = 1_795_266_917;
        let rows = [
            ("90s", Some(now - 90)),
            ("30min", Some(now - 1800)),
            ("30m", Some(now - 1800)),
            ("2h", Some(now - 7200)),
            ("7d", Some(now - 7 * 86_400)),
            ("0s", Some(now)),
            ("2026-11-21T13:15:17Z", Some(now)),
            ("2026-11-21T14:15:17+01:00", Some(now)),
            ("99999999999999999999d", None),
            ("2w", None),
            ("h", None),
            ("-2h", None),
            ("12", None),
            ("", None),
            ("2026-13-01", None),
            ("\u{1b}[2J", None),
        ];
        for (text, expected) in rows {
            let found = moment(text, now);
            assert!(found.as_ref().err().is_none_or(|failure| !failure.lines().contains('\u{1b}')));
            assert_eq!(found.ok(), expected, "{text}");
        }
        let day = moment("2026-11-21", now).unwrap();
        let shown = DateTime::from_timestamp(day, 0).unwrap().with_timezone(&Local).format("%F %T").to_string();
        assert_eq!(shown, "2026-11-21 00:00:00");
    }
}
