//! Every kind of mistake names its line, its key and what to do; the manual is complete.

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::Value;

use super::*;

/// The only problem of `text`.
fn problem(text: &str) -> Problem {
    let problems = problems(text);
    assert_eq!(problems.len(), 1, "{problems:#?}");
    problems.into_iter().next().unwrap()
}

fn problems(text: &str) -> Vec<Problem> {
    Config::from_toml(text, "f.toml").expect_err("a mistake").problems
}

#[track_caller]
fn assert_problem(text: &str, line: usize, column: usize, key: &str, message: &str, hint: &str) {
    let found = problem(text);
    assert_eq!((found.line, found.column, found.key.as_str()), (Some(line), Some(column), key), "{found:#?}");
    assert!(found.message.contains(message), "{found:#?}");
    assert!(found.hint.contains(hint), "{found:#?}");
    assert_eq!(found.place(), format!("f.toml:{line}:{column}"));
}

/// A config in which every list has one item, so that every key occurs.
fn full() -> Config {
    let model = r#"
        [[model]]
        name = "mine"
        role = "segmentation"
        path = "mine.onnx"
        sha256 = "505b56bd7c9e4e38b2928373aa4daa191a9a398e07e1fb340024b9ce84d4285f"
        decoder = "twinlitenet"
        input = { width = 640, height = 360, layout = "stretched", colour = "rgb", range = "0-1" }
        [[microphone]]
    "#;
    Config::from_toml(model, "full").expect("a valid config")
}

#[test]
fn an_empty_file_is_the_default() {
    assert_eq!(Config::from_toml("", "f.toml"), Ok(Config::default()));
    assert_eq!(Config::from_toml("\u{feff}[gate]\n", "f.toml"), Ok(Config::default()));
}

#[test]
fn the_manual_is_the_default() {
    assert_eq!(Config::from_toml(DEFAULT_TOML, "assets/waywarden.toml"), Ok(Config::default()));
}

#[test]
fn what_the_manual_leaves_out_can_be_taken_in() {
    let uncommented = |line: &str| match line.strip_prefix('#') {
        Some(code) if code.starts_with(|first: char| first == '[' || first.is_ascii_lowercase()) => code.to_owned(),
        _ => line.to_owned(),
    };
    let text: String = DEFAULT_TOML.lines().map(|line| uncommented(line) + "\n").collect();
    let config = Config::from_toml(&text, "uncommented").expect("a valid config");
    assert_eq!(config.microphone, [Microphone::default()]);
    assert_eq!(config.model.len(), 1);
    assert_eq!(Config { microphone: Vec::new(), model: Vec::new(), ..config }, Config::default());
}

/// The (section, key) pairs of a config, numbers with their defaults.
fn keys(config: &Config) -> Vec<(String, String, Value)> {
    let Value::Object(sections) = serde_json::to_value(config).unwrap() else { panic!("a config is a table") };
    let mut keys = Vec::new();
    for (section, value) in sections {
        let table = if let Value::Array(items) = value { items[0].clone() } else { value };
        for (key, value) in table.as_object().unwrap() {
            match value {
                // A table of a device: a section of its own in the manual.
                Value::Object(inner) if section != "model" => {
                    let inner =
                        inner.iter().map(|(name, value)| (format!("{section}.{key}"), name.clone(), value.clone()));
                    keys.extend(inner);
                }
                _ => keys.push((section.clone(), key.clone(), value.clone())),
            }
        }
    }
    keys
}

/// The manual's comment above each key, by section and key.
fn manual() -> Vec<(String, String, String)> {
    let (mut section, mut comment, mut entries) = (String::new(), String::new(), Vec::new());
    for line in DEFAULT_TOML.lines() {
        let code =
            line.strip_prefix('#').filter(|rest| !rest.starts_with([' ', '#']) && !rest.is_empty()).unwrap_or(line);
        if let Some(text) = code.strip_prefix("# ") {
            comment = format!("{comment} {text}");
        } else if code.starts_with('[') {
            section = code.trim_matches(['[', ']']).to_owned();
            comment.clear();
        } else if let Some((key, _)) = code.split_once(" = ") {
            entries.push((section.clone(), key.to_owned(), std::mem::take(&mut comment)));
        } else if code.is_empty() {
            comment.clear();
        }
    }
    entries
}

