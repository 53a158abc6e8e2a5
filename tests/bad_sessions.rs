//! Sessions that are cut off, damaged or foreign: each is read as far as it is worth, or refused with one error that names
//! the file and the place. Nothing panics, hangs, or is silently read as something else.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

#[path = "support/forge.rs"]
mod forge;
#[path = "support/outcome.rs"]
mod outcome;
#[path = "support/recorded.rs"]
mod recorded;

use forge::Session;
use mcap::records::Record as McapRecord;
use outcome::waywarden;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use recorded::{describe, folder_of, forged, read, recorded, refused, segments};

#[test]
fn a_forger_who_changes_nothing_is_not_noticed() {
    let (_dir, path) = forged(|_| ());
    waywarden(path.parent().unwrap(), &["replay", path.to_str().unwrap(), "--verify"]).done();
    let (records, cuts, error) = read(std::fs::read(&path).unwrap());
    assert!(error.is_none() && cuts.is_empty());
    assert_eq!(records, read(std::fs::read(&recorded().file).unwrap()).0);
}

#[test]
fn a_session_cut_anywhere_loses_no_more_than_its_last_chunk() {
    let bytes = &recorded().bytes;
    let (whole, cuts, error) = read(bytes.clone());
    assert!(whole.len() > 500 && cuts.is_empty() && error.is_none());
    // Where each chunk ends, and how many records stand before that place.
    let (mut ends, mut at) = (Vec::new(), mcap::MAGIC.len());
    for record in mcap::read::LinearReader::new(bytes).unwrap() {
        at += 9 + match record.unwrap() {
            McapRecord::Chunk { header, data } => 40 + header.compression.len() + data.len(),
            _ => {
                // Only the length of chunks is of interest: read the others' where they stand.
                u64::from_le_bytes(bytes[at + 1..at + 9].try_into().unwrap()) as usize
            }
        };
        ends.push(at);
    }
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let mut lengths: Vec<usize> = (0..60).map(|_| random.random_range(0..bytes.len())).collect();
    lengths.extend(
        (0..20).chain(ends.iter().step_by(3).flat_map(|end| [end - 1, *end, end + 1])).filter(|n| *n < bytes.len()),
    );
    for length in lengths {
        let (records, cuts, error) = read(bytes[..length].to_vec());
        assert!(whole.starts_with(&records), "cut to {length}");
        if let Some(error) = error {
            assert!(records.is_empty() && error.to_string().contains("ends before it says what it is"), "{error}");
        } else {
            assert_eq!(cuts.len(), 1, "cut to {length}");
            let chunk = ends.iter().rev().find(|end| **end <= length).map_or(0, |end| *end);
            let (kept, ..) = read(bytes[..chunk].to_vec());
            assert_eq!(records.len(), kept.len(), "cut to {length}, the chunk before ends at {chunk}");
        }
    }
}

#[test]
fn the_commands_take_what_is_left_of_a_cut_session() {
    let bytes = &recorded().bytes;
    for length in [bytes.len() / 3, bytes.len() - 9, bytes.len() - 1] {
        let dir = folder_of(&[("cut.mcap", &bytes[..length])]);
        let inspected = waywarden(dir.path(), &["inspect", "cut.mcap"]).done();
        assert!(inspected.out.contains("ends in the middle"), "{inspected:?}");
        let replayed = waywarden(dir.path(), &["replay", "cut.mcap", "--verify"]).done();
        assert!(replayed.out.contains("ends in the middle"), "{replayed:?}");
    }
    for length in [0, 4, 8, 60] {
        let dir = folder_of(&[("cut.mcap", &bytes[..length])]);
        refused(&dir.path().join("cut.mcap"), &["cut.mcap", "ends before it says what it is"]);
    }
}

