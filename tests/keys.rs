//! Moving the key from one source to another: everything is sealed anew or nothing is changed, whoever is killed when.
mod beside;
mod killed;
mod moves;
mod refused;
mod vault;
