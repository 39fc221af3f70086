//! `keyfob login`: signs a person in, whatever is stored.
use super::{choose, distance, say};
use crate::config::{Config, Flow};
use crate::failure::{Failure, Kind};
use crate::login::interaction::{self, Facts};
use crate::login::worker::lasting_hint;
use crate::login::{Context, Keeper};
use crate::terminal::printable;
use crate::token::Need;

/// Signs in to `name`, or to the only login there is, by `flow` where one is asked for; to another account than before only where the
/// person wants to choose one (`switch_account`).
///
/// # Errors
/// [`Kind::Misconfigured`] where the account is configured and so cannot be chosen; those of [`Keeper::tokens`].
pub(crate) fn run(context: &Context, name: Option<&str>, flow: Option<Flow>, switch_account: bool) -> anyhow::Result<()> {
    let config = Config::load(&context.environment)?;
    let login = choose(&config, name)?;
    if let Some(account) = login.account.as_ref().filter(|_| switch_account) {
        let message = format!("`{}` is for the account `{}` alone", login.name, printable(account));
        let hint = "change `account` of the login in the configuration, or take it out; then run `keyfob login` again";
        return Err(Failure::new(Kind::Misconfigured, message).hint(hint).into());
    }
    let mut keeper = Keeper::open(context, &config, "keyfob login".into(), context.asking(true), None)?;
    keeper.flow = flow;
    keeper.switch_account = switch_account;
    let facts = Facts::of(&context.environment, keeper.attended, &config, true, interaction::flow_of(login, flow));
    keeper.refusal = interaction::refusal(&facts, login.interactive);
    let tokens = keeper.tokens(login, Need::Access { min_life: 0 }, true)?;
    let is_kept = keeper.is_kept(login, &tokens);
    let account = tokens.account.map(|account| format!(" as {account}")).unwrap_or_default();
    let life = match tokens.access_token.and_then(|token| token.expires_at) {
        Some(end) if tokens.refresh_token.is_some() => format!("renewed without you, the first time {}", distance(context, end)),
        Some(end) => {
            format!("ends {}, since the server gave no refresh token: {}", distance(context, end), lasting_hint(login))
        }
        None => "no end is known".into(),
    };
    let kept = if is_kept {
        format!("kept under a key from {}", keeper.store.describe_source())
    } else if keeper.keeps {
        "its record could not be written: the warning says where the tokens are".to_owned()
    } else {
        "nothing was kept: there is no key to seal it with; name a key file in `KEYFOB_KEY_FILE`".to_owned()
    };
    say(&format!("signed in to {}{account}: {life}\n{kept}\n", login.name));
    Ok(())
}
