//! What a program says while it runs, and waiting for it to say something.

use std::io::{self, PipeWriter, Read};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// All that came out of a program so far.
#[derive(Debug)]
pub(super) struct Said(Arc<(Mutex<String>, Condvar)>);

impl Said {
    /// Listens; the program is to be given the other end, as output and for errors.
    pub(super) fn listen() -> (Self, PipeWriter) {
        let (mut ear, mouth) = io::pipe().expect("a pipe");
        let said = Arc::new((Mutex::default(), Condvar::new()));
        let heard = Arc::clone(&said);
        thread::spawn(move || {
            let mut chunk = [0; 4096];
            while let Ok(length @ 1..) = ear.read(&mut chunk) {
                let (text, more): &(Mutex<String>, Condvar) = &heard;
                let mut text = text.lock().unwrap_or_else(PoisonError::into_inner);
                text.push_str(&String::from_utf8_lossy(&chunk[..length]));
                more.notify_all();
            }
        });
        (Self(said), mouth)
    }

    /// Waits until `is_it` is true of all that was said.
    pub(super) fn wait(&self, who: &str, what: &str, is_it: impl Fn(&str) -> bool) {
        let (text, more) = &*self.0;
        let text = text.lock().unwrap_or_else(PoisonError::into_inner);
        let (text, waited) = more
            .wait_timeout_while(text, PATIENCE, |text| !is_it(text))
            .unwrap_or_else(PoisonError::into_inner);
        drop(text);
        assert!(!waited.timed_out(), "{who} does not say: {what}");
    }

    /// All of it.
    pub(super) fn text(&self) -> String {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

const PATIENCE: Duration = Duration::from_secs(20);
