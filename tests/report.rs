//! `waywarden report`: the page says what the session holds, opens in a browser without a network, and draws.

#![expect(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "a test that cannot go on ends")]

#[path = "support/drive.rs"]
mod drive;
#[path = "support/forge.rs"]
mod forge;
#[path = "support/program.rs"]
mod program;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use program::{data, folder, json, run, session_in, text};
use serde_json::{Value, json};

/// Where what a person may want to look at is left.
fn artefacts() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../artefacts");
    fs::create_dir_all(&folder).unwrap();
    folder.canonicalize().unwrap()
}

/// Makes a report; what `--json` printed, and what is in the page.
fn report(session: &Path, page: &Path, more: &[&str]) -> (Value, Value) {
    let printed = json(&[&["report", text(session), "-o", text(page), "--json"], more].concat());
    let html = fs::read_to_string(page).unwrap();
    let (_, rest) = html.split_once(r#"<script type="application/json" id="data">"#).unwrap();
    let (inside, _) = rest.split_once("</script>").unwrap();
    let inside: Value = serde_json::from_str(inside).unwrap();
    // The page and the program say the same.
    for (key, value) in inside["facts"].as_object().unwrap() {
        assert_eq!(&printed[key], value, "{key}");
    }
    assert_eq!(printed["report_bytes"], json!(html.len()));
    (printed, inside)
}

fn strings(list: &Value) -> String {
    list.as_array()
        .unwrap()
        .iter()
        .map(|item| item["text"].as_str().or(item.as_str()).unwrap())
        .collect::<Vec<_>>()
        .join("\n")
}

fn charts(page: &Value) -> Vec<&str> {
    let sections = page["sections"].as_array().unwrap().iter();
    sections
        .flat_map(|section| section["charts"].as_array().unwrap())
        .map(|chart| chart["id"].as_str().unwrap())
        .collect()
}

fn chart<'a>(page: &'a Value, id: &str) -> &'a Value {
    let sections = page["sections"].as_array().unwrap().iter();
    let mut all = sections.flat_map(|section| section["charts"].as_array().unwrap());
    all.find(|chart| chart["id"] == id).unwrap_or_else(|| panic!("no chart {id}"))
}

/// A drive by hand, and its report.
fn by_hand(plan: drive::Plan) -> (tempfile::TempDir, Value, Value) {
    let dir = folder();
    let session = dir.path().join("drive.mcap");
    drive::write(&session, plan);
    let (facts, page) = report(&session, &dir.path().join("report.html"), &[]);
    (dir, facts, page)
}

#[test]
fn a_live_run_is_reported_as_replay_and_inspect_count_it() {
    let dir = folder();
    let recorded = dir.path().join("recorded");
    json(&["run", "--simulate", "--duration", "4", "--record", text(&recorded), "--json"]);
    let session = session_in(&recorded);
    let (facts, page) = report(&session, &dir.path().join("report.html"), &["--replay"]);
    let replayed = json(&["replay", text(&session), "--json"]);
    for key in ["ticks", "session_s", "fixes", "ranges", "utterances", "speech_s", "cut"] {
        assert_eq!(facts[key], replayed[key], "{key}");
    }
    for key in ["in", "gated", "segmented", "detected", "dropped", "broken"] {
        assert_eq!(facts["frames"][key], replayed["frames"][key], "frames {key}");
    }
    assert!(facts["frames"]["in"].as_u64().unwrap() > 3, "{facts}");
    let inspected = json(&["inspect", text(&session), "--json"]);
    for key in ["ticks", "session_s", "bytes", "whole", "missing_ticks", "inputs"] {
        assert_eq!(facts[key], inspected[key], "{key}");
    }
    assert_eq!(facts["ticks_with_outputs"], inspected["ticks_with_outputs"]);
    let drawn = charts(&page);
    for id in ["health", "speed", "track", "speech-probability", "frame-rates", "gate-difference", "lateness", "stages"]
    {
        assert!(drawn.contains(&id), "no {id} in {drawn:?}");
    }
    assert!(facts["stages"].as_object().unwrap().contains_key("sense/camera::capture"), "{}", facts["stages"]);
    // Fixes of the chart are those of the session.
    let speeds = chart(&page, "speed")["traces"].as_array().unwrap().last().unwrap()["x"].as_array().unwrap().len();
    assert_eq!(speeds as u64, facts["fixes"].as_u64().unwrap());
}

