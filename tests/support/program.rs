//! What the programs under `tests/programs` have in common: flags, the ready line, and running until told to stop.
use std::io::{Read, Write};

/// The value after `--NAME`, where it was given.
pub fn flag(name: &str) -> Option<String> {
    let wanted = format!("--{name}");
    let mut arguments = std::env::args().skip(1);
    arguments.find(|argument| *argument == wanted)?;
    arguments.next()
}

/// The value after `--NAME`; panics with the flag's name without one.
pub fn required_flag(name: &str) -> String {
    flag(name).unwrap_or_else(|| panic!("--{name} VALUE is missing"))
}

/// Prints `READY` and `values` on one line.
pub fn ready(values: &[&str]) {
    say(&format!("READY {}", values.join(" ")));
}

/// Prints a line.
pub fn say(line: &str) {
    let mut stdout = std::io::stdout();
    writeln!(stdout, "{line}").and_then(|()| stdout.flush()).expect("whoever started this reads what it says");
}

/// Returns when stdin ends.
pub fn until_stdin_ends() {
    let _ = std::io::copy(&mut std::io::stdin().by_ref(), &mut std::io::sink());
}
