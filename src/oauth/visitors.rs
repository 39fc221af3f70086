//! The connections that are open at the listener: so many and no more, and who says nothing makes room for the next one.
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The most connections that are read at one time.
const MOST: usize = 64;

/// How far a visitor has come. The least of them makes room first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    /// A browser opens connections ahead of need; so does who wants to fill the place.
    Silent,
    Speaking,
    Answered,
}

/// All of them, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Visitors(Mutex<(u64, Vec<Visitor>)>);

#[derive(Debug)]
struct Visitor {
    number: u64,
    stage: Stage,
    stream: Arc<TcpStream>,
}

impl Visitors {
    /// Lets `stream` in, and returns its number. Where the place is full, the oldest of those that came least far is cut off.
    pub(super) fn admit(&self, stream: &Arc<TcpStream>) -> u64 {
        let mut inside = self.inside();
        let (last, open) = &mut *inside;
        if open.len() >= MOST
            && let Some((place, _)) = open.iter().enumerate().min_by_key(|(_, visitor)| visitor.stage)
        {
            // who reads from it meets its end
            let _ = open.remove(place).stream.shutdown(Shutdown::Both);
        }
        *last += 1;
        open.push(Visitor { number: *last, stage: Stage::Silent, stream: Arc::clone(stream) });
        *last
    }

    pub(super) fn note(&self, number: u64, stage: Stage) {
        if let Some(visitor) = self.inside().1.iter_mut().find(|visitor| visitor.number == number) {
            visitor.stage = stage;
        }
    }

    /// Forgets a visitor: it has gone, or is kept by somebody else and makes room for nobody.
    pub(super) fn leave(&self, number: u64) {
        self.inside().1.retain(|visitor| visitor.number != number);
    }

    fn inside(&self) -> MutexGuard<'_, (u64, Vec<Visitor>)> {
        // nothing in there breaks half-way
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::net::TcpListener;
    use std::time::Duration;

    #[test]
    fn the_oldest_of_the_least_far_makes_room() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut near = Vec::new();
        let visitors = Visitors::default();
        let mut come = || {
            near.push(TcpStream::connect(listener.local_addr().unwrap()).unwrap());
            let far = Arc::new(listener.accept().unwrap().0);
            visitors.admit(&far)
        };
        let numbers: Vec<u64> = (0..MOST).map(|_| come()).collect();
        visitors.note(numbers[0], Stage::Speaking);
        visitors.note(numbers[2], Stage::Answered);
        visitors.leave(numbers[4]);
        come();
        // 1 and 3 are the oldest silent ones
        let late = [come(), come()];
        let mut is_cut = |place: usize| {
            near[place].set_read_timeout(Some(Duration::from_millis(50))).unwrap();
            near[place].read(&mut [0]).is_ok_and(|count| count == 0)
        };
        let cut: Vec<usize> = (0..8).filter(|place| is_cut(*place)).collect();
        // 4 left by itself, so its stream was dropped
        assert_eq!(cut, [1, 3, 4], "{late:?}");
    }
}
