//! Discovery by Home Assistant: one retained message that says what the vehicle is, so that it appears there by itself.
//!
//! Device discovery as of Home Assistant 2024.11: <https://www.home-assistant.io/integrations/mqtt/#device-discovery-payload>

use serde_json::{Value, json};

/// The topic on which Home Assistant says that it has begun anew, below its prefix.
pub const STATUS: &str = "status";

/// The topic and the text of the message. `prefix` is Home Assistant's, `base` the topic of the vehicle.
pub fn discovery(prefix: &str, base: &str, vehicle: &str, version: &str) -> (String, String) {
    let id = format!("waywarden_{}", vehicle.replace(['-', '.'], "_"));
    let telemetry = |stream: &str| format!("{base}/telemetry/{stream}");
    let sensor = |key: &str, name: &str, stream: &str, template: &str, more: Value| {
        let mut sensor = json!({
            "p": "sensor",
            "name": name,
            "unique_id": format!("{id}_{key}"),
            "state_topic": telemetry(stream),
            "value_template": format!("{{{{ {template} }}}}"),
        });
        merge(&mut sensor, more);
        sensor
    };
    let switch = |key: &str, name: &str, icon: &str| {
        json!({
            "p": "switch",
            "name": name,
            "unique_id": format!("{id}_{key}"),
            "state_topic": format!("{base}/{key}/state"),
            "command_topic": format!("{base}/{key}/set"),
            "icon": icon,
        })
    };
    let measured = |class: &str, unit: &str| json!({ "device_class": class, "unit_of_measurement": unit, "state_class": "measurement" });
    let components = json!({
        "position": {
            "p": "device_tracker",
            "name": "Position",
            "unique_id": format!("{id}_position"),
            "json_attributes_topic": telemetry("position"),
            "json_attributes_template":
                "{{ {'latitude': value_json.data['Vehicle.CurrentLocation.Latitude'], \
                 'longitude': value_json.data['Vehicle.CurrentLocation.Longitude']} | tojson }}",
        },
        "speed": sensor("speed", "Speed", "speed", "value_json.data['Vehicle.Speed']", measured("speed", "km/h")),
        "lane_offset": sensor(
            "lane_offset", "Lane offset", "lane", "value_json.data.offset_m", measured("distance", "m"),
        ),
        "obstacle": sensor(
            "obstacle", "Obstacle distance", "objects",
            "value_json.data['Vehicle.ADAS.ObstacleDetection.Distance']", measured("distance", "m"),
        ),
        "waiting": sensor("waiting", "Messages waiting", "health", "value_json.data.waiting", json!({})),
        "speaking": {
            "p": "binary_sensor",
            "name": "Somebody speaks",
            "unique_id": format!("{id}_speaking"),
            "device_class": "sound",
            "state_topic": telemetry("voice"),
            "value_template": "{{ 'ON' if value_json.data.speaking else 'OFF' }}",
        },
        "recording": switch("recording", "Recording", "mdi:record-rec"),
        "privacy": switch("privacy", "Privacy", "mdi:eye-off"),
    });
    let text = json!({
        "device": {
            "identifiers": [id],
            "name": vehicle,
            "manufacturer": "Waywarden",
            "model": "Vehicle computer",
            "sw_version": version,
        },
        "origin": { "name": "waywarden", "sw_version": version },
        "components": components,
        "availability_topic": format!("{base}/status"),
        "availability_template": "{{ 'online' if value_json.state == 'online' else 'offline' }}",
        "qos": 1,
    });
    (format!("{prefix}/device/{id}/config"), text.to_string())
}

fn merge(into: &mut Value, more: Value) {
    if let (Value::Object(into), Value::Object(more)) = (into, more) {
        into.extend(more);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_has_a_platform_and_a_name_of_its_own() {
        let (topic, text) = discovery("homeassistant", "waywarden/van-1", "van-1", "0.1.0");
        assert_eq!(topic, "homeassistant/device/waywarden_van_1/config");
        let config: Value = serde_json::from_str(&text).unwrap();
        let components = config["components"].as_object().unwrap();
        let mut names: Vec<_> = components.values().map(|component| component["unique_id"].as_str().unwrap()).collect();
        assert!(components.values().all(|component| component["p"].is_string()));
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), components.len());
        assert_eq!(config["components"]["recording"]["command_topic"], "waywarden/van-1/recording/set");
    }
}
