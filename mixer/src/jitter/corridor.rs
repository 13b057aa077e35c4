//! Where the delay should be, and which way to stretch what is decoded to bring it there.
//!
//! Packets are pulled on ticks, so what a packet has to spare when it is pulled (its *slack*: how much earlier than
//! the target allows it came) changes only in whole *steps*, and what is decoded beyond the tick (the *rest*) is
//! delay that protects nobody:
//!
//! ```text
//!        slack < 0, or sinks near 0          0 … one step, rest 0            above
//!   ───────────────────────────────────┼────────────────────────────┼──────────────────────▶
//!     lengthen until a step is gained             leave                 shorten by a step
//!                                               and by the rest
//! ```
//! A sender whose clock is slow lets the slack sink; the step is gained before it is needed, so no packet is missed.
//!
//! A whole step is a leap of up to 20 ms. Once the clocks are seen to drift, the delay is therefore kept near where it was at first
//! by smaller stretches, for which the rest makes up: what is pulled early waits decoded.

use crate::jitter::Stretch;

/// Decides what to stretch. All times in microseconds.
#[derive(Debug, Default)]
pub(super) struct Corridor {
    lengthens: bool,
    /// The most there was to spare, without regard to the target, since the last step.
    highest: i64,
    /// What was to spare before anything was stretched: a path that was well with less than is usually kept is brought
    /// back to that.
    natural: Option<i64>,
    stretched: bool,
    /// Looks so far, until the delay is taken down.
    looks: u32,
    /// The delay of the first second.
    home: Option<i64>,
    drift: Drift,
}

/// How the sender's clock goes against ours, as far as it is seen.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Drift {
    #[default]
    Unseen,
    /// Its packets come later and later.
    Slow,
    /// Its packets come sooner and sooner.
    Fast,
}

/// How the delay stands before the next packet is pulled.
#[derive(Clone, Copy, Debug)]
pub(super) struct Standing {
    /// What the next sample's delay will be when it is heard.
    pub(super) delay: i64,
    pub(super) target: i64,
    /// Decoded and not heard.
    pub(super) held: i64,
    /// Spacing of packets.
    pub(super) interval: i64,
}

impl Corridor {
    /// Another stream begins.
    pub(super) fn reset(&mut self) {
        *self = Self::default();
    }

    /// The delay moved by itself.
    pub(super) fn moved(&mut self) {
        (self.lengthens, self.highest) = (false, 0);
        self.stretched = true;
    }

    /// What to do about the delay.
    pub(super) fn stretch(&mut self, standing: Standing) -> Stretch {
        let step = step(standing.interval);
        let rest = standing.held % step;
        // Of the packet that is pulled last in its tick: it has the least to spare.
        let spare = standing.delay - rest - (TICK - step);
        let slack = spare - standing.target;
        self.highest = self.highest.max(spare);
        let sinks = self.highest - spare >= SUNK;
        if !self.stretched {
            self.natural = Some(spare);
        }
        self.note_drift(standing.delay, spare);
        if slack < -LATE {
            self.lengthens = true;
        } else if slack < LEAD && sinks {
            self.lengthens = true;
            self.natural = None; // The clocks drift: it will not stay there.
            self.drift = Drift::Slow;
        } else if slack >= GAINED && self.lengthens {
            self.moved();
        }
        self.stretched |= self.lengthens;
        if self.lengthens {
            let by = step * ((LEAD - slack).div_euclid(step) + 1) - rest;
            return longer(by, slack < URGENT);
        }
        let home = self.home.filter(|_| self.drift != Drift::Unseen);
        let off = home.map_or(0, |home| standing.delay - home);
        if off < -NEARBY && slack >= LEAD {
            self.stretched = true;
            return longer(-off, off < -FAR);
        }
        let kept = match self.drift {
            Drift::Fast => KEPT_OF_FAST,
            Drift::Slow => KEPT,
            Drift::Unseen => self.natural.map_or(KEPT, |natural| (natural - NEAR).clamp(0, KEPT)),
        };
        let steps = step * ((slack - kept).max(0) / step);
        let excess = match home {
            Some(_) if off <= NEARBY && steps == 0 => return Stretch::Keep,
            Some(_) => (rest + steps).min(off),
            None if slack < kept => return Stretch::Keep,
            None => rest + steps,
        };
        if excess < LEAST {
            return Stretch::Keep;
        }
        self.highest = 0;
        self.stretched = true;
        Stretch::Shorter(micros(excess))
    }
}

impl Corridor {
    /// Takes down where the delay is at first, and whether what is not stretched moves away from there.
    fn note_drift(&mut self, delay: i64, spare: i64) {
        match self.home {
            None => {
                self.looks += 1;
                self.home = (self.looks >= LOOKS).then_some(delay);
            }
            Some(home) if !self.stretched && self.drift == Drift::Unseen => {
                if spare - home >= DRIFTED {
                    self.drift = Drift::Fast;
                } else if spare - home <= -DRIFTED {
                    self.drift = Drift::Slow;
                }
            }
            Some(_) => {}
        }
    }
}

/// What a tick earlier or later can be pulled by: the largest time that packets and ticks are multiples of.
fn step(interval: i64) -> i64 {
    let (mut a, mut b) = (TICK, interval);
    while b > 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// A voice can be lengthened by whole periods only: where it is urgent by more than is needed.
fn longer(by: i64, is_urgent: bool) -> Stretch {
    let most = if is_urgent { by.max(PERIOD) } else { by + TOLERANCE };
    Stretch::Longer { by: micros(by), most: micros(most) }
}

fn micros(micros: i64) -> std::time::Duration {
    std::time::Duration::from_micros(micros.max(0).unsigned_abs())
}

const TICK: i64 = 20_000;
/// Packets that come this much too late for the target are a reason to lengthen …
const LATE: i64 = 2_500;
/// … and so is a slack below this, once it has sunk by …
const LEAD: i64 = 1_500;
/// … this much, until there is this much again. A path that is fast by nature is left alone.
const SUNK: i64 = 2_000;
const GAINED: i64 = 4_000;
/// What is left of the slack when it is shortened.
const KEPT: i64 = 3_000;
/// The same where packets come sooner and sooner.
const KEPT_OF_FAST: i64 = 1_500;
/// Looks until the delay has settled: a second.
const LOOKS: u32 = 50;
/// What moved by this much drifts …
const DRIFTED: i64 = 2_500;
/// … and is brought back from so far.
const NEARBY: i64 = 5_000;
/// … or at any price from so far.
const FAR: i64 = 8_000;
/// With so little slack any way to lengthen is good.
const URGENT: i64 = 0;
/// The period of a deep voice.
const PERIOD: i64 = 12_500;
/// What may be added beyond what is needed, as long as there is time.
const TOLERANCE: i64 = 500;
/// Two moments of a steady path are as near as this.
const NEAR: i64 = 500;
/// Not worth it.
const LEAST: i64 = 250;
