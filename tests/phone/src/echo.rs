//! An acoustic echo: what the loudspeaker plays comes back through the microphone.

use std::collections::VecDeque;

/// The way from the loudspeaker to the microphone.
#[derive(Debug)]
pub struct Echo {
    delay_ms: u32,
    gain: f64,
    rate: u32,
    /// Heard and not yet returned.
    samples: VecDeque<i16>,
}

impl Echo {
    /// Returns everything `delay_ms` later at `level_db`.
    pub fn new(delay_ms: u32, level_db: f64) -> Self {
        let gain = 10_f64.powf(level_db / 20.0);
        Self { delay_ms, gain, rate: 0, samples: VecDeque::new() }
    }

    /// Takes what the loudspeaker plays.
    pub fn hear(&mut self, rate: u32, samples: &[i16]) {
        if self.rate != rate {
            self.rate = rate;
            self.samples = vec![0; (rate * self.delay_ms / 1000) as usize].into();
        }
        self.samples.extend(samples);
    }

    /// Adds what has come back to what is said; at another rate than it was heard, nothing.
    pub fn say(&mut self, rate: u32, samples: &mut [i16]) {
        if self.rate != rate {
            return;
        }
        for sample in samples {
            let returned = f64::from(self.samples.pop_front().unwrap_or(0)) * self.gain;
            *sample = sample.saturating_add(returned as i16);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_heard_comes_back_late_and_weaker() {
        let mut echo = Echo::new(20, -20.0);
        let mut said = vec![0; 320];

        echo.hear(8000, &[1000; 320]);
        echo.say(8000, &mut said);

        assert_eq!((said[159], said[160]), (0, 100));
    }
}
