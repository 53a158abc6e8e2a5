//! Signals: SIGTERM and SIGINT end the program, SIGHUP has the config and the tokens read anew.

use std::time::Duration;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use waywarden_components::prelude::*;
use waywarden_systems::ingress::Control;

use crate::access::Access;
use crate::config::Config;
use crate::failure::{Code, Failure};
use crate::{last_words, pools, reload};

/// How long an orderly end may take: after it the disk, or a library, is not waited for any longer.
const PATIENCE: Duration = Duration::from_secs(3);

/// Reads the config again.
pub type Reread = Box<dyn Fn() -> Result<Config, Failure> + Send>;

/// What is read anew on SIGHUP.
pub struct Anew {
    /// The config in force.
    pub config: Config,
    /// Reads it again.
    pub reread: Option<Reread>,
    /// The tokens in force, where there is a server.
    pub access: Option<Access>,
}

/// Listens from now on. The first SIGTERM or SIGINT asks for an orderly end; a second one, or three seconds, end the
/// process at once.
///
/// # Errors
/// When the signals cannot be had.
pub fn listen(control: &Control, anew: Anew) -> Result<(), Failure> {
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP])?;
    let control = control.clone();
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        let (mut anew, mut asked) = (anew, false);
        for signal in signals.forever() {
            match (signal, asked) {
                (SIGHUP, false) => {
                    read_anew(&control, &mut anew.config, anew.reread.as_ref());
                    read_tokens(&control, &anew);
                }
                (SIGHUP, true) => {}
                (_, false) => {
                    asked = true;
                    control.shut_down();
                    let waits = std::thread::Builder::new().name("end".to_owned()).spawn(end_at_last);
                    if let Err(error) = waits {
                        tracing::warn!("the end has no deadline: {error}");
                    }
                }
                (_, true) => end(130),
            }
        }
    })?;
    Ok(())
}

/// Ends a process that does not end by itself.
#[expect(clippy::disallowed_methods, reason = "a thread of its own, with nothing else to do")]
fn end_at_last() {
    std::thread::sleep(PATIENCE);
    let seconds = PATIENCE.as_secs();
    tracing::error!("not ended {seconds} s after it was asked to: what is on the disk stays, the rest is lost");
    // A disk that does not answer would keep this thread too.
    let cry = || last_words::cry(b"failed: it did not end in time when it was asked to\n");
    if std::thread::Builder::new().name("last words".to_owned()).spawn(cry).is_ok() {
        std::thread::sleep(Duration::from_millis(100));
    }
    end(i32::from(Code::Running as u8));
}

fn end(code: i32) -> ! {
    pools::come_forward();
    std::process::exit(code)
}

/// Puts the config in force as it is in its file now; on any error the one before stays.
fn read_anew(control: &Control, config: &mut Config, reread: Option<&Reread>) {
    // One that is lost for want of room is in the log.
    let tell = |level, text: String| {
        let _ = control.say(Payload::Notice(Notice { level, source: "config".to_owned(), text }));
    };
    let Some(reread) = reread else {
        return tell(NoticeLevel::Warning, "there is no file to read it from".to_owned());
    };
    let read = reread().and_then(|new| Ok((reload::changes(config, &new)?, new)));
    match read {
        Ok((changes, new)) => {
            // What was read from TOML can be written as TOML.
            let taken = changes.is_empty() || new.to_toml().is_ok_and(|toml| control.say(Payload::Config(toml)));
            if taken {
                tell(NoticeLevel::Info, format!("read anew: {}", reload::words(&changes)));
                *config = new;
            } else {
                tell(NoticeLevel::Error, "not taken, the one before stays: too much waits to be told".to_owned());
            }
        }
        Err(failure) => tell(NoticeLevel::Error, format!("not taken, the one before stays: {failure}")),
    }
}

/// Puts the tokens in force as they are in their files now; on any error those of before stay.
fn read_tokens(control: &Control, anew: &Anew) {
    let Some(access) = &anew.access else { return };
    let (level, text) = match access.reread(&anew.config.http) {
        Ok(None) => return,
        Ok(Some(names)) if names.is_empty() => (NoticeLevel::Warning, "there are no tokens: nobody may ask".to_owned()),
        Ok(Some(names)) => (NoticeLevel::Info, format!("tokens read anew: {}", names.join(", "))),
        Err(failure) => (NoticeLevel::Error, format!("tokens not taken, those of before stay: {failure}")),
    };
    // One that is lost for want of room is in the log.
    let _ = control.say(Payload::Notice(Notice { level, source: "http".to_owned(), text }));
}