#[test]
fn everything_that_was_found_is_in_the_page() {
    let (_dir, facts, page) = by_hand(drive::PLAN);
    assert_eq!(facts["ticks"], 200);
    assert_eq!(facts["segments"], 2);
    assert_eq!(facts["started_utc"], "2026-11-23 07:59:59 UTC");
    let lanes = &facts["lanes"];
    assert_eq!((&lanes["looked_at"], &lanes["claimed"], &lanes["compared"]), (&json!(200), &json!(200), &json!(200)));
    let rmse = lanes["offset_rmse_m"].as_f64().unwrap();
    assert!((rmse - f64::from(drive::ERROR_M)).abs() < 1e-6, "{rmse}");
    assert_eq!(facts["frames"]["dropped"], 3);
    assert_eq!(facts["frames"]["gated"], 100);
    assert_eq!(
        (&facts["fixes"], &facts["ranges"], &facts["objects"]["invalid_ranges"]),
        (&json!(10), &json!(5), &json!(5))
    );
    assert_eq!((&facts["utterances"], &facts["speech_s"]), (&json!(1), &json!(1.5)));
    assert_eq!(facts["devices"]["front"]["seconds"]["degraded"], json!(3.0));
    assert_eq!(facts["alerts"][0]["to_s"], json!(4.45));
    // The truth and what was found are in one plot, and lie on each other but for the error.
    let traces = chart(&page, "lane-offset")["traces"].as_array().unwrap();
    assert_eq!((&traces[0]["name"], &traces[1]["name"]), (&json!("truth"), &json!("front")));
    assert_eq!(traces[0]["x"], traces[1]["x"]);
    for (truth, ours) in traces[0]["y"].as_array().unwrap().iter().zip(traces[1]["y"].as_array().unwrap()) {
        assert!((ours.as_f64().unwrap() - truth.as_f64().unwrap() - 0.05).abs() < 0.0021, "{truth} {ours}");
    }
    for id in ["distance", "closing", "boxes", "tallest", "utterances", "jobs", "result-age", "lateness", "health"] {
        assert!(charts(&page).contains(&id), "no {id}");
    }
    let problems = strings(&facts["problems"]);
    for word in ["degraded for 3.0 s: the lens is <dirty>.", "lane_departure", "3 items dropped"] {
        assert!(problems.contains(word), "no `{word}` in {problems}");
    }
    let moments = page["moments"].as_array().unwrap();
    let whys: Vec<&str> = moments.iter().map(|moment| moment["why"].as_str().unwrap()).collect();
    for why in [
        "first picture",
        "last picture",
        "segment 1 begins",
        "front: degraded",
        "alert: lane_departure",
        "much changed",
    ] {
        assert!(whys.iter().any(|said| said.contains(why)), "no `{why}` in {whys:?}");
    }
    assert!(moments.iter().all(|moment| moment["picture"].as_str().unwrap().starts_with("data:image/jpeg;base64,")));
    assert!(moments.len() <= 32);
}

