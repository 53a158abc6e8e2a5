"""The program beside the Python system, in one interleaved run, as Markdown: python3 benches/comparison.py --help.

Run by script/bench, with the Python of the environment that the Python system needs. Nothing is left out: a result that never
came is infinitely late, and every run counts. Beside each median stand the least and the greatest of the runs."""
import argparse, glob, json, os, shlex, statistics, subprocess, sys

a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
a.add_argument("--baseline", required=True, help="the folder with run_all.py, bench.py, floors.py")
a.add_argument("--session", required=True, help="the folder that is run; made by its gen_session.py")
a.add_argument("--waywarden", required=True, help="the program")
a.add_argument("--out", required=True, help="a folder for what every run said")
a.add_argument("--repeats", type=int, default=3)
a.add_argument("--benches", help="a file with the last lines of this project's own benches, for the goals")
a.add_argument("--facts", help="a JSON file with binary_mb, dependencies, build_s")
a = a.parse_args()
os.makedirs(a.out, exist_ok=True)
RUST, SAME, PYTHON = "rust", "rust-same-work", "threads"


def call(*command):
    print("+", shlex.join(command), file=sys.stderr)
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(f"error: exit code {done.returncode}: {shlex.join(command)}")
    return done.stdout


def floors(name):
    path = f"{a.out}/{name}.json"
    call(sys.executable, f"{a.baseline}/floors.py", a.session, "--json-out", path)
    return json.load(open(path))


def program(*more):
    return shlex.join([a.waywarden, "bench", "{session}", "{rate}", *more])


before = floors("floors-before")
table = call(sys.executable, f"{a.baseline}/run_all.py", a.session, "--repeats", str(a.repeats), "--out", f"{a.out}/runs",
             "--also", f"{RUST}={program()}", "--also", f"{SAME}={program('--same-work')}")
after = floors("floors-after")
runs = {}
for path in sorted(glob.glob(f"{a.out}/runs/*_rate*_*.json")):
    name, rate, _ = os.path.basename(path)[:-5].rsplit("_", 2)
    runs.setdefault((name, float(rate[4:])), []).append(json.load(open(path)))
for needed in (RUST, SAME, PYTHON):
    for rate in (0.0, 1.0):
        if len(runs.get((needed, rate), [])) < a.repeats:
            sys.exit(f"error: {needed} at rate {rate:g} did not finish every run: see above")


def values(name, rate, *keys):
    found = []
    for run in runs[(name, rate)]:
        for key in keys:
            run = run[key]
        found.append(float("inf") if run is None else run)
    return found


def median(xs):
    return statistics.median_low(xs)


def shown(xs, unit, digits=2):
    if len(xs) == 1:
        return f"{xs[0]:.{digits}f}{unit}"
    return f"{median(xs):.{digits}f}{unit} ({min(xs):.{digits}f} to {max(xs):.{digits}f})"


def floor(step):
    """Median over pictures of the best of three, one core: the mean of before and after the runs."""
    return (before["floors_ms"][step]["median"] + after["floors_ms"][step]["median"]) / 2


# ------------------------------------------------------------------------------------------------ the same work is the same
import cv2
import numpy as np

details = f"{a.out}/details.json"
same = json.loads(call(a.waywarden, "bench", a.session, "0", "--same-work", "--details", details).splitlines()[-1])
said = json.load(open(details))
python = runs[(PYTHON, 0.0)][0]
files = sorted(glob.glob(f"{a.session}/frames/*.jp*g"))
small = [cv2.resize(cv2.imdecode(np.fromfile(f, np.uint8), 1), (64, 64)) for f in files]
wanted = [255.0] + [float(np.mean(cv2.absdiff(x, y))) for x, y in zip(small[1:], small)]
found = [value for _, value in sorted(said["gates"])]
near = sum(abs(x - y) <= 0.5 for x, y in zip(found, wanted)) / len(wanted)
worst = max(abs(x - y) for x, y in zip(found, wanted))
bytes_ratio = same["check"]["jpeg_bytes"] / python["check"]["jpeg_bytes"]
checks = [
    ("pictures", same["frames_processed"], python["frames_processed"], same["frames_processed"] == python["frames_processed"]),
    ("sentences of fixes", same["check"]["gps_fixes"], int(python["check"]["gps_fixes"]),
     same["check"]["gps_fixes"] == python["check"]["gps_fixes"]),
    ("pictures encoded", same["jpegs"], python["jpegs"], same["jpegs"] == python["jpegs"]),
    ("gate within 0.5 of OpenCV's", f"{near:.2%} of pictures, at most {worst:.3f} off", "at least 99.9 %",
     len(found) == len(wanted) and near >= 0.999),
    ("bytes of JPEGs", f"{bytes_ratio:.4f} of Python's", "0.98 to 1.02", 0.98 <= bytes_ratio <= 1.02),
]