#[test]
fn the_manual_documents_every_key_with_range_and_default() {
    let (keys, manual) = (keys(&full()), manual());
    let known: BTreeSet<(&str, &str)> = keys.iter().map(|(section, key, _)| (section.as_str(), key.as_str())).collect();
    for (section, key, _) in &manual {
        assert!(
            known.contains(&(section.as_str(), key.as_str())),
            "the manual has {section}.{key}, the config has not"
        );
    }
    for (section, key, value) in &keys {
        let found = manual.iter().find(|(in_section, of_key, _)| in_section == section && of_key == key);
        let (_, _, comment) = found.unwrap_or_else(|| panic!("the manual has no {section}.{key}"));
        let general = format!("{section}.{key}");
        let limits: Vec<&Limit> =
            LIMITS.iter().filter(|limit| (limit.key.to_owned() + ".").starts_with(&(general.clone() + "."))).collect();
        assert!(!value.is_number() || !limits.is_empty(), "{general} is a number without a limit");
        for limit in limits {
            assert!(comment.contains(&format!("Range {limit}")), "{general}: no `Range {limit}` in `{comment}`");
        }
        if section != "model" {
            let default = if let Some(number) = value.as_f64() { number.to_string() } else { value.to_string() };
            let default = format!("efault {default}");
            assert!(comment.contains(&default), "{general}: no `d{default}` in `{comment}`");
        }
    }
}

#[test]
fn limits_are_of_keys_and_hold_the_defaults() {
    let config = serde_json::to_value(full()).unwrap();
    for limit in LIMITS {
        let value = limit.key.split('.').fold(&config, |value, key| {
            let table = if value.is_array() { &value[0] } else { value };
            &table[key]
        });
        let value = value.as_f64().unwrap_or_else(|| panic!("{} is no number of the config", limit.key));
        assert!(limit.allows(value), "{}", limit.key);
    }
}

#[test]
fn the_effective_config_reads_back() {
    let mut config = full().simulated();
    config.camera.push(Camera { name: "rear".into(), fps: 29.97, ..Camera::default() });
    config.gate.threshold = 0.1 + 0.2;
    config.simulation.seed = 9_007_199_254_740_991;
    config.range.clear();
    for config in [Config::default(), config] {
        let text = config.to_toml().unwrap();
        assert_eq!(Config::from_toml(&text, "effective"), Ok(config), "{text}");
    }
}

#[test]
fn unknown_keys_are_named() {
    assert_problem(
        "[gate]\ntreshold = 1\n",
        2,
        1,
        "gate.treshold",
        "unknown key `treshold` in [gate]",
        "did you mean `threshold`? keys of [gate]: enabled, threshold, force_after_s",
    );
    assert_problem("[gaet]\n", 1, 2, "gaet", "unknown section or key `gaet`", "did you mean `gate`?");
    assert_problem("\n[[camera]]\n  fsp = 1\n", 3, 3, "camera[0].fsp", "in [[camera]]", "did you mean `fps`?");
    assert_problem("[log]\nzzzzzz = 1", 2, 1, "log.zzzzzz", "unknown key", "keys of [log]: level, format");
    assert_problem("[gate]\n\"a`, expected `b\" = 1", 2, 1, "gate.a`, expected `b", "unknown key", "keys of [gate]");
}

#[test]
fn wrong_types_are_named() {
    assert_problem(
        "[gate]\nthreshold = \"high\"",
        2,
        13,
        "gate.threshold",
        "`gate.threshold` must be a number, not the text \"high\"",
        "allowed: 0 to 255 luma levels; default: 3.0",
    );
    assert_problem(
        "[tick]\nperiod_ms = 2.5",
        2,
        13,
        "tick.period_ms",
        "must be a whole number, 0 or more, not the number `2.5`",
        "1 to 1000 ms; default: 10",
    );
    assert_problem("[tick]\nperiod_ms = -1", 2, 13, "tick.period_ms", "a whole number, 0 or more", "1 to 1000 ms");
    assert_problem(
        "[tick]\nperiod_ms = 99999999999999999999",
        2,
        13,
        "tick.period_ms",
        "a whole number",
        "1 to 1000 ms",
    );
    assert_problem("[threads]\nrealtime = 1", 2, 12, "threads.realtime", "must be true or false", "default: true");
    assert_problem("gate = 3", 1, 8, "gate", "must be a section", "write [gate] on a line of its own");
    assert_problem("[camera]\nname = \"a\"", 1, 1, "camera", "must be a list", "write [[camera]] with two brackets");
    assert_problem("[[model]]\nname = \"a\"\n", 1, 1, "model[0]", "`model` has no `role`", "add `role = …`");
}

