//! The work of what is compared with, step by step: every picture decoded whole into colour, squeezed to 64x64, compared with
//! the one before it, and encoded anew where it has changed or is a tenth.

use std::cell::RefCell;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use bevy_app::{App, Plugin};
use bevy_ecs::prelude::*;
use bevy_tasks::ComputeTaskPool;
use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender, bounded};
use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8x3;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};
use turbojpeg::{Compressor, Decompressor, Image, PixelFormat, Subsamp, compressed_buf_len};
use waywarden_components::prelude::*;
use waywarden_systems::buffers::Buffers;
use waywarden_systems::clock::boottime;
use waywarden_systems::registry::Register;

use super::latency::Latencies;
use super::sources::Told;
use super::{EVERY, Plan, THRESHOLD};
use crate::failure::Failure;

/// Side of the small picture, in pixels.
const SIDE: u32 = 64;

/// Threads that encode.
const ENCODERS: usize = 2;

/// Pictures that may wait for them.
const WAITING: usize = 10;

/// Quality of the JPEGs, libjpeg's 1 to 100.
const QUALITY: i32 = 80;

/// Whole pictures that are kept while nobody needs them: 2.8 MB each at 1280x720.
const KEPT: usize = ENCODERS + WAITING + 4;

thread_local! {
    /// Keeps its buffers from picture to picture.
    static RESIZER: RefCell<Resizer> = RefCell::new(Resizer::new());
}

/// Does the work in the place of the gate.
pub struct SameWorkPlugin {
    /// With this.
    pub work: SameWork,
}

impl Plugin for SameWorkPlugin {
    fn build(&self, app: &mut App) {
        app.insert_resource(self.work.clone()).exempt::<SameWork>("measures, and is read by no system of the app");
        app.add_systems(Sense, look);
    }
}

/// What is kept from picture to picture. Cheap to clone.
#[derive(Resource, Clone)]
pub struct SameWork(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    /// Whole pictures to be used again.
    free: Arc<Mutex<Vec<Vec<u8>>>>,
    encoders: Sender<Job>,
    encoded: Arc<Mutex<Encoded>>,
    told: Told,
    /// Whether a full queue is waited for.
    patient: bool,
}

#[derive(Default)]
struct State {
    /// By camera: the small picture before this one.
    before: Vec<(StreamId, Vec<u8>)>,
    /// By picture of this tick: its value.
    values: Vec<(StableId, f32)>,
}

/// What encoders have made.
#[derive(Default)]
pub struct Encoded {
    /// By place in the folder: bytes of each JPEG.
    pub jpegs: Vec<(u64, usize)>,
    /// Of pictures above the threshold.
    pub lane: Latencies,
    /// Of every tenth.
    pub obstacle: Latencies,
    /// When the last one was made.
    pub last: Mono,
}

/// A picture that is to be encoded.
struct Job {
    picture: Picture,
    place: u64,
    due: Mono,
    changed: bool,
}

/// A whole picture: blue, green, red, a byte each.
struct Picture {
    pixels: Vec<u8>,
    width: usize,
    height: usize,
}

impl SameWork {
    /// With encoders on threads of their own.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub fn new(plan: &Plan, told: Told) -> Result<Self, Failure> {
        let (encoders, jobs) = bounded(WAITING);
        let (free, encoded) = (Arc::<Mutex<Vec<Vec<u8>>>>::default(), Arc::<Mutex<Encoded>>::default());
        for n in 0..ENCODERS {
            let encoder = Encoder {
                jobs: jobs.clone(),
                free: free.clone(),
                encoded: encoded.clone(),
                told: told.clone(),
                buffers: Buffers::default(),
            };
            thread::Builder::new().name(format!("encode{n}")).spawn(move || encoder.run())?;
        }
        let state = Mutex::default();
        Ok(Self(Arc::new(Shared { state, free, encoders, encoded, told, patient: plan.rate <= 0.0 })))
    }

    /// The value of a picture of this tick, if it could be decoded.
    pub fn value(&self, id: StableId) -> Option<f32> {
        self.state().values.iter().find(|(known, _)| *known == id).map(|(_, value)| *value)
    }

    /// What encoders have made.
    pub fn encoded(&self) -> std::sync::MutexGuard<'_, Encoded> {
        self.0.encoded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The whole picture, and the small one.
    fn decode(&self, jpeg: &[u8]) -> Option<(Picture, Vec<u8>)> {
        let mut decompressor = Decompressor::new().ok()?;
        let header = decompressor.read_header(jpeg).ok()?;
        let (width, height) = (header.width, header.height);
        let mut pixels = self.0.free.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default();
        pixels.resize(3 * width * height, 0);
        let image = Image { pixels: &mut pixels[..], width, pitch: 3 * width, height, format: PixelFormat::BGR };
        decompressor.decompress(jpeg, image).ok()?;
        let small = squeeze(&pixels, width as u32, height as u32)?;
        Some((Picture { pixels, width, height }, small))
    }

    fn give_back(&self, picture: Picture) {
        keep(&self.0.free, picture.pixels);
    }

    fn encode(&self, job: Job) {
        self.0.told.encoding(true);
        let refused = if self.0.patient {
            self.0.encoders.send(job).err().map(|error| error.0)
        } else {
            self.0.encoders.try_send(job).err().map(crossbeam_channel::TrySendError::into_inner)
        };
        if let Some(job) = refused {
            self.0.told.refuse();
            self.give_back(job.picture);
        }
    }
}

