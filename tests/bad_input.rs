//! Files of every kind that the program reads, cut off, damaged, empty, huge and foreign: each is read or refused with
//! one error that names the file and, where there is one, the place. Nothing panics or hangs, and nothing half-written
//! is left.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

#[path = "support/outcome.rs"]
mod outcome;

use std::fs;
use std::io::Cursor;
use std::path::Path;
use std::process::Command;

use outcome::waywarden;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tempfile::TempDir;

/// Imports `file` from `dir` with `options`, and sees that a refused import leaves nothing behind.
fn import(dir: &Path, options: &[&str]) -> outcome::Outcome {
    let out = dir.join("out");
    fs::create_dir_all(&out).unwrap();
    let outcome = waywarden(dir, &[&["import", "-o", "out/session.mcap"], options].concat());
    let left: Vec<_> = fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    if outcome.code == Some(0) {
        assert_eq!(left, ["session.mcap"]);
        let inspected = waywarden(dir, &["inspect", "out/session.mcap"]).done();
        assert!(inspected.out.contains("  whole      yes"), "{inspected:?}");
    } else {
        assert!(left.is_empty(), "left behind: {left:?}");
    }
    fs::remove_dir_all(&out).unwrap();
    outcome
}

/// An import that succeeds, or is refused in an orderly way.
fn orderly_import(dir: &Path, options: &[&str]) -> outcome::Outcome {
    let outcome = import(dir, options);
    if outcome.code == Some(0) { outcome.done() } else { outcome.refused(&[]) }
}

/// Files that are none of any kind, with their names.
fn strangers() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("empty"), b"").unwrap();
    fs::write(dir.path().join("zeroes"), vec![0; 1 << 20]).unwrap();
    fs::write(dir.path().join("text"), "Dear diary, today I drove to the sea and back.\n".repeat(1000)).unwrap();
    let mut noise = vec![0; 1 << 18];
    ChaCha8Rng::seed_from_u64(1).fill(&mut noise[..]);
    fs::write(dir.path().join("noise"), noise).unwrap();
    fs::write(dir.path().join("line"), vec![b'$'; 1 << 22]).unwrap();
    fs::create_dir(dir.path().join("folder")).unwrap();
    fs::write(dir.path().join("sparse"), b"").unwrap();
    fs::File::options().write(true).open(dir.path().join("sparse")).unwrap().set_len(1 << 31).unwrap();
    dir
}

const STRANGERS: [&str; 8] = ["empty", "zeroes", "text", "noise", "line", "folder", "sparse", "none"];

#[test]
fn strangers_are_no_recordings() {
    let dir = strangers();
    for name in STRANGERS {
        for option in ["--video", "--audio", "--nmea", "--range"] {
            println!("{option} {name}");
            import(dir.path(), &[option, name]).refused(&[name]);
        }
        println!("--frames {name}");
        import(dir.path(), &["--frames", name, "--fps", "10"]).refused(&[name]);
    }
}

#[test]
fn strangers_are_no_configs_and_no_sessions() {
    let dir = strangers();
    // An empty file is the default config.
    for name in STRANGERS.into_iter().filter(|name| *name != "empty") {
        println!("{name}");
        waywarden(dir.path(), &["inspect", name]).refused(&[]);
        let checked = waywarden(dir.path(), &["check", "--config", name]);
        assert_eq!(checked.code, Some(2), "{checked:?}");
        let errors: Vec<&str> = checked.err.lines().filter(|line| line.starts_with("error: ")).collect();
        assert!((1..=20).contains(&errors.len()) && errors.iter().all(|error| error.contains(name)), "{checked:?}");
        assert!(!checked.err.contains("panicked"));
        let args = ["run", "--config", name, "--simulate", "--duration", "1", "--record", "rec"];
        assert_eq!(waywarden(dir.path(), &args).code, Some(2));
        assert!(!dir.path().join("rec").exists());
    }
}

/// Cuts and flips the file `name` in many ways, and calls `check` with what it is then called.
fn damaged(dir: &Path, name: &str, times: usize, mut check: impl FnMut(&str)) {
    let whole = fs::read(dir.join(name)).unwrap();
    let broken = format!("broken-{name}");
    let mut random = ChaCha8Rng::seed_from_u64(7);
    for n in 0..times {
        let mut bytes = whole.clone();
        if n % 2 == 0 {
            bytes.truncate(random.random_range(0..whole.len()));
        } else {
            // Heads of files are where lengths and kinds stand.
            let most = if n % 4 == 1 { whole.len().min(100) } else { whole.len() };
            for _ in 0..random.random_range(1..4) {
                bytes[random.random_range(0..most)] ^= 1 << random.random_range(0..8);
            }
        }
        fs::write(dir.join(&broken), bytes).unwrap();
        check(&broken);
    }
    fs::remove_file(dir.join(broken)).unwrap();
}

