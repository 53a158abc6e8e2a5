//! A GoPro's clip brings its own GPS track, which replays like any other device.

#[path = "support/program.rs"]
mod program;

use program::{data, folder, json, text};

#[test]
fn the_track_in_a_clip_is_imported_and_replays_bit_for_bit() {
    let Some(clip) = data("data/video/walking-with-gps-480p-10s.mp4") else { return };
    let folder = folder();
    let (session, ran) = (folder.path().join("clip.mcap"), folder.path().join("ran.mcap"));
    let imported = json(&["import", "--video", text(&clip), "-o", text(&session), "--json"]);
    let streams = imported["streams"].as_array().unwrap();
    let items: Vec<_> = streams.iter().map(|s| (s["name"].as_str().unwrap(), s["items"].as_u64().unwrap())).collect();
    assert_eq!(items, [("front", 315), ("gps", 11)]);

    let replayed = json(&["replay", text(&session), "--out", text(&ran), "--json"]);
    assert_eq!(replayed["fixes"], 191, "{replayed}");
    let verified = json(&["replay", text(&ran), "--verify", "--threads", "4", "--shuffle", "1", "--json"]);
    assert_eq!((&verified["verified"]["differing"], &verified["digest"]), (&0.into(), &replayed["digest"]));
    let inspected = json(&["inspect", text(&ran), "--json"]);
    let gps = inspected["info"]["streams"].as_array().unwrap().iter().find(|stream| stream["name"] == "gps").unwrap();
    assert_eq!(gps["protocol"], "gpmf");

    let without = json(&["import", "--video", text(&clip), "--no-gpmf", "-o", text(&session), "--json"]);
    assert_eq!(without["streams"].as_array().unwrap().len(), 1);
}
