//! Links that lose, delay and choke.

use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::{Value, json};
use waywarden_systems::clock::boottime;

use super::udp_proxy::{Proxy, before};
use super::{CONFIG, Puppet, Run, TOKEN, number, pause};

/// A browser behind a proxy, that sees pictures.
fn watching(run: &mut Run) -> Option<(Puppet, Proxy)> {
    let mut browser = Puppet::browser(&run.url(), TOKEN, &json!({ "proxy": true }))?;
    let mut proxy = None;
    browser.open(|sdp| {
        let (changed, new) = before(sdp);
        proxy = Some(new);
        changed
    });
    run.until("pictures", |_| (number(&browser.told("stats"), "/video/framesDecoded") > 10.0).then_some(()));
    Some((browser, proxy.unwrap()))
}

/// What was seen in some time.
struct Seen {
    first: Value,
    last: Value,
    /// How late pictures were.
    late: Value,
    /// The longest freeze, in seconds. Those that end within the same second count as one.
    longest_freeze: f64,
}

impl Seen {
    /// What one of the browser's figures grew by.
    fn grown(&self, path: &str) -> f64 {
        number(&self.last, path) - number(&self.first, path)
    }
}

/// Looks on for so many seconds.
fn observe(run: &Run, browser: &mut Puppet, what: &str, seconds: u64) -> Seen {
    browser.told("latencies");
    let first = browser.told("stats");
    let frozen_for = |stats: &Value| number(stats, "/video/totalFreezesDuration");
    let (mut frozen, mut before, mut longest_freeze) = (Vec::new(), frozen_for(&first), 0.0f64);
    for second in 1..=seconds {
        pause(Duration::from_secs(1));
        let now = frozen_for(&browser.told("stats"));
        let freeze = now - std::mem::replace(&mut before, now);
        if freeze > 0.0 {
            frozen.push(second);
            longest_freeze = longest_freeze.max(freeze);
        }
    }
    let last = browser.told("stats");
    let late = browser.told("latencies");
    let target = run.watchers().first().map_or(0.0, |watcher| number(watcher, "/target_bps"));
    let seen = Seen { first, last, late, longest_freeze };
    let grown = |path: &str| seen.grown(path);
    println!(
        "{what}: {} pictures ({} that stand alone), {} freezes ({:.1} s, {longest_freeze:.1} the longest, in seconds {frozen:?}), {:.2} of {:.2} Mbit/s, {} lost, {} sent again, late {}",
        grown("/video/framesDecoded"),
        grown("/video/keyFramesDecoded"),
        grown("/video/freezeCount"),
        grown("/video/totalFreezesDuration"),
        grown("/video/bytesReceived") * 8e-6 / seconds as f64,
        target * 1e-6,
        grown("/video/packetsLost"),
        grown("/video/retransmittedPacketsReceived"),
        seen.late,
    );
    seen
}

/// Whether this computer has time to spare: pictures come on a good link as the camera gives them. Else nothing can be said of
/// what a bad one does to them, and that is said.
fn has_time(run: &Run, browser: &mut Puppet) -> bool {
    let seen = observe(run, browser, "a good link", 4);
    let has_time = seen.grown("/video/framesDecoded") > 4.0 * 25.0 && seen.grown("/video/freezeCount") == 0.0;
    if !has_time {
        println!("skipped: freezes: other programs left no time for 30 pictures a second");
    }
    has_time
}

