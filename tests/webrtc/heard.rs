//! An operator's voice on its whole way: from another program, over the network, out of an ALSA device.

use std::fs::File;
use std::io::Read;
use std::time::Duration;

use nix::fcntl::{FcntlArg, fcntl};
use serde_json::json;
use waywarden_components::time::Mono;
use waywarden_systems::clock::boottime;

use super::loudspeaker::{FRAME, RATE, loudspeaker};
use super::{Puppet, Run, TOKEN, number, pause};

/// Somebody is heard, not the noise of silence.
const LOUD: f32 = 0.05;

/// Takes what is played at the pace of a device, until it has been loud and quiet again: when each of both began.
fn listen(fifo: &mut File, patience: Duration) -> (Option<Mono>, Option<Mono>, f32) {
    let begin = boottime();
    let (mut taken, mut buffer, mut rest) = (0, vec![0; 1 << 14], Vec::new());
    let (mut loud, mut last, mut level) = (None, None, 0.0f32);
    while boottime().since(begin) < patience {
        pause(Duration::from_millis(2));
        let due = (boottime().since(begin).as_secs_f64() * RATE) as usize * FRAME;
        let wanted = due.saturating_sub(taken).min(buffer.len());
        // What was not there cannot be taken later.
        taken = due;
        let Ok(count) = fifo.read(&mut buffer[..wanted]) else { continue };
        rest.extend_from_slice(&buffer[..count]);
        let whole = rest.len() / FRAME * FRAME;
        let bytes: Vec<u8> = rest.drain(..whole).collect();
        let (samples, _) = bytes.as_chunks::<4>();
        let most = samples.iter().map(|sample| f32::from_ne_bytes(*sample).abs()).fold(0.0, f32::max);
        level = level.max(most);
        if most > LOUD {
            loud.get_or_insert(boottime());
            last = Some(boottime());
        }
        if last.is_some_and(|last| boottime().since(last) > Duration::from_millis(700)) {
            break;
        }
    }
    (loud, last, level)
}

#[test]
fn a_voice_comes_out_of_the_loudspeaker() {
    let sound = tempfile::tempdir().unwrap();
    let mut fifo = loudspeaker(sound.path());
    // It holds hardly more than a device would.
    fcntl(&fifo, FcntlArg::F_SETPIPE_SZ(4096)).unwrap();
    let alsa = format!("export ALSA_CONFIG_PATH={}/asound.conf;", sound.path().display());
    let config = super::CONFIG.replace("hw:CARD=Nowhere,DEV=9", "out");
    let mut run = Run::begin(&alsa, &config);
    let Some(mut peer) = Puppet::aiortc(&run.url(), TOKEN, &json!({ "talk": true, "video": false })) else { return };
    // Nobody else takes what the device is given, and a device that is full is dead.
    let (spoke, heard, told) = std::thread::scope(|scope| {
        let heard = scope.spawn(|| listen(&mut fifo, Duration::from_secs(60)));
        peer.open(|sdp| sdp);
        run.until("sound", |_| (number(&peer.told("stats"), "/seen/sound") > 10.0).then_some(()));
        pause(Duration::from_secs(2));
        peer.tell(&json!({ "do": "talk", "on": true }));
        run.until("a voice that is heard", |_| {
            peer.told("stats")["seen"]["talk"]["heard"].as_bool().filter(|heard| *heard)
        });
        pause(Duration::from_secs(3));
        let told = run.watchers()[0]["voice_delay_ms"].as_f64();
        let known = peer.told("stats")["seen"]["talk"]["delay_ms"].as_f64();
        assert!(known.is_some(), "who talks is told how late it is heard");
        peer.tell(&json!({ "do": "talk", "on": false }));
        let spoke = run.until("the end of it", |_| {
            Some(peer.told("stats")["seen"]["spoke"].clone()).filter(|spoke| spoke[1].is_number())
        });
        (spoke, heard.join().unwrap(), told)
    });
    let (Some(loud), Some(quiet), level) = heard else { panic!("nothing was heard: {heard:?}") };
    // Both clocks are the computer's, since it was started.
    let since = |at: Mono, n: usize| at.as_secs_f64() - spoke[n].as_f64().unwrap();
    let (begins, ends, told) = (since(loud, 0), since(quiet, 1), told.unwrap());
    println!(
        "a voice out of the loudspeaker: its first sound {begins:.3} s after it was spoken, its last {ends:.3} s; told {told:.0} ms"
    );
    assert!((0.0..2.0).contains(&begins) && (0.0..2.0).contains(&ends), "{begins} {ends}");
    // 8000 of 32768.
    assert!((0.15..0.4).contains(&level), "as loud as it was spoken: {level}");
    // What is told is of the same order: it leaves out what the other end needs to make packets, and the first decision.
    assert!((20.0..1000.0).contains(&told), "{told}");
    run.until("silence", |run| run.watchers()[0]["voice_delay_ms"].is_null().then_some(()));
    drop(peer);
    run.kill();
}
