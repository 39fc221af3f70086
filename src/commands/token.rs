//! `keyfob token`: prints an access token, for whatever tool takes one.
use super::{choose, say};
use crate::audit::Event;
use crate::config::Config;
use crate::failure::{Failure, Kind};
use crate::login::interaction::{self, Facts};
use crate::login::{Context, Keeper, asker};
use crate::token::Need;
use zeroize::Zeroizing;

/// Prints the access token of `name` that lasts `min_life` more seconds where the server grants that.
///
/// # Errors
/// Those of [`Keeper::tokens`].
pub(crate) fn run(context: &Context, name: &str, min_life: i64) -> anyhow::Result<()> {
    let config = Config::load(&context.environment)?;
    let login = choose(&config, Some(name))?;
    let mut keeper = Keeper::open(context, &config, asker::find("keyfob"), context.asking(false), None)?;
    let facts = Facts::of(&context.environment, keeper.attended, &config, false, interaction::flow_of(login, None));
    keeper.refusal = interaction::refusal(&facts, login.interactive);
    let tokens = keeper.tokens(login, Need::Access { min_life }, false)?;
    let entry = keeper.entry(Event::HandedOut, login, &tokens);
    let token = tokens.access_token.ok_or_else(|| Failure::new(Kind::Refused, format!("login `{name}` has no access token")))?;
    keeper.note(&entry.of(&keeper.store, Some(&token.value)));
    say(&Zeroizing::new(format!("{}\n", token.value.expose())));
    Ok(())
}
