//! Every metric is written as Prometheus reads it, and the page of Grafana asks for none that is not there.

use std::collections::BTreeSet;

use serde_json::Value;
use waywarden_systems::ingress::{channel, wake};
use waywarden_systems::mqtt::spool::{Entry, Spool, SpoolSettings};

use super::*;

const DASHBOARD: &str = include_str!("../../assets/grafana.json");

/// An outbox in which a message waits.
fn outbox() -> Outbox {
    let folder = tempfile::tempdir().unwrap();
    let (spool, _) = Spool::open(&folder.path().join("outbox.db"), SpoolSettings::default()).unwrap();
    let entry =
        Entry { stream: "event/a".into(), priority: 1, put_at: Some(1), expires_at: None, body: Default::default() };
    spool.put(entry);
    assert!(spool.flush(Duration::from_secs(60)));
    Outbox::new(spool, "run".to_owned())
}

fn observed() -> Observed {
    let camera = StreamKind::Camera { role: CameraRole::Front, geometry: CameraGeometry::default() };
    let streams = [StreamSpec { id: StreamId(1), name: "front".into(), kind: camera }];
    let stages = Stages::default();
    for (name, ms) in
        [("lateness", 3), ("act", 1), ("act/jobs::dispatch", 1), ("job/detection", 80), ("wait for jobs", 1)]
    {
        stages.record(name, Duration::from_millis(ms));
    }
    stages.record("job/detection", Duration::from_secs(20));
    let (outlet, inlet) = channel(StreamId(1), 2, DropPolicy::KeepNewest, wake().0);
    outlet.send(Mono(0), Payload::Frame(vec![0; 500].into())).unwrap();
    Observed {
        numbers: Numbers::new(&streams, &[StreamId::RECORDER, StreamId::REMOTE]),
        stages,
        channels: vec![(StreamId(1), inlet.waiting())],
        recorder: Some((Arc::default(), 64_000_000)),
        connections: Arc::default(),
        remote: Some(Arc::default()),
        outbox: Some(outbox()),
    }
}

/// The lines that are no comments: name with labels, and value.
fn lines(text: &str) -> Vec<(&str, f64)> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.rsplit_once(' ').unwrap()).map(|(name, value)| (name, value.parse().unwrap())).collect()
}

#[test]
fn times_are_counted_up_to_each_bound() {
    let text = observed().text().unwrap();
    let value = |name: &str| lines(&text).iter().find(|(found, _)| *found == name).map(|(_, value)| *value);
    let bucket = |le: &str| value(&format!("waywarden_job_duration_seconds_bucket{{le=\"{le}\",role=\"detection\"}}"));
    assert_eq!(
        [bucket("0.075"), bucket("0.1"), bucket("10.0"), bucket("+Inf")],
        [0.0, 1.0, 1.0, 2.0].map(Some),
        "{text}"
    );
    assert_eq!(value("waywarden_job_duration_seconds_count{role=\"detection\"}"), Some(2.0));
    assert_eq!(value("waywarden_job_duration_seconds_sum{role=\"detection\"}"), Some(20.08));
    assert_eq!(value("waywarden_system_duration_seconds_count{phase=\"act\",system=\"jobs::dispatch\"}"), Some(1.0));
    assert_eq!(value("waywarden_tick_lateness_seconds_count"), Some(1.0));
    assert_eq!(value("waywarden_channel_waiting_bytes{device=\"front\"}"), Some(500.0));
    assert_eq!(value("waywarden_recorder_queue_limit_bytes"), Some(64e6));
    assert_eq!(value("waywarden_device_health{device=\"front\",kind=\"camera\",state=\"standby\"}"), Some(1.0));
    assert_eq!(value("waywarden_device_health{device=\"front\",kind=\"camera\",state=\"fault\"}"), Some(0.0));
    assert!(value("waywarden_process_resident_memory_bytes").unwrap() > 1e6, "{text}");
    assert!(value("waywarden_process_threads").unwrap() >= 1.0);
}

#[test]
fn every_name_has_one_type_and_our_prefix() {
    let text = observed().text().unwrap();
    assert!(text.ends_with("# EOF\n"), "{text}");
    let types: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
    let names: BTreeSet<_> = types.iter().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(names.len(), types.len(), "{types:?}");
    for (line, value) in lines(&text) {
        let name = line.split('{').next().unwrap();
        assert!(name.starts_with("waywarden_"), "{line}");
        let base = ["_total", "_bucket", "_sum", "_count", "_info"].iter().find_map(|end| name.strip_suffix(end));
        assert!(names.contains(name) || base.is_some_and(|base| names.contains(base)), "{line} has no type");
        assert!(!value.is_nan(), "{line}");
    }
    let all: Vec<_> = lines(&text).into_iter().map(|(line, _)| line).collect();
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len(), "each line once");
}

/// The names of metrics in an expression.
fn asked(expression: &str) -> impl Iterator<Item = &str> {
    expression.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|word| word.starts_with("waywarden_"))
}

#[test]
fn the_dashboard_is_one_that_grafana_imports_and_asks_for_what_there_is() {
    let page: Value = serde_json::from_str(DASHBOARD).unwrap();
    assert!(page["uid"].as_str().is_some_and(|uid| !uid.is_empty() && uid.len() <= 40));
    assert!(page["title"].is_string() && page["schemaVersion"].as_u64() >= Some(36));
    let input = &page["__inputs"][0];
    assert_eq!(
        (&input["name"], &input["type"], &input["pluginId"]),
        (&"DS_PROMETHEUS".into(), &"datasource".into(), &"prometheus".into())
    );
    let text = observed().text().unwrap();
    let there: BTreeSet<&str> = lines(&text).into_iter().filter_map(|(line, _)| line.split('{').next()).collect();
    // What has been written once is there with all its lines; families without a line yet are known by their types.
    let types: BTreeSet<&str> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    let known = |name: &str| {
        let base = ["_total", "_bucket", "_sum", "_count", "_info"].iter().find_map(|end| name.strip_suffix(end));
        there.contains(name) || base.is_some_and(|base| types.contains(base))
    };
    let panels = page["panels"].as_array().unwrap();
    let mut ids = BTreeSet::new();
    for panel in panels {
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "an id twice");
        assert!(panel["title"].is_string() && panel["type"].is_string() && panel["gridPos"]["w"].as_u64() <= Some(24));
        let targets = panel["targets"].as_array().unwrap();
        assert!(!targets.is_empty());
        for target in targets {
            assert_eq!(target["datasource"]["uid"], "${DS_PROMETHEUS}");
            let expression = target["expr"].as_str().unwrap();
            assert!(asked(expression).next().is_some(), "{expression}");
            asked(expression).for_each(|name| assert!(known(name), "{name} of {} is not there", panel["title"]));
        }
    }
    // What it is for: health, lateness, times, the gate, drops, memory, devices.
    for wanted in [
        "waywarden_device_health",
        "waywarden_tick_lateness_seconds_bucket",
        "waywarden_system_duration_seconds_sum",
        "waywarden_gate_accepted_total",
        "waywarden_dropped_total",
        "waywarden_process_resident_memory_bytes",
        "waywarden_device_link_losses_total",
    ] {
        assert!(DASHBOARD.contains(wanted), "{wanted}");
    }
}
