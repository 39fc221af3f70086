//! Listens on the loopback interface for one authorization response (RFC 8252 §7.3), and sends the browser on its way there.
use super::arrival::{Arrival, PATIENCE, read_before};
use super::paste;
use super::request::{ASK, Expectation, GO_ON, Hosts, LARGEST, Parameters, Stray, Verdict, is_response, read_request};
use super::result_page::{HEADERS, Page, turned_away};
use super::visitors::{Stage, Visitors};
use crate::config::LoopbackHost;
use crate::failure::Failure;
use helper_protocols::Secret;
use std::collections::BTreeSet;
use std::io::Write;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use url::Url;

/// How often a waiting sign-in looks whether it should stop.
const GLANCE: Duration = Duration::from_millis(200);
/// For how long, and of how many bytes at most, an answered browser may finish what it still sends.
const FAREWELL: (Duration, usize) = (Duration::from_millis(200), 64 << 10);

const PLAIN: &str = "content-type: text/plain\r\ncache-control: no-store\r\n";

/// What a browser that comes is to be shown, and what is waited for.
#[derive(Debug)]
pub(crate) struct Tour {
    pub(crate) expectation: Expectation,
    /// Where the one-time local address leads.
    pub(crate) authorization_url: Secret,
    /// The page that asks before it goes on.
    pub(crate) page: Option<Page>,
}

/// Why waiting ended.
#[derive(Debug)]
pub(crate) enum Event {
    /// With the browser that brought it, where one did.
    Response(Parameters, Option<Browser>),
    /// The response came as a form, which is taken from nobody.
    Form(Browser),
    /// The one-time address was opened again: by a reload, or by somebody who watched.
    StartedTwice,
    TimedOut(Seen),
    Stopped,
}

/// What came while the response did not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) reached: Reached,
    pub(crate) strays: BTreeSet<Stray>,
}

/// How far the browser was sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Reached {
    #[default]
    Nowhere,
    /// The page that asks before it goes on.
    OurPage,
    Server,
}

/// The browser's connection, which is answered when the outcome is known.
#[derive(Debug)]
pub(crate) struct Browser(Arc<TcpStream>);

impl Browser {
    /// Leads it on to `address` and closes the connection.
    pub(crate) fn lead_to(self, address: &Url) {
        redirect(&self.0, address.as_str());
    }

    /// Shows `page` and closes the connection. A browser that has gone away is no failure.
    pub(crate) fn show(self, page: &Page) {
        respond(&self.0, "200 OK", HEADERS, page.html().as_bytes());
    }
}

/// Bound sockets on one port that are kept until the sign-in ends.
#[derive(Debug)]
pub(crate) struct Loopback {
    listeners: Vec<TcpListener>,
    hosts: Hosts,
    port: u16,
}