# -------------------------------------------------------------------------------------------------------------------- goals
share = python["jpegs"] / python["frames_processed"]
same_floor = (floor("decode full BGR (cv2.imdecode)") + floor("gate: resize 64x64 + absdiff + mean, from full BGR")
              + share * floor("encode JPEG q80 4:2:0 (cv2.imencode)"))
own_share = runs[(RUST, 0.0)][0]["jpegs"] / runs[(RUST, 0.0)][0]["frames_processed"]
own_floor = (floor("decode 1/8 gray") + floor("gate from 1/8 gray (INTER_AREA)")
             + own_share * floor("copy of camera JPEG bytes (pass through)"))
benches = {}
for line in open(a.benches) if a.benches else []:
    if line.startswith("{"):
        one = json.loads(line)
        benches[one["bench"]] = one.get("figures", {})
facts = json.load(open(a.facts)) if a.facts else {}
rows = []


def goal(what, found, limit, text, least=False):
    """A row: what, the figure as text, the goal as text, whether it is met; `found` none where it was not measured."""
    if found is None:
        rows.append((what, text, limit[1], "not measured"))
    else:
        met = found >= limit[0] if least else found <= limit[0]
        rows.append((what, text, limit[1], "met" if met else "**missed**"))


def ratio(name, keys, rate, than):
    return [x / than for x in values(name, rate, *keys)]


cpu = ratio(SAME, ("cpu_ms_per_frame_without_voice",), 0.0, same_floor)
goal("CPU for a picture, same work, voice apart", median(cpu), (1.05, "at most 1.05 of the floor of its three steps"),
     f"{shown(cpu, '')}; {shown(values(SAME, 0.0, 'cpu_ms_per_frame_without_voice'), ' ms')}, floor {same_floor:.2f} ms")
threads = median(values(PYTHON, 0.0, "cpu_ms_per_frame"))
cpu = ratio(RUST, ("cpu_ms_per_frame",), 0.0, threads)
goal("CPU for a picture, as shipped", median(cpu), (0.35, "at most 0.35 of Python threads"),
     f"{shown(cpu, '')}; {shown(values(RUST, 0.0, 'cpu_ms_per_frame'), ' ms')}, Python {threads:.2f} ms")
cpu = ratio(RUST, ("cpu_ms_per_frame_without_voice",), 0.0, own_floor)
goal("the same, voice apart", median(cpu), (1.15, "at most 1.15 of its own floor"), f"{shown(cpu, '')}; floor {own_floor:.2f} ms")
fps = ratio(RUST, ("throughput_fps",), 0.0, median(values(PYTHON, 0.0, "throughput_fps")))
goal("pictures a second at full speed, as shipped", median(fps), (3.5, "at least 3.5 times Python threads"),
     f"{shown(fps, ' times')}; {shown(values(RUST, 0.0, 'throughput_fps'), '', 0)}", least=True)
for percent, most in (("p50", 0.5), ("p99", 0.65)):
    late = ratio(RUST, ("latency_ms", "gate", percent), 1.0, median(values(PYTHON, 1.0, "latency_ms", "gate", percent)))
    goal(f"gate late at real time, {percent}", median(late), (most, f"at most {most} of Python threads"),
         f"{shown(late, '')}; {shown(values(RUST, 1.0, 'latency_ms', 'gate', percent), ' ms')}")
busy = benches.get("lateness", {})
above = busy["p99_ms"] - busy["timer_p99_ms"] if "timer_p99_ms" in busy else None
goal("ticks late with both models on every core, p99", above, (1.0, "at most 1 ms above a bare timer"),
     "" if above is None else f"{above:+.3f} ms: {busy['p99_ms']:.3f} ms, the timer {busy['timer_p99_ms']:.3f} ms")
peak = values(RUST, 1.0, "peak_rss_mb")
goal("peak memory without models", max(peak), (35.0, "at most 35 MB"), shown(peak, " MB", 1))
faults, whole = values(RUST, 1.0, "page_faults_per_frame_second_half"), values(RUST, 1.0, "page_faults_per_frame")
there = values(PYTHON, 1.0, "page_faults_per_frame")
goal("page faults for a picture, once it has begun", median(faults), (0.1, "at most 0.1"),
     f"{shown(faults, '')} in the second half; with its beginning {shown(whole, '')}, Python {shown(there, '')}")
parked = benches.get("parked", {}).get("cpu")
goal("CPU of a parked vehicle", parked, (0.01, "at most 1 % of one core"), "" if parked is None else f"{parked:.2%}")
curves = benches.get("curves", {})
cameras = {int(key.split("_")[1]): value for key, value in curves.items() if key.startswith("cameras_")}
spread = max(cameras.values()) / cameras[1] if 1 in cameras else None
goal("CPU for a picture, 1 to 8 cameras", spread, (1.1, "at most 1.1 of that of one camera"),
     "" if spread is None else f"at most {spread:.2f}")
