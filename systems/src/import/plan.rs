//! The ticks that a live run would have had: which inputs come in with which.

use std::time::Duration;

use waywarden_components::device::LinkState;
use waywarden_components::id::StreamId;
use waywarden_components::input::{BoundaryReason, Input, Payload};
use waywarden_components::time::Mono;

use super::{ImportError, TimedItem};

/// Longest recording that is imported at once, in hours. Beyond it a broken time is more likely than a drive.
pub const MAX_HOURS: u64 = 7 * 24;

/// One tick and what comes in with it.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedTick {
    /// Its number, from 1.
    pub number: u64,
    /// When it is: its number times the period.
    pub at: Mono,
    /// What comes in: the segment's boundary, links that came, samples in order of (time, stream), links that ended.
    pub inputs: Vec<Input>,
}

/// An iterator over ticks, empty ones included, until that of the last item. Ends after the first error.
pub struct Ticks<I> {
    items: I,
    streams: Vec<(StreamId, u64)>,
    period: u64,
    segment_length: Duration,
    segment: u32,
    segment_start: Mono,
    number: u64,
    head: Option<(StreamId, TimedItem)>,
    ended: bool,
}

/// Groups `items` into ticks of `period` (zero is taken for a nanosecond): an item comes in with the first tick at or
/// after its time, under the next number of its stream, from 1.
///
/// Tick 1 opens segment 0 and says of each of `streams` that it is connected; the last tick says that they ended. A new
/// segment opens with the first tick that is `segment_length` or more after the one that opened the one before.
/// Items of a stream that is not among `streams` are left out.
pub fn plan_ticks<I>(items: I, streams: &[StreamId], period: Duration, segment_length: Duration) -> Ticks<I>
where
    I: Iterator<Item = Result<(StreamId, TimedItem), ImportError>>,
{
    Ticks {
        items,
        streams: streams.iter().map(|&stream| (stream, 0)).collect(),
        period: u64::try_from(period.as_nanos()).unwrap_or(u64::MAX).max(1),
        segment_length,
        segment: 0,
        segment_start: Mono::default(),
        number: 0,
        head: None,
        ended: false,
    }
}

/// Fails when `at` is later than any drive: the empty ticks until then would never end.
fn believable(at: Mono) -> Result<(), ImportError> {
    let hours = at.as_secs_f64() / 3600.0;
    if hours < MAX_HOURS as f64 { Ok(()) } else { Err(ImportError::TooLong { hours, limit: MAX_HOURS }) }
}

impl<I> Ticks<I> {
    /// Where the items come from, for counts and warnings.
    pub fn source(&self) -> &I {
        &self.items
    }

    /// Where the items came from.
    pub fn into_source(self) -> I {
        self.items
    }
}

impl<I: Iterator<Item = Result<(StreamId, TimedItem), ImportError>>> Ticks<I> {
    /// Takes the items up to `at` and leaves the first one after it in `head`; false at the end.
    fn take_until(&mut self, at: Mono, inputs: &mut Vec<Input>) -> Result<bool, ImportError> {
        loop {
            if self.head.is_none() {
                self.head = self.items.next().transpose()?;
                self.head.as_ref().map_or(Ok(()), |(_, item)| believable(item.at))?;
            }
            let Some((stream, item)) = self.head.take_if(|(_, item)| item.at <= at) else {
                return Ok(self.head.is_some());
            };
            let Some((_, seq)) = self.streams.iter_mut().find(|(known, _)| *known == stream) else { continue };
            *seq += 1;
            inputs.push(Input { stream, seq: *seq, captured: item.at, payload: item.payload });
        }
    }

    fn boundary(&mut self, at: Mono) -> Option<Input> {
        let reason = if self.number == 1 {
            BoundaryReason::Start
        } else if at.since(self.segment_start) >= self.segment_length {
            self.segment += 1;
            BoundaryReason::Time
        } else {
            return None;
        };
        self.segment_start = at;
        let payload = Payload::Boundary { segment: self.segment, reason };
        Some(Input { stream: StreamId::APP, seq: 0, captured: at, payload })
    }

    fn links(&self, at: Mono, state: LinkState) -> impl Iterator<Item = Input> {
        let link = move |&(stream, _): &(StreamId, u64)| Input {
            stream,
            seq: 0,
            captured: at,
            payload: Payload::Link(state.clone()),
        };
        self.streams.iter().map(link)
    }