#[test]
fn unknown_words_are_named() {
    assert_problem(
        "[[camera]]\nrole = \"frnt\"",
        2,
        8,
        "camera[0].role",
        "`camera.role` cannot be \"frnt\"",
        "did you mean `front`? allowed: front, rear, cabin",
    );
    assert_problem(
        "[log]\nlevel = \"loud\"",
        2,
        9,
        "log.level",
        "cannot be \"loud\"",
        "allowed: off, error, warn, info, debug, trace",
    );
}

#[test]
fn values_out_of_range_are_named() {
    assert_problem(
        "[gate]\n\nthreshold = 400",
        3,
        13,
        "gate.threshold",
        "`gate.threshold` is 400.0, which is outside 0 to 255 luma levels",
        "default: 3.0",
    );
    assert_problem("[gate]\nthreshold = nan", 2, 13, "gate.threshold", "not a finite number", "0 to 255");
    assert_problem("[gate]\nthreshold = inf", 2, 13, "gate.threshold", "not a finite number", "0 to 255");
    assert_problem(
        "[[camera]]\n[[camera]]\nname=\"b\"\nfps = 0",
        4,
        7,
        "camera[1].fps",
        "outside 1 to 240 frames a second",
        "default: 30.0",
    );
    assert_problem(
        "[simulation]\nseed = 9223372036854775807",
        2,
        8,
        "simulation.seed",
        "outside 0 to 9007199254740991",
        "default: 1",
    );
}

#[test]
fn names_are_safe_and_unique() {
    for name in ["", "../etc", "a/b", "Front", "a b", "-a", "é", "#", "+", &"a".repeat(33)] {
        let found = problem(&format!("[[gps]]\nname = {name:?}"));
        assert_eq!((found.line, found.key.as_str()), (Some(2), "gps[0].name"), "{found:#?}");
        assert!(found.hint.contains("a-z, 0-9"), "{found:#?}");
    }
    assert_problem(
        "[[gps]]\nname = \"front\"",
        2,
        8,
        "gps[0].name",
        "\"front\" is taken by camera[0].name",
        "\"front-2\"",
    );
    assert_problem("[[camera]]\n[[camera]]\n", 2, 1, "camera[1].name", "taken by camera[0].name", "its own");
    let many: String = (0..17).map(|i| format!("[[gps]]\nname = \"g{i}\"\n")).collect();
    assert_problem(&many, 33, 1, "gps[16]", "17 times [[gps]]", "at most 16");
}

#[test]
fn values_that_contradict_each_other_are_named() {
    assert_problem(
        "[voice]\nexit = 0.9",
        2,
        8,
        "voice.exit",
        "`voice.exit` (0.9) is above `voice.enter` (0.7)",
        "lower exit",
    );
    assert_problem(
        "[tick]\nmin_gap_ms = 11",
        2,
        14,
        "tick.min_gap_ms",
        "above `tick.period_ms` (10)",
        "raise period_ms",
    );
    assert_problem("[tick]\nperiod_ms = 1", 1, 1, "tick.min_gap_ms", "above `tick.period_ms` (1)", "lower min_gap_ms");
    let mut config = full();
    config.detection.model = "mine".into();
    let found = config.validate("flags").expect_err("a segmentation model").problems;
    assert!(found[0].message.contains("\"mine\" is for segmentation, not for detection"), "{found:#?}");
}

