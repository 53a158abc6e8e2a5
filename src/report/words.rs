//! The session in plain words: what it was, what to look at, what it does not hold.

use serde::Serialize;
use waywarden_components::prelude::*;
use waywarden_systems::session::Origin;

use super::Replayed;
use super::facts::Facts;
use super::gather::Gathered;
use crate::live::date_name;

/// Something that whoever reads the report should look at.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Problem {
    /// How serious.
    pub level: NoticeLevel,
    /// What.
    pub text: String,
}

/// `2026-11-23 08:15:00 UTC`.
pub fn date(at: Mono, utc: UtcOffset) -> String {
    let ns = i64::try_from(at.0).unwrap_or(i64::MAX).saturating_add(utc.offset_ns);
    let name = date_name(ns.div_euclid(1_000_000_000));
    let (day, time) = name.trim_end_matches('Z').split_once('T').unwrap_or((&name, ""));
    format!("{day} {} UTC", time.replace('-', ":"))
}

/// `1:02:03`, or `12.3 s` below a minute.
pub fn duration(seconds: f64) -> String {
    if seconds < 60.0 {
        return format!("{seconds:.1} s");
    }
    let whole = seconds.round() as u64;
    let (h, m, s) = (whole / 3600, whole / 60 % 60, whole % 60);
    if h > 0 { format!("{h}:{m:02}:{s:02} h") } else { format!("{m}:{s:02} min") }
}

fn percent(part: u64, of: u64) -> f64 {
    if of == 0 { 0.0 } else { 100.0 * part as f64 / of as f64 }
}

fn plural(count: u64, one: &str) -> String {
    if count == 1 { format!("1 {one}") } else { format!("{count} {one}s") }
}

/// What the drive was.
pub fn summary(facts: &Facts, gathered: &Gathered, replayed: Option<&Replayed>) -> Vec<String> {
    let mut lines = vec![what_it_is(facts, gathered)];
    if let Some(jobs) = replayed.and_then(|replayed| replayed.findings_from.as_ref()) {
        lines.push(format!(
            "What was found is from a replay made for this report (jobs: {jobs}), not from the vehicle."
        ));
    }
    let frames = &facts.frames;
    if frames.came > 0 {
        let rate = frames.came as f64 / facts.session_s.max(1e-9);
        let size = frames.size.map_or(String::new(), |(w, h)| format!(" of {w}x{h} pixels"));
        let gate = if frames.judged > 0 {
            format!("; {:.0} % of them were new enough to be looked at", 100.0 - percent(frames.gated, frames.judged))
        } else {
            String::new()
        };
        let rate = if facts.ticks > 1 { format!(" ({rate:.1} a second)") } else { String::new() };
        lines.push(format!("{}{size} came in{rate}{gate}.", plural(frames.came, "picture")));
    }
    lines.extend(lane_words(facts));
    let objects = &facts.objects;
    if objects.looked_at > 0 {
        let each = objects.boxes as f64 / objects.looked_at as f64;
        let looked_at = plural(objects.looked_at, "picture");
        lines.push(format!("In {looked_at} looked at for obstacles there were {each:.1} boxes on average."));
    }
    if let Some(least) = objects.least_range_m {
        lines.push(format!(
            "The range finder measured {}, the shortest {least:.1} m.",
            plural(objects.ranges, "distance")
        ));
    }
    let position = &facts.position;
    if let (Some(way), Some(mean), Some(top)) =
        (position.travelled_m, position.mean_speed_mps, position.highest_speed_mps)
    {
        let way = if way < 2000.0 { format!("{way:.0} m") } else { format!("{:.1} km", way / 1e3) };
        lines.push(format!(
            "{way} by {}, {:.0} km/h on average and {:.0} km/h at most.",
            if position.fixes == 1 { "1 fix".to_owned() } else { format!("{} fixes", position.fixes) },
            3.6 * mean,
            3.6 * top
        ));
    }
    if facts.utterances > 0 {
        lines.push(format!(
            "{}, {} of speech in all.",
            plural(facts.utterances, "utterance"),
            duration(facts.speech_s)
        ));
    }
    lines
}