    fn tick(&mut self) -> Result<PlannedTick, ImportError> {
        self.number += 1;
        let at = Mono(self.number.saturating_mul(self.period));
        let mut inputs: Vec<Input> = self.boundary(at).into_iter().collect();
        if self.number == 1 {
            inputs.extend(self.links(Mono::default(), LinkState::Connected));
        }
        if !self.take_until(at, &mut inputs)? {
            self.ended = true;
            inputs.extend(self.links(at, LinkState::Ended));
        }
        Ok(PlannedTick { number: self.number, at, inputs })
    }
}

impl<I: Iterator<Item = Result<(StreamId, TimedItem), ImportError>>> Iterator for Ticks<I> {
    type Item = Result<PlannedTick, ImportError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let tick = self.tick();
        self.ended |= tick.is_err();
        Some(tick)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    const MS: u64 = 1_000_000;
    const PERIOD: Duration = Duration::from_millis(10);

    fn item(stream: u16, at: u64) -> Result<(StreamId, TimedItem), ImportError> {
        Ok((StreamId(stream), TimedItem { at: Mono(at), payload: Payload::Serial(Bytes::from_static(b"x")) }))
    }

    fn plan(items: Vec<Result<(StreamId, TimedItem), ImportError>>) -> Vec<PlannedTick> {
        let streams = [StreamId(1), StreamId(2)];
        plan_ticks(items.into_iter(), &streams, PERIOD, Duration::from_millis(30)).map(|tick| tick.unwrap()).collect()
    }

    fn names(tick: &PlannedTick) -> Vec<(&'static str, u16, u64)> {
        tick.inputs.iter().map(|input| (input.payload.name(), input.stream.0, input.seq)).collect()
    }

    #[test]
    fn items_come_in_with_the_first_tick_at_or_after_their_time() {
        let ticks = plan(vec![item(1, 0), item(2, 10 * MS), item(1, 10 * MS + 1), item(1, 40 * MS)]);
        assert_eq!(
            ticks.iter().map(|t| (t.number, t.at.0)).collect::<Vec<_>>(),
            [(1, 10 * MS), (2, 20 * MS), (3, 30 * MS), (4, 40 * MS)]
        );
        assert_eq!(
            names(&ticks[0]),
            [("boundary", 0, 0), ("link", 1, 0), ("link", 2, 0), ("serial", 1, 1), ("serial", 2, 1)]
        );
        assert_eq!(names(&ticks[1]), [("serial", 1, 2)]);
        assert_eq!(ticks[1].inputs[0].captured, Mono(10 * MS + 1));
        assert!(ticks[2].inputs.is_empty());
        assert_eq!(names(&ticks[3]), [("boundary", 0, 0), ("serial", 1, 3), ("link", 1, 0), ("link", 2, 0)]);
        let ended = ticks[3].inputs.iter().filter(|i| i.payload == Payload::Link(LinkState::Ended)).count();
        assert_eq!(ended, 2);
    }

    #[test]
    fn segments_open_by_time() {
        let ticks = plan(vec![item(1, 0), item(1, 100 * MS)]);
        let boundaries: Vec<(u64, Payload)> = ticks
            .iter()
            .flat_map(|tick| tick.inputs.iter().map(|input| (tick.number, input.payload.clone())))
            .filter(|(_, payload)| matches!(payload, Payload::Boundary { .. }))
            .collect();
        assert_eq!(
            boundaries,
            [
                (1, Payload::Boundary { segment: 0, reason: BoundaryReason::Start }),
                (4, Payload::Boundary { segment: 1, reason: BoundaryReason::Time }),
                (7, Payload::Boundary { segment: 2, reason: BoundaryReason::Time }),
                (10, Payload::Boundary { segment: 3, reason: BoundaryReason::Time }),
            ]
        );
    }

    #[test]
    fn nothing_at_all_is_one_tick_and_a_wild_time_is_an_error() {
        assert_eq!(plan(vec![]).len(), 1);
        let ticks: Vec<_> =
            plan_ticks(vec![item(1, 0), item(1, u64::MAX)].into_iter(), &[StreamId(1)], PERIOD, PERIOD).collect();
        assert_eq!(ticks.len(), 1);
        assert!(matches!(ticks[0], Err(ImportError::TooLong { .. })));
    }
}