#[test]
fn models_are_checked() {
    let text = full().to_toml().unwrap();
    let found = problem(&text.replace("505b56bd", "xyz"));
    assert_eq!(found.key, "model[0].sha256");
    assert!(found.hint.contains("sha256sum"), "{found:#?}");
    assert_eq!(problem(&text.replace("mine.onnx", "")).key, "model[0].path");
    let found = problem(&text.replace("width = 640\n", "width = 5000\n"));
    assert_eq!(found.key, "model[0].input.width");
    assert!(found.message.contains("outside 32 to 4096 pixels"), "{found:#?}");
    let found = problem(&text.replace("\"twinlitenet\"\n\n[model.input]", "\"yolo\"\n\n[model.input]"));
    assert!(found.hint.contains("did you mean `yolox`?"), "{found:#?}");
    assert_problem(
        "[detection]\nmodel = \"../x\"",
        2,
        9,
        "detection.model",
        "no model's name",
        "\"yolox_nano\", or the name of a [[model]]",
    );
}

#[test]
fn bad_syntax_is_named() {
    assert_problem("[gate\n", 1, 6, "", "", "TOML");
    assert_problem("[gate]\nthreshold = \n", 2, 13, "", "", "");
    assert_problem("[gate]\nthreshold = 1\nthreshold = 2\n", 3, 1, "", "duplicate key", "once");
}

#[test]
fn all_problems_are_named_in_the_order_of_the_file() {
    let text = "[gate]\nthreshold = 400\n[tick]\nperiod = 10\nmin_gap_ms = true\n[[camera]]\nname = \"A\"\n[voice]\nexit = 0.9";
    let found: Vec<_> = problems(text).into_iter().map(|problem| (problem.line.unwrap(), problem.key)).collect();
    let expected = [(2, "gate.threshold"), (4, "tick.period"), (5, "tick.min_gap_ms"), (7, "camera[0].name")];
    assert_eq!(found, expected.map(|(line, key)| (line, key.to_owned())));
    let many: String = (0..100).map(|i| format!("a{i} = 1\n")).collect();
    assert_eq!(problems(&many).len(), 20);
}

#[test]
fn a_wrong_value_of_a_needed_key_is_one_problem() {
    let wrong =
        "[[model]]\nname = \"a\"\nrole = \"segmentation\"\npath = \"a\"\nsha256 = 1\ndecoder = \"x\"\ninput = 2\n";
    let lacking = "[[model]]\nname = \"b\"\n";
    let found: Vec<_> = problems(&format!("{wrong}{lacking}"))
        .into_iter()
        .map(|problem| (problem.line.unwrap(), problem.message))
        .collect();
    let lines: Vec<usize> = found.iter().map(|(line, _)| *line).collect();
    assert_eq!(lines, [5, 6, 7, 8], "{found:#?}");
    assert!(found[3].1.contains("has no `role`"), "{found:#?}");
}

#[test]
fn columns_count_characters() {
    assert_problem("gate = {\"é\" = 1}", 1, 9, "gate.é", "unknown key", "");
    assert_problem("gate = {force_after_s = 1, \"日本\" = 1, }", 1, 28, "gate.日本", "unknown key", "");
}

#[test]
fn files_that_are_no_text_are_refused() {
    let found = Config::from_bytes(b"[gate]\n# \xff", "f.toml").expect_err("not UTF-8").problems;
    assert_eq!((found[0].line, found[0].column), (Some(2), Some(3)));
    let huge = vec![b' '; MAX_BYTES as usize + 1];
    let found = Config::from_bytes(&huge, "f.toml").expect_err("too large").problems;
    assert!(found[0].message.contains("larger than 1048576 bytes"), "{found:#?}");
    let found = Config::load(Path::new("no/such/file.toml")).expect_err("no file").problems;
    assert!(found[0].to_string().contains("no/such/file.toml"), "{found:#?}");
}

#[test]
fn deep_nesting_does_not_overflow_the_stack() {
    let (dots, brackets) = ("a.".repeat(200_000), "[".repeat(200_000));
    for text in [format!("{dots}a = 1"), format!("[{dots}a]"), format!("a = {brackets}"), "a = {b = ".repeat(50_000)] {
        assert!(Config::from_toml(&text, "f.toml").is_err());
    }
}

