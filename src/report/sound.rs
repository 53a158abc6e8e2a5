//! Speech: what was heard, and when somebody really spoke.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::json;
use waywarden_components::prelude::*;
use waywarden_systems::session::TickFindings;

use super::base::Base;
use super::chart::{BLUE, Chart, Span, Style, TRUTH, bars, colour, line};
use super::decimate::Series;

/// Intervals that are kept; more are counted.
const MOST_SPANS: usize = 2000;

/// What is known of speech.
#[derive(Clone, Debug, Default)]
pub struct Sounds {
    microphones: BTreeMap<StreamId, Heard>,
    truth: Intervals,
}

#[derive(Clone, Debug, Default)]
struct Heard {
    probability: Series,
    utterances: Vec<(Mono, Mono, f32, f32)>,
    counted: u64,
    /// [`Voice`] as it was first known, and as it is; of what is behind a gap what went before.
    first: Option<(u64, u64)>,
    last: (u64, u64),
    before: (u64, u64),
}

/// Times when something was so.
#[derive(Clone, Debug, Default)]
struct Intervals {
    known: bool,
    since: Option<Mono>,
    last: Mono,
    spans: Vec<(Mono, Mono)>,
}

impl Intervals {
    fn add(&mut self, at: Mono, is: bool) {
        self.known = true;
        match (self.since, is) {
            (None, true) => self.since = Some(at),
            (Some(since), false) => {
                self.since = None;
                if self.spans.len() < MOST_SPANS {
                    self.spans.push((since, at));
                }
            }
            _ => {}
        }
        self.last = at;
    }

    fn all(&self) -> Vec<(Mono, Mono)> {
        let open = self.since.map(|since| (since, self.last));
        self.spans.iter().copied().chain(open).collect()
    }
}

/// Speech in numbers.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct SpeechFacts {
    /// Utterances that ended.
    pub utterances: u64,
    /// Seconds during which somebody was heard to speak.
    pub speech_s: f64,
    /// Seconds during which somebody really spoke, where that is known.
    pub true_speech_s: Option<f64>,
}

impl Heard {
    fn rebase(&mut self, voice: &Voice) {
        self.before = self.total();
        self.last = (voice.utterances, voice.speech_samples);
        self.first = Some(self.last);
    }

    fn total(&self) -> (u64, u64) {
        let first = self.first.unwrap_or_default();
        let since = |last: u64, first: u64| last.saturating_sub(first);
        (self.before.0 + since(self.last.0, first.0), self.before.1 + since(self.last.1, first.1))
    }
}

impl Sounds {
    /// Takes what a tick says.
    pub fn add(&mut self, tick: &TickFindings) {
        for (at, truth) in tick.truths() {
            self.truth.add(at, truth.speech);
        }
        if let Some(segment) = &tick.segment
            && let Some(known) = &segment.known
        {
            for (id, voice) in &known.voices {
                let heard = self.microphones.entry(id.stream).or_default();
                if heard.first.is_none() || segment.missing_ticks > 0 {
                    heard.rebase(voice);
                }
            }
        }
        let ends: BTreeMap<StableId, Mono> = tick.sound().map(|(id, end, _)| (id, end)).collect();
        let Some(found) = &tick.found else { return };
        for (id, voice) in &found.voices {
            self.microphones.entry(id.stream).or_default().last = (voice.utterances, voice.speech_samples);
        }
        for (id, probability) in &found.speech {
            let (SpeechProbability::Windows(windows), Some(end)) = (probability, ends.get(id)) else { continue };
            let loudest = windows.iter().copied().fold(f32::NAN, f32::max);
            self.microphones.entry(id.stream).or_default().probability.push(*end, loudest.into());
        }
        for (id, utterance) in &found.utterances {
            let microphone = StreamId(id.stream.0.wrapping_sub(StreamId::utterances_of(StreamId(0)).0));
            let heard = self.microphones.entry(microphone).or_default();
            heard.counted += 1;
            if heard.utterances.len() < MOST_SPANS {
                heard.utterances.push((utterance.start, utterance.end, utterance.confidence, utterance.level_dbfs));
            }
        }
    }

    /// Speech in numbers.
    pub fn facts(&self) -> SpeechFacts {
        let (utterances, samples) =
            self.microphones.values().map(Heard::total).fold((0, 0), |sum, total| (sum.0 + total.0, sum.1 + total.1));
        let spoken = self.truth.all().iter().map(|(from, to)| to.since(*from).as_secs_f64()).sum();
        SpeechFacts {
            utterances,
            speech_s: samples as f64 / f64::from(SAMPLE_RATE),
            true_speech_s: self.truth.known.then_some(spoken),
        }
    }

    /// Its charts.
    pub fn charts(&self, base: &Base) -> Vec<Chart> {
        let mut probability = Chart::timed(
            "speech-probability",
            "Speech probability",
            "probability",
            "The highest of each piece of sound. Speech begins above the upper threshold of the config and ends below the lower.",
        );
        probability.layout["yaxis"]["range"] = json!([0, 1.05]);
        probability.height = 200;
        for (n, (id, heard)) in self.microphones.iter().enumerate() {
            let style = Style::new(colour(n), 2, "");
            probability.traces.extend(line(&base.name(*id), &heard.probability, base.start, style));
        }
        let mut spoken = Chart::timed("utterances", "Who spoke when", "", "Utterances as they were cut out.");
        let mut rows = 0;
        let truth: Vec<Span> = self
            .truth
            .all()
            .into_iter()
            .map(|(from, to)| Span { from, to, row: "truth".to_owned(), text: said("truth", from, to, base) })
            .collect();
        rows += u32::from(!truth.is_empty());
        spoken.traces.extend(bars("truth", &truth, base.start, TRUTH));
        for (id, heard) in &self.microphones {
            let name = base.name(*id);
            let spans: Vec<Span> = heard
                .utterances
                .iter()
                .map(|(from, to, confidence, level)| {
                    let what =
                        format!("{}, confidence {confidence:.2}, {level:.0} dBFS", said(&name, *from, *to, base));
                    Span { from: *from, to: *to, row: name.clone(), text: what }
                })
                .collect();
            rows += u32::from(!spans.is_empty());
            spoken.traces.extend(bars(&name, &spans, base.start, BLUE));
        }
        spoken.height = 90 + 40 * rows.max(1);
        spoken.layout = json!({ "barmode": "overlay", "hovermode": "closest", "yaxis": { "automargin": true } });
        [probability, spoken].into_iter().filter_map(Chart::if_any).collect()
    }
}

fn said(who: &str, from: Mono, to: Mono, base: &Base) -> String {
    let at = |time: Mono| time.since(base.start).as_secs_f64();
    format!("{who}: {:.1} s to {:.1} s", at(from), at(to))
}
