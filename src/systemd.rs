//! What systemd is told: that the program is ready, that it lives, that it ends (sd_notify(3)). Without systemd, nothing.

use std::time::Duration;

use sd_notify::NotifyState;
use waywarden_components::time::Mono;

/// Tells systemd how the program is. The tick itself feeds its watchdog: a loop that stands still is started anew.
pub struct Systemd {
    /// Time between two signs of life, half of what the unit allows; none without a watchdog.
    every: Option<Duration>,
    last: Option<Mono>,
}

impl Default for Systemd {
    fn default() -> Self {
        Self { every: sd_notify::watchdog_enabled().map(|limit| limit / 2), last: None }
    }
}

impl Systemd {
    /// A tick has been run to its end at `now`: the first one means that the program is ready.
    pub fn tick(&mut self, now: Mono) {
        match (self.last, self.every) {
            (None, _) => tell(&[NotifyState::Ready, NotifyState::Watchdog]),
            (Some(last), Some(every)) if now.since(last) >= every => tell(&[NotifyState::Watchdog]),
            (Some(_), _) => return,
        }
        self.last = Some(now);
    }

    /// The program is about to end.
    pub fn stopping(&self) {
        tell(&[NotifyState::Stopping]);
    }
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::debug!("systemd cannot be told: {error}");
    }
}
