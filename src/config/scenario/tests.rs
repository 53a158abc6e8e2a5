//! Impossible scenarios are refused with file, line, key and a hint; possible ones can be driven and drawn.

use proptest::prelude::*;
use waywarden_components::prelude::*;
use waywarden_systems::simulate::{CameraSettings, CameraSimulator, Drive, TruthSimulator};

use super::*;

fn problems(text: &str) -> Vec<Problem> {
    from_bytes(text.as_bytes(), "f.toml").expect_err("a mistake").problems
}

#[track_caller]
fn assert_problem(text: &str, line: usize, key: &str, message: &str, hint: &str) {
    let found = problems(text);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!((found[0].line, found[0].key.as_str()), (Some(line), key), "{found:#?}");
    assert!(found[0].message.contains(message) && found[0].hint.contains(hint), "{found:#?}");
    assert!(found[0].place().starts_with("f.toml:"), "{found:#?}");
}

#[test]
fn those_that_are_built_in_are_without_mistakes() {
    for (name, text) in BUILT_IN {
        let read = from_bytes(text.as_bytes(), name).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(Some(&read), Scenario::built_in(name).as_ref(), "{name}");
        assert_eq!(load(name).as_ref(), Ok(&read));
        assert!(!read.title.is_empty(), "{name} says what it shows");
    }
}

#[test]
fn mistakes_are_named_with_line_and_key() {
    assert_problem("[road]\nlanes = 0\n", 2, "road.lanes", "outside 1 to 4 lanes", "default: 2");
    assert_problem("[road]\nlane_widht_m = 3\n", 2, "road.lane_widht_m", "unknown key", "did you mean `lane_width_m`?");
    assert_problem("[paint]\nworn = nan\n", 2, "paint.worn", "not a finite number", "0 to 1");
    assert_problem("[paint]\ncentre = \"doted\"\n", 2, "paint.centre", "cannot be \"doted\"", "dashed");
    assert_problem("[ego]\nlane = 3\n", 2, "ego.lane", "lane 3 of a road with 2", "from the right");
    assert_problem("\n[[car]]\nlane = 3", 3, "car[0].lane", "lane 3 of a road with 2", "oncoming_lanes");
    assert_problem("[[car]]\n[[car.event]]\nspeed_kmh = 3", 2, "car[0].event[0]", "has no `at_s`", "add `at_s");
    assert_problem(
        "[[car]]\n[[car.event]]\nat_s = 3\n[[car.event]]\nat_s = 2",
        5,
        "car[0].event[1].at_s",
        "at_s of the event before",
        "raise at_s",
    );
    assert_problem(
        "[[ego.distraction]]\nat_s = 3\nfor_s = 9\n[[ego.distraction]]\nat_s = 5",
        5,
        "ego.distraction[1].at_s",
        "the end of the distraction before",
        "raise at_s",
    );
    assert_problem("[[tunnel]]\nfrom_m = 9\nto_m = 8", 2, "tunnel[0].from_m", "`from_m` (9) is above", "lower from_m");
    assert_problem("[traffic]\nslowest_kmh = 200", 2, "traffic.slowest_kmh", "above `fastest_kmh`", "lower");
    assert_problem("duration_s = 0\n", 1, "duration_s", "outside 1 to 86400 s", "default: 60.0");
    assert_problem("duration_s = \n", 1, "", "", "");
    let many: String = (0..65).map(|_| "[[pedestrian]]\n").collect();
    assert_problem(&many, 65, "pedestrian[64]", "65 times [[pedestrian]]", "at most 64");
    let events: String = (0..70).map(|n| format!("[[car.event]]\nat_s = {n}\n")).collect();
    assert!(from_bytes(format!("[[car]]\n{events}").as_bytes(), "f.toml").is_ok(), "events may be many");
}

#[test]
fn what_is_no_scenario_is_refused() {
    let found = load("motorwy").expect_err("no such name").problems;
    assert!(found[0].to_string().contains("motorwy") && found[0].hint.contains("motorway"), "{found:?}");
    let found = load("no/such/road.toml").expect_err("no file").problems;
    assert!(found[0].to_string().contains("no/such/road.toml: cannot be read"), "{found:?}");
    let mistake = crate::config::Config::from_toml("[simulation]\nscenario = \"x\"", "f.toml").expect_err("no name");
    assert_eq!((mistake.problems[0].line, mistake.problems[0].key.as_str()), (Some(2), "simulation.scenario"));
}

#[test]
fn limits_are_of_keys_and_hold_the_defaults() {
    let scenario = serde_json::to_value(full()).unwrap();
    for limit in LIMITS {
        let value = limit.key.split('.').fold(&scenario, |value, key| {
            let table = if value.is_array() { &value[0] } else { value };
            &table[key]
        });
        let value = value.as_f64().unwrap_or_else(|| panic!("{} is no number of a scenario", limit.key));
        assert!(limit.allows(value), "{}", limit.key);
    }
    // And every number has one.
    fn numbers(value: &Value, path: &Path, each: &mut impl FnMut(&Path)) {
        match value {
            Value::Object(table) => table.iter().for_each(|(key, value)| numbers(value, &path.key(key), each)),
            Value::Array(items) => items.iter().for_each(|value| numbers(value, path, each)),
            Value::Number(_) => each(path),
            _ => {}
        }
    }
    numbers(&scenario, &Path::default(), &mut |path| {
        assert!(Limit::among(LIMITS, &path.general()).is_some(), "{path} has no limit");
    });
}

