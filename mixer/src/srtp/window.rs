//! Which packets of which streams have been seen: roll-over (RFC 3711 §3.3.1) and replay (§3.3.2).

use crate::rtp::Sequence;

/// The streams of one direction under one key, last heard first.
///
/// A stream is made only for an authentic packet, so that strangers cannot push others out.
#[derive(Debug)]
pub(super) struct Streams(Vec<Stream>);

#[derive(Clone, Copy, Debug)]
struct Stream {
    ssrc: u32,
    window: Window,
}

/// The highest index and which of the [`WINDOW`] up to it have been seen.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    highest: u64,
    /// Bit n: `highest` − n was seen.
    seen: u128,
}

impl Streams {
    /// No stream yet, and room for all there may be.
    pub(super) fn new() -> Self {
        Self(Vec::with_capacity(STREAMS_MAX))
    }

    /// What has been seen of a stream.
    pub(super) fn window(&self, ssrc: u32) -> Option<Window> {
        self.0.iter().find(|stream| stream.ssrc == ssrc).map(|stream| stream.window)
    }

    /// Whether another stream would push one out.
    pub(super) fn is_full(&self) -> bool {
        self.0.len() == STREAMS_MAX
    }

    /// Marks a packet as seen; the stream that was silent the longest makes room for a new one.
    pub(super) fn note(&mut self, ssrc: u32, index: u64) {
        let at = match self.0.iter().position(|stream| stream.ssrc == ssrc) {
            Some(at) => at,
            None if self.is_full() => {
                self.0[STREAMS_MAX - 1] = Stream { ssrc, window: Window::new(index) };
                STREAMS_MAX - 1
            }
            None => {
                self.0.push(Stream { ssrc, window: Window::new(index) });
                self.0.len() - 1
            }
        };
        self.0[at].window.note(index);
        self.0[..=at].rotate_right(1);
    }
}

impl Window {
    fn new(index: u64) -> Self {
        Self { highest: index, seen: 0 }
    }

    /// The index that a sequence number most likely stands for; `None` if that is before the first.
    pub(super) fn estimate(&self, sequence: Sequence) -> Option<u64> {
        let highest = Sequence::new((self.highest & 0xffff) as u16);
        self.highest.checked_add_signed(sequence.distance_from(highest).into())
    }

    /// Whether a packet of this index is new, as far as can be told.
    pub(super) fn is_new(&self, index: u64) -> bool {
        match self.highest.checked_sub(index) {
            None => true,
            Some(behind) => behind < WINDOW && self.seen & (1 << behind) == 0,
        }
    }

    fn note(&mut self, index: u64) {
        let ahead = index.saturating_sub(self.highest);
        self.highest = self.highest.max(index);
        let behind = self.highest - index;
        self.seen = shifted(self.seen, ahead) | shifted(1, behind);
    }
}

fn shifted(bits: u128, by: u64) -> u128 {
    u32::try_from(by).ok().and_then(|by| bits.checked_shl(by)).unwrap_or(0)
}

/// SSRCs under one key: a phone has one, and a new one when it changes its mind; behind a transfer are more.
const STREAMS_MAX: usize = 8;
/// Indices that are told apart; RFC 3711 §3.3.2 asks for 64.
const WINDOW: u64 = 128;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_takes_each_index_once_and_nothing_older() {
        let mut window = Window::new(1_000);

        for (index, is_new) in [
            (1_000, true),
            (1_000, false),
            (1_127, true),
            (1_000, false),
            (1_001, true),
            (1_001, false),
            (999, false),
            (5_000, true),
            (4_872, false),
            (4_873, true),
            (1_127, false),
        ] {
            assert_eq!(window.is_new(index), is_new, "{index}");
            if is_new {
                window.note(index);
            }
        }
    }

    #[test]
    fn a_roll_over_is_estimated_both_ways() {
        let at = |highest, sequence| Window::new(highest).estimate(Sequence::new(sequence));

        assert_eq!(at(0xffff, 0), Some(0x1_0000));
        assert_eq!(at(0x1_0000, 0xffff), Some(0xffff));
        assert_eq!(at(0x5_0010, 0xfff0), Some(0x4_fff0));
        assert_eq!(at(0x0010, 0xfff0), None);
        assert_eq!(at(0x5_8000, 0x7fff), Some(0x5_7fff));
    }

    #[test]
    fn a_new_stream_pushes_out_who_was_silent_the_longest() {
        let mut streams = Streams::new();
        for ssrc in 0..8 {
            streams.note(ssrc, 0);
        }
        streams.note(0, 1);

        streams.note(8, 0);

        assert!(streams.window(0).is_some() && streams.window(8).is_some());
        assert!(streams.window(1).is_none());
    }
}
