//! Short text that strangers write and people read: bounded, printable, and unable to lie on a terminal.

use std::fmt;

use minicbor::{Decode, Encode};

/// One to `MAX` bytes of UTF-8 without control characters and without characters that reorder or hide others
/// (Unicode TR 36, section 3): what is printed is what was signed.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Text<const MAX: usize>(String);

/// Why a text is refused. Says nothing of its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// No characters.
    #[error("text is empty")]
    Empty,
    /// Longer than allowed.
    #[error("text has {length} bytes where at most {limit} are allowed")]
    TooLong {
        /// Bytes given.
        length: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// A control character, or one that reorders or hides others.
    #[error("text has a character that cannot be printed as itself at byte {position}")]
    Unprintable {
        /// Where it stands.
        position: usize,
    },
}

impl<const MAX: usize> Text<MAX> {
    /// Takes `text` when it is within the bounds.
    ///
    /// # Errors
    /// [`TextError`].
    pub fn new(text: &str) -> Result<Self, TextError> {
        if text.is_empty() {
            return Err(TextError::Empty);
        }
        if text.len() > MAX {
            return Err(TextError::TooLong { length: text.len(), limit: MAX });
        }
        match text.char_indices().find(|&(_, character)| misleads(character)) {
            Some((position, _)) => Err(TextError::Unprintable { position }),
            None => Ok(Self(text.to_owned())),
        }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn misleads(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

impl<const MAX: usize> fmt::Display for Text<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl<C, const MAX: usize> Encode<C> for Text<MAX> {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut minicbor::Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.str(&self.0)?.ok()
    }
}

impl<'b, C, const MAX: usize> Decode<'b, C> for Text<MAX> {
    fn decode(d: &mut minicbor::Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        Self::new(d.str()?).map_err(|error| minicbor::decode::Error::message(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_would_print_as_something_else_is_refused() {
        assert_eq!(Text::<8>::new("").unwrap_err(), TextError::Empty);
        assert_eq!(Text::<8>::new("123456789").unwrap_err(), TextError::TooLong { length: 9, limit: 8 });
        for text in ["a\u{1b}[2J", "a\u{202e}b", "a\nb", "a\u{200b}b", "a\u{feff}"] {
            assert_eq!(
                Text::<32>::new(text).unwrap_err(),
                TextError::Unprintable { position: 1 },
                "{text:?}"
            );
        }
        assert_eq!(Text::<8>::new("Zürich").map(|text| text.to_string()), Ok("Zürich".to_owned()));
    }

    #[test]
    fn a_stranger_cannot_send_a_text_that_a_constructor_refuses() {
        let bytes = sealgrid_seal::canonical::encode(&"a\u{1b}[2J".to_owned());
        assert!(sealgrid_seal::canonical::decode::<Text<32>>(&bytes, 64).is_err());
        let bytes = sealgrid_seal::canonical::encode(&Text::<32>::new("grid").expect("printable"));
        assert!(sealgrid_seal::canonical::decode::<Text<32>>(&bytes, 64).is_ok());
    }
}
