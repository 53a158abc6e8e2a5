//! Utterances that go to a service elsewhere, and what it heard in them.
//!
//! Off unless the config wants it. An utterance waits for the one before; where several wait it is dropped, and counted. What is
//! said of it comes into the world like all that comes from outside: through the door, journalled, so that a replay asks nobody.

use std::io::Cursor;
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use bevy_ecs::prelude::*;
use bytes::Bytes;
use hound::{SampleFormat, WavSpec, WavWriter};
use reqwest::StatusCode;
use reqwest::header::CONTENT_TYPE;
use tokio::sync::mpsc::{self, Receiver, Sender};
use waywarden_components::prelude::*;

use super::{Refusal, Remote, accept, body, broken};
use crate::clock::boottime;
use crate::inference::api::{self, LARGEST_UTTERANCE};
use crate::ingress::Outlet;

/// Utterances that may wait for the one that is listened to (keep oldest).
const WAITING: usize = 4;

/// Longest time for an utterance, all tries together: speech is not read while it is spoken.
const PATIENCE: Duration = Duration::from_secs(20);

/// Where utterances are handed over. Not there in a replay, nor where nobody elsewhere listens.
#[derive(Resource, Clone)]
pub struct SpeechPost {
    sender: Sender<Posted>,
    outlet: Outlet,
}

/// An utterance on its way.
struct Posted {
    id: StableId,
    pcm: Bytes,
}

impl Remote {
    /// Has utterances listened to, one after the other. What comes of them is told through the service's own channel.
    pub fn speech(&self) -> SpeechPost {
        let (sender, receiver) = mpsc::channel(WAITING);
        self.0.handle.spawn(self.clone().listen_on(receiver));
        SpeechPost { sender, outlet: self.0.outlet.clone() }
    }

    async fn listen_on(self, mut receiver: Receiver<Posted>) {
        let mut over = self.0.over.clone();
        loop {
            let listened = async {
                let Posted { id, pcm } = receiver.recv().await?;
                Some(SpeechHeard { utterance: id, result: self.listen(&pcm).await })
            };
            let heard = tokio::select! {
                heard = listened => heard,
                _ = over.wait_for(|over| *over) => None,
            };
            let Some(heard) = heard else { return };
            // Without a door the app is ending.
            let _ = self.0.outlet.send(boottime(), Payload::SpeechHeard(Box::new(heard)));
        }
    }

    /// What was heard in an utterance, or why nothing was.
    async fn listen(&self, pcm: &Bytes) -> Result<Transcript, String> {
        if pcm.len() > LARGEST_UTTERANCE {
            return Err(format!("an utterance of more than {LARGEST_UTTERANCE} bytes"));
        }
        self.may_ask()?;
        let wav = Bytes::from(wav(pcm)?);
        let again = ExponentialBuilder::new()
            .with_min_delay(Duration::from_millis(100))
            .with_max_delay(Duration::from_secs(2))
            .with_max_times(self.0.settings.retries)
            .with_jitter();
        let tries = (|| self.listen_once(wav.clone())).retry(again);
        let tries = tries.when(|refusal| matches!(refusal, Refusal::Broken(_)));
        let asked = tokio::time::timeout(PATIENCE, tries).await;
        self.judged(
            asked.unwrap_or_else(|_| Err(Refusal::Failed(format!("no answer within {} s", PATIENCE.as_secs())))),
        )
    }

    async fn listen_once(&self, wav: Bytes) -> Result<Transcript, Refusal> {
        let request = self.0.client.post(self.0.path("v1/speech")).header(CONTENT_TYPE, "audio/wav");
        let response = self.0.request(request).body(wav).send().await.map_err(broken)?;
        // It looks at pictures and does not listen: nothing is wrong with it.
        if matches!(
            response.status(),
            StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED
        ) {
            return Err(Refusal::Picture("the service does not listen: set remote.speech = false".to_owned()));
        }
        let body = body(accept(response)?).await?;
        api::parse_speech(&body).map(|reply| reply.heard).map_err(|error| Refusal::Failed(error.to_string()))
    }
}

/// Hands over the utterances that ended in this tick, in order of their ids. None while privacy is wanted: not even what was being
/// said when it was.
pub fn post(
    utterances: Query<(&StableId, &UtteranceAudio), With<Utterance>>,
    switches: Option<Res<Switches>>,
    post: Option<Res<SpeechPost>>,
) {
    let Some(post) = post else { return };
    if switches.is_some_and(|switches| switches.privacy) {
        return;
    }
    for (id, audio) in utterances.iter().sort::<&StableId>() {
        if post.sender.try_send(Posted { id: *id, pcm: audio.pcm.clone() }).is_err() {
            let dropped = Payload::Dropped { policy: DropPolicy::KeepOldest, count: 1 };
            let _ = post.outlet.send(boottime(), dropped);
        }
    }
}

/// The sound as a WAV file.
fn wav(pcm: &[u8]) -> Result<Vec<u8>, String> {
    let spec = WavSpec { channels: 1, sample_rate: SAMPLE_RATE, bits_per_sample: 16, sample_format: SampleFormat::Int };
    let mut file = Cursor::new(Vec::with_capacity(pcm.len() + 64));
    let written = WavWriter::new(&mut file, spec).and_then(|mut writer| {
        let (samples, _) = pcm.as_chunks::<2>();
        samples.iter().try_for_each(|sample| writer.write_sample(i16::from_le_bytes(*sample)))?;
        writer.finalize()
    });
    written.map(|()| file.into_inner()).map_err(|error| format!("the sound cannot be written: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sound_becomes_a_wav_file_of_its_own_samples() {
        let samples: Vec<i16> = (0..1000).map(|n| (n * 31 % 7001 - 3500) as i16).collect();
        let pcm: Vec<u8> = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
        let mut reader = hound::WavReader::new(Cursor::new(wav(&pcm).unwrap())).unwrap();
        assert_eq!((reader.spec().sample_rate, reader.spec().channels), (16_000, 1));
        assert_eq!(reader.samples::<i16>().collect::<Result<Vec<_>, _>>().unwrap(), samples);
    }
}
