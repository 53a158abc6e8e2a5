use super::super::tests::write_session;
use super::*;

const NOW: Duration = Duration::from_secs(1_800_000_000);
const DAY: Duration = Duration::from_secs(86_400);

/// Segments of 100 bytes, of which the first is `n` days old, and each the next day's.
fn days(n: u32) -> Vec<Stored> {
    let stored = |day| Stored {
        path: PathBuf::from(format!("{day}")),
        bytes: 100,
        modified: NOW - DAY * (n - day),
        shared: false,
    };
    (0..n).map(stored).collect()
}

fn gone(stored: &[Stored], limits: &Limits, space: Option<Space>) -> Vec<usize> {
    surplus(stored, limits, space, Some(NOW)).into_iter().map(|(n, _)| n).collect()
}

#[test]
fn without_limits_everything_stays() {
    let full = Some(Space { free: 0, total: 1000 });
    assert!(gone(&days(9), &Limits::default(), full).is_empty());
    assert!(gone(&[], &Limits { bytes: Some(0), age: Some(DAY), free: 9 }, full).is_empty());
}

#[test]
fn the_oldest_go_until_the_rest_is_small_enough() {
    let limits = |bytes| Limits { bytes: Some(bytes), ..Limits::default() };
    assert!(gone(&days(5), &limits(500), None).is_empty());
    assert_eq!(gone(&days(5), &limits(499), None), [0]);
    assert_eq!(gone(&days(5), &limits(250), None), [0, 1, 2]);
    assert_eq!(gone(&days(5), &limits(0), None), [0, 1, 2, 3, 4]);
}

#[test]
fn what_is_too_old_goes_if_the_date_is_known() {
    let limits = Limits { age: Some(DAY * 3), ..Limits::default() };
    assert_eq!(gone(&days(5), &limits, None), [0, 1]);
    assert!(surplus(&days(5), &limits, None, None).is_empty(), "nobody knows how old it is");
    let mut dateless = days(5);
    dateless[0].modified = Duration::from_secs(60);
    assert_eq!(gone(&dateless, &limits, None), [1]);
}

#[test]
fn the_oldest_go_until_enough_of_the_disk_is_free() {
    let limits = Limits { free: 1000, ..Limits::default() };
    let space = |free| Some(Space { free, total: 100_000 });
    assert!(gone(&days(9), &limits, space(1000)).is_empty());
    assert_eq!(gone(&days(9), &limits, space(750)), [0, 1, 2]);
    // What was preserved frees nothing.
    let mut shared = days(9);
    shared[0].shared = true;
    assert_eq!(gone(&shared, &limits, space(950)), [0, 1]);
    // A small disk is not emptied for the sake of a floor that it cannot have.
    assert_eq!(gone(&days(9), &limits, Some(Space { free: 150, total: 2000 })), [0]);
    assert_eq!(surplus(&days(9), &limits, space(950), None), [(0, Surplus::Space)]);
}

#[test]
fn only_segments_of_sessions_are_deleted_and_the_oldest_first() {
    let folder = tempfile::tempdir().unwrap();
    let old = write_session(folder.path(), "2026-01-01T00-00-00Z", 3);
    let new = write_session(folder.path(), "2026-01-02T00-00-00Z", 3);
    let kept = write_session(&folder.path().join(PRESERVED), "2026-01-01T00-00-00Z-at-1s", 2);
    let other = write_session(&folder.path().join("more"), "deep", 1);
    let foreign = folder.path().join("2026-01-01T00-00-00Z/segment-00099.mcap");
    std::fs::write(&foreign, b"not ours").unwrap();
    let strange = folder.path().join("2026-01-01T00-00-00Z/notes.txt");
    std::fs::write(&strange, b"notes").unwrap();
    std::fs::copy(&new[0], folder.path().join("single.mcap")).unwrap();
    // The last one of the newer session is being written.
    let open = File::open(&new[2]).unwrap();
    open.lock().unwrap();

    let listed = stored(folder.path()).unwrap();
    let paths: Vec<_> = listed.iter().map(|segment| segment.path.clone()).collect();
    let expected: Vec<_> = old.iter().chain([&foreign]).chain(&new).cloned().collect();
    assert_eq!(paths, expected);

    // Room for two and a half.
    let size = listed[0].bytes;
    let limits = Limits { bytes: Some(size * 5 / 2), ..Limits::default() };
    tidy(folder.path(), &limits, None, || true).unwrap();
    assert!(old[0].exists(), "interrupted before the first");
    assert_eq!(tidy(folder.path(), &limits, None, || false).unwrap(), (4, size * 4));
    let there = |paths: &[PathBuf]| paths.iter().map(|path| path.exists()).collect::<Vec<_>>();
    assert_eq!(there(&old), [false; 3]);
    assert_eq!(there(&new), [false, true, true]);
    assert!(there(&kept).into_iter().chain(there(&other)).all(|there| there));
    assert!(foreign.exists() && strange.exists() && folder.path().join("single.mcap").exists());

    // Nothing may be kept: the one that is being written is.
    tidy(folder.path(), &Limits { bytes: Some(0), ..Limits::default() }, None, || false).unwrap();
    assert_eq!(there(&new), [false, false, true]);
    drop(open);
    tidy(folder.path(), &Limits { bytes: Some(0), ..Limits::default() }, None, || false).unwrap();
    assert!(!new[2].parent().unwrap().exists(), "an empty folder goes too");
}