#[test]
fn the_lane_of_a_simulated_drive_lies_on_its_truth() {
    let dir = folder();
    let path = |name: &str| dir.path().join(name);
    fs::write(path("config.toml"), "[[camera]]\nwidth = 640\nheight = 360\nfps = 10\n").unwrap();
    // Long enough for a change of lane, in which the offset jumps from one side to the other.
    let options = ["--scenario", "motorway", "--seed", "1", "--duration", "30", "--json"];
    let (drive, run) = (path("drive.mcap"), path("run.mcap"));
    let config = path("config.toml");
    json(&[&["simulate", "-o", text(&drive), "--config", text(&config)], &options[..]].concat());
    json(&["replay", text(&drive), "--out", text(&run), "--json"]);
    let (facts, page) = report(&run, &path("report.html"), &[]);
    let lanes = &facts["lanes"];
    assert!(lanes["claimed"].as_f64().unwrap() >= 0.8 * lanes["looked_at"].as_f64().unwrap(), "{lanes}");
    assert_eq!(lanes["compared"], lanes["claimed"], "{lanes}");
    assert!(lanes["offset_rmse_m"].as_f64().unwrap() <= 0.15, "{lanes}");
    assert!(lanes["largest_offset_m"].as_f64().unwrap().abs() > 1.5, "a line was crossed: {lanes}");
    assert_eq!(chart(&page, "lane-offset")["traces"].as_array().map(Vec::len), Some(2));
}

#[test]
fn the_page_asks_nobody_for_anything() {
    let (dir, ..) = by_hand(drive::Plan { ticks: 20, ..drive::PLAN });
    let html = fs::read_to_string(dir.path().join("report.html")).unwrap();
    // The library, which is in one script element, names many addresses and is given no reason to ask them.
    let (head, rest) = html.split_once("<script").unwrap();
    let (_, tail) = rest.split_once("</script>").unwrap();
    for part in [head, tail] {
        for asks in ["http:", "https:", "src=\"/", "@import", "url(", "fetch(", "XMLHttpRequest", "import("] {
            assert!(!part.contains(asks), "{asks}");
        }
    }
    assert!(head.contains("default-src 'none'"), "the browser sees to it");
}

#[test]
fn what_is_missing_is_said() {
    let dir = folder();
    let page = dir.path().join("report.html");
    let path = |name: &str| dir.path().join(name);
    // Positions alone.
    let sentence = |second: u32| {
        let body = format!("GPRMC,1200{second:02}.00,A,4807.038,N,01131.000,E,022.4,084.4,230394,,,A");
        format!("${body}*{:02X}\r\n", body.bytes().fold(0, |sum, byte| sum ^ byte))
    };
    fs::write(path("log.nmea"), (0..10).map(sentence).collect::<String>()).unwrap();
    json(&["import", "--nmea", text(&path("log.nmea")), "-o", text(&path("gps.mcap")), "--json"]);
    let (facts, _) = report(&path("gps.mcap"), &page, &[]);
    let missing = strings(&facts["missing"]);
    for word in [
        "No findings",
        "No pictures in this session (no camera)",
        "No sound",
        "No distances",
        "No truth",
        "No lateness",
    ] {
        assert!(missing.contains(word), "no `{word}` in {missing}");
    }
    assert!(!missing.contains("No GPS"), "nothing has looked at what the receiver sent: {missing}");
    // What a replay finds is in the page where it is asked for.
    let (facts, drawn) = report(&path("gps.mcap"), &page, &["--replay"]);
    assert_eq!(facts["fixes"], 10);
    assert!(charts(&drawn).contains(&"track"), "{:?}", charts(&drawn));
    assert!(strings(&facts["summary"]).contains("from a replay made for this report (jobs: virtual)"), "{facts}");
    assert_eq!(facts["origin"], "import");
    // Pictures alone.
    fs::create_dir(path("pictures")).unwrap();
    for n in 0..3 {
        image::RgbImage::from_pixel(64, 48, image::Rgb([90, 90, 90 + n]))
            .save(path(&format!("pictures/{n}.png")))
            .unwrap();
    }
    json(&["import", "--frames", text(&path("pictures")), "--fps", "10", "-o", text(&path("f.mcap")), "--json"]);
    let (facts, drawn) = report(&path("f.mcap"), &page, &["--replay"]);
    let missing = strings(&facts["missing"]);
    for word in ["No GPS fixes in this session (no receiver)", "No lanes", "No boxes", "No sound"] {
        assert!(missing.contains(word), "no `{word}` in {missing}");
    }
    let moments = drawn["moments"].as_array().unwrap();
    assert!(moments[0]["why"].as_str().unwrap().contains("first picture"), "{moments:?}");
    assert!(moments.last().unwrap()["why"].as_str().unwrap().contains("last picture"), "{moments:?}");
    let left: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().starts_with(".waywarden-")), "left behind: {left:?}");
}

