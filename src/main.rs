//! The program.
#![cfg_attr(all(bare_start, not(test)), no_main)]
mod config;
mod exchange;
mod failure;
mod http;
mod oauth;
mod os;
mod store;
mod terminal;
mod token;

os::entry!(start);

fn start() -> u8 {
    0
}