fn keep(free: &Mutex<Vec<Vec<u8>>>, pixels: Vec<u8>) {
    let mut free = free.lock().unwrap_or_else(PoisonError::into_inner);
    if free.len() < KEPT {
        free.push(pixels);
    }
}

/// Two by two pixels around each point that a pixel of the small picture stands for, weighted: what OpenCV calls linear.
fn squeeze(pixels: &[u8], width: u32, height: u32) -> Option<Vec<u8>> {
    let whole = TypedImageRef::<U8x3>::from_buffer(width, height, pixels).ok()?;
    let mut small = vec![0; 3 * SIDE as usize * SIDE as usize];
    let mut to = TypedImage::<U8x3>::from_buffer(SIDE, SIDE, &mut small).ok()?;
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Interpolation(FilterType::Bilinear));
    RESIZER.with_borrow_mut(|resizer| resizer.resize_typed(&whole, &mut to, &options)).ok()?;
    drop(to);
    Some(small)
}

/// Decodes the pictures of this tick side by side, compares each with the one before it, and has it encoded.
pub fn look(frames: Query<(&StableId, &Stamp, &Frame)>, work: ResMut<SameWork>) {
    let mut fresh: Vec<_> = frames.iter().collect();
    fresh.sort_unstable_by_key(|(id, ..)| **id);
    let work = &*work;
    let decoded = match fresh[..] {
        [] => Vec::new(),
        [(.., frame)] => vec![work.decode(&frame.jpeg)],
        _ => ComputeTaskPool::get().scope(|scope| {
            for (.., frame) in &fresh {
                scope.spawn(async { work.decode(&frame.jpeg) });
            }
        }),
    };
    let mut state = work.state();
    state.values.clear();
    for ((id, stamp, _), decoded) in fresh.iter().zip(decoded) {
        let Some((picture, small)) = decoded else { continue };
        let before = state.before.iter_mut().find(|(camera, _)| *camera == id.stream);
        let value = match before {
            Some((_, before)) => difference(&std::mem::replace(before, small.clone()), &small),
            None => {
                state.before.push((id.stream, small));
                255.0
            }
        };
        state.values.push((**id, value));
        let (place, changed) = (id.seq.saturating_sub(1), f64::from(value) > THRESHOLD);
        if changed || place.is_multiple_of(EVERY) {
            work.encode(Job { picture, place, due: stamp.captured, changed });
        } else {
            work.give_back(picture);
        }
    }
}

/// Mean absolute difference over all pixels and colours.
fn difference(a: &[u8], b: &[u8]) -> f32 {
    let sum: u64 = a.iter().zip(b).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
    (sum as f64 / a.len().max(1) as f64) as f32
}

/// A thread that encodes.
struct Encoder {
    jobs: Receiver<Job>,
    free: Arc<Mutex<Vec<Vec<u8>>>>,
    encoded: Arc<Mutex<Encoded>>,
    told: Told,
    buffers: Buffers,
}

impl Encoder {
    fn run(self) {
        let mut output = Vec::new();
        for Job { picture, place, due, changed } in &self.jobs {
            match encode(&picture, &mut output) {
                Ok(length) => {
                    // What is passed on is another's.
                    let jpeg: Bytes = self.buffers.copy(output.get(..length).unwrap_or_default());
                    let now = boottime();
                    let mut encoded = self.encoded.lock().unwrap_or_else(PoisonError::into_inner);
                    encoded.jpegs.push((place, jpeg.len()));
                    encoded.last = now;
                    if changed {
                        encoded.lane.add(due, now);
                    }
                    if place.is_multiple_of(EVERY) {
                        encoded.obstacle.add(due, now);
                    }
                }
                Err(error) => tracing::error!("picture {place} is not encoded: {error}"),
            }
            keep(&self.free, picture.pixels);
            self.told.encoding(false);
        }
    }
}

fn encode(picture: &Picture, output: &mut Vec<u8>) -> turbojpeg::Result<usize> {
    let &Picture { ref pixels, width, height } = picture;
    let mut compressor = Compressor::new()?;
    compressor.set_quality(QUALITY)?;
    compressor.set_subsamp(Subsamp::Sub2x2)?;
    output.resize(compressed_buf_len(width, height, Subsamp::Sub2x2)?, 0);
    let image = Image { pixels: &pixels[..], width, pitch: 3 * width, height, format: PixelFormat::BGR };
    compressor.compress_to_slice(image, output)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pixel_of_the_small_picture_is_that_around_its_middle() {
        // A ramp over 1280 pixels: the middle of pixel 10 of 64 is at 10.5 * 20 - 0.5 = 209.5.
        let (width, height) = (1280, 128);
        let ramp = |x: usize| (x * 255 / width) as u8;
        let pixels: Vec<u8> = (0..width * height).flat_map(|n| [ramp(n % width), 7, 255 - ramp(n % width)]).collect();
        let small = squeeze(&pixels, width as u32, height as u32).unwrap();
        let at = &small[3 * (20 * 64 + 10)..][..3];
        let wanted = (u32::from(ramp(209)) + u32::from(ramp(210))).div_ceil(2) as u8;
        assert!(at[0].abs_diff(wanted) <= 1 && at[1] == 7 && at[2].abs_diff(255 - wanted) <= 1, "{at:?}, {wanted}");
        assert!((difference(&small, &small), difference(&[0, 9], &[3, 4])) == (0.0, 4.0));
    }
}