/// 2 % of packets lost and 40 ms there and back: pictures go on, without a freeze where `smooth` asks for that.
fn lossy(seconds: u64, smooth: bool) {
    let mut run = Run::start("");
    let Some((mut browser, proxy)) = watching(&mut run) else { return };
    let mut has_time = has_time(&run, &mut browser);
    if smooth {
        // As long without loss: what stands still then is not the link's doing.
        proxy.impairment.set(0, 20, 0);
        pause(Duration::from_secs(2));
        let seen = observe(&run, &mut browser, "no loss, 40 ms", seconds);
        has_time &= seen.grown("/video/freezeCount") == 0.0;
    }
    let playout = || proxy.impairment.playout_ms.each_ref().map(|ms| ms.load(Ordering::Relaxed));
    assert!(!has_time || playout()[0] == 0, "without loss a picture is shown at once: {:?}", playout());
    proxy.impairment.set(2, 20, 0);
    pause(Duration::from_secs(2));
    let seen = observe(&run, &mut browser, "2 % loss, 40 ms", seconds);
    // On the wire, as it was negotiated: what is lost has the time to come again.
    let [least, most] = run.until("a later moment to be shown", |_| Some(playout()).filter(|[least, _]| *least >= 90));
    assert!(most >= least, "{least} {most}");
    assert!(!smooth || !has_time || seen.grown("/video/freezeCount") == 0.0);
    assert!(seen.grown("/video/framesDecoded") > 5.0 * seconds as f64);

    // Most of it lost: whoever asks for a picture that stands alone gets one, and sees again when it is over.
    let asked = |run: &Run| run.watchers().first().map_or(0.0, |watcher| number(watcher, "/keyframes_asked"));
    let before = asked(&run);
    proxy.impairment.set(60, 20, 0);
    run.until("a request for a picture", |run| (asked(run) > before).then_some(()));
    pause(Duration::from_secs(2));
    let seen = number(&browser.told("stats"), "/video/keyFramesDecoded");
    proxy.impairment.set(0, 0, 0);
    let begin = boottime();
    let shown = number(&browser.told("stats"), "/video/framesDecoded");
    run.until("a picture", |_| (number(&browser.told("stats"), "/video/framesDecoded") > shown).then_some(()));
    let took = boottime().since(begin);
    let waited = run.watchers().first().map_or(f64::NAN, |watcher| number(watcher, "/keyframe_wait_ms"));
    println!(
        "60 % loss is over: a picture after {took:?}, {seen} that stood alone before; {} requests, served after {waited:.0} ms at most",
        asked(&run)
    );
    assert!(took < Duration::from_secs(3), "{took:?}");
    assert!(!has_time || waited < 1000.0, "{waited} ms from a request to what it asks for");
}

/// 3 Mbit/s, then 1, then 3 again: rates follow, and come back.
fn choked(seconds: u64) {
    let mut run = Run::start("");
    let Some((mut browser, proxy)) = watching(&mut run) else { return };
    let has_time = has_time(&run, &mut browser);
    proxy.impairment.set(0, 10, 3000);
    let full = observe(&run, &mut browser, "3 Mbit/s", seconds);
    proxy.impairment.set(0, 10, 1000);
    let less = observe(&run, &mut browser, "1 Mbit/s", seconds);
    assert!(less.grown("/video/framesDecoded") > 3.0 * seconds as f64);
    assert!(!has_time || less.grown("/video/freezeCount") <= 2.0 && less.grown("/video/totalFreezesDuration") <= 2.0);
    assert!(!has_time || less.longest_freeze <= 1.0);
    assert!(number(&less.late, "/p50") < 1000.0, "{}", less.late);
    let sent_again = run.watchers().first().map_or(0.0, |watcher| number(watcher, "/sent_again"));
    assert!(sent_again < 2000.0, "retransmissions have a budget: {sent_again}");
    proxy.impairment.set(0, 10, 3000);
    pause(Duration::from_secs(10));
    let again = observe(&run, &mut browser, "3 Mbit/s again", seconds);
    assert!(again.grown("/video/framesDecoded") > 0.6 * full.grown("/video/framesDecoded"));
    assert!(again.grown("/video/bytesReceived") > 1.2 * less.grown("/video/bytesReceived"), "quality comes back");

    // Hardly anything: sound and data go on.
    proxy.impairment.set(0, 10, 200);
    pause(Duration::from_secs(5));
    let least = observe(&run, &mut browser, "200 kbit/s", seconds);
    assert!(least.grown("/audio/packetsReceived") > 25.0 * seconds as f64, "sound");
    assert!(least.grown("/seen/messages") > 0.0, "data");
    assert!(proxy.impairment.passed[1].load(Ordering::Relaxed) > 0);
}

#[test]
fn a_link_that_loses_packets_goes_on_and_one_that_loses_most_recovers() {
    lossy(8, false);
}

#[test]
fn rates_follow_the_link_down_and_up() {
    choked(7);
}

#[test]
#[ignore = "long: a minute with loss, and one without"]
fn for_a_minute_with_loss() {
    lossy(60, true);
}

#[test]
#[ignore = "long: a minute of each link"]
fn for_a_minute_each_of_narrow_links() {
    choked(60);
}

#[test]
#[ignore = "long: ten minutes of video"]
fn latency_does_not_grow_with_time() {
    // At the size that is promised: nothing else is done beside it.
    let mut run =
        Run::start_with(&CONFIG.replace("width = 640", "width = 1280").replace("height = 360", "height = 720"));
    let Some((mut browser, _proxy)) = watching(&mut run) else { return };
    let first = observe(&run, &mut browser, "the first minute", 60);
    pause(Duration::from_secs(8 * 60));
    let last = observe(&run, &mut browser, "the tenth minute", 60);
    assert!(number(&last.late, "/p50") < number(&first.late, "/p50") + 50.0, "{} {}", first.late, last.late);
    assert_eq!(last.grown("/video/freezeCount"), 0.0);
}