#[test]
fn damaged_sound_is_read_or_refused() {
    let dir = tempfile::tempdir().unwrap();
    let spec = hound::WavSpec {
        channels: 2,
        sample_rate: 44_100,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::create(dir.path().join("sound.wav"), spec).unwrap();
    for n in 0..20_000 {
        writer.write_sample((n * 37 % 20_011 - 10_000) as i16).unwrap();
    }
    writer.finalize().unwrap();
    import(dir.path(), &["--audio", "sound.wav"]).done();
    damaged(dir.path(), "sound.wav", 24, |name| {
        let outcome = orderly_import(dir.path(), &["--audio", name]);
        assert!(outcome.code == Some(0) || outcome.err.contains(name), "{outcome:?}");
    });
    // A head that claims four gigabytes of sound, at no samples a second, in no channels.
    let sound = fs::read(dir.path().join("sound.wav")).unwrap();
    for (at, bytes) in
        [(40, [0xff; 4]), (24, [0; 4]), (24, [0xff; 4]), (22, [0, 0, 0x44, 0xac]), (22, [0xff, 0xff, 0x44, 0xac])]
    {
        let mut lying = sound.clone();
        lying[at..at + 4].copy_from_slice(&bytes);
        fs::write(dir.path().join("lying.wav"), lying).unwrap();
        let outcome = orderly_import(dir.path(), &["--audio", "lying.wav"]);
        assert!(outcome.code == Some(0) || outcome.err.contains("lying.wav"), "{outcome:?}");
    }
}

#[test]
fn damaged_positions_and_distances_are_read_or_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut nmea = String::new();
    for second in 0..60 {
        let body = format!("GPRMC,1533{second:02}.000,A,3940.6986,N,07544.9356,W,0.12,87.21,230410,,");
        let sum = body.bytes().fold(0, |sum, byte| sum ^ byte);
        nmea.push_str(&format!("${body}*{sum:02X}\r\n"));
    }
    fs::write(dir.path().join("log.nmea"), &nmea).unwrap();
    import(dir.path(), &["--nmea", "log.nmea"]).done();
    damaged(dir.path(), "log.nmea", 16, |name| {
        orderly_import(dir.path(), &["--nmea", name]);
    });

    let mut csv = String::from("time_s,distance_m,strength\n");
    for n in 0..100 {
        csv.push_str(&format!("{:.2},{:.2},{}\n", f64::from(n) * 0.01, 5.0 + f64::from(n) * 0.1, 900));
    }
    fs::write(dir.path().join("range.csv"), &csv).unwrap();
    import(dir.path(), &["--range", "range.csv"]).done();
    damaged(dir.path(), "range.csv", 16, |name| {
        let outcome = orderly_import(dir.path(), &["--range", name]);
        assert!(outcome.code == Some(0) || outcome.err.contains("line "), "{outcome:?}");
    });
    for line in ["1e300,5", "nan,5", "-1,5", "0,inf", "0,5,-1", "0", ",,,,,,,,", "0,5\n1e9,5", "\u{0}", "0,5\n\"0,5"] {
        fs::write(dir.path().join("odd.csv"), format!("{line}\n")).unwrap();
        println!("{line}");
        orderly_import(dir.path(), &["--range", "odd.csv"]);
    }
}

#[test]
fn damaged_pictures_are_read_or_refused() {
    let dir = tempfile::tempdir().unwrap();
    let pictures = dir.path().join("pictures");
    fs::create_dir(&pictures).unwrap();
    let picture = image::RgbImage::from_fn(64, 48, |x, y| image::Rgb([x as u8 * 4, y as u8 * 5, 99]));
    let mut jpeg = Cursor::new(Vec::new());
    picture.write_to(&mut jpeg, image::ImageFormat::Jpeg).unwrap();
    let mut png = Cursor::new(Vec::new());
    picture.write_to(&mut png, image::ImageFormat::Png).unwrap();
    fs::write(pictures.join("1.jpg"), jpeg.get_ref()).unwrap();
    fs::write(dir.path().join("2.jpg"), jpeg.get_ref()).unwrap();
    fs::write(dir.path().join("2.png"), png.get_ref()).unwrap();
    import(dir.path(), &["--frames", "pictures", "--fps", "10"]).done();
    for name in ["2.jpg", "2.png"] {
        damaged(dir.path(), name, 16, |broken| {
            fs::copy(dir.path().join(broken), pictures.join(name)).unwrap();
            let outcome = orderly_import(dir.path(), &["--frames", "pictures", "--fps", "10"]);
            assert!(outcome.code == Some(0) || outcome.err.contains(name), "{outcome:?}");
            fs::remove_file(pictures.join(name)).unwrap();
        });
    }
    // A head that claims a picture of 4 thousand million pixels.
    let mut lying = png.into_inner();
    lying[16..24].copy_from_slice(&[0, 1, 0, 0, 0, 1, 0, 0]);
    fs::write(pictures.join("3.png"), lying).unwrap();
    import(dir.path(), &["--frames", "pictures", "--fps", "10"]).refused(&["3.png"]);
}

