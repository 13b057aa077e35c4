//! The steady state of a tick allocates nothing.
#![expect(unsafe_code, reason = "a global allocator is unsafe by its trait")]
#![expect(clippy::unwrap_used, reason = "a test")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Instant, SystemTime};

use mixer::codec::{Codec, Encoder, Encoding, OpusOptions};
use mixer::room::{GroupId, Hearing, Room, RoomOptions, Sink, SlotId, TICK};
use mixer::rtcp;
use mixer::rtp::{Header, Naming, RtpTimestamp, Sequence, Ssrc};
use mixer::slot::{Seat, Slot, SlotOptions, StreamPlan};

/// The header extension of RFC 6464.
const LEVEL: u8 = 3;

/// Counts, then does what the system does.
struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is passed on unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn a_tick_allocates_nothing_while_people_talk_in_turns_and_packets_get_lost() {
    for company in [Company::One, Company::Groups] {
        talk_in_turns(company);
    }
}

/// Who hears whom.
#[derive(Clone, Copy, PartialEq)]
enum Company {
    /// All hear all.
    One,
    /// There are a sidebar, a coach, an interpreter and one who listens to her.
    Groups,
}

impl Company {
    fn of(self, phone: usize) -> (GroupId, Hearing) {
        let [main, aside, coach, interpreter] = [0, 1, 2, 3].map(|at| GroupId::new(at).unwrap());
        match phone {
            _ if self == Self::One => (main, Hearing::MAIN),
            0 | 1 => (aside, Hearing::NOTHING.with(aside, 0.0).with(main, -20.0)),
            2 => (coach, Hearing::MAIN),
            3 => (main, Hearing::MAIN.with(coach, 0.0)),
            4 => (interpreter, Hearing::MAIN),
            _ => (main, Hearing::MAIN.with(interpreter, 0.0).ducked_by(interpreter, 18.0)),
        }
    }
}

fn talk_in_turns(company: Company) {
    let codecs = [Codec::Pcmu, Codec::G722, Codec::Opus, Codec::L16, Codec::Opus, Codec::Pcma];
    let mut room = Room::new(RoomOptions { contributors: 3 });
    let mut phones: Vec<Phone> =
        codecs.iter().enumerate().map(|(i, &c)| Phone::new(i, c)).collect();
    for phone in &phones {
        let (group, hearing) = company.of(usize::try_from(phone.id).unwrap());
        let mut slot = phone.slot();
        slot.set_seat(Seat { group, hearing, ..phone.seat() });
        room.seat(SlotId(phone.id), slot);
    }
    let mut now = start();
    let mut sent = Count(0);
    let (mut report, mut described) = (Vec::with_capacity(1_200), 0);

    // The pattern of who talks with whom repeats after 300 ticks.
    for tick in 0..800 {
        let before = ALLOCATIONS.load(Ordering::Relaxed);
        for (i, phone) in phones.iter_mut().enumerate() {
            let talks = (tick / 50) % 6 == i || (tick / 60) % 5 == i;
            let arrives = (tick + 5 * i) % 23 >= 2;
            phone.say(&mut room, now, talks, arrives);
        }
        room.tick(now, &mut sent);
        for (_, slot, heard) in room.slots_heard_mut(0, 1) {
            while slot.poll_event().is_some() {}
            report.clear();
            slot.poll_rtcp(now, SystemTime::UNIX_EPOCH, heard, &mut report);
            described += rtcp::parse(&report).map(described_in).sum::<usize>();
        }
        let allocations = ALLOCATIONS.load(Ordering::Relaxed) - before;
        assert!(tick < 400 || allocations == 0, "{allocations} at tick {tick}");
        now += TICK;
    }

    assert!(sent.0 > 4_500 && described > 0, "{described}");
}

/// How many beside its sender.
fn described_in(packet: rtcp::Packet<'_>) -> usize {
    let rtcp::Packet::Description { chunks } = packet else { return 0 };
    chunks.count() - 1
}

struct Count(usize);

impl Sink for Count {
    fn send(&mut self, _: SlotId, _: &[u8], _: &[u8]) {
        self.0 += 1;
    }
}

struct Phone {
    id: u64,
    encoding: Encoding,
    encoder: Encoder,
    made: usize,
    sequence: Sequence,
    timestamp: RtpTimestamp,
}

impl Phone {
    fn new(id: usize, codec: Codec) -> Self {
        let opus = OpusOptions { fec: true, complexity: 0, ..OpusOptions::USUAL };
        let encoding = Encoding { opus, ..Encoding::usual(codec) };
        Self {
            id: id as u64,
            encoding,
            encoder: Encoder::new(&encoding).unwrap(),
            made: 0,
            sequence: Sequence::new(0),
            timestamp: RtpTimestamp::new(0),
        }
    }

    fn ssrc(&self) -> Ssrc {
        Ssrc::new(u32::try_from(self.id).unwrap())
    }

    fn slot(&self) -> Slot {
        let mut slot = Slot::new(SlotOptions { seed: self.id, ..SlotOptions::default() });
        let plan = StreamPlan {
            level_id: Some(LEVEL),
            naming: Naming::Levels(5),
            ..StreamPlan::both_ways(96, self.encoding)
        };
        slot.configure(start(), &plan);
        let mut introduction = Vec::new();
        rtcp::print_cnames(&mut introduction, (self.ssrc(), "phone"), []);
        slot.receive_rtcp(start(), SystemTime::UNIX_EPOCH, &introduction);
        slot
    }

    /// Every treatment at every rate, and none.
    fn seat(&self) -> Seat {
        let (agc, noise_suppression) = (self.id % 2 == 1, self.id < 3);
        Seat { agc, noise_suppression, echo_suppression: true, ..Seat::default() }
    }

    fn say(&mut self, room: &mut Room, now: Instant, talks: bool, arrives: bool) {
        let frame = self.encoding.format.sample_rate() as usize / 50;
        let mut pcm = [0_i16; 960];
        for sample in pcm[..frame].iter_mut().filter(|_| talks) {
            self.made += 1;
            let saw = i16::try_from(self.made * 8_000 / frame % 8_000).unwrap();
            *sample = if self.made / frame % 8 < 6 { saw - 4_000 } else { 0 };
        }
        let header = Header {
            marker: false,
            payload_type: 96,
            sequence: self.sequence,
            timestamp: self.timestamp,
            ssrc: self.ssrc(),
        };
        let mut datagram = [0; 2_000];
        datagram[..12].copy_from_slice(&header.print());
        datagram[0] |= 0x10;
        let level = if talks { 23 } else { 127 };
        datagram[12..20].copy_from_slice(&[0xBE, 0xDE, 0, 1, LEVEL << 4, level, 0, 0]);
        let octets = self.encoder.encode(&pcm[..frame], &mut datagram[20..]);
        if arrives {
            room.slot_mut(SlotId(self.id)).unwrap().receive(now, &datagram[..20 + octets]).unwrap();
        }
        self.sequence = self.sequence.next();
        self.timestamp = self.timestamp.plus(self.encoding.format.clock_rate / 50);
    }
}

#[expect(clippy::disallowed_methods, reason = "tests start virtual time")]
fn start() -> Instant {
    Instant::now()
}
