//! `keyfob lock`: forgets the copy of the key that the kernel holds, so that the keyring or the person is asked next time.
use super::say;
use crate::config::Config;
use crate::login::Context;
use crate::store::Store;

/// Forgets the copy, where the key's source is one that is copied.
///
/// # Errors
/// Those of the kernel, and of a store that cannot be trusted.
pub(crate) fn run(context: &Context) -> anyhow::Result<()> {
    let config = Config::load(&context.environment)?;
    let store = Store::open(&context.settings(Some(&config), false)?)?;
    match store {
        Some(store) if store.forget_key_copy()? => {
            say(&format!("locked: the next command takes the key from {} again\n", store.describe_source()));
        }
        _ => say("there is nothing to lock: no copy of the key is held\n"),
    }
    Ok(())
}
