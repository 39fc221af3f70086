//! Whatever surrounds a caller - descriptors, signals, limits, folders, deaths - it answers or fails in one clear error, and neither the
//! worker nor the browser keeps anything of it.
#![cfg(target_os = "linux")]
mod descriptors;
mod ends;
mod limits;
mod places;
mod signals;

use crate::support::forge::{Forge, until};
use std::collections::BTreeSet;

/// What a descriptor leads to, as the kernel names it: a path, or `pipe:[INODE]`, `socket:[INODE]`.
fn descriptors(process: u32) -> BTreeSet<String> {
    let entries = std::fs::read_dir(format!("/proc/{process}/fd")).into_iter().flatten().flatten();
    entries.filter_map(|entry| Some(std::fs::read_link(entry.path()).ok()?.to_string_lossy().into_owned())).collect()
}

/// The ports of 127.0.0.1 on which a process listens.
fn listening(process: u32) -> Vec<String> {
    let held = descriptors(process);
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let rows = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let listens = |row: &Vec<&str>| row.len() > 9 && row[3] == "0A" && held.contains(&format!("socket:[{}]", row[9]));
    rows.filter(listens).map(|row| row[1].to_owned()).collect()
}

/// Panics unless, of a home whose workers were `workers`, no process, no zombie and no listener is left when all is over.
#[track_caller]
fn nothing_is_left(forge: &Forge, workers: &[u32], ports: &[String]) {
    forge.wait_for_quiet();
    for worker in workers {
        until("the worker is collected", || !std::path::Path::new(&format!("/proc/{worker}")).exists());
    }
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    for port in ports {
        let open = table.lines().any(|line| line.contains(&format!(" {port} ")) && line.contains(" 0A "));
        assert!(!open, "something still listens on {port}");
    }
    forge.check();
}
