//! `keyfob setup git`: git's configuration before, with and after keyfob's lines, what git does by it, and what is taken over from it.
mod effect;
mod file;
mod helpers;
mod hosts;
mod import;
mod import_stored;
mod killed;
mod refused;
mod said;
mod undo;
