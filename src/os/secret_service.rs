//! Looks at the desktop's keyring on Linux before it is asked for anything: is one there, and is it open.
//!
//! The keyring library answers "no such item" for a locked keyring as well, and a key must not be minted on that.
use super::SecretService;
use std::time::Duration;
use zbus::{
    blocking::{Connection, connection::Builder},
    zvariant::{OwnedObjectPath, OwnedValue},
};

const SERVICE: &str = "org.freedesktop.secrets";
const BUS: &str = "org.freedesktop.DBus";

/// Returns what the desktop's keyring can do now. May block as long as `patience` for each of its few calls.
///
/// # Errors
/// A sentence if a keyring is there and does not answer properly.
pub(crate) fn secret_service(patience: Duration) -> Result<SecretService, String> {
    let Some(bus) = Builder::session().and_then(|builder| builder.method_timeout(patience).build()).ok() else {
        return Ok(SecretService::Absent);
    };
    if !is_provided(&bus)? {
        return Ok(SecretService::Absent);
    }
    let collection: OwnedObjectPath =
        call(&bus, SERVICE, "/org/freedesktop/secrets", "org.freedesktop.Secret.Service", "ReadAlias", &("default",))?;
    if collection.as_str() == "/" {
        return Ok(SecretService::Empty);
    }
    let question = ("org.freedesktop.Secret.Collection", "Locked");
    let locked: OwnedValue = call(&bus, SERVICE, collection.as_str(), "org.freedesktop.DBus.Properties", "Get", &question)?;
    match bool::try_from(locked) {
        Ok(false) => Ok(SecretService::Ready),
        Ok(true) => Ok(SecretService::Locked),
        Err(_) => Err("it does not say whether it is locked".to_owned()),
    }
}

/// Whether a keyring runs, or would be started by the first call.
fn is_provided(bus: &Connection) -> Result<bool, String> {
    let path = "/org/freedesktop/DBus";
    if call::<bool>(bus, BUS, path, BUS, "NameHasOwner", &(SERVICE,))? {
        return Ok(true);
    }
    Ok(call::<Vec<String>>(bus, BUS, path, BUS, "ListActivatableNames", &())?.iter().any(|name| name == SERVICE))
}

fn call<T>(
    bus: &Connection,
    destination: &str,
    path: &str,
    interface: &str,
    method: &str,
    arguments: &(impl serde::Serialize + zbus::zvariant::DynamicType),
) -> Result<T, String>
where
    T: for<'a> serde::Deserialize<'a> + zbus::zvariant::Type,
{
    let reply =
        bus.call_method(Some(destination), path, Some(interface), method, arguments).map_err(|error| error.to_string())?;
    reply.body().deserialize().map_err(|error| error.to_string())
}
