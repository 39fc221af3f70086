//! `keyfob setup`: what keyfob works with, and the tools that ask it, one file each.
pub(crate) mod git;
pub(crate) mod git_undo;
pub(crate) mod import;
pub(crate) mod import_stored;
pub(crate) mod key;
