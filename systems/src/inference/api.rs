//! What a service that computes models elsewhere says: `assets/inference-api.yaml` as types, and its readers.
//!
//! Nothing of a reply is believed before it has been looked at: sizes, runs, numbers and names are those that a model on this
//! computer could have given.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use waywarden_components::audio::{SoundLabel, Transcript};
use waywarden_components::job::{Crop, JobOutput, JobRole};
use waywarden_components::perception::{Detection, Mask};

use super::ModelIdentity;
use super::detect::MAX_BOXES;

/// The largest picture that is taken, in bytes.
pub const LARGEST_PICTURE: usize = 8 << 20;

/// The largest utterance that is sent, in bytes of its samples: a minute.
pub const LARGEST_UTTERANCE: usize = 60 * 16_000 * 2;

/// The longest text that is believed, in bytes, and the most labels.
const LONGEST_TEXT: usize = 8192;
const MOST_LABELS: usize = 64;

/// The largest reply that is read, in bytes.
pub const LARGEST_REPLY: usize = 4 << 20;

/// The longest side of a mask, and the farthest that a box may reach, in pixels.
const LARGEST_SIDE: u32 = 8192;

/// The longest name in a reply, in bytes.
const LONGEST_NAME: usize = 128;

/// What was found in a picture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reply {
    /// Which model looked at it.
    pub model: ModelIdentity,
    /// How long that took, in milliseconds.
    pub took_ms: f64,
    /// What it found.
    pub output: JobOutput,
}

/// What was heard in an utterance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SpeechReply {
    /// Which model listened to it.
    pub model: ModelIdentity,
    /// How long that took, in milliseconds.
    pub took_ms: f64,
    /// What it heard.
    pub heard: Transcript,
}

/// What a service computes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Models {
    /// The model of each role that it has one for.
    pub models: BTreeMap<JobRole, ModelIdentity>,
}

/// Why a reply is of no use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReplyError {
    /// More bytes than are read.
    #[error("a reply of more than {LARGEST_REPLY} bytes")]
    TooLarge,
    /// Not what the contract says.
    #[error("a reply that cannot be read: {0}")]
    Unreadable(String),
    /// It answers another question.
    #[error("a reply about something else than {0}")]
    OtherRole(JobRole),
    /// Values that no model gives.
    #[error("a reply with {0}")]
    Unsound(&'static str),
}

/// Reads what was found in a picture by a model of `role`.
///
/// # Errors
/// [`ReplyError`] when it is anything but what a model could have found.
pub fn parse_reply(bytes: &[u8], role: JobRole) -> Result<Reply, ReplyError> {
    let mut reply: Reply = read(bytes)?;
    check_time(reply.took_ms)?;
    check_identity(&reply.model)?;
    match (role, &mut reply.output) {
        (JobRole::Segmentation, JobOutput::Segmentation(masks)) => {
            [&masks.drivable, &masks.lines].into_iter().try_for_each(check_mask)?;
        }
        (JobRole::Detection, JobOutput::Detections(boxes)) => {
            if boxes.len() > MAX_BOXES {
                return Err(ReplyError::Unsound("too many boxes"));
            }
            boxes.iter().try_for_each(check_box)?;
            // The contract says best first, and those who read the boxes rely on it.
            boxes.sort_by(|a, b| b.score.total_cmp(&a.score));
        }
        (_, JobOutput::Segmentation(_) | JobOutput::Detections(_) | JobOutput::Failed(_)) => {
            return Err(ReplyError::OtherRole(role));
        }
    }
    Ok(reply)
}

/// Reads what was heard in an utterance.
///
/// # Errors
/// [`ReplyError`] when it is anything but what could have been heard.
pub fn parse_speech(bytes: &[u8]) -> Result<SpeechReply, ReplyError> {
    let mut reply: SpeechReply = read(bytes)?;
    check_time(reply.took_ms)?;
    check_identity(&reply.model)?;
    let Transcript { text, labels } = &mut reply.heard;
    if text.len() > LONGEST_TEXT || text.contains(|c: char| c.is_control() && c != '\n') {
        return Err(ReplyError::Unsound("a text that is none"));
    }
    let sound = |label: &SoundLabel| {
        let name = &label.label;
        (0.0..=1.0).contains(&label.score) && !name.is_empty() && is_word(name)
    };
    if labels.len() > MOST_LABELS || !labels.iter().all(sound) {
        return Err(ReplyError::Unsound("labels that are none"));
    }
    labels.sort_by(|a, b| b.score.total_cmp(&a.score));
    Ok(reply)
}

/// Why a part of a picture is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("crop is left,top,width,height in pixels: four whole numbers up to {LARGEST_SIDE}, the last two above 0")]
pub struct CropError;

