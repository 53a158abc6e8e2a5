//! Wrong tokens, by the address they came from.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use waywarden_components::prelude::Mono;

/// So many wrong tokens may come from an address at once.
const BURST: u32 = 10;

/// After them one more each time this has passed.
const EACH: Duration = Duration::from_secs(6);

/// Addresses that are remembered. Where there are more, the one that has to wait least is forgotten.
const MOST: usize = 1024;

/// For each address the time at which all its wrong tokens are forgiven.
#[derive(Debug, Default)]
pub(super) struct Failures(BTreeMap<IpAddr, Mono>);

impl Failures {
    /// How long an address has to wait before a token of its is looked at again, in whole seconds; none where it has not to.
    pub fn wait(&self, peer: IpAddr, now: Mono) -> Option<u32> {
        let forgiven = *self.0.get(&network(peer))?;
        let wait = forgiven.since(now).checked_sub(EACH * (BURST - 1))?;
        (!wait.is_zero()).then(|| u32::try_from(wait.as_secs()).unwrap_or(u32::MAX).saturating_add(1))
    }

    /// A wrong token came.
    pub fn count(&mut self, peer: IpAddr, now: Mono) {
        let peer = network(peer);
        if self.0.len() >= MOST && !self.0.contains_key(&peer) {
            let least = self.0.iter().min_by_key(|(_, forgiven)| **forgiven).map(|(peer, _)| *peer);
            least.map(|peer| self.0.remove(&peer));
        }
        let forgiven = self.0.entry(peer).or_insert(now);
        *forgiven = (*forgiven).max(now) + EACH;
    }
}

/// Whom an address is counted with: whoever has one of IPv6 has 2^64 of them.
fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & (u128::MAX << 64))),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Mono {
        Mono::from_nanos(1_000_000_000 * (1000 + seconds))
    }

    #[test]
    fn a_few_are_forgiven_and_more_have_to_wait() {
        let (mut failures, peer) = (Failures::default(), IpAddr::from([10, 0, 0, 1]));
        for _ in 0..BURST {
            assert_eq!(failures.wait(peer, at(0)), None);
            failures.count(peer, at(0));
        }
        let wait = failures.wait(peer, at(0)).unwrap();
        assert!((1..=7).contains(&wait), "{wait}");
        assert_eq!(failures.wait(IpAddr::from([10, 0, 0, 2]), at(0)), None);
        assert_eq!(failures.wait(peer, at(wait.into())), None);
        failures.count(peer, at(wait.into()));
        assert!(failures.wait(peer, at(wait.into())).is_some());
        assert_eq!(failures.wait(peer, at(1000)), None, "all is forgiven");
    }

    #[test]
    fn who_has_many_addresses_is_counted_as_one() {
        let mut failures = Failures::default();
        for n in 0..u128::from(BURST) {
            failures.count(IpAddr::V6(Ipv6Addr::from_bits((0xfd00 << 112) + n)), at(0));
        }
        assert!(failures.wait("fd00::1:2:3".parse().unwrap(), at(0)).is_some());
        assert!(failures.wait("fd01::1".parse().unwrap(), at(0)).is_none());
        (0..BURST).for_each(|_| failures.count(IpAddr::from([10, 0, 0, 1]), at(0)));
        assert!(failures.wait("::ffff:10.0.0.1".parse().unwrap(), at(0)).is_some());
    }

    #[test]
    fn memory_is_bounded_and_the_worst_are_remembered() {
        let (mut failures, worst) = (Failures::default(), IpAddr::from([10, 0, 0, 1]));
        (0..2 * BURST).for_each(|_| failures.count(worst, at(0)));
        for n in 0..5000u32 {
            failures.count(IpAddr::V4((0x0b00_0000 + n).into()), at(0));
        }
        assert!(failures.0.len() <= MOST && failures.wait(worst, at(0)).is_some());
    }
}
