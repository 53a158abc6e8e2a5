//! Several recordings as one, in order of time.

use waywarden_components::id::StreamId;
use waywarden_components::input::Payload;

use super::{ImportError, Reader, TimedItem};

/// What a stream gave so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// The stream.
    pub stream: StreamId,
    /// Items.
    pub items: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes of the smallest one.
    pub smallest: usize,
    /// Bytes of the largest one.
    pub largest: usize,
}

impl Tally {
    fn count(&mut self, payload: &Payload) {
        let bytes = payload.weight();
        self.smallest = if self.items == 0 { bytes } else { self.smallest.min(bytes) };
        self.largest = self.largest.max(bytes);
        self.items += 1;
        self.bytes += bytes as u64;
    }

    /// Mean bytes of an item; 0 when there is none.
    pub fn mean(&self) -> u64 {
        self.bytes.checked_div(self.items).unwrap_or(0)
    }
}

struct Source {
    reader: Box<dyn Reader>,
    /// The next item; none before the first look and after the end.
    head: Option<TimedItem>,
    ended: bool,
    tally: Tally,
}

/// An iterator over the items of several readers in order of (time, stream). Ends after the first error.
pub struct Merge {
    sources: Vec<Source>,
    failed: bool,
}

/// Joins `sources` in order of (time, stream). Items of one stream keep their order.
pub fn merge(sources: Vec<(StreamId, Box<dyn Reader>)>) -> Merge {
    let mut sources: Vec<Source> = sources
        .into_iter()
        .map(|(stream, reader)| {
            let tally = Tally { stream, ..Tally::default() };
            Source { reader, head: None, ended: false, tally }
        })
        .collect();
    sources.sort_by_key(|source| source.tally.stream);
    Merge { sources, failed: false }
}

impl Merge {
    /// What each stream gave so far, in order of streams.
    pub fn tallies(&self) -> Vec<Tally> {
        self.sources.iter().map(|source| source.tally).collect()
    }

    /// What was odd about each recording. Complete only after the last item.
    pub fn warnings(&self) -> Vec<(StreamId, String)> {
        let of = |source: &Source| {
            let stream = source.tally.stream;
            source.reader.warnings().into_iter().map(move |warning| (stream, warning))
        };
        self.sources.iter().flat_map(of).collect()
    }

    /// The streams, in order.
    pub fn streams(&self) -> Vec<StreamId> {
        self.sources.iter().map(|source| source.tally.stream).collect()
    }

    fn fill(&mut self) -> Result<(), ImportError> {
        for source in self.sources.iter_mut().filter(|source| source.head.is_none() && !source.ended) {
            match source.reader.next().transpose()? {
                Some(item) => source.head = Some(item),
                None => source.ended = true,
            }
        }
        Ok(())
    }
}

impl Iterator for Merge {
    type Item = Result<(StreamId, TimedItem), ImportError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        if let Err(error) = self.fill() {
            self.failed = true;
            return Some(Err(error));
        }
        let first = self.sources.iter_mut().filter(|source| source.head.is_some());
        let first = first.min_by_key(|source| source.head.as_ref().map(|head| (head.at, source.tally.stream)))?;
        let item = first.head.take()?;
        first.tally.count(&item.payload);
        Some(Ok((first.tally.stream, item)))
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use waywarden_components::time::Mono;

    use super::*;

    fn items(times_ms: &[u64]) -> Box<dyn Reader> {
        let item = |&ms: &u64| {
            let payload = Payload::Serial(Bytes::from(vec![0; ms as usize % 7]));
            Ok(TimedItem { at: Mono(ms * 1_000_000), payload })
        };
        Box::new(times_ms.iter().map(item).collect::<Vec<_>>().into_iter())
    }

    #[test]
    fn items_come_in_order_of_time_and_stream() {
        let mut merged =
            merge(vec![(StreamId(3), items(&[0, 5, 5, 20])), (StreamId(1), items(&[5, 6])), (StreamId(2), items(&[]))]);
        let order: Vec<(u64, u16)> =
            merged.by_ref().map(|item| item.unwrap()).map(|(s, item)| (item.at.0 / 1_000_000, s.0)).collect();
        assert_eq!(order, [(0, 3), (5, 1), (5, 3), (5, 3), (6, 1), (20, 3)]);
        let tallies = merged.tallies();
        assert_eq!((tallies[0].items, tallies[0].bytes, tallies[0].smallest, tallies[0].largest), (2, 11, 5, 6));
        assert_eq!((tallies[0].mean(), tallies[1].mean(), tallies[2].items), (5, 0, 4));
    }

    #[test]
    fn the_first_error_ends_it() {
        let broken = vec![
            Ok(TimedItem { at: Mono(9), payload: Payload::Shutdown }),
            Err(ImportError::TooLong { hours: 1.0, limit: 1 }),
        ];
        let mut merged = merge(vec![(StreamId(1), Box::new(broken.into_iter())), (StreamId(2), items(&[1, 2, 3]))]);
        assert!(merged.next().unwrap().is_ok());
        assert!(merged.next().unwrap().is_err());
        assert!(merged.next().is_none());
    }
}