replays = [value for key, value in curves.items() if key.endswith("_s_a_minute")]
spread = max(replays) / min(replays) if replays else None
goal("replay of a minute, sessions of a minute to two hours", spread, (1.15, "linear: within 15 %"),
     "" if spread is None else f"{spread:.2f}")
memory = [value for key, value in curves.items() if key.endswith("_rss_mb")]
spread = max(memory) / min(memory) if memory else None
goal("memory of these replays", spread, (1.2, "flat: within 20 %"), "" if spread is None else f"{spread:.2f}")
replay = benches.get("replay", {}).get("ratio")
goal("replay without models", replay, (1.15, "at most 1.15 of decoding on all cores"), "" if replay is None else f"{replay:.2f}")
imported = benches.get("import", {}).get("ratio")
goal("CPU of an import", imported, (1.15, "at most 1.15 of FFmpeg and libjpeg-turbo"), "" if imported is None else f"{imported:.2f}")
goal("binary, stripped", facts.get("binary_mb"), (30.0, "at most 30 MB"), f"{facts.get('binary_mb', 0):.1f} MB" if facts else "")

load = [run["environment"]["other_cpu_cores"] for ds in runs.values() for run in ds]
loud = sum(x > 0.2 for x in load)
print("## Goals\n")
print(f"Medians of {a.repeats} interleaved runs, with the least and the greatest. Other programs used {median(load):.2f} cores in the middle run, "
      f"{max(load):.2f} at most; above 0.2, as in {loud} of {len(load)} runs, times and tails are not to be trusted.\n")
print("| figure | found | goal | |\n| --- | --- | --- | --- |")
for row in rows:
    print("| " + " | ".join(row) + " |")
if facts:
    print(f"\n{facts.get('dependencies', '?')} crates in the release build; a clean one takes "
          + (f"{facts['build_s'] / 60:.1f} minutes" if facts.get("build_s") else "a time that was not measured (`--clean-build`)")
          + f" with {facts.get('jobs', '?')} jobs at once.")
print("\n## Side by side\n")
print("Whole tables of the Python system's own `run_all.py`, over the same session; `rust` is the program as shipped, "
      "`rust-same-work` with every picture decoded whole, compared in colour and encoded anew.")
print(table)
print("\n### The same work\n\n| what | here | there, or the bound | |\n| --- | --- | --- | --- |")
for what, here, there, fits in checks:
    print(f"| {what} | {here} | {there} | {'yes' if fits else '**NO**'} |")
print(f"\nWho speaks is found out by another algorithm: {same['check']['vad_speech']} of {same['check']['vad_chunks']} pieces of "
      f"20 ms here, {int(python['check']['vad_speech'])} there; it takes {same['cpu_s_voice'] / max(1, same['frames_processed']) * 1e3:.3f} ms a picture.")
print("\n### Floors of the same run\n\nMilliseconds on one core, best of three, median over pictures: before and after the runs.\n")
print("| step | before | after |\n| --- | --- | --- |")
for step in before["floors_ms"]:
    print(f"| {step.strip()} | {before['floors_ms'][step]['median']:.4f} | {after['floors_ms'][step]['median']:.4f} |")
shipped = runs[(RUST, 0.0)][len(runs[(RUST, 0.0)]) // 2]
print("\n### How far from the limit\n")
print("What the steps of a picture take at full speed, as shipped, beside the least that they can:\n")
print("| step | a picture | the limit |\n| --- | --- | --- |")
frames = shipped["frames_processed"]
limits = {"sense/camera::capture": f"{floor('decode 1/8 gray'):.3f} ms: libjpeg-turbo's scaled decoding, mostly Huffman, of {before['jpeg_size']['camera_jpeg_kb_mean']:.0f} kB",
          "sense/camera::gate": "4 kB of memory read twice", "sense/voice::detect": f"{floor('VAD webrtc, one 20 ms chunk'):.4f} ms a piece by another detector"}
for name, stage in sorted(shipped["stages_ms"].items(), key=lambda item: -item[1]["sum"])[:14]:
    print(f"| `{name}` | {stage['sum'] / frames:.4f} ms | {limits.get(name, '')} |")
rest = shipped["cpu_ms_per_frame"]
print(f"| all of it | {rest:.3f} ms | {own_floor:.3f} ms: decoding, gate, a copy |")
bad = [what for what, _, _, fits in checks if not fits]
if bad:
    sys.exit(f"error: not the same work: {', '.join(bad)}")
