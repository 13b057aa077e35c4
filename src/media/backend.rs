//! How the workers talk to the kernel: a call for each packet, or `io_uring` for many.
//!
//! Which is cheaper depends on the kernel and on what it does against attacks on processors, so both are tried at start-up:
//! a few thousand packets over loopback, some 50 ms.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant, SystemTime};

use super::ring::{ARRIVALS_MAX, Arrivals, Departures, Target};
use super::socket::{Clock, Inbox, Socket};
use super::system::thread_time;

/// What is asked for.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Io {
    /// What is cheaper here.
    #[default]
    Auto,
    /// A system call for each packet.
    Plain,
    /// `io_uring`: a system call for up to 128 packets.
    Uring,
}

/// What the workers use.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Backend {
    Plain,
    Uring,
}

/// Makes the choice, and logs it.
///
/// # Errors
/// `io_uring` is demanded and cannot be had.
pub(super) fn choose(asked: Io) -> io::Result<Backend> {
    match asked {
        Io::Plain => {
            tracing::info!(io = "plain", "media: a system call for each packet, as set");
            Ok(Backend::Plain)
        }
        Io::Uring => match Arrivals::new() {
            Ok(_) => {
                tracing::info!(io = "io_uring", "media: many packets a system call, as set");
                Ok(Backend::Uring)
            }
            Err(error) => {
                let advice = "set media.io to \"auto\" or \"plain\"";
                Err(io::Error::new(
                    error.kind(),
                    format!("io_uring is not to be had here ({error}): {advice}"),
                ))
            }
        },
        Io::Auto => Ok(match race() {
            Ok(Race { plain, uring }) if uring < plain * 97 / 100 => {
                tracing::info!(io = "io_uring", ?plain, ?uring, "media: io_uring costs less");
                Backend::Uring
            }
            Ok(Race { plain, uring }) => {
                tracing::info!(io = "plain", ?plain, ?uring, "media: io_uring saves nothing");
                Backend::Plain
            }
            Err(error) => {
                tracing::info!(io = "plain", %error, "media: no io_uring here");
                Backend::Plain
            }
        }),
    }
}

/// Processor time to send and receive one packet.
#[derive(Debug)]
struct Race {
    plain: Duration,
    uring: Duration,
}

/// Lets both do the same over loopback, by turns; the best turn of each counts.
fn race() -> io::Result<Race> {
    let mut uring = Runner::new(true)?;
    let mut plain = Runner::new(false)?;
    let mut race = Race { plain: Duration::MAX, uring: Duration::MAX };
    for _ in 0..TURNS {
        race.plain = race.plain.min(plain.run());
        race.uring = race.uring.min(uring.run());
    }
    Ok(race)
}

#[derive(Debug)]
struct Runner {
    pairs: Vec<(Socket, Socket, SocketAddr)>,
    inbox: Inbox,
    departures: Option<Departures>,
}

impl Runner {
    fn new(uring: bool) -> io::Result<Self> {
        #[expect(clippy::disallowed_methods, reason = "the media threads are a shell")]
        let clock = Clock { now: Instant::now(), wall: SystemTime::now() };
        let mut inbox = Inbox::new(clock);
        if uring {
            inbox.set_arrivals(Arrivals::new()?);
        }
        let mut departures = uring.then(|| Departures::new(ARRIVALS_MAX)).transpose()?;
        let pair = |_| {
            let (mut from, to) = (Socket::bind(ANY_PORT)?, Socket::bind(ANY_PORT)?);
            let address = to.local_address()?;
            from.connect(Some(address));
            Ok((from, to, address))
        };
        let pairs: Vec<_> = (0..ARRIVALS_MAX).map(pair).collect::<io::Result<_>>()?;
        for (place, (from, to, _)) in pairs.iter().enumerate() {
            inbox.know(place, Some(to));
            if let Some(departures) = &mut departures {
                departures.know(place, Some(from.raw()));
            }
        }
        Ok(Self { pairs, inbox, departures })
    }

    /// Passes a packet over each pair some times; gives the time for one.
    fn run(&mut self) -> Duration {
        let Self { pairs, inbox, departures } = self;
        let before = thread_time();
        for _ in 0..ROUNDS {
            if let Some(departures) = departures {
                let sockets = pairs.iter().enumerate();
                let datagrams = sockets.filter_map(|(place, (from, _, to))| {
                    let socket = from.connected_to(*to)?;
                    Some((place, Target { place, socket }, &PACKET[..]))
                });
                departures.send(datagrams);
            } else {
                for (from, _, address) in &*pairs {
                    let _lost = from.send(*address, &PACKET);
                }
            }
            let receivers = pairs.iter().map(|(_, to, _)| to.raw()).enumerate();
            inbox.expect(receivers.map(|(place, socket)| Target { place, socket }));
            for (_, to, _) in &*pairs {
                inbox.receive(to);
            }
        }
        thread_time().saturating_sub(before) / ROUNDS / u32::try_from(ARRIVALS_MAX).unwrap_or(1)
    }
}

const ANY_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
/// As long as 20 ms of G.711.
const PACKET: [u8; 172] = [0; 172];
const TURNS: usize = 8;
const ROUNDS: u32 = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_demand_that_cannot_be_met_says_what_to_do() {
        match choose(Io::Uring) {
            Ok(backend) => assert_eq!(backend, Backend::Uring),
            Err(error) => assert!(error.to_string().contains("media.io"), "{error}"),
        }
        assert_eq!(choose(Io::Plain).unwrap(), Backend::Plain);
    }

    #[test]
    fn the_race_is_run_to_its_end() {
        if let Ok(race) = race() {
            assert!(race.plain > Duration::ZERO && race.uring > Duration::ZERO, "{race:?}");
        }
    }
}
