//! Measures commands against each other: whole processes, interleaved, in a new random order each round.
//!
//! `pairs ROUNDS[xCROWD] [cold] -- NAME INPUT PROGRAM [ARGUMENT…] [-- NAME INPUT PROGRAM [ARGUMENT…]]…`: runs each program ROUNDS times
//! with the file INPUT as standard input, so many at once, and prints per command the least and the median wall time until the last one
//! of them has ended, the ratio of its median to the first command's, the median of the ratios round by round, how many bytes each
//! answered (once outside the count, but for `cold`), and the 99th percentile of how long one of them took.
use std::error::Error;
use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

/// One command and what its rounds took, in seconds.
struct Entrant {
    name: String,
    input: String,
    words: Vec<String>,
    answered: usize,
    /// Of each round.
    seconds: Vec<f64>,
    /// Of each process.
    single: Vec<f64>,
}

impl Entrant {
    fn parse(words: &[String]) -> Result<Self, String> {
        let [name, input, words @ ..] = words else { return Err("a command needs a name, an input and a program".into()) };
        if words.is_empty() {
            return Err(format!("{name}: a command needs a program"));
        }
        let (name, input, words) = (name.clone(), input.clone(), words.to_vec());
        Ok(Self { name, input, words, answered: 0, seconds: Vec::new(), single: Vec::new() })
    }

    fn command(&self) -> Result<Command, Box<dyn Error>> {
        let input = File::open(&self.input).map_err(|error| format!("{}: {error}", self.input))?;
        let mut command = Command::new(&self.words[0]);
        command.args(&self.words[1..]).stdin(input).stderr(Stdio::null());
        Ok(command)
    }

    /// Runs it once outside the count, so that what is measured is an answer and not a failure.
    fn warm_up(&mut self) -> Result<(), Box<dyn Error>> {
        let output = self.command()?.output().map_err(|error| format!("{}: {error}", self.words[0]))?;
        if !output.status.success() {
            return Err(format!("{}: {}", self.name, output.status).into());
        }
        self.answered = output.stdout.len();
        Ok(())
    }

    fn run(&mut self, crowd: usize) -> Result<(), Box<dyn Error>> {
        let mut commands = (0..crowd).map(|_| self.command()).collect::<Result<Vec<_>, _>>()?;
        let began = Instant::now();
        let mut children = Vec::new();
        for command in &mut commands {
            children.push((Instant::now(), command.stdout(Stdio::null()).spawn()?));
        }
        // each has a thread that waits for it: who looks at one after the other sees the end of the slowest alone
        let waiting: Vec<_> = children
            .into_iter()
            .map(|(begun, mut child)| std::thread::spawn(move || child.wait().map(|status| (begun.elapsed(), status))))
            .collect();
        for thread in waiting {
            let (took, status) = thread.join().map_err(|_| "a thread that waits for a process has died")??;
            if !status.success() {
                return Err(format!("{}: {status}", self.name).into());
            }
            self.single.push(took.as_secs_f64());
        }
        self.seconds.push(began.elapsed().as_secs_f64());
        Ok(())
    }
}

/// The middle one of `values`, which are not empty.
fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    percentile(values, 50)
}

/// What so many of a hundred of `values`, which are not empty, are below.
fn percentile(values: impl IntoIterator<Item = f64>, hundredths: usize) -> f64 {
    let mut sorted: Vec<f64> = values.into_iter().collect();
    sorted.sort_by(f64::total_cmp);
    sorted[(sorted.len() * hundredths / 100).min(sorted.len() - 1)]
}

/// A new random order of `count` places (Fisher and Yates; the randomness is the hasher's, seeded by the system).
fn order(count: usize, random: &RandomState, round: usize) -> Vec<usize> {
    let mut places: Vec<usize> = (0..count).collect();
    for last in (1..count).rev() {
        let draw = random.hash_one((round, last)).to_le_bytes();
        places.swap(last, usize::from(u16::from_le_bytes([draw[0], draw[1]])) % (last + 1));
    }
    places
}

fn measure(arguments: &[String]) -> Result<Vec<Entrant>, Box<dyn Error>> {
    let mut groups = arguments.split(|word| word == "--");
    let number = |text: &str| text.parse::<usize>().map_err(|_| format!("{text} is not a number"));
    let (rounds, is_cold) = match groups.next() {
        Some([rounds]) => (rounds, false),
        Some([rounds, word]) if word == "cold" => (rounds, true),
        _ => return Err("usage: pairs ROUNDS[xCROWD] [cold] -- NAME INPUT PROGRAM [ARGUMENT…] [-- …]…".into()),
    };
    let (rounds, crowd) = rounds.split_once('x').unwrap_or((rounds, "1"));
    let (rounds, crowd) = (number(rounds)?, number(crowd)?);
    let mut entrants = groups.map(Entrant::parse).collect::<Result<Vec<_>, _>>()?;
    if entrants.is_empty() || rounds == 0 || crowd == 0 {
        return Err("there is nothing to measure".into());
    }
    if !is_cold {
        entrants.iter_mut().try_for_each(Entrant::warm_up)?;
    }
    let random = RandomState::new();
    for round in 0..rounds {
        for place in order(entrants.len(), &random, round) {
            entrants[place].run(crowd)?;
        }
    }
    Ok(entrants)
}

#[expect(clippy::print_stdout, reason = "its table is what it is for")]
fn report(entrants: &[Entrant]) {
    let first = &entrants[0];
    let unit = median(first.seconds.iter().copied());
    println!(
        "{:<26} {:>8} {:>10} {:>9} {:>14} {:>9} {:>8}",
        "command", "min ms", "median ms", "of median", "median of each", "answered", "p99 ms"
    );
    for entrant in entrants {
        let least = entrant.seconds.iter().copied().fold(f64::INFINITY, f64::min);
        let middle = median(entrant.seconds.iter().copied());
        let each = median(entrant.seconds.iter().zip(&first.seconds).map(|(mine, theirs)| mine / theirs));
        let (name, answered, late) = (&entrant.name, entrant.answered, percentile(entrant.single.iter().copied(), 99) * 1e3);
        let (ratio, least, middle) = (middle / unit, least * 1e3, middle * 1e3);
        println!("{name:<26} {least:>8.3} {middle:>10.3} {ratio:>9.3} {each:>14.3} {answered:>7} B {late:>8.3}");
    }
}

#[expect(clippy::print_stderr, reason = "a program for people who measure")]
fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match measure(&arguments) {
        Ok(entrants) => {
            report(&entrants);
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("pairs: {error}");
            ExitCode::FAILURE
        }
    }
}