#[test]
fn damaged_videos_are_read_or_refused() {
    let dir = tempfile::tempdir().unwrap();
    let clip = dir.path().join("clip.mp4");
    let made = Command::new("ffmpeg")
        .args(["-v", "error", "-f", "lavfi", "-i", "testsrc=size=64x48:rate=10:duration=2", "-pix_fmt", "yuv420p"])
        .arg(&clip)
        .output();
    if !made.is_ok_and(|made| made.status.success()) {
        println!("skipped: no ffmpeg that can make a clip");
        return;
    }
    import(dir.path(), &["--video", "clip.mp4"]).done();
    damaged(dir.path(), "clip.mp4", 16, |name| {
        let outcome = orderly_import(dir.path(), &["--video", name]);
        assert!(outcome.code == Some(0) || outcome.err.contains(name), "{outcome:?}");
    });
}

#[test]
fn damaged_configs_are_read_or_refused() {
    let dir = tempfile::tempdir().unwrap();
    let default = waywarden(dir.path(), &["check", "--print-default"]).done().out;
    // Comments would take most of the damage.
    let bare: String = default.lines().filter(|line| !line.starts_with('#')).map(|line| format!("{line}\n")).collect();
    fs::write(dir.path().join("config.toml"), bare).unwrap();
    waywarden(dir.path(), &["check", "--config", "config.toml"]).done();
    let mut refused = 0;
    damaged(dir.path(), "config.toml", 60, |name| {
        let checked = waywarden(dir.path(), &["check", "--config", name]);
        assert!(!checked.err.contains("panicked"), "{checked:?}");
        if checked.code != Some(0) {
            refused += 1;
            assert_eq!(checked.code, Some(2), "{checked:?}");
            for error in checked.err.lines().filter(|line| line.starts_with("error: ")) {
                assert!(error.starts_with(&format!("error: {name}:")), "{error}");
            }
        }
    });
    assert!(refused > 20, "{refused}");
    for (name, text) in [
        ("deep", format!("gate = {}", "[".repeat(100_000))),
        ("deeper", format!("{} = 1", ["a"; 50_000].join("."))),
        ("tables", "[[camera]]\n".repeat(50_000)),
        ("long", format!("{} = 1", "a".repeat(1 << 19))),
        ("large", "#".repeat(2 << 20)),
    ] {
        println!("{name}");
        fs::write(dir.path().join(name), text).unwrap();
        let checked = waywarden(dir.path(), &["check", "--config", name]);
        assert!(checked.code == Some(2) && !checked.err.contains("panicked"), "{:?}", checked.code);
    }
}

#[test]
fn wrong_models_are_refused() {
    let dir = strangers();
    fs::create_dir(dir.path().join("models")).unwrap();
    let run = |args: &[&str]| {
        let base = ["run", "--simulate", "--duration", "1", "--record", "rec"];
        let outcome = waywarden(dir.path(), &[&base, args].concat());
        assert!(!dir.path().join("rec").exists(), "{outcome:?}");
        outcome
    };
    for name in ["twinlitenet.onnx", "yolox_nano_reexport.onnx"] {
        fs::copy(dir.path().join("noise"), dir.path().join("models").join(name)).unwrap();
        run(&["--models", "models"]).refused(&[name, "SHA-256"]);
        fs::remove_file(dir.path().join("models").join(name)).unwrap();
    }
    // One's own model, whose sum is right and whose contents are not: the sum is taken from the refusal.
    for name in ["empty", "noise", "text"] {
        let config = |sum: &str| {
            let text = format!(
                "[[model]]\nname = \"own\"\nrole = \"segmentation\"\npath = \"{name}\"\nsha256 = \"{sum}\"\n\
                 decoder = \"twinlitenet\"\n\
                 input = {{ width = 640, height = 360, layout = \"stretched\", colour = \"rgb\", range = \"0-1\" }}\n\
                 [segmentation]\nmodel = \"own\"\n"
            );
            fs::write(dir.path().join("own.toml"), text).unwrap();
            run(&["--config", "own.toml"])
        };
        let refusal = config(&"0".repeat(64)).refused(&[name, "SHA-256"]).err;
        let sum = refusal.split("its SHA-256 is ").nth(1).and_then(|rest| rest.split(',').next()).unwrap().to_owned();
        config(&sum).refused(&[name]);
    }
}
