//! `keyfob lock`: forgets the copy of the key that the kernel holds, so that the keyring is asked next time.
use super::say;
use crate::config::Config;
use crate::login::Context;
use crate::store::Store;

/// Forgets the copy, where the key's source is a keyring that has one.
///
/// # Errors
/// Those of the kernel, and of a store that cannot be trusted.
pub(crate) fn run(context: &Context) -> anyhow::Result<()> {
    let config = Config::load(&context.environment)?;
    let store = Store::open(&context.settings(Some(&config), false)?)?;
    let forgotten = store.as_ref().map_or(Ok(false), Store::forget_key_copy)?;
    say(if forgotten {
        "locked: the keyring is asked next time\n"
    } else {
        "there is nothing to lock: no copy of a keyring's key is held\n"
    });
    Ok(())
}
