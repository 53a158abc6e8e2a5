//! Frames into a session: how fast, at what cost, and against the same bytes written as they are.

use std::error::Error;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use bytes::Bytes;
use nix::time::{ClockId, clock_gettime};

use crate::report::{Outcome, Report, check, median, quick, timed};
use crate::session;

/// Measures, checks and prints.
pub fn run() -> Outcome {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let (path, about) = session::make(folder.path(), quick())?;
    let jpegs = session::frames(&path)?;
    let bytes: usize = jpegs.iter().map(Bytes::len).sum();
    let rounds = if quick() { 1 } else { 7 };

    let (mut raw, mut raw_cpu, mut into, mut into_cpu, mut back) = (vec![], vec![], vec![], vec![], vec![]);
    let target = folder.path().join("written.mcap");
    let plain = folder.path().join("plain");
    for _ in 0..rounds {
        let (wall, cpu) = measured(|| write_plain(&plain, &jpegs))?;
        raw.push(wall);
        raw_cpu.push(cpu);
        let (wall, cpu) = measured(|| session::write(&target, &jpegs, 1))?;
        into.push(wall);
        into_cpu.push(cpu);
        let (read, seconds) = timed(|| session::frames(&target));
        back.push(seconds);
        check(read? == jpegs, "what was read is not what was written")?;
        std::fs::remove_file(&target)?;
        std::fs::remove_file(&plain)?;
    }

    let frames = jpegs.len() as f64;
    let mb = bytes as f64 / 1e6;
    let (raw, raw_cpu, into, into_cpu, back) =
        (median(&raw), median(&raw_cpu), median(&into), median(&into_cpu), median(&back));
    let mut report = Report::new(
        "recorder",
        &format!(
            "{about}; {frames} frames, {mb:.0} MB, with a journal record each 10 ms, to the disk and waited for; medians of {rounds} rounds."
        ),
    );
    let rate = |s: f64| format!("{:.0} MB/s", mb / s);
    let us = |s: f64| format!("{:.0} µs", s / frames * 1e6);
    report.row("plain_mb_s", "the same bytes, as they are", mb / raw, rate(raw), "a buffered file");
    report.row(
        "session_mb_s",
        "**into a session**",
        mb / into,
        format!("**{}**", rate(into)),
        &format!("{:.2} of that", raw / into),
    );
    report.row("plain_cpu_s", "CPU for a frame, as it is", raw_cpu / frames, us(raw_cpu), "");
    report.row(
        "session_cpu_s",
        "CPU for a frame into a session",
        into_cpu / frames,
        us(into_cpu),
        &format!("{:.1} times that: checksums, journal", into_cpu / raw_cpu),
    );
    report.row("read_mb_s", "read back and checked", mb / back, rate(back), "every frame equal");
    report.print()
}

fn write_plain(path: &Path, jpegs: &[Bytes]) -> Result<(), Box<dyn Error>> {
    let mut file = BufWriter::new(File::create(path)?);
    for jpeg in jpegs {
        file.write_all(jpeg)?;
    }
    Ok(file.into_inner()?.sync_all()?)
}

/// Seconds that something took, and CPU seconds of this thread.
fn measured(work: impl FnOnce() -> Result<(), Box<dyn Error>>) -> Result<(f64, f64), Box<dyn Error>> {
    let cpu = || -> nix::Result<f64> {
        let time = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?;
        Ok(time.tv_sec() as f64 + time.tv_nsec() as f64 / 1e9)
    };
    let before = cpu()?;
    let (done, wall) = timed(work);
    done?;
    Ok((wall, cpu()? - before))
}
