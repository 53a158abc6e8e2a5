use std::path::PathBuf;

use bevy_ecs::system::RunSystemOnce;

use super::*;

/// Samples of earshot's windows.
const WINDOW: usize = waywarden_perception::speech::WINDOW;

fn world() -> World {
    let mut world = World::new();
    world.init_resource::<Messages<SegmentStarted>>();
    world.init_resource::<Messages<Notice>>();
    world.init_resource::<Token<Utterance>>();
    world.init_resource::<Detectors>();
    world.init_resource::<VoiceSettings>();
    world.init_resource::<OperatorTalk>();
    world.spawn((StableId::device(StreamId(2)), microphone(), Fresh(true)));
    world.spawn((StableId::device(StreamId(1)), microphone(), Fresh(true)));
    world
}

/// Something between a hum and noise that moves the detector: deterministic, loud and quiet by turns.
fn sound(samples: usize, seed: u32) -> Vec<i16> {
    let mut state = seed.wrapping_mul(2_654_435_761) | 1;
    (0..samples)
        .map(|n| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let noise = (state >> 20) as i16 - 2048;
            let saw = ((n * 120 * 4 / 16_000 * 3000 + n * 90) % 16_000) as i16 - 8000;
            if (n / 4000) % 2 == 0 { noise / 16 } else { saw.saturating_add(noise) }
        })
        .collect()
}

/// Spawns `samples` as a chunk of `stream` with the number `seq` that ends at sample `until` of its stream.
fn chunk(world: &mut World, stream: u16, seq: u64, samples: &[i16], until: usize) {
    let pcm: Vec<u8> = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
    world.spawn((
        StableId::new(StreamId(stream), seq),
        Stamp { captured: Mono::from_nanos(until as u64 * SAMPLE_NS), seq },
        AudioChunk { pcm: pcm.into() },
        SpeechProbability::Pending,
    ));
}

fn probabilities(world: &mut World, stream: u16) -> Vec<f32> {
    let mut query = world.query::<(&StableId, &SpeechProbability)>();
    let mut all: Vec<_> = query.iter(world).filter(|(id, _)| id.stream.0 == stream).collect();
    all.sort_by_key(|(id, _)| **id);
    all.iter()
        .flat_map(|(_, speech)| match speech {
            SpeechProbability::Pending => panic!("a chunk was not listened to"),
            SpeechProbability::Windows(windows) => windows.clone(),
        })
        .collect()
}

