//! Any bytes are a reply of an inference service or none; one that is taken holds what a model could have found, and is
//! written as it was read.
#![no_main]

use libfuzzer_sys::fuzz_target;
use waywarden_components::job::{JobOutput, JobRole};
use waywarden_systems::inference::api::{Reply, parse_models, parse_reply};

fuzz_target!(|data: &[u8]| {
    if let Ok(models) = parse_models(data) {
        let again = serde_json::to_vec(&models).expect("it can be written");
        assert_eq!(parse_models(&again).as_ref(), Ok(&models));
    }
    for role in JobRole::ALL {
        let Ok(reply) = parse_reply(data, role) else { continue };
        match &reply.output {
            JobOutput::Segmentation(masks) => {
                for mask in [&masks.drivable, &masks.lines] {
                    assert!(mask.is_sound() && mask.width > 0 && mask.height > 0);
                    assert_eq!(mask.decode().len() as u64, u64::from(mask.width) * u64::from(mask.height));
                }
            }
            JobOutput::Detections(boxes) => {
                assert!(boxes.len() <= 256 && boxes.is_sorted_by(|a, b| a.score >= b.score));
                for found in boxes {
                    let numbers = [found.score, found.left, found.top, found.width, found.height];
                    assert!(numbers.iter().all(|number| number.is_finite()));
                }
            }
            JobOutput::Failed(reason) => panic!("{reason}"),
        }
        // The reader of JSON may take a time for its neighbour.
        let reply = Reply { took_ms: 1.0, ..reply };
        let again = serde_json::to_vec(&reply).expect("it can be written");
        assert_eq!(parse_reply(&again, role).as_ref(), Ok(&reply));
    }
});
