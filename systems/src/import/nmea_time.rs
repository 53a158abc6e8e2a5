//! The time of day in an NMEA 0183 sentence. Just that: what the sentence says is for the app's own parser.

/// Nanoseconds of a day.
pub(crate) const DAY: i64 = 86_400 * 1_000_000_000;

/// What a line is to somebody who wants to know its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// No sentence: a comment, binary, a fragment.
    Other,
    /// A sentence without a time of its own, or one that cannot be trusted.
    Sentence,
    /// A sound sentence that carries a time of day, in nanoseconds since midnight.
    Timed(i64),
}

/// Looks at one line of a receiver's output.
pub(crate) fn look(line: &[u8]) -> Line {
    let Some((kind, body)) = sentence(line) else { return Line::Other };
    let field = match kind {
        b"RMC" | b"GGA" | b"ZDA" | b"GNS" => 1,
        b"GLL" => 5,
        _ => return Line::Sentence,
    };
    match body.split(|&byte| byte == b',').nth(field).and_then(time_of_day) {
        Some(time) => Line::Timed(time),
        None => Line::Sentence,
    }
}

/// Whether the line is a sentence of this kind (`RMC`, `GGA`), whatever its checksum.
pub(crate) fn is_kind(line: &[u8], wanted: &[u8; 3]) -> bool {
    start(line).and_then(|line| line.get(2..5)) == Some(wanted)
}

/// What follows the last `$` or `!` in a line: a receiver that was cut off may go on in the same line.
fn start(line: &[u8]) -> Option<&[u8]> {
    let start = line.iter().rposition(|&byte| byte == b'$' || byte == b'!')?;
    line.get(start + 1..)
}

/// The three letters of the kind, and all that the checksum covers. None when there is no sentence or its checksum is
/// wrong; a sentence without a checksum passes, for old receivers.
fn sentence(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let text = start(line)?.trim_ascii_end();
    let body = match text.iter().position(|&byte| byte == b'*') {
        Some(star) => {
            let sum = std::str::from_utf8(text.get(star + 1..star + 3)?).ok()?;
            let sum = u8::from_str_radix(sum, 16).ok()?;
            let body = text.get(..star)?;
            (body.iter().fold(0, |sum, byte| sum ^ byte) == sum).then_some(body)?
        }
        None => text,
    };
    let address = body.split(|&byte| byte == b',').next()?;
    let is_address = (4..=8).contains(&address.len()) && address.len() < body.len();
    let is_text = address.iter().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
    (is_address && is_text).then(|| (if address.len() == 5 { &address[2..] } else { b"".as_slice() }, body))
}

/// `hhmmss` with any number of decimals as nanoseconds since midnight. A leap second is second 60.
fn time_of_day(field: &[u8]) -> Option<i64> {
    let (whole, decimals) = match field.iter().position(|&byte| byte == b'.') {
        Some(point) => (&field[..point], &field[point + 1..]),
        None => (field, b"".as_slice()),
    };
    let digit = |byte: &u8| byte.is_ascii_digit().then(|| i64::from(byte - b'0'));
    let whole: Vec<i64> = (whole.len() == 6).then(|| whole.iter().map_while(digit).collect())?;
    let [h1, h0, m1, m0, s1, s0] = whole[..] else { return None };
    let (hour, minute, second) = (h1 * 10 + h0, m1 * 10 + m0, s1 * 10 + s0);
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let mut nanos = 0;
    for place in 0..9 {
        nanos = nanos * 10 + decimals.get(place).map_or(Some(0), digit)?;
    }
    Some(((hour * 60 + minute) * 60 + second) * 1_000_000_000 + nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;

    fn with_sum(body: &str) -> Vec<u8> {
        let sum = body.bytes().fold(0, |sum, byte| sum ^ byte);
        format!("${body}*{sum:02X}\r\n").into_bytes()
    }

    #[test]
    fn the_time_is_found_in_its_field() {
        let cases = [
            ("GPRMC,010203.25,A,,,,,,,,,", 3723 * SECOND + SECOND / 4),
            ("GNGGA,235959,,,,,0,,,,,,,,", 86_399 * SECOND),
            ("GNGLL,4004.7,N,11614.2,E,000001.5,A,D", SECOND * 3 / 2),
            ("GPZDA,000060.123456789123,1,2,2026,,", 60 * SECOND + 123_456_789),
            ("GNGNS,000002.,,,,,NN,,,,,,", 2 * SECOND),
        ];
        for (body, time) in cases {
            assert_eq!(look(&with_sum(body)), Line::Timed(time), "{body}");
            assert_eq!(look(format!("${body}").as_bytes()), Line::Timed(time), "{body} without a sum");
        }
        let joined = [b"$GPGSA,A,1,,,".as_slice(), &with_sum("GPRMC,010203.25,A,,,,,,,,,")].concat();
        assert_eq!(look(&joined), Line::Timed(3723 * SECOND + SECOND / 4));
    }

    #[test]
    fn what_has_no_time_is_told_apart() {
        for body in [
            "GPGSV,1,1,00",
            "GPRMC,,V,,,,,,,,,",
            "GPRMC,246060,V,,,",
            "GPRMC,12:00:00,V",
            "PUBX,00,120000",
            "GPGGA,12000x",
        ] {
            assert_eq!(look(&with_sum(body)), Line::Sentence, "{body}");
        }
        for line in [
            "",
            "# a comment",
            "GPRMC,120000",
            "$GPRMC,120000*00",
            "$GPRMC,120000*",
            "$",
            "$,120000",
            "$GPRMC",
            "$gprmc,120000",
        ] {
            assert_eq!(look(line.as_bytes()), Line::Other, "{line}");
        }
        assert!(is_kind(b"$GPRMC,120000*00", b"RMC"));
        assert!(!is_kind(b"$GP", b"RMC"));
    }
}