#[test]
fn one_tick_and_gaps_are_said_and_drawn() {
    let (_dir, facts, page) = by_hand(drive::Plan { ticks: 1, ..drive::PLAN });
    assert!(strings(&facts["missing"]).contains("Only one tick"), "{facts}");
    assert_eq!(facts["lanes"]["compared"], 1);
    assert_eq!(page["moments"].as_array().unwrap().len(), 1);
    let (_dir, facts, page) = by_hand(drive::Plan { gap: true, ..drive::PLAN });
    assert_eq!((&facts["missing_ticks"], &facts["whole"]), (&json!(drive::LOST), &json!(false)));
    assert_eq!(facts["gaps"][0], json!({ "from_s": 4.95, "to_s": 10.0, "ticks": drive::LOST }));
    assert_eq!(page["gaps_ms"], json!([[4950.0, 10000.0]]));
    assert!(
        strings(&facts["problems"]).contains("100 ticks could not be recorded or are missing: 5.0 s to 10.0 s"),
        "{facts}"
    );
    // Lines are broken there, and nobody was late.
    let offsets = chart(&page, "lane-offset")["traces"][1]["y"].as_array().unwrap();
    assert_eq!(offsets.iter().filter(|value| value.is_null()).count(), 1);
    assert!(facts["times"]["late"]["max_ms"].as_f64().unwrap() < 1.0, "{}", facts["times"]);
}

#[test]
fn a_newer_format_and_a_stranger_are_refused() {
    let dir = folder();
    let (session, page) = (dir.path().join("newer.mcap"), dir.path().join("report.html"));
    drive::write(&session, drive::Plan { ticks: 3, ..drive::PLAN });
    let mut newer = forge::Session::of(&fs::read(&session).unwrap());
    newer.metadata.get_mut("waywarden.session").unwrap().insert("format".to_owned(), "2.0".to_owned());
    fs::write(&session, newer.bytes()).unwrap();
    for command in ["report", "render"] {
        let refused = run(&[command, text(&session), "-o", text(&page)]);
        let words = String::from_utf8_lossy(&refused.stderr);
        assert_eq!(refused.status.code(), Some(2), "{words}");
        assert!(words.contains("session format `2.0`; this build reads format 1"), "{words}");
        assert_eq!(run(&[command, "none.mcap", "-o", text(&page)]).status.code(), Some(2));
        assert!(!page.exists());
    }
}

/// Opens a page in a browser that reaches nobody; what it printed.
fn browse(page: &Path, more: &[&str]) -> Option<Output> {
    if Command::new("chromium").arg("--version").output().is_err() {
        println!("skipped: no chromium (script/bootstrap --tests installs it)");
        return None;
    }
    let profile = folder();
    let flags = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
        "--no-first-run",
        "--disable-sync",
        "--disable-background-networking",
        "--disable-component-update",
        "--enable-logging=stderr",
        "--proxy-server=127.0.0.1:9",
        "--virtual-time-budget=30000",
        "--window-size=1280,6000",
    ];
    let mut command = Command::new("chromium");
    command.args(flags).arg(format!("--user-data-dir={}", profile.path().display())).args(more);
    Some(command.arg(format!("file://{}", page.display())).output().unwrap())
}

