//! `keyfob setup git`: git's configuration before, with and after keyfob's lines, and what git does by it.
mod effect;
mod file;
mod hosts;
mod killed;
mod refused;
