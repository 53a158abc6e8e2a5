//! Privacy, while somebody watches.

use std::time::Duration;

use serde_json::json;

use super::{Puppet, Run, TOKEN, churn, number, pause};

/// A camera that sees people inside, beside the one of the config.
const CABIN: &str =
    "[[camera]]\nname = \"cabin\"\nrole = \"cabin\"\nwidth = 320\nheight = 180\nfps = 10.0\nloop_frames = 20\n";

fn privacy(run: &Run, value: &str) {
    let body = json!({ "id": format!("{value}-1"), "value": value }).to_string();
    let answer = run.ask("POST", "/api/commands/privacy", "application/json", &body);
    assert_eq!((answer.status, answer.json()["status"].as_str()), (200, Some("done")), "{answer:?}");
}

#[test]
fn nobody_inside_is_seen_or_heard_while_privacy_is_on() {
    let mut run = Run::start(CABIN);
    let Some(mut inside) = Puppet::aiortc(&run.url(), TOKEN, &json!({ "camera": "cabin" })) else { return };
    let Some(mut ahead) = Puppet::aiortc(&run.url(), TOKEN, &json!({ "camera": "front" })) else { return };
    for peer in [&mut inside, &mut ahead] {
        peer.open(|sdp| sdp);
        run.until("pictures and sound", |_| {
            let stats = peer.told("stats");
            (number(&stats, "/seen/pictures") > 5.0 && number(&stats, "/seen/sound") > 10.0).then_some(())
        });
    }
    assert_eq!(inside.told("stats")["seen"]["size"], json!([320, 180]));

    privacy(&run, "on");
    let why = run.until("a reason", |_| inside.told("stats")["seen"]["ended"].as_str().map(str::to_owned));
    assert!(why.contains("privacy is on"), "{why}");
    run.until("the end", |run| (run.watchers().len() == 1).then_some(()));
    let refused = run.ask("POST", "/whep?camera=cabin", "application/sdp", churn::OFFER);
    assert!(refused.status == 403 && refused.body.contains("privacy"), "{refused:?}");
    // What was on its way has come.
    pause(Duration::from_secs(1));
    let before = ahead.told("stats");
    pause(Duration::from_secs(3));
    let after = ahead.told("stats");
    let grown = |path: &str| number(&after, path) - number(&before, path);
    assert!(grown("/seen/pictures") > 5.0, "the road is seen on: {after}");
    assert_eq!(grown("/seen/sound"), 0.0, "{before} {after}");

    privacy(&run, "off");
    let silent = number(&after, "/seen/sound");
    run.until("sound", |_| (number(&ahead.told("stats"), "/seen/sound") > silent + 10.0).then_some(()));
    let Some(mut again) = Puppet::aiortc(&run.url(), TOKEN, &json!({ "camera": "cabin" })) else { return };
    again.open(|sdp| sdp);
    run.until("pictures", |_| (number(&again.told("stats"), "/seen/pictures") > 5.0).then_some(()));
    drop((inside, ahead, again));
    run.finish();
}