#[test]
fn a_browser_without_network_draws_every_plot() {
    let (dir, facts, page) = by_hand(drive::Plan { gap: true, ..drive::PLAN });
    let html = dir.path().join("report.html");
    let Some(seen) = browse(&html, &["--dump-dom"]) else { return };
    let (dom, log) = (String::from_utf8_lossy(&seen.stdout), String::from_utf8_lossy(&seen.stderr));
    let complaints: Vec<&str> = log.lines().filter(|line| line.contains("CONSOLE")).collect();
    assert!(complaints.is_empty(), "{complaints:#?}");
    let head: String = dom.chars().take(300).collect();
    assert!(
        head.contains(&format!("data-drawn=\"{}\"", charts(&page).len())) && !head.contains("data-error"),
        "{head}"
    );
    // Every line, cloud and bar that the page holds was drawn, and none is empty.
    let count = |what: &str| dom.matches(what).count();
    let traces = |kind: &str| {
        let sections = page["sections"].as_array().unwrap().iter();
        let all = sections
            .flat_map(|section| section["charts"].as_array().unwrap())
            .flat_map(|chart| chart["traces"].as_array().unwrap());
        all.filter(|trace| trace["type"] == kind).count()
    };
    assert_eq!(count("<g class=\"trace scatter "), traces("scatter"));
    assert_eq!(count("<g class=\"trace bars\""), traces("bar"));
    assert!(count("class=\"js-line\"") >= 10, "{} lines", count("class=\"js-line\""));
    assert!(count("<img src=\"data:image/jpeg;base64,") >= 5);
    let verdict = format!("{} things to look at.", facts["problems"].as_array().unwrap().len());
    assert!(dom.contains(&verdict), "{verdict}");
    assert!(dom.contains("the lens is &lt;dirty&gt;&lt;/script&gt;"), "words of a session are words, not markup");
    let shot = artefacts().join("report.png");
    browse(&html, &[&format!("--screenshot={}", shot.display())]);
    fs::copy(&html, artefacts().join("report.html")).unwrap();
    assert!(fs::metadata(&shot).unwrap().len() > 50_000);
    println!("looked at: {}", shot.display());
}

#[test]
fn a_real_clip_is_imported_run_and_reported() {
    let Some(clip) = data("data/video/highway-540p-9s.mp4") else { return };
    let dir = folder();
    let (session, page) = (dir.path().join("clip.mcap"), dir.path().join("report.html"));
    json(&["import", "--video", text(&clip), "-o", text(&session), "--json"]);
    let (facts, drawn) = report(&session, &page, &["--replay"]);
    let replayed = json(&["replay", text(&session), "--json"]);
    assert_eq!(facts["frames"]["in"], replayed["frames"]["in"]);
    assert_eq!(facts["frames"]["gated"], replayed["frames"]["gated"]);
    assert_eq!(facts["frames"]["size"], json!([960, 540]));
    assert!(charts(&drawn).contains(&"gate-difference"));
    assert!(fs::metadata(&page).unwrap().len() < 8_000_000);
}

#[test]
#[ignore = "long: an hour of a session"]
fn the_report_of_an_hour_is_small_and_quick() {
    let dir = folder();
    let (session, page) = (dir.path().join("hour.mcap"), dir.path().join("report.html"));
    drive::write(&session, drive::Plan { ticks: 3600 * drive::RATE, gap: true, segment: 60 * drive::RATE });
    #[expect(clippy::disallowed_methods, reason = "how long a person waits")]
    let began = std::time::Instant::now();
    let (facts, _) = report(&session, &page, &[]);
    let (took, rss) = (began.elapsed(), facts["peak_rss_mb"].as_f64().unwrap());
    let (bytes, size) = (facts["bytes"].as_f64().unwrap() / 1e6, facts["report_bytes"].as_f64().unwrap() / 1e6);
    println!("1 h, {bytes:.0} MB: report of {size:.1} MB in {took:.1?}, {rss:.0} MB at most");
    assert!(size <= 20.0 && rss <= 300.0 && took.as_secs() <= 60);
}
