//! What is on the screen, off its pixels: each simulated picture shows its number.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use waywarden_components::prelude::*;
use waywarden_systems::session::{Record, SessionReader};
use waywarden_systems::simulate::stamp::stamped;

use super::{CONFIG, Puppet, Run, TOKEN, number, pause};

/// Rate and number of the pictures, which are shown over and over: nothing is later than one round.
const FPS: f64 = 30.0;
const ROUND: u64 = 60;

/// A picture that was taken.
struct Taken {
    at: Mono,
    /// The number that is drawn into it.
    number: u64,
}

/// All pictures of a session, in the order of their capture.
fn taken(session: &Path) -> Vec<Taken> {
    let mut reader = SessionReader::open(session).unwrap();
    let mut all = Vec::new();
    while let Some(record) = reader.read().unwrap() {
        let Record::Tick(tick) = record else { continue };
        for input in tick.inputs {
            if let Payload::Frame(jpeg) = &input.payload {
                let moment = stamped(jpeg).unwrap().as_secs_f64();
                all.push(Taken { at: input.captured, number: (moment * FPS).round() as u64 });
            }
        }
    }
    all.sort_by_key(|taken| taken.at);
    all
}

/// When the picture that shows this number was taken, if it was shown then: the last one before.
fn captured(taken: &[Taken], shown_ms: f64, number: u64) -> Option<f64> {
    let ms = |taken: &Taken| taken.at.as_secs_f64() * 1e3;
    let before = taken.iter().rev().filter(|taken| ms(taken) <= shown_ms).take(ROUND as usize);
    before.into_iter().find(|taken| taken.number == number).map(ms)
}

/// A browser watches pictures of this size for so long. Their latencies are counted off the screen, and what RTP says of each is
/// compared with what it shows.
fn count_off_the_screen(width: u32, height: u32, seconds: u64) {
    let size = format!("width = {width}\nheight = {height}\ncounter = true\n");
    let mut run = Run::start_with(&CONFIG.replace("width = 640\nheight = 360\n", &size));
    let Some(mut browser) = Puppet::browser(&run.url(), TOKEN, &json!({ "camera": "front", "counter": true })) else {
        return;
    };
    browser.open(|sdp| sdp);
    run.until("pictures", |_| (number(&browser.told("stats"), "/video/framesDecoded") > 10.0).then_some(()));
    pause(Duration::from_secs(2));
    browser.told("latencies");
    pause(Duration::from_secs(seconds));
    let late = browser.tell(&json!({ "do": "latencies", "each": true }));
    drop(browser);
    let (_dir, session) = run.finish();

    let taken = taken(&session);
    let shown = late["pictures"].as_array().unwrap();
    assert!(shown.len() as u64 > 5 * seconds, "{} pictures", shown.len());
    let (mut counted, mut same, mut numbers) = (Vec::new(), 0, std::collections::BTreeSet::new());
    for picture in shown {
        let (at, seen) = (number(picture, "/at"), picture["number"].as_u64().unwrap());
        let at_capture = captured(&taken, at, seen);
        assert!(at_capture.is_some(), "number {seen} is of no picture: {picture}");
        let at_capture = at_capture.unwrap();
        counted.push(at - at_capture);
        // RTP's clock: a ninetieth of a millisecond, and that of the computer is asked as exactly as a question can.
        same += u64::from((at - at_capture - number(picture, "/late")).abs() < 1.0);
        numbers.insert(seen);
    }
    assert!(numbers.len() > 20, "they change: {numbers:?}");
    // A browser may have gone on to the next picture when its script looks at the screen.
    assert!(same as f64 >= 0.9 * shown.len() as f64, "{same} of {} show what RTP says", shown.len());
    counted.sort_by(f64::total_cmp);
    let share = |share: f64| counted[((counted.len() - 1) as f64 * share) as usize];
    let told: Vec<Value> = ["/p50", "/p95", "/most"].map(|name| late.pointer(name).unwrap().clone()).into();
    println!(
        "browser, {width}x{height} at 30 Hz, {} pictures, capture to screen, counted: {:.1} ms, 95 % {:.1}, all {:.1}; by RTP: {told:?}; \
         {same} agree",
        shown.len(),
        share(0.5),
        share(0.95),
        share(1.0),
    );
}

#[test]
fn a_screen_shows_the_picture_that_is_named() {
    count_off_the_screen(640, 360, 8);
}

#[test]
#[ignore = "long: a minute of the size that is promised"]
fn for_a_minute_a_screen_shows_the_picture_that_is_named() {
    count_off_the_screen(1280, 720, 60);
}
