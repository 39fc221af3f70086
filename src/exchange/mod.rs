//! Exchanges: second calls that turn a login's token into another credential, one per file.
pub(crate) mod aws;
