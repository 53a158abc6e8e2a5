//! Who speaks when: RTTM (NIST, *Rich Transcription Evaluation Plan*, 2009, appendix A). Only `SPEAKER` lines are used.

use super::{LabelError, lines, number, shown};

/// Somebody speaks.
#[derive(Clone, Debug, PartialEq)]
pub struct Turn {
    /// The recording, without its ending.
    pub recording: String,
    /// When it begins, in seconds.
    pub start_s: f64,
    /// How long it lasts, in seconds.
    pub length_s: f64,
    /// Who.
    pub speaker: String,
}

/// Reads the turns of a file, in its order.
///
/// # Errors
/// When a line has too few columns, or its times are none.
pub fn turns(bytes: &[u8]) -> Result<Vec<Turn>, LabelError> {
    let mut turns = Vec::new();
    for (at, line) in lines(bytes)?.filter(|(_, line)| !line.starts_with(";;")) {
        let words: Vec<&str> = line.split_whitespace().collect();
        if words.first() != Some(&"SPEAKER") {
            continue;
        }
        let [_, recording, _, start, length, _, _, speaker, ..] = words[..] else {
            let what =
                format!("has {} columns, expected are `SPEAKER FILE CHANNEL START LENGTH <NA> <NA> NAME`", words.len());
            return Err(LabelError::at(at, what));
        };
        let time = |word| match number(at, word)? {
            time if time >= 0.0 => Ok(time),
            _ => Err(LabelError::at(at, format!("expected a time of 0 s or later, found `{}`", shown(word)))),
        };
        turns.push(Turn {
            recording: recording.to_owned(),
            start_s: time(start)?,
            length_s: time(length)?,
            speaker: speaker.to_owned(),
        });
    }
    Ok(turns)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speakers_are_read_and_the_rest_is_left() {
        let text = b";; made by hand\nSPKR-INFO a 1 <NA>\nSPEAKER a 1 6.690 0.430 <NA> <NA> speaker90 <NA> <NA>\n";
        let turn = Turn { recording: "a".into(), start_s: 6.69, length_s: 0.43, speaker: "speaker90".into() };
        assert_eq!(turns(text).unwrap(), [turn]);
        assert_eq!(turns(b"\nSPEAKER a 1 2").unwrap_err().line, Some(2));
        assert!(turns(b"SPEAKER a 1 -2 1 <NA> <NA> b").unwrap_err().what.contains("0 s or later"));
        assert!(turns(b"SPEAKER a 1 x 1 <NA> <NA> b").is_err());
    }
}
