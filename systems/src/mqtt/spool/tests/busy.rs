//! Many threads at once, while the disk fails now and then.

use std::collections::BTreeSet;
use std::sync::atomic::AtomicBool;

use rand::Rng;

use super::*;

/// Puts messages, acknowledges most of them sooner or later, and returns those that it did not.
fn sender(spool: &Spool, n: u8) -> BTreeSet<SpoolId> {
    let mut random = random();
    let (mut open, mut kept) = (Vec::new(), BTreeSet::new());
    for count in 0..3000 {
        let id = spool.put(entry(["a", "b", "c"][usize::from(n % 3)], random.random_range(0..4), &count.to_string()));
        if random.random_range(0..10) == 0 {
            kept.insert(id);
        } else {
            open.push(id);
        }
        if random.random_range(0..50) == 0 {
            spool.wait_durable(id, Duration::from_millis(3));
        }
        while open.len() > random.random_range(0..200) {
            spool.acknowledge(open.swap_remove(random.random_range(0..open.len())));
        }
    }
    open.iter().for_each(|id| spool.acknowledge(*id));
    kept
}

#[test]
fn no_message_is_lost_or_doubled_between_threads_and_failures() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("spool");
    let short = Duration::from_millis(1);
    let settings = SpoolSettings {
        delay: short,
        acknowledge_delay: short,
        retry: short,
        retry_most: short,
        tidy: short,
        ..Default::default()
    };
    let spool = open(&path, settings.clone());
    let over = AtomicBool::new(false);
    let kept: BTreeSet<SpoolId> = std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut random = random();
            let faults = &spool.shared.faults;
            while !over.load(SeqCst) {
                let fault = [&faults.open, &faults.before, &faults.instead, &faults.after][random.random_range(0..4)];
                fault.store(1, SeqCst);
                assert_exact(&spool.tally());
                spool.backlog(BacklogRequest { count: 100, ..everything() }, Duration::from_millis(5));
            }
        });
        let senders: Vec<_> = (0..4)
            .map(|n| {
                scope.spawn({
                    let spool = &spool;
                    move || sender(spool, n)
                })
            })
            .collect();
        let kept = senders.into_iter().flat_map(|sender| sender.join().unwrap()).collect();
        over.store(true, SeqCst);
        kept
    });
    spool.shared.faults.none();
    assert!(spool.flush(PATIENCE));
    let there: Vec<SpoolId> = backlog(&spool, everything()).iter().map(|(id, _)| *id).collect();
    assert_eq!(there.len(), kept.len());
    assert_eq!(there.iter().copied().collect::<BTreeSet<_>>(), kept);
    let tally = spool.tally();
    assert!(tally.last_error.is_some(), "it did fail");
    assert_exact(&tally);
    let sum = |count: fn(&StreamTally) -> u64| tally.streams.values().map(count).sum::<u64>();
    assert_eq!((sum(|stream| stream.put), sum(|stream| stream.dropped)), (12_000, 0));
    assert_eq!(sum(|stream| stream.acknowledged), 12_000 - kept.len() as u64);
    spool.close(PATIENCE).unwrap();
    assert_eq!(Spool::open(&path, settings).unwrap().1.messages, kept.len() as u64);
}
