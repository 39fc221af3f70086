//! The codecs from outside: recorded conversations, readers stricter than git, and input that nobody meant.
mod robustness;
mod strict_readers;
mod transcripts;
