//! The audio callback allocates nothing, whether there is room or not.

#![cfg(feature = "sound")]

use waywarden_components::time::Mono;
use waywarden_systems::clock::boottime;
use waywarden_systems::microphone::intake;

#[test]
fn taking_sound_in_allocates_nothing() {
    // Room for a second of 48 kHz, two channels of 32 bit, in periods of 50 ms.
    let (mut intake, mut outtake, torn) = intake::queue(48_000, 8);
    let period = vec![7; 2_400 * 8];
    let allocated = allocation_counter::measure(|| {
        for _ in 0..30 {
            intake.take(&period, boottime());
        }
        torn.tear();
        intake.take(&period[..13], Mono(1));
    });
    assert_eq!((allocated.count_total, allocated.bytes_total), (0, 0));
    // It was measured: the other end does allocate.
    let mut bytes = Vec::new();
    let allocated = allocation_counter::measure(|| assert!(outtake.next(&mut bytes).is_some()));
    assert!(allocated.count_total > 0);
    assert_eq!(outtake.lost(), 10 * 2_400 + 1);
}