#[test]
fn a_flipped_bit_is_found_or_changes_nothing() {
    let bytes = &recorded().bytes;
    let (whole, ..) = read(bytes.clone());
    let mut random = ChaCha8Rng::seed_from_u64(2);
    let mut places: Vec<usize> = (0..250).map(|_| random.random_range(0..bytes.len())).collect();
    // Beginning and end are made of lengths, kinds and sums; so is every head of a chunk.
    places.extend((0..250).chain(bytes.len() - 150..bytes.len()));
    let (mut at, mut heads) = (mcap::MAGIC.len(), 0);
    while at + 9 < bytes.len() - 8 {
        if bytes[at] == 6 && heads < 4 {
            places.extend(at..at + 49);
            heads += 1;
        }
        at += 9 + u64::from_le_bytes(bytes[at + 1..at + 9].try_into().unwrap()) as usize;
    }
    let (mut found, mut same) = (0, 0);
    for place in places {
        let mut flipped = bytes.clone();
        flipped[place] ^= 1 << random.random_range(0..8);
        let (records, cuts, error) = read(flipped);
        if let Some(error) = error {
            assert!(whole.starts_with(&records), "byte {place}");
            assert!(error.to_string().starts_with("some.mcap"), "{error}");
            found += 1;
        } else {
            assert!(records == whole && cuts.is_empty(), "byte {place}: other records, and no error");
            same += 1;
        }
    }
    println!("{found} found, {same} without consequence");
    assert!(found > 20 * same);
}

#[test]
fn a_flipped_bit_in_a_cut_session_is_found_or_loses_what_comes_after() {
    let bytes = &recorded().bytes[..recorded().bytes.len() * 2 / 3];
    let (whole, ..) = read(bytes.to_vec());
    let mut random = ChaCha8Rng::seed_from_u64(3);
    for place in (0..400).chain((0..200).map(|_| random.random_range(0..bytes.len())).collect::<Vec<_>>()) {
        let mut flipped = bytes.to_vec();
        flipped[place] ^= 1 << random.random_range(0..8);
        let (records, cuts, error) = read(flipped);
        assert!(whole.starts_with(&records), "byte {place}");
        assert!(error.is_some() || !cuts.is_empty(), "byte {place}");
    }
}

#[test]
fn the_commands_name_file_and_place_of_a_flipped_bit() {
    let bytes = &recorded().bytes;
    let mut random = ChaCha8Rng::seed_from_u64(4);
    for _ in 0..4 {
        let mut flipped = bytes.clone();
        let place = random.random_range(bytes.len() / 4..bytes.len() * 9 / 10);
        flipped[place] ^= 1 << random.random_range(0..8);
        let dir = folder_of(&[("flipped.mcap", &flipped)]);
        refused(&dir.path().join("flipped.mcap"), &["flipped.mcap", "about byte "]);
    }
}

#[test]
fn foreign_files_are_refused() {
    let dir = folder_of(&[
        ("text.mcap", b"Dear diary, today I drove to the sea and back.\n".repeat(100).as_slice()),
        ("zeroes.mcap", &[0; 100_000]),
        ("lying.mcap", &[mcap::MAGIC as &[u8], &[1, 0xff, 0xff, 0xff, 0x0f, 0, 0, 0, 0], &[0; 99]].concat()),
        (
            "huge.mcap",
            &[mcap::MAGIC as &[u8], &[6, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f], &[0xff; 99]].concat(),
        ),
    ]);
    refused(&dir.path().join("text.mcap"), &["text.mcap", "not an MCAP file"]);
    refused(&dir.path().join("zeroes.mcap"), &["zeroes.mcap", "not an MCAP file"]);
    refused(&dir.path().join("lying.mcap"), &["lying.mcap"]);
    refused(&dir.path().join("huge.mcap"), &["huge.mcap"]);
    refused(&dir.path().join("none.mcap"), &["none.mcap", "No such file"]);
    let empty = tempfile::tempdir().unwrap();
    refused(empty.path(), &["no segments"]);
    nix::unistd::mkfifo(&dir.path().join("pipe.mcap"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    refused(&dir.path().join("pipe.mcap"), &["pipe.mcap", "neither a file nor a folder"]);

    let (_dir, path) = forged(|session| session.profile = "ros2".to_owned());
    refused(&path, &["forged.mcap", "profile `ros2`"]);
    let (_dir, path) = forged(|session| session.metadata.clear());
    refused(&path, &["forged.mcap", "not a Waywarden session"]);
    let (_dir, path) = forged(|session| {
        *session.metadata.get_mut("waywarden.session").unwrap().get_mut("format").unwrap() = "2.0".to_owned();
    });
    refused(&path, &["forged.mcap", "session format `2.0`"]);
}

#[test]
fn a_large_sparse_file_is_no_session() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sparse.mcap");
    std::fs::write(&path, [mcap::MAGIC as &[u8], &[6, 0, 0, 0, 0, 1, 0, 0, 0]].concat()).unwrap();
    std::fs::File::options().write(true).open(&path).unwrap().set_len(1 << 34).unwrap();
    refused(&path, &["sparse.mcap"]);
}

#[test]
fn what_may_not_be_read_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let dir = folder_of(&[("secret.mcap", &recorded().bytes)]);
    let path = dir.path().join("secret.mcap");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o0)).unwrap();
    if std::fs::File::open(&path).is_ok() {
        println!("skipped: this user may read everything");
        return;
    }
    refused(&path, &["secret.mcap", "denied"]);
}

