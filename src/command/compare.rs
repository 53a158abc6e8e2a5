//! `waywarden compare`: what two runs of one drive found differently.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io::Write;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use serde_json::json;
use waywarden_systems::session::{SessionReader, Unfinished, WriteError};

use crate::batch::{self, Column, Task};
use crate::compare::{self, Compared, Limits};
use crate::failure::Failure;
use crate::progress::{Progress, Show, Unit};
use crate::sessions;

/// Examples of the help.
pub const EXAMPLES: &str = "\
Examples:
  What another model makes of last month's drive, with pictures of where it differs most:
    waywarden replay drive.mcap --models new-models --out new.mcap
    waywarden compare drive.mcap new.mcap -o diff.html

  The same, but 10 cm of lane offset are let pass; for a program:
    waywarden compare a.mcap b.mcap --tolerance lane_estimate.geometry.offset_m=0.1 --json

  Two folders of sessions, each with the one of the same name in the other:
    waywarden compare before after -o differences";

/// What `compare` may be told.
#[derive(Clone, Debug, clap::Args)]
pub struct CompareArgs {
    /// One run: a session, or a folder of sessions.
    #[arg(value_name = "A")]
    pub a: PathBuf,

    /// The other run of the same drive, or a folder with sessions of the same names.
    #[arg(value_name = "B")]
    pub b: PathBuf,

    /// Writes an HTML page with the moments that differ most; of folders, a folder of such pages.
    #[arg(short, long, value_name = "FILE")]
    pub out: Option<PathBuf>,

    /// A difference that is let pass, in the unit of the field: KIND=AMOUNT or KIND.FIELD=AMOUNT. May be repeated.
    #[arg(long, value_name = "FIELD=AMOUNT", value_parser = tolerance)]
    pub tolerance: Vec<(String, f64)>,

    /// Leaves a kind of finding out. May be repeated.
    #[arg(long, value_name = "KIND")]
    pub ignore: Vec<String>,

    /// Looks at this kind of finding alone. May be repeated.
    #[arg(long, value_name = "KIND", conflicts_with = "ignore")]
    pub only: Vec<String>,

    /// Looks at the app's own bookkeeping as well: which jobs were asked for, and when they came back.
    #[arg(long)]
    pub all: bool,

    /// Prints one JSON object, and no progress.
    #[arg(long)]
    pub json: bool,
}

fn tolerance(text: &str) -> Result<(String, f64), String> {
    let wrong = || "expected KIND=AMOUNT or KIND.FIELD=AMOUNT, such as lane_estimate.geometry.offset_m=0.1".to_owned();
    let (name, amount) = text.split_once('=').ok_or_else(wrong)?;
    let amount = amount.parse().ok().filter(|amount: &f64| amount.is_finite() && *amount >= 0.0).ok_or_else(wrong)?;
    if name.is_empty() { Err(wrong()) } else { Ok((name.to_owned(), amount)) }
}

/// Compares and prints to `out` what differs.
///
/// # Errors
/// When a session cannot be read, they are two different drives, or (exit code 1) they differ beyond the tolerance.
pub fn run(args: &CompareArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let limits = limits(args)?;
    let sides = [sessions::expand([&args.a])?, sessions::expand([&args.b])?];
    if let ([a], [b]) = (&sides[0][..], &sides[1][..]) {
        let args = CompareArgs { a: a.clone(), b: b.clone(), ..args.clone() };
        return one(&args, &limits, out);
    }
    several(args, &sides, out)
}

