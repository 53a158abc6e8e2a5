//! What there is to listen with, and to be heard through.

use cpal::traits::{DeviceTrait, HostTrait};
use cpal::{HostId, SupportedStreamConfigRange};
use serde::Serialize;

use super::{Said, Way, choose};

/// A microphone or loudspeaker, as it can be written into the config.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SoundListing {
    /// Its address: ALSA's name of it.
    pub address: String,
    /// What it is called.
    pub name: String,
    /// What it would be asked for: rate, channels and format. None if it cannot be opened.
    pub taken: Option<String>,
    /// The least and the greatest rate that it offers, in hertz.
    pub rates_hz: Option<(u32, u32)>,
    /// The least and the greatest number of channels that it offers.
    pub channels: Option<(u16, u16)>,
    /// Formats of samples that it offers: `i16`, `f32` …
    pub formats: Vec<String>,
    /// Why it cannot be opened. Empty if it can, or could but for another program that uses it.
    pub problem: String,
}

/// Every microphone that ALSA has. Each is opened for a moment, which an indicator on it may show; nothing is heard.
pub fn microphones() -> Vec<SoundListing> {
    list(Way::In)
}

/// Every loudspeaker that ALSA has. Each is opened for a moment; nothing is played.
pub fn speakers() -> Vec<SoundListing> {
    list(Way::Out)
}

fn list(way: Way) -> Vec<SoundListing> {
    let _said = Said::begin();
    let Ok(host) = cpal::host_from_id(HostId::Alsa) else { return Vec::new() };
    let Ok(devices) = host.devices() else { return Vec::new() };
    let fits = |device: &cpal::Device| match way {
        Way::In => device.supports_input(),
        Way::Out => device.supports_output(),
    };
    devices.filter(fits).filter_map(|device| describe(&device, way)).collect()
}

/// None of what is no device, or not in this direction.
fn describe(device: &cpal::Device, way: Way) -> Option<SoundListing> {
    let address = device.id().ok()?.id().to_owned();
    if is_noise(&address) {
        return None;
    }
    let name = device.description().map(|description| description.name().to_owned()).unwrap_or_default();
    let offers: Result<Vec<SupportedStreamConfigRange>, _> = match way {
        Way::In => device.supported_input_configs().map(Iterator::collect),
        Way::Out => device.supported_output_configs().map(Iterator::collect),
    };
    let (offers, problem) = match offers {
        Ok(offers) => (offers, String::new()),
        Err(error) => match error.kind() {
            // One of the names that stand for nothing on this computer.
            cpal::ErrorKind::DeviceNotAvailable | cpal::ErrorKind::UnsupportedOperation => return None,
            _ => (Vec::new(), error.to_string()),
        },
    };
    let rates = offers.iter().map(SupportedStreamConfigRange::min_sample_rate).min();
    let rates_hz = rates.zip(offers.iter().map(SupportedStreamConfigRange::max_sample_rate).max());
    let fewest = offers.iter().map(SupportedStreamConfigRange::channels).min();
    let channels = fewest.zip(offers.iter().map(SupportedStreamConfigRange::channels).max());
    let mut formats: Vec<String> = Vec::new();
    for offer in &offers {
        let format = offer.sample_format().to_string();
        if !formats.contains(&format) {
            formats.push(format);
        }
    }
    let taken = choose(&offers, None, is_hardware(&address)).map(|granted| granted.describe());
    Some(SoundListing { address, name, taken, rates_hz, channels, formats, problem })
}

/// Whether this is a sound card itself, with nothing in between that converts.
pub(crate) fn is_hardware(address: &str) -> bool {
    address.starts_with("hw:")
}

/// Names that ALSA lists and nobody wants: nothing at all, and cards by numbers, which change with what is plugged in
/// first and are listed by name as well.
fn is_noise(address: &str) -> bool {
    let card = address.split_once("CARD=").map(|(_, card)| card.split(',').next().unwrap_or_default());
    address == "null" || card.is_some_and(|card| card.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_listed_and_numbers_are_not() {
        for address in ["default", "hw:CARD=Loopback,DEV=0", "plughw:CARD=C920,DEV=0", "sysdefault:CARD=USB", "my_mic"]
        {
            assert!(!is_noise(address), "{address}");
        }
        for address in ["null", "hw:CARD=0,DEV=0", "plughw:CARD=12,DEV=1"] {
            assert!(is_noise(address), "{address}");
        }
        assert!(is_hardware("hw:CARD=C920,DEV=0") && !is_hardware("plughw:CARD=C920,DEV=0") && !is_hardware("default"));
    }

    #[test]
    fn listing_never_fails() {
        for listing in microphones().into_iter().chain(speakers()) {
            assert!(!listing.address.is_empty(), "{listing:?}");
            assert!(serde_json::to_string(&listing).unwrap().contains("address"));
        }
    }
}
