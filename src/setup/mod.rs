//! The settings of the tools that ask keyfob: what stands in them, what should, and the change from one to the other.
pub(crate) mod diff;
pub(crate) mod file;
pub(crate) mod git;
pub(crate) mod git_lines;
pub(crate) mod git_oauth;
pub(crate) mod git_stored;
pub(crate) mod git_urls;
pub(crate) mod program;
