//! A program that does nothing: what it costs to start a Rust process, the unit of the measurements in `tests/bench`.
fn main() {}