fn voice(world: &mut World, stream: u16) -> (Voice, VoiceBuffer) {
    let mut query = world.query::<(&StableId, &Voice, &VoiceBuffer)>();
    let (_, voice, buffer) = query.iter(world).find(|(id, ..)| id.stream.0 == stream).unwrap();
    (voice.clone(), buffer.clone())
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

#[test]
fn cuts_and_company_change_nothing() {
    let all = sound(16_000, 1);
    let mut whole = world();
    chunk(&mut whole, 1, 1, &all, all.len());
    whole.run_system_once(detect).unwrap();

    // The same sound in odd pieces, several in a tick, spawned newest first, with another microphone beside it.
    let mut pieces = world();
    let mut until = 0;
    let mut seq = 0;
    let mut rest = &all[..];
    while !rest.is_empty() {
        let mut tick = Vec::new();
        for size in [1, 700, 255, 256, 33] {
            let (head, tail) = rest.split_at(size.min(rest.len()));
            until += head.len();
            seq += 1;
            tick.push((seq, head, until));
            rest = tail;
        }
        for (seq, samples, until) in tick.into_iter().rev() {
            chunk(&mut pieces, 1, seq, samples, until);
            chunk(&mut pieces, 2, seq, &sound(samples.len(), seq as u32), until);
        }
        pieces.run_system_once(detect).unwrap();
    }
    assert_eq!(bits(&probabilities(&mut whole, 1)), bits(&probabilities(&mut pieces, 1)));
    assert_eq!(voice(&mut whole, 1), voice(&mut pieces, 1));
    assert_eq!(voice(&mut whole, 1).0.rest.len(), 16_000 % WINDOW);
}

#[test]
fn a_world_restored_at_a_boundary_hears_the_same() {
    let (before, after) = (sound(10_000, 3), sound(12_000, 4));
    let mut live = world();
    chunk(&mut live, 1, 1, &before, before.len());
    live.run_system_once(detect).unwrap();

    let (saved_voice, saved_buffer) = voice(&mut live, 1);
    let mut restored = world();
    let mut query = restored.query::<(&StableId, &mut Voice, &mut VoiceBuffer)>();
    for (id, mut voice, mut buffer) in query.iter_mut(&mut restored) {
        if id.stream == StreamId(1) {
            *voice = rmp_serde::from_slice(&rmp_serde::to_vec(&saved_voice).unwrap()).unwrap();
            *buffer = rmp_serde::from_slice(&rmp_serde::to_vec(&saved_buffer).unwrap()).unwrap();
        }
    }

    let mut heard = Vec::new();
    for world in [&mut live, &mut restored] {
        world.write_message(SegmentStarted { segment: 1 });
        chunk(world, 1, 2, &after, before.len() + after.len());
        world.run_system_once(detect).unwrap();
        let all = probabilities(world, 1);
        heard.push((bits(&all[all.len() - after.len() / WINDOW..]), voice(world, 1)));
    }
    assert_eq!(heard[0], heard[1]);

    let mut unaware = world();
    for (seq, samples, until) in [(1, &before, before.len()), (2, &after, before.len() + after.len())] {
        chunk(&mut unaware, 1, seq, samples, until);
    }
    unaware.run_system_once(detect).unwrap();
    let all = probabilities(&mut unaware, 1);
    assert_ne!(bits(&all[all.len() - after.len() / WINDOW..]), heard[0].0, "without the reset it would differ");
}

#[test]
fn behind_a_hole_everything_begins_anew() {
    let (before, after) = (sound(10_000, 3), sound(12_000, 4));
    let listen = |gap: usize| {
        let mut world = world();
        chunk(&mut world, 1, 1, &before, before.len());
        chunk(&mut world, 1, 2, &after, before.len() + gap + after.len());
        world.run_system_once(detect).unwrap();
        (probabilities(&mut world, 1), voice(&mut world, 1).0)
    };
    let mut alone = world();
    chunk(&mut alone, 1, 1, &after, after.len());
    alone.run_system_once(detect).unwrap();
    let alone = probabilities(&mut alone, 1);

    let (heard, voice) = listen(16_000);
    assert_eq!(bits(&heard[before.len() / WINDOW..]), bits(&alone), "a new detector, and no rest of before");
    assert_eq!(voice.rest.len(), after.len() % WINDOW);
    let (heard, voice) = listen(1600);
    assert_ne!(bits(&heard[before.len() / WINDOW..]), bits(&alone), "a chunk that is only late follows");
    assert_eq!(voice.rest.len(), (before.len() + after.len()) % WINDOW);
}

#[test]
fn nobody_is_heard_to_the_end_by_a_microphone_that_has_gone() {
    let all = sound(8000, 5);
    let mut world = world();
    // Everything is taken for speech.
    world.insert_resource(VoiceSettings { enter: 0.0, exit: 0.0, ..VoiceSettings::default() });
    chunk(&mut world, 1, 1, &all, all.len());
    world.run_system_once(detect).unwrap();
    assert!(voice(&mut world, 1).0.speaking);
    world.run_system_once(detect).unwrap();
    assert!(voice(&mut world, 1).0.speaking, "silence alone does not end it");
    for mut fresh in world.query::<&mut Fresh>().iter_mut(&mut world) {
        *fresh = Fresh(false);
    }
    for _ in 0..2 {
        world.run_system_once(detect).unwrap();
        assert!(!voice(&mut world, 1).0.speaking);
        let mut utterances = world.query::<(&StableId, &Utterance)>();
        let (id, utterance) = utterances.single(&world).unwrap();
        assert_eq!(*id, StableId::new(StreamId::utterances_of(StreamId(1)), 1));
        let heard = (all.len() - all.len() % WINDOW) as u64;
        assert_eq!((utterance.samples, utterance.end), (heard, Mono::from_nanos(heard * SAMPLE_NS)));
    }
}

#[test]
fn the_plugin_puts_it_into_sense() {
    let mut app = App::new();
    app.add_message::<SegmentStarted>().add_message::<Notice>().add_plugins(VoicePlugin::default());
    app.world_mut().spawn((StableId::device(StreamId(1)), microphone()));
    chunk(app.world_mut(), 1, 1, &[0; WINDOW], WINDOW);
    app.world_mut().run_schedule(Sense);
    assert_eq!(probabilities(app.world_mut(), 1).len(), 1);
}

#[test]
fn a_chunk_is_listened_to_once_and_odd_bytes_are_no_sample() {
    let mut world = world();
    world.spawn((
        StableId::new(StreamId(1), 1),
        Stamp { captured: Mono::default(), seq: 1 },
        AudioChunk { pcm: Bytes::from(vec![0; 2 * WINDOW + 1]) },
        SpeechProbability::Pending,
    ));
    world.run_system_once(detect).unwrap();
    world.run_system_once(detect).unwrap();
    let (voice, _) = voice(&mut world, 1);
    assert_eq!((voice.windows, voice.rest.len()), (1, 0));
}

/// Reads a WAV file of 16 kHz mono below the shared data, or says that it is not there.
fn shared_wav(path: &str) -> Option<Vec<i16>> {
    let data = std::env::var_os("WAYWARDEN_DATA")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared"), PathBuf::from);
    let path = data.join(path);
    if !path.exists() {
        println!("skipped: no data at {}", path.display());
        return None;
    }
    let mut reader = hound::WavReader::open(path).unwrap();
    assert_eq!((reader.spec().sample_rate, reader.spec().channels), (SAMPLE_RATE, 1));
    Some(reader.samples::<i16>().map(Result::unwrap).collect())
}

/// Speech in the recording, in seconds, as its annotators marked it, pauses below half a second closed.
const SPEECH: (f64, f64) = (6.69, 30.0);

#[test]
fn an_operator_out_of_the_loudspeaker_is_nobody_in_the_vehicle() {
    let all = sound(32_000, 1);
    let listened = |talk: OperatorTalk| {
        let mut world = world();
        world.insert_resource(talk);
        chunk(&mut world, 1, 1, &all, all.len());
        world.run_system_once(detect).unwrap();
        probabilities(&mut world, 1)
    };
    let alone = listened(OperatorTalk::default());
    assert!(alone.iter().filter(|probability| **probability > 0.1).count() > 10, "something is heard: {alone:?}");
    let talking = OperatorTalk { talker: Some(1), ..OperatorTalk::default() };
    assert!(listened(talking).iter().all(|probability| *probability == 0.0));
    // The voice has ended a second in, with what is still in the air; the detector has heard all of it all the same.
    let until = Mono::from_nanos(16_000 * SAMPLE_NS);
    let after = listened(OperatorTalk { until, ..OperatorTalk::default() });
    let ends_by = |n: usize| (n as u64 + 1) * 256 < 16_000;
    for (n, (after, alone)) in after.iter().zip(&alone).enumerate() {
        assert_eq!(*after, if ends_by(n) { 0.0 } else { *alone }, "window {n}");
    }
}

#[test]
fn two_speakers_are_found_and_the_quiet_before_them_is_not() {
    let Some(mut all) = shared_wav("data/speech/pyannote/sample.wav") else { return };
    all.extend([0; SAMPLE_RATE as usize]);
    let mut world = world();
    for (n, samples) in all.chunks(320).enumerate() {
        chunk(&mut world, 1, n as u64 + 1, samples, (n * 320) + samples.len());
        world.run_system_once(detect).unwrap();
    }
    let mut query = world.query::<(&StableId, &Utterance, &UtteranceAudio)>();
    let mut utterances: Vec<_> = query.iter(&world).collect();
    utterances.sort_by_key(|(id, ..)| **id);
    let mut found = 0.0;
    for (n, (id, utterance, audio)) in utterances.iter().enumerate() {
        println!(
            "{id} {} to {}: {:.3}, {:.1} dBFS",
            utterance.start, utterance.end, utterance.confidence, utterance.level_dbfs
        );
        let (start, end) = (utterance.start.as_secs_f64(), utterance.end.as_secs_f64());
        found += end.min(SPEECH.1) - start.max(SPEECH.0);
        assert!(start > SPEECH.0 - 0.5 && end < SPEECH.1 + 1.0, "{start} to {end} is not speech");
        assert!(utterance.confidence > 0.7 && (-50.0..-5.0).contains(&utterance.level_dbfs));
        assert_eq!(**id, StableId::new(StreamId::utterances_of(StreamId(1)), n as u64 + 1));
        assert_eq!(audio.pcm.len() as u64, 2 * utterance.samples);
        let first = (start * f64::from(SAMPLE_RATE)).round() as usize;
        let expected: Vec<u8> = all[first..first + 100].iter().flat_map(|sample| sample.to_le_bytes()).collect();
        assert_eq!(audio.pcm[..200], expected, "the sound is that of its time");
    }
    assert!(found > 0.85 * (SPEECH.1 - SPEECH.0), "only {found} s of speech were found");
}
