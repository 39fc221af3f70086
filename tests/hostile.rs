//! Whatever is broken, lying or in the way gets one clear error, at once, and nothing that was stored is lost.
mod answers;
mod config;
mod damage;
mod disk;
mod loopback;
mod places;
mod renewal;
mod requests;
mod server;
mod streams;
mod urls;
