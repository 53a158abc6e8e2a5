//! Of which packets a report speaks.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use rtc::interceptor::{Interceptor, Packet, StreamInfo, TaggedPacket};
use rtc::rtcp::transport_feedbacks::transport_layer_cc::TransportLayerCc;
use rtc::sansio::Protocol;
use rtc::shared::error::Error;

use super::{Belt, Gauges, taken_from_belt};

/// Notes from which packet on a report speaks, before the library reads it. The library takes packets of which no report ever
/// spoke for lost; but reports are lost as well, and with one of them everything that came in the time between two.
pub(in super::super) struct Reports {
    gauges: Arc<Gauges>,
    belt: Belt,
}

impl Reports {
    /// Of a link with these gauges.
    pub fn new(gauges: Arc<Gauges>) -> Self {
        Self { gauges, belt: Belt::default() }
    }
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for Reports {
    type Rout = TaggedPacket;
    type Wout = TaggedPacket;
    type Eout = ();
    type Error = Error;
    type Time = Instant;

    fn handle_read(&mut self, packet: TaggedPacket) -> Result<(), Error> {
        if let Packet::Rtcp(parts) = &packet.message.packet {
            // Of several in one packet the first reaches back farthest.
            let report = parts.iter().find_map(|part| part.as_any().downcast_ref::<TransportLayerCc>());
            if let Some(report) = report {
                self.gauges.reported_from.store(report.base_sequence_number.into(), Ordering::Relaxed);
            }
        }
        self.belt.read.push_back(packet);
        Ok(())
    }

    fn handle_write(&mut self, packet: TaggedPacket) -> Result<(), Error> {
        self.belt.write.push_back(packet);
        Ok(())
    }

    taken_from_belt!();
}

impl Interceptor for Reports {
    fn bind_local_stream(&mut self, _: &StreamInfo) {}
    fn unbind_local_stream(&mut self, _: &StreamInfo) {}
    fn bind_remote_stream(&mut self, _: &StreamInfo) {}
    fn unbind_remote_stream(&mut self, _: &StreamInfo) {}
}

#[cfg(test)]
mod tests {
    use rtc::interceptor::AttributedPacket;
    use rtc::shared::TransportContext;

    use super::*;
    use crate::clock::instant;

    #[test]
    fn what_a_report_speaks_of_is_noted_and_numbers_go_round() {
        let gauges = Arc::<Gauges>::default();
        let mut reports = Reports::new(gauges.clone());
        let part = TransportLayerCc { base_sequence_number: 65_530, ..Default::default() };
        let message = AttributedPacket::new(Packet::Rtcp(vec![Box::new(part)]));
        reports.handle_read(TaggedPacket { now: instant(), transport: TransportContext::default(), message }).unwrap();
        assert!(reports.poll_read().is_some(), "it goes on");
        assert!([65_530, 65_535, 0, 200].into_iter().all(|number| gauges.is_reported(number)));
        assert!(![65_529, 60_000].into_iter().any(|number| gauges.is_reported(number)));
    }
}