fn what_it_is(facts: &Facts, gathered: &Gathered) -> String {
    let origin = match facts.origin {
        Origin::Live => "recorded live",
        Origin::Import if gathered.base.has(|kind| matches!(kind, StreamKind::Truth)) => "simulated",
        Origin::Import => "imported from files",
        Origin::Replay => "made by a replay of another session",
    };
    let when = facts.started_utc.as_ref().map_or(String::new(), |date| format!(", begun {date}"));
    let build = &gathered.info.build;
    format!(
        "A session of {}, {origin}{when}, in {} and {}, {:.1} MB, by waywarden {} ({}).",
        duration(facts.session_s),
        plural(facts.segments, "segment"),
        plural(facts.ticks, "tick"),
        facts.bytes as f64 / 1e6,
        build.version,
        build.commit
    )
}

fn lane_words(facts: &Facts) -> Vec<String> {
    let lanes = &facts.lanes;
    let mut lines = Vec::new();
    if lanes.looked_at == 0 {
        return lines;
    }
    let sources: Vec<&str> = lanes
        .sources
        .keys()
        .map(|source| match source {
            LaneSource::Model => "a model",
            LaneSource::Classical => "the classical estimator",
            LaneSource::None => "nobody",
        })
        .collect();
    let mut line = format!(
        "The lane was looked for in {} by {}; both lines were seen in {:.0} %",
        plural(lanes.looked_at, "picture"),
        sources.join(" and "),
        percent(lanes.both_lines, lanes.looked_at)
    );
    if let (Some(mean), Some(largest), Some(at)) =
        (lanes.mean_offset_m, lanes.largest_offset_m, lanes.largest_offset_at_s)
    {
        let side = |offset: f64| if offset < 0.0 { "right" } else { "left" };
        line.push_str(&format!(
            ", and it is claimed in {:.0} %: {:.2} m {} of its middle on average, {:.2} m {} at most (at {at:.1} s)",
            percent(lanes.claimed, lanes.looked_at),
            mean.abs(),
            side(mean),
            largest.abs(),
            side(largest)
        ));
    }
    lines.push(line + ".");
    if let (Some(rmse), Some(largest)) = (lanes.offset_rmse_m, lanes.largest_error_m) {
        lines.push(format!(
            "Against the simulator's truth the offset is off by {rmse:.3} m (root mean square of {}), {largest:.2} m at most.",
            plural(lanes.compared, "picture")
        ));
    }
    lines
}

/// What to look at, the worst first.
pub fn problems(facts: &Facts, gathered: &Gathered) -> Vec<Problem> {
    let mut found = Vec::new();
    let mut add = |level, text: String| found.push(Problem { level, text });
    use NoticeLevel::{Error, Warning};
    for cut in &facts.cut {
        add(Error, format!("A file was cut, as by a power failure: {cut}."));
    }
    if facts.missing_ticks > 0 {
        let places: Vec<String> =
            facts.gaps.iter().take(5).map(|gap| format!("{:.1} s to {:.1} s", gap.from_s, gap.to_s)).collect();
        let places = places.join(", ");
        add(Error, format!("{} could not be recorded or are missing: {places}.", plural(facts.missing_ticks, "tick")));
    }
    for (device, health) in &facts.devices {
        for (state, level) in [("fault", Error), ("degraded", Warning)] {
            let Some(seconds) = health.seconds.get(state).filter(|seconds| **seconds > 0.0) else { continue };
            let reason = match health.reasons.get(state).filter(|reason| !reason.is_empty()) {
                Some(reason) => format!(": {reason}"),
                None => String::new(),
            };
            add(level, format!("{device} was in state {state} for {}{reason}.", duration(*seconds)));
        }
    }
    for alert in &facts.alerts {
        add(Warning, format!("Alert {} ({:?}) at {:.1} s.", alert.kind, alert.level, alert.from_s));
    }
    for (device, count) in &facts.drops {
        add(Warning, format!("The queue of {device} was full: {} dropped.", plural(*count, "item")));
    }
    if facts.frames.broken > 0 {
        let pictures = plural(facts.frames.broken, "picture");
        add(Warning, format!("{pictures} could not be used: damaged, or of another size."));
    }
    for (role, count) in &facts.missed_jobs {
        add(Warning, format!("{role}: {} missed the deadline.", plural(*count, "job")));
    }
    for (role, count) in &facts.failed_jobs {
        add(Warning, format!("{role}: {} failed.", plural(*count, "job")));
    }
    if let Some(late) = facts.times.get("late")
        && late.p99_ms > 10.0
    {
        add(
            Warning,
            format!("Ticks were late: 1 % by more than {:.0} ms, at most {:.0} ms.", late.p99_ms, late.max_ms),
        );
    }
    if let Some(silence) = facts.position.longest_silence_s.filter(|silence| *silence > 5.0) {
        add(Warning, format!("There was no GPS fix for {} at a stretch.", duration(silence)));
    }
    for (kind, count) in &facts.unreadable {
        add(Warning, format!("{count} values of kind {kind} cannot be read by this build, and are left out."));
    }
    let (lines, _) = gathered.devices.lines();
    let errors = lines.iter().filter(|line| line.level == Error).count() as u64;
    if errors > 0 {
        add(Error, format!("{} in the log: see below.", plural(errors, "error")));
    }
    found.sort_by_key(|problem| if problem.level == Error { 0 } else { 1 });
    found
}

