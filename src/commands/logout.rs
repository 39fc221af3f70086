//! `keyfob logout`: forgets a login here, and revokes its tokens where the server offers that.
use super::{choose, distance, say};
use crate::config::Config;
use crate::login::Context;
use crate::login::revoke;
use crate::login::sign_out::{self, SignedOut};
use crate::store::{Settings, Store};
use crate::terminal::warn;

/// Signs out of `name`, of the only login there is, or of all.
///
/// # Errors
/// Those of the store, the first where there are several. A server that cannot be reached is said, and is no error: the local copy is gone.
pub(crate) fn run(context: &Context, name: Option<&str>, all: bool) -> anyhow::Result<()> {
    let config = Config::load(&context.environment)?;
    let logins = if all { config.logins.values().collect() } else { vec![choose(&config, name)?] };
    let settings = context.settings(Some(&config), crate::terminal::is_attended())?;
    let store = Store::open(&Settings { asking: context.asking(true), ..settings })?;
    let Some(mut store) = store else {
        say("nobody was signed in\n");
        return Ok(());
    };
    let keeps = store.unlock_to_write()?;
    let mut first = Ok(());
    for login in logins {
        let text = match sign_out::run(context, &config, &store, keeps, login) {
            Ok(SignedOut::Nothing) => "was not signed in".to_owned(),
            Ok(SignedOut::Unopened) => {
                warn(&revoke::unopened(login));
                "signed out here".to_owned()
            }
            Ok(SignedOut::Gone(at_server)) => {
                let ends = at_server.access_ends_at.map_or_else(|| "at a time not known".into(), |end| distance(context, end));
                match at_server.remains(login, &ends) {
                    Some(failure) => {
                        warn(&failure);
                        "signed out here".to_owned()
                    }
                    None if at_server.leaves_what_ends_by_itself() => {
                        format!("signed out; what its server does not revoke, an access token, ends {ends}")
                    }
                    None => "signed out, and its tokens are revoked".to_owned(),
                }
            }
            Ok(SignedOut::Open) => "nothing is kept here; Ctrl-C where its sign-in was begun stops that".to_owned(),
            // the others go all the same
            Err(failure) if first.is_ok() => {
                first = Err(failure);
                continue;
            }
            Err(failure) => {
                warn(&failure);
                continue;
            }
        };
        say(&format!("{}: {text}\n", login.name));
    }
    Ok(first?)
}