#[test]
fn the_town_explains_every_key() {
    let (_, text) = BUILT_IN.iter().find(|(name, _)| *name == "town").unwrap();
    for limit in LIMITS {
        let (_, key) = limit.key.rsplit_once('.').unwrap_or(("", limit.key));
        assert!(
            text.lines().any(|line| line.trim_start_matches("# ").starts_with(&format!("{key} = "))),
            "{}",
            limit.key
        );
    }
}

/// Any scenario within the limits.
fn any_scenario() -> impl Strategy<Value = String> {
    let number = |limit: &'static Limit| {
        let whole = limit.key.ends_with("lane") || limit.key.ends_with("lanes");
        prop_oneof![2 => limit.min..=limit.max, 1 => Just(limit.min), 1 => Just(limit.max)]
            .prop_map(move |value| if whole { format!("{value:.0}") } else { format!("{value:?}") })
    };
    let chosen = proptest::sample::subsequence(LIMITS.to_vec(), 0..LIMITS.len());
    let values: Vec<_> = LIMITS.iter().map(number).collect();
    let words = ("open|trees|houses", "none|dashed|solid", any::<bool>(), any::<bool>());
    (chosen, values, words).prop_map(|(chosen, values, (scenery, centre, rail, painted))| {
        let mut root = toml::Table::new();
        for limit in &chosen {
            let n = LIMITS.iter().position(|known| known.key == limit.key).unwrap();
            put(&mut root, limit.key, values[n].parse::<toml::Value>().unwrap_or_else(|_| number_of(&values[n])));
        }
        for (key, value) in [
            ("road.scenery", toml::Value::String(scenery)),
            ("paint.centre", toml::Value::String(centre)),
            ("road.guard_rail", toml::Value::Boolean(rail)),
            ("paint.painted", toml::Value::Boolean(painted)),
        ] {
            put(&mut root, key, value);
        }
        for (events, list) in [("ego", "event"), ("ego", "distraction"), ("car", "event")] {
            let owner = root.get_mut(events).map(|owner| match owner {
                toml::Value::Array(items) => &mut items[0],
                owner => owner,
            });
            if let Some(event) = owner.and_then(|owner| owner.get_mut(list)).and_then(toml::Value::as_array_mut) {
                event[0].as_table_mut().unwrap().entry("at_s").or_insert(toml::Value::Float(0.5));
            }
        }
        toml::to_string(&root).unwrap()
    })
}

fn number_of(text: &str) -> toml::Value {
    text.parse::<i64>().map_or_else(|_| toml::Value::Float(text.parse().unwrap()), toml::Value::Integer)
}

/// Puts a value at `car.event.at_s`, with lists where there are lists.
fn put(table: &mut toml::Table, key: &str, value: toml::Value) {
    let Some((first, rest)) = key.split_once('.') else {
        table.insert(key.to_owned(), value);
        return;
    };
    let is_list = ["car", "pedestrian", "tunnel", "event", "distraction", "gps_outage"].contains(&first);
    let empty = || toml::Value::Table(toml::Table::new());
    let inner = table.entry(first).or_insert_with(|| if is_list { toml::Value::Array(vec![empty()]) } else { empty() });
    let inner = if let toml::Value::Array(items) = inner { &mut items[0] } else { inner };
    put(inner.as_table_mut().unwrap(), rest, value);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn whatever_is_accepted_can_be_driven_and_drawn(text in any_scenario(), seed in 0..1000u64, fov in 10.0..170.0f64) {
        // Some are refused for how their values stand to each other.
        let Ok(scenario) = from_bytes(text.as_bytes(), "f.toml") else { return Ok(()) };
        let drive = Drive::new(&scenario, seed);
        let geometry = CameraGeometry { horizontal_fov_deg: fov, ..CameraGeometry::default() };
        let settings = CameraSettings { width: 64, height: 48, fps: 1.0, geometry, loop_frames: None, plain: false, counter: false };
        let mut camera = CameraSimulator::new(&drive, settings).unwrap();
        let mut truth = TruthSimulator::new(&drive, &settings);
        for _ in 0..4 {
            let (picture, truth) = (camera.next(), truth.next());
            prop_assert_eq!(picture.at, truth.at);
            let Payload::Truth(truth) = truth.payload else { panic!() };
            prop_assert!(truth.speed_mps.is_finite() && truth.latitude_deg.is_finite());
            prop_assert!(truth.lane.is_none_or(|lane| lane.offset_m.abs() < 3.0 && lane.heading_rad.abs() < 1.0));
            for object in truth.objects {
                prop_assert!(object.distance_m >= 0.0 && object.left_m.is_finite() && object.closing_mps.is_finite());
                prop_assert!(object.image.is_none_or(|[l, t, r, b]| 0.0 <= l && l < r && r <= 64.0 && 0.0 <= t && t < b && b <= 48.0));
            }
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = from_bytes(&bytes, "f.toml");
    }
}