impl Loopback {
    /// Binds `host` on the first free one of `ports`, or on a port the system picks where none is fixed. It listens when this returns.
    ///
    /// # Errors
    /// [`crate::failure::Kind::Misconfigured`] naming what is taken, and by whom.
    pub(crate) fn bind(host: LoopbackHost, ports: &[u16]) -> Result<Self, Failure> {
        let (listeners, port) = super::bind::bind(host, ports)?;
        Ok(Self { listeners, hosts: Hosts::new(host, port), port })
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Returns the one-time local address that sends the browser to the authorization server.
    pub(crate) fn start_address(&self, ticket: &str) -> Url {
        Url::parse(&self.hosts.start_address(ticket)).expect("an address, a port and hexadecimal digits make a URL")
    }

    /// Returns the address that takes what a person pasted, for whoever knows `ticket`.
    pub(crate) fn paste_address(&self, ticket: &Secret) -> Secret {
        self.hosts.paste_address(ticket)
    }

    /// Serves requests until the authorization response comes, `limit` has passed, or `stop` says so.
    pub(crate) fn wait(self, tour: Tour, limit: Duration, stop: &mut dyn FnMut() -> bool) -> Event {
        let (events, received) = mpsc::channel();
        let stopping = Arc::new(AtomicBool::new(false));
        let addresses: Vec<_> = self.listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect();
        let desk = Arc::new(Desk { tour, hosts: self.hosts, seen: Mutex::default(), visitors: Visitors::default() });
        for listener in self.listeners {
            let (desk, events, flag) = (Arc::clone(&desk), events.clone(), Arc::clone(&stopping));
            if std::thread::Builder::new().spawn(move || receive(&listener, &desk, &events, &flag)).is_err() {
                return Event::Stopped;
            }
        }
        drop(events);
        let event = watch(&received, limit, stop).unwrap_or_else(|| Event::TimedOut(desk.seen().clone()));
        stopping.store(true, Ordering::SeqCst);
        for address in addresses {
            // wakes the listener up, so that it closes
            let _ = TcpStream::connect_timeout(&address, Duration::from_millis(200));
        }
        event
    }
}

/// Returns what ended it; none where that is the time.
fn watch(received: &Receiver<Event>, limit: Duration, stop: &mut dyn FnMut() -> bool) -> Option<Event> {
    let begun = Instant::now();
    loop {
        match received.recv_timeout(GLANCE) {
            Ok(event) => return Some(event),
            Err(RecvTimeoutError::Disconnected) => return Some(Event::Stopped),
            Err(RecvTimeoutError::Timeout) if stop() => return Some(Event::Stopped),
            Err(RecvTimeoutError::Timeout) if begun.elapsed() >= limit => return None,
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
}

fn receive(listener: &TcpListener, desk: &Arc<Desk>, events: &Sender<Event>, stopping: &AtomicBool) {
    for stream in listener.incoming() {
        if stopping.load(Ordering::SeqCst) {
            return;
        }
        let Ok(stream) = stream else {
            // as where this process has no descriptor left: others may be closed soon
            std::thread::sleep(Duration::from_millis(5));
            continue;
        };
        let stream = Arc::new(stream);
        let number = desk.visitors.admit(&stream);
        let (ours, events) = (Arc::clone(desk), events.clone());
        let started = std::thread::Builder::new().spawn(move || {
            ours.attend(&stream, number, &events);
            ours.visitors.leave(number);
        });
        if started.is_err() {
            desk.visitors.leave(number);
        }
    }
}

/// One sign-in's listener, whoever comes.
struct Desk {
    tour: Tour,
    hosts: Hosts,
    seen: Mutex<Seen>,
    visitors: Visitors,
}

impl Desk {
    /// Reads one request and deals with it. One request per connection: what comes behind it is not read.
    fn attend(&self, stream: &Arc<TcpStream>, number: u64, events: &Sender<Event>) {
        let Some(arrival) = Arrival::read(stream, || self.visitors.note(number, Stage::Speaking)) else { return };
        let verdict = match self.judge(&arrival, stream) {
            Verdict::Form(length) => self.judge_form(&arrival, length, stream),
            verdict => verdict,
        };
        self.visitors.note(number, Stage::Answered);
        let browser = || {
            // it is answered when the outcome is known, and makes room for nobody until then
            self.visitors.leave(number);
            Browser(Arc::clone(stream))
        };
        match verdict {
            Verdict::Start => self.start(stream, events),
            Verdict::Ask => self.tour.page.iter().for_each(|page| respond(stream, "200 OK", HEADERS, page.html().as_bytes())),
            Verdict::GoOn => self.go_on(stream),
            Verdict::Response(parameters) => drop(events.send(Event::Response(parameters, Some(browser())))),
            Verdict::Pasted(length) => self.take_pasted(&arrival, length, stream, events),
            Verdict::Form(_) => drop(events.send(Event::Form(browser()))),
            Verdict::NotOurs(stray) => self.turn_away(stream, stray),
        }
    }

    fn judge(&self, arrival: &Arrival, stream: &TcpStream) -> Verdict {
        let Some(head) = arrival.head() else { return Verdict::NotOurs(Stray::TooLarge) };
        let verdict = read_request(head, &self.hosts, &self.tour.expectation);
        match verdict {
            Verdict::NotOurs(_) => verdict,
            _ if is_foreign(stream) => Verdict::NotOurs(Stray::Foreign),
            _ => verdict,
        }
    }

    fn judge_form(&self, arrival: &Arrival, length: usize, stream: &TcpStream) -> Verdict {
        match arrival.read_body(length, LARGEST.saturating_sub(arrival.head_length()), stream) {
            Ok(form) if is_response(&form, &self.tour.expectation) => Verdict::Form(length),
            Ok(_) => Verdict::NotOurs(Stray::OtherState),
            Err(stray) => Verdict::NotOurs(stray),
        }
    }

    /// Tells whoever brings what a person pasted what it was taken for.
    fn take_pasted(&self, arrival: &Arrival, length: usize, stream: &TcpStream, events: &Sender<Event>) {
        let text = match arrival.read_body(length, paste::PASTED, stream) {
            Ok(text) => text,
            Err(stray) => return self.turn_away(stream, stray),
        };
        match paste::read(&text, &self.tour.expectation.state) {
            Ok(parameters) => {
                respond(stream, "202 Accepted", PLAIN, b"");
                let _ = events.send(Event::Response(parameters, None));
            }
            Err(sentence) => respond(stream, "422 Unprocessable Content", PLAIN, sentence.as_bytes()),
        }
    }

    fn start(&self, stream: &TcpStream, events: &Sender<Event>) {
        let mut seen = self.seen();
        if seen.reached != Reached::Nowhere {
            drop(seen);
            respond(stream, "410 Gone", PLAIN, b"this address works once\n");
            let _ = events.send(Event::StartedTwice);
            return;
        }
        seen.reached = if self.tour.page.is_some() { Reached::OurPage } else { Reached::Server };
        drop(seen);
        match &self.tour.expectation.page_ticket {
            // an address that no process list has shown, so that the page can be loaded again
            Some(ticket) => redirect(stream, &format!("{ASK}{ticket}")),
            None => redirect(stream, self.tour.authorization_url.expose()),
        }
    }

    /// Only the browser that was shown our page knows this address, so it works as often as that goes back and on.
    fn go_on(&self, stream: &TcpStream) {
        self.seen().reached = Reached::Server;
        redirect(stream, self.tour.authorization_url.expose());
    }

    fn turn_away(&self, stream: &TcpStream, stray: Stray) {
        self.seen().strays.insert(stray);
        let status = match stray {
            Stray::Odd | Stray::Bare | Stray::OtherState => "400 Bad Request",
            Stray::Foreign => "403 Forbidden",
            Stray::Path => "404 Not Found",
            Stray::Method => "405 Method Not Allowed",
            Stray::TooLarge => "431 Request Header Fields Too Large",
        };
        match turned_away(stray) {
            Some(page) => respond(stream, status, HEADERS, page.html().as_bytes()),
            // a browser that asks with `HEAD` expects nothing behind it
            None if stray == Stray::Method => respond(stream, status, "allow: GET\r\ncache-control: no-store\r\n", b""),
            None => respond(stream, status, PLAIN, b"not what is waited for here\n"),
        }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        // nothing in there breaks half-way
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the other end belongs to another ordinary user of this machine, as far as the system tells.
pub(super) fn is_foreign(stream: &TcpStream) -> bool {
    let (Ok(local), Ok(peer)) = (stream.local_addr(), stream.peer_addr()) else { return true };
    let us = crate::os::effective_uid();
    // system accounts and root may be relays, as on WSL
    crate::os::connection_uid(local, peer).is_some_and(|uid| uid != us && (1000..65_534).contains(&uid))
}

fn redirect(stream: &TcpStream, to: &str) {
    respond(
        stream,
        "303 See Other",
        &format!("location: {to}\r\ncache-control: no-store\r\nreferrer-policy: no-referrer\r\n"),
        b"",
    );
}

fn respond(mut stream: &TcpStream, status: &str, headers: &str, body: &[u8]) {
    let _ = stream.set_write_timeout(Some(PATIENCE));
    let mut bytes =
        format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n{headers}\r\n", body.len()).into_bytes();
    bytes.extend_from_slice(body);
    let _ = stream.write_all(&bytes);
    let _ = stream.shutdown(Shutdown::Write);
    // a reset while the browser still sends would lose the page
    let (deadline, mut left) = (Instant::now() + FAREWELL.0, FAREWELL.1);
    while left > 0
        && let Some(count) = read_before(stream, deadline, &mut [0; 4096])
    {
        left = left.saturating_sub(count);
    }
}

/// Returns the path of the link that leads on from the page that asks.
pub(crate) fn way_on(ticket: &str) -> String {
    format!("{GO_ON}{ticket}")
}