/// Reads which part of a picture is to be looked at more closely: `left,top,width,height`.
///
/// # Errors
/// [`CropError`] when it is anything else.
pub fn parse_crop(text: &str) -> Result<Crop, CropError> {
    let numbers: Vec<u32> = text.split(',').map(str::parse).collect::<Result<_, _>>().map_err(|_| CropError)?;
    match numbers[..] {
        [left, top, width, height] if numbers.iter().all(|&n| n <= LARGEST_SIDE) && width > 0 && height > 0 => {
            Ok(Crop { left, top, width, height })
        }
        _ => Err(CropError),
    }
}

/// Reads what a service computes.
///
/// # Errors
/// [`ReplyError`] when it is anything else.
pub fn parse_models(bytes: &[u8]) -> Result<Models, ReplyError> {
    let models: Models = read(bytes)?;
    models.models.values().try_for_each(check_identity)?;
    Ok(models)
}

fn read<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, ReplyError> {
    if bytes.len() > LARGEST_REPLY {
        return Err(ReplyError::TooLarge);
    }
    serde_json::from_slice(bytes).map_err(|error| {
        // What was found there may be anything: it belongs into no log.
        let place = format!("line {}, column {}", error.line(), error.column());
        let kind = match error.classify() {
            serde_json::error::Category::Data => "another form than the contract's",
            _ => "not JSON",
        };
        ReplyError::Unreadable(format!("{kind} ({place})"))
    })
}

fn check_time(took_ms: f64) -> Result<(), ReplyError> {
    let sound = took_ms.is_finite() && took_ms >= 0.0;
    if sound { Ok(()) } else { Err(ReplyError::Unsound("a time that is none")) }
}

fn is_word(text: &str) -> bool {
    text.len() <= LONGEST_NAME && !text.contains(char::is_control)
}

fn check_identity(model: &ModelIdentity) -> Result<(), ReplyError> {
    let hash = |text: &str| text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if is_word(&model.name) && !model.name.is_empty() && is_word(&model.engine) && hash(&model.sha256) {
        Ok(())
    } else {
        Err(ReplyError::Unsound("a model whose name, engine or SHA-256 is none"))
    }
}

fn check_mask(mask: &Mask) -> Result<(), ReplyError> {
    let sides = [mask.width, mask.height].iter().all(|side| (1..=LARGEST_SIDE).contains(side));
    // But for the first one, which may be of no black pixels, a run has pixels.
    let runs = mask.runs.iter().skip(1).all(|run| *run > 0);
    if sides && runs && mask.is_sound() { Ok(()) } else { Err(ReplyError::Unsound("a mask that is none")) }
}

