//! The client that a login is registered as: how it proves itself, and what the device grant has of its own.
use super::{document::Section, login::absolute_path};
use crate::failure::Failure;
use std::path::PathBuf;

/// How the client proves itself at the token endpoint (RFC 6749 §2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClientAuth {
    /// A public client.
    None,
    /// `client_secret_basic`.
    Basic,
    /// `client_secret_post`.
    Post,
}

/// What the device grant has of its own at this server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct DeviceClient {
    /// The client that is registered for it, where that is another one.
    pub(crate) client_id: Option<String>,
    /// That other client's secret. Absolute.
    pub(crate) client_secret_file: Option<PathBuf>,
    /// Whether the server wants PKCE with it (RFC 8628 has none; some servers can be told to insist).
    pub(crate) pkce: bool,
}

pub(super) fn read_client_auth(section: &Section<'_>) -> Result<(Option<PathBuf>, ClientAuth), Failure> {
    let file = absolute_path(section, "client_secret_file")?;
    let words = [("none", ClientAuth::None), ("basic", ClientAuth::Basic), ("post", ClientAuth::Post)];
    match (section.word("client_auth", &words)?, file) {
        (None, None) => Ok((None, ClientAuth::None)),
        // The one that every server has to understand (RFC 6749 §2.3.1).
        (None, Some(file)) => Ok((Some(file), ClientAuth::Basic)),
        (Some(ClientAuth::None), Some(_)) => {
            Err(section.at("client_auth").fault("`client_auth = \"none\"` and a `client_secret_file` exclude each other"))
        }
        (Some(ClientAuth::Basic | ClientAuth::Post), None) if !section.value.contains_key("device_client_secret_file") => {
            Err(section.at("client_auth").fault("this way of client authentication needs a `client_secret_file`"))
        }
        (Some(auth), file) => Ok((file, auth)),
    }
}

pub(super) fn read_device_client(section: &Section<'_>) -> Result<DeviceClient, Failure> {
    let device = DeviceClient {
        client_id: section.text("device_client_id")?.map(|id| id.value.to_owned()),
        client_secret_file: absolute_path(section, "device_client_secret_file")?,
        pkce: section.flag("device_pkce")?.unwrap_or(false),
    };
    if device.client_secret_file.is_some() && device.client_id.is_none() {
        let place = section.at("device_client_secret_file");
        return Err(place.fault("this secret is of no client").hint("add the `device_client_id` that it belongs to"));
    }
    Ok(device)
}
