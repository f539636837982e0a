//! Where a passphrase comes from: a file, the environment, or the terminal.

use std::path::Path;

use sealgrid_seal::secret::SecretBytes;

use crate::failure::{Failure, unreadable};

/// The variable that is read when no file is named.
pub const VARIABLE: &str = "SEALGRID_PASSPHRASE";

/// The passphrase from `file`, else the environment, else the terminal; asked twice when it is `new`.
pub fn obtain(file: Option<&Path>, new: bool) -> Result<SecretBytes, Failure> {
    if let Some(path) = file {
        let text = SecretBytes::new(std::fs::read(path).map_err(|error| unreadable(path, &error))?);
        let line = text.expose().split(|&byte| byte == b'\n').next().unwrap_or_default();
        return non_empty(SecretBytes::new(line.to_vec()));
    }
    if let Some(text) = std::env::var_os(VARIABLE) {
        return non_empty(SecretBytes::new(text.into_encoded_bytes()));
    }
    typed(new, ask)
}

/// What a person types; twice when it is `new`, because nobody can see a slip.
fn typed(
    new: bool,
    mut ask: impl FnMut(&str) -> Result<SecretBytes, Failure>,
) -> Result<SecretBytes, Failure> {
    let first = non_empty(ask("passphrase: ")?)?;
    if new && ask("the same again: ")?.expose() != first.expose() {
        return Err(Failure::new("E-KEY-94", "the two passphrases differ").hint("type the command again"));
    }
    Ok(first)
}

fn ask(prompt: &str) -> Result<SecretBytes, Failure> {
    let text = rpassword::prompt_password(prompt).map_err(|error| {
        Failure::new("E-KEY-93", "there is no passphrase")
            .why(error)
            .hint("give --passphrase-file FILE, or set SEALGRID_PASSPHRASE")
    })?;
    Ok(SecretBytes::new(text.into_bytes()))
}

fn non_empty(passphrase: SecretBytes) -> Result<SecretBytes, Failure> {
    if passphrase.is_empty() {
        return Err(Failure::new("E-KEY-93", "there is no passphrase").why("it is empty"));
    }
    Ok(passphrase)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_passphrase_is_refused() {
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("passphrase");
        std::fs::write(&file, "\n").expect("written");
        assert_eq!(obtain(Some(&file), true).expect_err("empty").code, "E-KEY-93");
        std::fs::write(&file, "hush\n").expect("written");
        assert_eq!(obtain(Some(&file), true).expect("one line").expose(), b"hush");
    }

    #[test]
    fn a_slip_in_a_new_passphrase_is_noticed_and_an_old_one_is_typed_once() {
        let answers = |words: &'static [&'static str]| {
            let mut words = words.iter();
            move |_: &str| {
                Ok(SecretBytes::new(words.next().expect("asked no more often").as_bytes().to_vec()))
            }
        };
        assert_eq!(typed(true, answers(&["hush", "hash"])).expect_err("they differ").code, "E-KEY-94");
        assert_eq!(typed(true, answers(&["hush", "hush"])).expect("the same").expose(), b"hush");
        assert_eq!(typed(false, answers(&["hush"])).expect("once").expose(), b"hush");
    }
}
