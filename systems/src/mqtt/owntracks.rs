//! Positions in the form of OwnTracks, for maps that know it.
//!
//! <https://owntracks.org/booklet/tech/json/>

use chrono::DateTime;
use serde_json::json;

use super::wire::{Envelope, Position};

/// A `location` message of a message of `telemetry/position`; none where its date is not known, without which nobody can
/// place it.
pub fn location(position: &[u8]) -> Option<String> {
    let Envelope { ts, ts_valid, data, .. } = serde_json::from_slice::<Envelope<Position>>(position).ok()?;
    let seconds = DateTime::parse_from_rfc3339(&ts).ok().filter(|_| ts_valid)?.timestamp();
    let mut location = json!({
        "_type": "location",
        "lat": data.latitude_deg,
        "lon": data.longitude_deg,
        "tst": seconds,
        "tid": "ww",
    });
    if let Some(altitude) = data.altitude_m {
        location["alt"] = json!(altitude.round());
    }
    if let Some(heading) = data.heading_deg {
        location["cog"] = json!(heading.round());
    }
    Some(location.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(ts_valid: bool) -> Vec<u8> {
        let data = Position {
            latitude_deg: 48.1,
            longitude_deg: 11.5,
            altitude_m: Some(519.6),
            heading_deg: None,
            satellites: None,
            hdop: None,
            age_s: 0.1,
        };
        let ts = "2026-11-23T12:00:00.250Z".to_owned();
        let envelope = Envelope { v: 1, seq: 1, boot_id: "b".into(), ts, ts_valid, mono_ns: 1, data, hist: false };
        serde_json::to_vec(&envelope).unwrap()
    }

    #[test]
    fn a_position_becomes_a_location_if_its_date_is_known() {
        let location: serde_json::Value = serde_json::from_str(&location(&message(true)).unwrap()).unwrap();
        let expected =
            json!({ "_type": "location", "lat": 48.1, "lon": 11.5, "tst": 1_795_435_200, "tid": "ww", "alt": 520.0 });
        assert_eq!(location, expected);
        assert_eq!(super::location(&message(false)), None);
        assert_eq!(super::location(b"{}"), None);
    }
}
