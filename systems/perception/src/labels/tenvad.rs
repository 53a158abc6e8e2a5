//! Where there is speech in a recording: the labels of the TEN VAD test set (`*.scv`), one line of `NAME,START,END,0 or 1,…`
//! with times in seconds.

use super::{LabelError, lines, number, shown};

/// A stretch of a recording.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stretch {
    /// When it begins, in seconds.
    pub start_s: f64,
    /// When it ends, in seconds.
    pub end_s: f64,
    /// Whether somebody speaks.
    pub speech: bool,
}

/// Reads the stretches of a file, in its order.
///
/// # Errors
/// When a line has not three columns for each stretch behind its name, or they are no times.
pub fn stretches(bytes: &[u8]) -> Result<Vec<Stretch>, LabelError> {
    let mut all = Vec::new();
    for (at, line) in lines(bytes)? {
        let words: Vec<&str> = line.split(',').map(str::trim).skip(1).collect();
        let (each, rest) = words.as_chunks::<3>();
        if !rest.is_empty() || each.is_empty() {
            let what = "has not three columns for each stretch: expected are `NAME,START,END,0 or 1,…`";
            return Err(LabelError::at(at, what));
        }
        for [start, end, flag] in each {
            let (start_s, end_s) = (number(at, start)?, number(at, end)?);
            let speech = match *flag {
                "0" => false,
                "1" => true,
                other => return Err(LabelError::at(at, format!("expected 0 or 1, found `{}`", shown(other)))),
            };
            if !(start_s >= 0.0 && end_s >= start_s) {
                let what = format!("expected an end behind a start, found {start_s} and {end_s}");
                return Err(LabelError::at(at, what));
            }
            all.push(Stretch { start_s, end_s, speech });
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_are_read_and_what_is_none_is_named() {
        let found = stretches(b"testset-audio-01,0,2.07,0,2.07,2.32,1\n").unwrap();
        let stretch = |start_s, end_s, speech| Stretch { start_s, end_s, speech };
        assert_eq!(found, [stretch(0.0, 2.07, false), stretch(2.07, 2.32, true)]);
        assert_eq!(stretches(b"").unwrap(), []);
        for (bad, said) in [
            ("a,0,1", "three columns"),
            ("a", "three columns"),
            ("a,0,1,2", "0 or 1"),
            ("a,2,1,1", "behind a start"),
            ("a,x,1,1", "expected a number"),
        ] {
            let error = stretches(bad.as_bytes()).unwrap_err();
            assert!(error.line == Some(1) && error.what.contains(said), "{bad}: {error}");
        }
    }
}