#[test]
fn segments_of_two_sessions_are_refused() {
    let dir = folder_of(&[]);
    for (n, file) in segments().iter().take(2).enumerate() {
        std::fs::copy(file, dir.path().join(format!("segment-{n:05}.mcap"))).unwrap();
    }
    let mut other = Session::of(&recorded().bytes);
    describe(&mut other, |info| info["session_id"] = "another".into());
    std::fs::write(dir.path().join("segment-00002.mcap"), other.bytes()).unwrap();
    refused(dir.path(), &["segment-00002.mcap", "belongs to session another"]);
}

#[test]
fn behind_a_missing_segment_the_world_is_restored() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("rec")).unwrap();
    for (n, file) in segments().iter().enumerate().filter(|(n, _)| *n != 1) {
        std::fs::copy(file, dir.path().join(format!("rec/segment-{n:05}.mcap"))).unwrap();
    }
    let inspected = waywarden(dir.path(), &["inspect", "rec"]).done();
    assert!(inspected.out.contains("  missing    "), "{inspected:?}");
    let replayed = waywarden(dir.path(), &["replay", "rec", "--verify"]).done();
    assert!(replayed.out.contains("ticks give what was recorded"), "{replayed:?}");
    std::fs::remove_file(dir.path().join("rec/segment-00000.mcap")).unwrap();
    waywarden(dir.path(), &["replay", "rec", "--verify"]).done();
}

#[test]
fn a_segment_that_had_just_begun_is_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("rec")).unwrap();
    for (n, file) in segments().iter().enumerate() {
        std::fs::copy(file, dir.path().join(format!("rec/segment-{n:05}.mcap"))).unwrap();
    }
    for begun in ["segment-00001.mcap", "segment-00099.mcap"] {
        std::fs::write(dir.path().join("rec").join(begun), &recorded().bytes[..20]).unwrap();
    }
    let inspected = waywarden(dir.path(), &["inspect", "rec"]).done();
    assert_eq!(inspected.out.matches("ends in the middle").count(), 2, "{inspected:?}");
    waywarden(dir.path(), &["replay", "rec", "--verify"]).done();
}

#[test]
fn a_place_that_is_not_there_is_refused() {
    let path = recorded().file.to_str().unwrap();
    let dir = tempfile::tempdir().unwrap();
    waywarden(dir.path(), &["replay", path, "--from", "4000000000"]).refused(&["no segment 4000000000"]);
    waywarden(dir.path(), &["replay", path, "--from", "1000000:00:00", "--speed", "1e300"]).done();
    waywarden(dir.path(), &["replay", "one.mcap/x", "--out", "out.mcap"]).refused(&["one.mcap/x"]);
    waywarden(dir.path(), &["import", "--range", "none.csv", "-o", "out.mcap"]).refused(&["none.csv"]);
}

#[test]
fn a_segment_without_a_tick_is_passed_over() {
    // Of the middle one only the snapshot is left, and the first one is gone: the world is restored twice.
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("rec")).unwrap();
    let segments = segments();
    std::fs::copy(&segments[2], dir.path().join("rec/segment-00002.mcap")).unwrap();
    let mut middle = Session::of(&std::fs::read(&segments[1]).unwrap());
    middle.messages.truncate(1);
    assert_eq!(middle.messages[0].topic, "/waywarden/snapshot");
    std::fs::write(dir.path().join("rec/segment-00001.mcap"), middle.bytes()).unwrap();
    waywarden(dir.path(), &["replay", "rec", "--verify"]).done();
}
