//! The connections that are open at the listener: so many and no more, and who says nothing makes room for the next one.
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The most connections that are read at one time.
const MOST: usize = 64;

/// The most that were cut off and have not noticed yet: where the processor is busy, those who read wake up later than others come.
const CUT: usize = 8;

/// How long those are waited for.
const LEAVING: Duration = Duration::from_secs(1);

/// How far a visitor has come. The least of them makes room first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    /// A browser opens connections ahead of need; so does who wants to fill the place.
    Silent,
    Speaking,
    Answered,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Visitors {
    inside: Mutex<Inside>,
    left: Condvar,
}

#[derive(Debug, Default)]
struct Inside {
    last: u64,
    /// The oldest first.
    open: Vec<Visitor>,
    cut: Vec<u64>,
}

#[derive(Debug)]
struct Visitor {
    number: u64,
    stage: Stage,
    stream: Arc<TcpStream>,
}

impl Visitors {
    /// Lets `stream` in, and returns its number. Where the place is full, the oldest of those that came least far is cut off, and where
    /// those who were cut off are still about, it is waited for them: what is open is bounded however slowly they go.
    pub(super) fn admit(&self, stream: &Arc<TcpStream>) -> u64 {
        let inside = self.inside();
        let crowded = self.left.wait_timeout_while(inside, LEAVING, |inside| inside.cut.len() >= CUT);
        let (mut inside, _) = crowded.unwrap_or_else(PoisonError::into_inner);
        if inside.open.len() >= MOST
            && let Some((place, _)) = inside.open.iter().enumerate().min_by_key(|(_, visitor)| visitor.stage)
        {
            let visitor = inside.open.remove(place);
            // who reads from it meets its end
            let _ = visitor.stream.shutdown(Shutdown::Both);
            inside.cut.push(visitor.number);
        }
        inside.last += 1;
        let number = inside.last;
        inside.open.push(Visitor { number, stage: Stage::Silent, stream: Arc::clone(stream) });
        number
    }

    pub(super) fn note(&self, number: u64, stage: Stage) {
        if let Some(visitor) = self.inside().open.iter_mut().find(|visitor| visitor.number == number) {
            visitor.stage = stage;
        }
    }

    /// Forgets a visitor: it has gone, or is kept by somebody else and makes room for nobody.
    pub(super) fn leave(&self, number: u64) {
        let mut inside = self.inside();
        inside.open.retain(|visitor| visitor.number != number);
        inside.cut.retain(|cut| *cut != number);
        drop(inside);
        self.left.notify_one();
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        // nothing in there breaks half-way
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
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
    #[test]
    fn those_that_were_cut_off_and_have_not_gone_are_waited_for() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let visitors = Visitors::default();
        let come = || {
            let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            (visitors.admit(&Arc::new(listener.accept().unwrap().0)), near)
        };
        let first: Vec<_> = (0..MOST + CUT).map(|_| come()).collect();
        std::thread::scope(|scope| {
            let next = scope.spawn(come);
            std::thread::sleep(Duration::from_millis(100));
            assert!(!next.is_finished());
            visitors.leave(first[0].0);
            assert_eq!(next.join().unwrap().0, u64::try_from(MOST + CUT).unwrap() + 1);
        });
    }
}