#[test]
fn many_mistakes_in_a_large_file_are_found_quickly() {
    let many: String = (0..60_000).map(|i| format!("[[camera]]\nx{i}=1\n")).collect();
    assert_eq!(problems(&many).len(), 20);
}

#[test]
fn streams_are_numbered_in_a_fixed_order() {
    let streams = Config::default().simulated().streams();
    let found: Vec<_> = streams.iter().map(|stream| (stream.id.0, stream.name.as_str())).collect();
    assert_eq!(found, [(1, "front"), (2, "microphone"), (3, "gps"), (4, "range"), (5, "truth")]);
    assert_eq!(streams[1].kind, StreamKind::Microphone);
    assert_eq!(streams[4].kind, StreamKind::Truth);
    assert_eq!(Config::default().streams().len(), 4, "nobody is listened to by default");
    let mut repeats = Config::default();
    repeats.camera[0].loop_frames = 60;
    assert_eq!(repeats.streams().len(), 3, "pictures that are repeated have no truth");
}

#[test]
fn a_simulated_microphone_finds_a_free_name() {
    let mut config = Config::default();
    config.gps[0].name = "microphone".into();
    config.range[0].name = "truth".into();
    assert_eq!(config.streams()[3].name, "truth-simulated");
    assert_eq!(config.simulated().validate("simulated"), Ok(()));
}

#[test]
fn only_simulated_drives_have_a_truth() {
    let text = "[[camera]]\nsource = \"/dev/video0\"\n[simulation]\nperceive = \"truth\"\n";
    assert_problem(text, 4, 12, "simulation.perceive", "only simulated drives have a truth", "\"models\"");
    let text = "[simulation]\nperceive = \"truth\"\n[remote]\nurl = \"https://box.example\"\n";
    assert_problem(text, 2, 12, "simulation.perceive", "remote.url", "leave one of them out");
    let text =
        "[[camera]]\n[simulation]\nperceive = \"truth\"\npictures = \"plain\"\n[simulation.errors]\nmissed = 0.5\n";
    assert_eq!(Config::from_toml(text, "f.toml").unwrap().simulation.errors.missed, 0.5);
}

/// Lines that are nearly right, to get beyond the parser.
fn nearly_toml() -> impl Strategy<Value = String> {
    let keys: Vec<String> = keys(&full()).into_iter().flat_map(|(section, key, _)| [section, key]).collect();
    let key = prop_oneof![4 => proptest::sample::select(keys), 1 => "[a-z_.\"'`]{0,8}"];
    let value = prop_oneof![
        any::<i64>().prop_map(|number| number.to_string()),
        any::<f64>().prop_map(|number| format!("{number:?}")),
        any::<String>().prop_map(|text| format!("{text:?}")),
        proptest::sample::select(vec!["true", "[]", "{}", "[[1]]", "nan", "-inf", "1979-05-27", "{a=1}", "\"front\""])
            .prop_map(str::to_owned),
    ];
    let line = (key, value, 0..4u8).prop_map(|(key, value, form)| match form {
        0 => format!("[{key}]\n"),
        1 => format!("[[{key}]]\n"),
        _ => format!("{key} = {value}\n"),
    });
    proptest::collection::vec(line, 0..12).prop_map(|lines| lines.concat())
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = Config::from_bytes(&bytes, "f.toml");
    }

    #[test]
    fn nearly_right_text_never_panics(text in nearly_toml()) {
        match Config::from_toml(&text, "f.toml") {
            Ok(config) => prop_assert_eq!(Config::from_toml(&config.to_toml().unwrap(), "f.toml"), Ok(config)),
            Err(error) => {
                prop_assert!(!error.problems.is_empty());
                prop_assert!(error.problems.iter().all(|problem| problem.line.is_some() && !problem.hint.is_empty()));
            }
        }
    }

    #[test]
    fn the_manual_with_a_byte_changed_never_panics(at in 0..DEFAULT_TOML.len(), byte: u8) {
        let mut bytes = DEFAULT_TOML.as_bytes().to_vec();
        bytes[at] = byte;
        let _ = Config::from_bytes(&bytes, "f.toml");
    }
}