fn check_box(found: &Detection) -> Result<(), ReplyError> {
    let inside = |value: f32| (0.0..=LARGEST_SIDE as f32).contains(&value);
    let sound = (0.0..=1.0).contains(&found.score)
        && [found.left, found.top, found.width, found.height].into_iter().all(inside);
    if sound { Ok(()) } else { Err(ReplyError::Unsound("a box that is none")) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};
    use waywarden_components::perception::{ObjectClass, RoadMasks};

    use super::*;

    fn model() -> ModelIdentity {
        ModelIdentity { name: "m".into(), sha256: "0a".repeat(32), engine: "rten 1".into() }
    }

    fn masks() -> Reply {
        let drivable = Mask { width: 2, height: 2, runs: vec![0, 3, 1] };
        let lines = Mask { width: 2, height: 2, runs: vec![4] };
        Reply { model: model(), took_ms: 1.5, output: JobOutput::Segmentation(RoadMasks { drivable, lines }) }
    }

    fn boxes() -> Reply {
        let car = Detection { class: ObjectClass::Car, score: 0.1, left: 1.0, top: 2.0, width: 3.0, height: 4.0 };
        let other = Detection { class: ObjectClass::Other(16), score: 0.9, ..car };
        Reply { model: model(), took_ms: 0.0, output: JobOutput::Detections(vec![other, car]) }
    }

    fn bytes(reply: &impl Serialize) -> Vec<u8> {
        serde_json::to_vec(reply).unwrap()
    }

    /// A reply with one value replaced.
    fn with(reply: &Reply, pointer: &str, value: Value) -> Vec<u8> {
        let mut json = serde_json::to_value(reply).unwrap();
        *json.pointer_mut(pointer).unwrap_or_else(|| panic!("no {pointer}")) = value;
        json.to_string().into_bytes()
    }

    #[test]
    fn what_is_written_is_read() {
        assert_eq!(parse_reply(&bytes(&masks()), JobRole::Segmentation), Ok(masks()));
        assert_eq!(parse_reply(&bytes(&boxes()), JobRole::Detection), Ok(boxes()));
        let models = Models { models: [(JobRole::Detection, model())].into() };
        assert_eq!(parse_models(&bytes(&models)), Ok(models));
    }

    #[test]
    fn a_crop_is_four_numbers() {
        let crop = Crop { left: 0, top: 70, width: 640, height: 360 };
        assert_eq!(parse_crop(&crop.to_string()), Ok(crop));
        for bad in ["", "1,2,3", "1,2,3,4,5", "1,2,0,4", "-1,2,3,4", "1,2,3,9000", "1,2,3,x", "1, 2,3,4"] {
            assert_eq!(parse_crop(bad), Err(CropError), "{bad:?}");
        }
    }

    #[test]
    fn what_was_heard_is_read_and_looked_at() {
        let label = |label: &str, score| SoundLabel { label: label.to_owned(), score };
        let heard = Transcript { text: "slow\ndown".into(), labels: vec![label("siren", 0.25), label("horn", 0.75)] };
        let reply = SpeechReply { model: model(), took_ms: 3.0, heard };
        let read = parse_speech(&bytes(&reply)).unwrap();
        assert_eq!(read.heard.text, "slow\ndown");
        assert_eq!(read.heard.labels.iter().map(|label| label.label.as_str()).collect::<Vec<_>>(), ["horn", "siren"]);
        let changed = |pointer: &str, value: Value| {
            let mut json = serde_json::to_value(&reply).unwrap();
            *json.pointer_mut(pointer).unwrap() = value;
            json.to_string().into_bytes()
        };
        assert_eq!(
            parse_speech(&changed("/heard", json!({ "text": "a" }))).map(|reply| reply.heard.labels.len()),
            Ok(0)
        );
        for (pointer, value) in [
            ("/heard/text", json!("\u{1b}[2J")),
            ("/heard/text", json!("a".repeat(LONGEST_TEXT + 1))),
            ("/heard/text", json!(7)),
            ("/heard/labels/0/score", json!(1.5)),
            ("/heard/labels/0/label", json!("")),
            ("/heard/labels", json!(vec![json!({ "label": "a", "score": 0.5 }); MOST_LABELS + 1])),
            ("/took_ms", json!(-1)),
            ("/model/sha256", json!("")),
        ] {
            assert!(parse_speech(&changed(pointer, value.clone())).is_err(), "{pointer} {value}");
        }
    }

    #[test]
    fn boxes_are_put_in_order() {
        let JobOutput::Detections(found) = boxes().output else { panic!() };
        let turned = Reply { output: JobOutput::Detections(found.into_iter().rev().collect()), ..boxes() };
        assert_eq!(parse_reply(&bytes(&turned), JobRole::Detection), Ok(boxes()));
    }

    #[test]
    fn what_no_model_gives_is_refused() {
        let drivable = "/output/segmentation/drivable";
        for (part, value) in [
            ("runs", json!([0, 3, 2])),
            ("runs", json!([0, 3, 0, 1])),
            ("runs", json!([])),
            ("runs", json!([4294967295u32, 4294967295u32])),
            ("runs", json!([-4])),
            ("width", json!(0)),
            ("width", json!(9000)),
            ("height", json!("2")),
        ] {
            let bad = with(&masks(), &format!("{drivable}/{part}"), value.clone());
            assert!(parse_reply(&bad, JobRole::Segmentation).is_err(), "{part} = {value}");
        }
        for (part, value) in [
            ("score", json!(1.5)),
            ("score", json!(-0.1)),
            ("left", json!(-1)),
            ("width", json!(1e39)),
            ("top", json!(null)),
            ("class", json!("dragon")),
        ] {
            let bad = with(&boxes(), &format!("/output/detections/0/{part}"), value.clone());
            assert!(parse_reply(&bad, JobRole::Detection).is_err(), "{part} = {value}");
        }
        for (pointer, value) in [
            ("/model/name", json!("")),
            ("/model/name", json!("a\nb")),
            ("/model/engine", json!("x".repeat(129))),
            ("/model/sha256", json!("ABC")),
            ("/took_ms", json!(-1)),
            ("/output", json!({ "failed": "I would rather not" })),
        ] {
            assert!(
                parse_reply(&with(&boxes(), pointer, value.clone()), JobRole::Detection).is_err(),
                "{pointer} {value}"
            );
        }
        assert_eq!(
            parse_reply(&bytes(&boxes()), JobRole::Segmentation),
            Err(ReplyError::OtherRole(JobRole::Segmentation))
        );
        assert_eq!(parse_reply(&vec![b' '; LARGEST_REPLY + 1], JobRole::Detection), Err(ReplyError::TooLarge));
        let many = vec![json!({"class": "car", "score": 0.5, "left": 0, "top": 0, "width": 1, "height": 1}); 257];
        assert!(parse_reply(&with(&boxes(), "/output/detections", json!(many)), JobRole::Detection).is_err());
        assert!(parse_reply("[".repeat(100_000).as_bytes(), JobRole::Detection).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = (parse_models(&bytes), parse_speech(&bytes));
            prop_assert!(parse_reply(&bytes, JobRole::Detection).is_err());
        }
    }
}