/// What the session does not hold, and what to do about it.
pub fn missing(facts: &Facts, gathered: &Gathered) -> Vec<String> {
    let mut missing = Vec::new();
    let base = &gathered.base;
    let ran = facts.ticks_with_outputs > 0;
    match facts.ticks {
        0 => missing.push("No ticks: the session is empty.".to_owned()),
        1 => missing.push("Only one tick: nothing can be drawn over time.".to_owned()),
        _ => {}
    }
    if !ran && facts.ticks > 0 {
        missing.push(
            "No findings: nothing was ever run on this session, as on every import. Make the report with --replay, or of what `waywarden replay SESSION --out FILE` makes."
                .to_owned(),
        );
    }
    let count =
        |kind: &str| facts.inputs.iter().filter(|input| input.kind == kind).map(|input| input.count).sum::<u64>();
    let device = |is: fn(&StreamKind) -> bool, what: &str| {
        if base.has(is) { format!("a {what}, from which nothing came") } else { format!("no {what}") }
    };
    if count("frame") == 0 {
        let camera = device(|kind| matches!(kind, StreamKind::Camera { .. }), "camera");
        missing
            .push(format!("No pictures in this session ({camera}), so no lane, no boxes and no pictures of moments."));
    }
    if facts.fixes == 0 && (ran || !base.has(|kind| matches!(kind, StreamKind::Gps { .. }))) {
        let receiver = device(|kind| matches!(kind, StreamKind::Gps { .. }), "receiver");
        missing.push(format!("No GPS fixes in this session ({receiver}), so no track and no measured speed."));
    }
    if count("audio") == 0 {
        let microphone = device(|kind| matches!(kind, StreamKind::Microphone), "microphone");
        missing.push(format!("No sound in this session ({microphone}), so no speech."));
    }
    if facts.ranges == 0 && (ran || !base.has(|kind| matches!(kind, StreamKind::Range { .. }))) {
        let finder = match facts.objects.invalid_ranges {
            0 => device(|kind| matches!(kind, StreamKind::Range { .. }), "range finder"),
            invalid => format!("a range finder, none of whose {invalid} readings is valid"),
        };
        missing.push(format!("No distances measured in this session ({finder})."));
    }
    if ran && count("frame") > 0 {
        let why = |role: JobRole| match gathered.devices.models().and_then(|models| models.roles.get(&role)) {
            Some(Err(reason)) => format!(" ({reason})"),
            _ => String::new(),
        };
        if facts.lanes.looked_at == 0 {
            missing.push(format!("No lanes: nothing looked for them{}.", why(JobRole::Segmentation)));
        } else if facts.lanes.claimed == 0 {
            let looked_at = facts.lanes.looked_at;
            missing.push(format!("No lanes: none was claimed in the {looked_at} pictures that were searched."));
        }
        if facts.objects.looked_at == 0 {
            missing.push(format!("No boxes: no detector looked at pictures{}.", why(JobRole::Detection)));
        }
    }
    if count("truth") == 0 {
        missing.push("No truth to compare with: only simulated drives have one.".to_owned());
    }
    if facts.stages.is_none() && facts.ticks > 1 {
        missing.push(
            "No times of systems: a session does not hold them. Make the report with --replay to measure them."
                .to_owned(),
        );
    }
    if !gathered.waited_for() && facts.ticks > 1 {
        missing.push("No lateness: nobody waited for the ticks of an import.".to_owned());
    }
    missing
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_said_as_people_say_them() {
        assert_eq!(duration(3.04), "3.0 s");
        assert_eq!(duration(61.0), "1:01 min");
        assert_eq!(duration(3723.4), "1:02:03 h");
        let utc = UtcOffset { offset_ns: 951_827_696_000_000_000, source: UtcSource::Ntp, uncertainty_ns: 0 };
        assert_eq!(date(Mono::from_secs_f64(1.5), utc), "2000-02-29 12:34:57 UTC");
    }
}