/// Compares each session of one folder with that of the same name in the other.
fn several(args: &CompareArgs, sides: &[Vec<PathBuf>; 2], out: &mut dyn Write) -> Result<(), Failure> {
    if let Some(folder) = &args.out {
        let failed = |error| Failure::bad_input(format!("{}: {error}", folder.display()));
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    let named = |side: &[PathBuf]| -> BTreeMap<String, PathBuf> {
        side.iter().map(|session| (sessions::label(session, side), session.clone())).collect()
    };
    let (a, b) = (named(&sides[0]), named(&sides[1]));
    let alone = a.keys().filter(|name| !b.contains_key(*name)).chain(b.keys().filter(|name| !a.contains_key(*name)));
    let alone: Vec<&str> = alone.map(String::as_str).collect();
    if !alone.is_empty() {
        return Err(Failure::bad_input(format!("only in one of the folders: {}", alone.join(", ")))
            .hint("both folders must hold sessions of the same names"));
    }
    let task = |(name, session): (&String, &PathBuf)| {
        let out = args.out.as_ref().map(|folder| folder.join(format!("{name}.html")));
        let one = CompareArgs { a: session.clone(), b: b[name].clone(), out, ..args.clone() };
        Task { name: name.clone(), args: one.words() }
    };
    let columns = [
        Column { title: "seconds", value: |outcome| outcome.number("session_s", 1) },
        Column { title: "ticks", value: |outcome| outcome.number("ticks", 0) },
        Column { title: "equal", value: |outcome| outcome.number("equal_digests", 0) },
        Column {
            title: "verdict",
            value: |outcome| {
                outcome.field("verdict").and_then(|verdict| verdict.as_str()).unwrap_or_default().to_owned()
            },
        },
    ];
    batch::run(a.iter().map(task).collect(), &columns, args.json, out)
}

impl CompareArgs {
    /// The command line that says the same, without `--json`.
    fn words(&self) -> Vec<OsString> {
        let mut words: Vec<OsString> = vec!["compare".into(), self.a.clone().into(), self.b.clone().into()];
        let mut flag = |name: &str, value: OsString| words.extend([OsString::from(name), value]);
        self.out.iter().for_each(|out| flag("--out", out.into()));
        self.tolerance.iter().for_each(|(name, amount)| flag("--tolerance", format!("{name}={amount}").into()));
        self.ignore.iter().for_each(|kind| flag("--ignore", kind.into()));
        self.only.iter().for_each(|kind| flag("--only", kind.into()));
        words.extend(self.all.then(|| "--all".into()));
        words
    }
}

fn one(args: &CompareArgs, limits: &Limits, out: &mut dyn Write) -> Result<(), Failure> {
    let total = SessionReader::size(&args.a);
    let mut progress = Progress::start("comparing", Some(total), Unit::Bytes, Show::new(args.json));
    let compared = compare::compare(&args.a, &args.b, limits, |bytes| {
        progress.advance(bytes);
        ControlFlow::Continue(())
    })?;
    progress.finish("compared");
    if let Some(path) = &args.out {
        write_page(path, [&args.a, &args.b].map(|path| path.display().to_string()), &compared)?;
    }
    if args.json {
        print_json(args, &compared, out)?
    } else {
        print(args, &compared, out)?
    }
    if compared.beyond() {
        return Err(Failure::difference("the two runs differ").hint(match &args.out {
            Some(path) => format!("open {} in a browser", path.display()),
            None => "-o diff.html shows the moments in which they differ most".to_owned(),
        }));
    }
    Ok(())
}

fn limits(args: &CompareArgs) -> Result<Limits, Failure> {
    let known = compare::known_kinds();
    let named = args.tolerance.iter().map(|(name, _)| name.split(['.', '[']).next().unwrap_or_default());
    for name in named.chain(args.ignore.iter().chain(&args.only).map(String::as_str)) {
        if !known.contains(name) {
            let names: Vec<&str> = known.iter().map(String::as_str).collect();
            return Err(Failure::bad_input(format!("there is no kind of finding named `{name}`"))
                .hint(format!("one of {}", names.join(", "))));
        }
    }
    let mut ignored: BTreeSet<String> = args.ignore.iter().cloned().collect();
    if !args.only.is_empty() {
        ignored = known.into_iter().filter(|kind| !args.only.contains(kind)).collect();
    }
    let bookkeeping = args.all || !args.only.is_empty();
    Ok(Limits { tolerances: args.tolerance.iter().cloned().collect::<BTreeMap<_, _>>(), ignored, bookkeeping })
}

fn write_page(path: &Path, names: [String; 2], compared: &Compared) -> Result<(), Failure> {
    let page = compare::page([&names[0], &names[1]], compared);
    let mut file = Unfinished::begin(path)?;
    file.write_all(page.as_bytes()).map_err(|source| WriteError::Io { path: path.to_owned(), source })?;
    Ok(file.finish()?)
}

fn verdict(compared: &Compared) -> &'static str {
    match (compared.same(), compared.beyond()) {
        (true, _) => "same",
        (false, false) => "within tolerance",
        (false, true) => "different",
    }
}

fn print_json(args: &CompareArgs, compared: &Compared, out: &mut dyn Write) -> Result<(), Failure> {
    let value = json!({
        "ok": true, "a": args.a.display().to_string(), "b": args.b.display().to_string(),
        "verdict": verdict(compared), "ticks": compared.ticks, "session_s": compared.seconds,
        "equal_digests": compared.equal_digests, "ticks_only_a": compared.only_a, "ticks_only_b": compared.only_b,
        "kinds": compared.kinds, "moments": compared.moments,
    });
    writeln!(out, "{value}")?;
    Ok(())
}

fn print(args: &CompareArgs, compared: &Compared, out: &mut dyn Write) -> Result<(), Failure> {
    let (a, b) = (args.a.display(), args.b.display());
    writeln!(out, "{a} and {b}: {}", verdict(compared))?;
    writeln!(
        out,
        "  {:.1} s, {} ticks in both, {} of them equal in everything",
        compared.seconds, compared.ticks, compared.equal_digests
    )?;
    if compared.only_a + compared.only_b > 0 {
        writeln!(out, "  ticks in between that only one has: {} and {}", compared.only_a, compared.only_b)?;
    }
    let equal: Vec<&str> = compared
        .kinds
        .iter()
        .filter(|(_, kind)| kind.differ + kind.only_a + kind.only_b == 0)
        .map(|(name, _)| name.as_str())
        .collect();
    if !equal.is_empty() {
        writeln!(out, "  equal: {}", equal.join(", "))?;
    }
    for (name, kind) in compared.kinds.iter().filter(|(name, _)| !equal.contains(&name.as_str())) {
        writeln!(out, "\n  {name}: {} of {} differ", kind.differ, kind.compared)?;
        if kind.only_a + kind.only_b > 0 {
            writeln!(out, "    only in the first {}, only in the second {}", kind.only_a, kind.only_b)?;
        }
        for (path, field) in &kind.fields {
            let unit = field.measure.map_or("", compare::Measure::unit);
            writeln!(
                out,
                "    {path:<28} {:>6} differ, {:>6} beyond tolerance; mean {:.4}, most {:.4} {unit}",
                field.differ, field.beyond, field.mean, field.largest
            )?;
        }
    }
    if !compared.moments.is_empty() {
        writeln!(out, "\n  they differ most:")?;
    }
    for moment in &compared.moments {
        let frame = moment.frame.as_ref().map(|frame| format!(" frame {frame}")).unwrap_or_default();
        let what: Vec<String> =
            moment.what.iter().take(3).map(|(kind, path, amount)| format!("{kind}.{path} {amount:.3}")).collect();
        writeln!(out, "    {:8.2} s  tick {}{frame}: {}", moment.at_s, moment.tick, what.join("; "))?;
    }
    Ok(())
}
