//! Whatever is broken, lying or in the way gets one clear error, at once, and nothing that was stored is lost.
mod answers;
mod asking;
mod config;
mod damage;
mod disk;
mod loopback;
mod places;
mod redirects;
mod renewal;
mod requests;
mod server;
mod streams;
mod strings;
mod table;
mod urls;
mod visitors;
