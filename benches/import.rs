//! An import against what it cannot do without: FFmpeg decoding the clip, and libjpeg-turbo encoding its pictures.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;

use bytes::Bytes;
use nix::sys::resource::{UsageWho, getrusage};
use turbojpeg::{Compressor, Subsamp, YuvImage};

use crate::report::{Outcome, Report, check, median, quick};
use crate::session;

/// Of so many pictures one is encoded for the floor.
const EVERY: usize = 10;

/// Measures, checks and prints.
pub fn run() -> Outcome {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let (clip, about) = clip(folder.path())?;
    let out = folder.path().join("imported.mcap");
    let rounds = if quick() { 1 } else { 5 };
    let (mut imports, mut decodes, mut encodes) = (vec![], vec![], vec![]);
    let mut frames = 0;
    for _ in 0..rounds {
        let mut import = Command::new(env!("CARGO_BIN_EXE_waywarden"));
        import.args(["import", "--json", "--video"]).arg(&clip).arg("-o").arg(&out);
        imports.push(cpu_of(&mut import)?);
        let mut decode = Command::new("ffmpeg");
        decode.args(["-nostdin", "-hide_banner", "-loglevel", "error", "-i"]).arg(&clip).args(["-f", "null", "-"]);
        decodes.push(cpu_of(&mut decode)?);
        let jpegs = session::frames(&out)?;
        frames = jpegs.len();
        encodes.push(encoding(&jpegs)?);
        std::fs::remove_file(&out)?;
    }
    check(frames > 0, "nothing was imported")?;
    let (import, decode, encode) = (median(&imports), median(&decodes), median(&encodes));
    let floor = decode + encode;
    let mut report =
        Report::new("import", &format!("{about}; {frames} pictures; CPU seconds, medians of {rounds} rounds."));
    let s = |s: f64| format!("{s:.3} s");
    report.row("decode_s", "FFmpeg decoding the clip to nowhere", decode, s(decode), "the floor's one half");
    report.row("encode_s", "libjpeg-turbo encoding its pictures, quality 85, 4:2:2", encode, s(encode), "the other");
    report.row(
        "import_s",
        "the import, with its FFmpeg",
        import,
        s(import),
        &format!("{:.2} ms a picture", import / frames as f64 * 1e3),
    );
    report.row(
        "ratio",
        "**import / floor**",
        import / floor,
        format!("**{:.2}**", import / floor),
        "goal: at most 1.15",
    );
    report.print()
}

/// A real clip where there is one, else a drawn one.
fn clip(folder: &Path) -> Result<(PathBuf, String), Box<dyn Error>> {
    let data = std::env::var_os("WAYWARDEN_DATA").map(PathBuf::from).unwrap_or_else(|| "../shared".into());
    let real = data.join("data/video/highway-720p-50s.mp4");
    if !quick() && real.exists() {
        return Ok((real, "a real drive on a highway, 50 s, 1280x720".to_owned()));
    }
    let clip = folder.join("drawn.mp4");
    let (size, seconds) = if quick() { ("320x180", "2") } else { ("1280x720", "20") };
    let mut draw = Command::new("ffmpeg");
    draw.args(["-nostdin", "-hide_banner", "-loglevel", "error", "-f", "lavfi", "-i"]);
    draw.arg(format!("testsrc2=size={size}:rate=25:duration={seconds}"))
        .args(["-c:v", "mpeg4", "-q:v", "4"])
        .arg(&clip);
    let done = draw.output()?;
    check(done.status.success(), String::from_utf8_lossy(&done.stderr))?;
    Ok((clip, format!("a drawn clip, {size}, {seconds} s")))
}

/// CPU seconds that a program and its own children use.
fn cpu_of(command: &mut Command) -> Result<f64, Box<dyn Error>> {
    let children = || -> nix::Result<f64> {
        let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
        let seconds = |time: nix::sys::time::TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
        Ok(seconds(usage.user_time()) + seconds(usage.system_time()))
    };
    let before = children()?;
    let done = command.output()?;
    check(done.status.success(), format!("{command:?}: {}", String::from_utf8_lossy(&done.stderr)))?;
    Ok(children()? - before)
}

/// The same planes as 4:2:2: of 4:2:0 each row of colours twice.
fn half_width(planes: YuvImage<Vec<u8>>) -> YuvImage<Vec<u8>> {
    if planes.subsamp != Subsamp::Sub2x2 {
        return planes;
    }
    let stride = |width: usize| width.next_multiple_of(planes.align);
    let (luma, chroma) = (stride(planes.width), stride(planes.width.div_ceil(2)));
    let (y, colours) = planes.pixels.split_at(luma * planes.height.next_multiple_of(2));
    let mut pixels = y[..luma * planes.height].to_vec();
    for plane in colours.chunks_exact(chroma * planes.height.div_ceil(2)) {
        pixels.extend(plane.chunks_exact(chroma).flat_map(|row| [row, row]).flatten().take(chroma * planes.height));
    }
    YuvImage { pixels, subsamp: Subsamp::Sub2x1, ..planes }
}

/// CPU seconds of encoding these pictures, from planes, by libjpeg-turbo alone.
fn encoding(jpegs: &[Bytes]) -> Result<f64, Box<dyn Error>> {
    let mut compressor = Compressor::new()?;
    compressor.set_quality(85)?;
    let (mut cpu, mut count, mut output) = (0.0, 0_usize, Vec::new());
    for jpeg in jpegs.iter().step_by(EVERY) {
        let planes = half_width(turbojpeg::decompress_to_yuv(jpeg)?);
        // More than any JPEG of them has.
        output.resize(planes.pixels.len() * 2 + 4096, 0);
        let before = thread_cpu()?;
        let length = compressor.compress_yuv_to_slice(planes.as_deref(), &mut output)?;
        cpu += thread_cpu()? - before;
        count += usize::from(length > 0);
    }
    check(count > 0, "nothing was encoded")?;
    Ok(cpu * jpegs.len() as f64 / count as f64)
}

/// CPU seconds of this thread.
fn thread_cpu() -> nix::Result<f64> {
    let time = nix::time::clock_gettime(nix::time::ClockId::CLOCK_THREAD_CPUTIME_ID)?;
    Ok(time.tv_sec() as f64 + time.tv_nsec() as f64 / 1e9)
}
