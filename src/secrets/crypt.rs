//! age, armored, to x25519 recipients; any age program can open the result.
//!
//! age files do not tell whom they are for. Ours do, in a stanza of the header that other programs pass over:
//! so a wrong identity can be told which one is wanted, and writing again keeps everybody's access.

use super::Identity;
use age::armor::{ArmoredReader, ArmoredWriter, Format};
use age::{DecryptError, Decryptor, EncryptError, Encryptor};
use age_core::format::{FileKey, Stanza};
use std::collections::HashSet;
use std::io::{Read, Write};
use zeroize::Zeroizing;

/// Whom a file is for: an age public key, `age1…`.
pub use age::x25519::Recipient;

/// Tag of the stanza that names a recipient.
const NAMED: &str = "homectl-recipient";

/// Tag of the stanza that tells by what these secrets are told from others; its arguments are sums.
const KNOWS: &str = "homectl-knows";

/// A recipient that also leaves its name in the header.
pub(super) struct Named(pub(super) Recipient);

/// The first of them, which leaves there what the secrets are told by.
struct Marked(Named, Vec<String>);

impl age::Recipient for Marked {
    fn wrap_file_key(&self, file_key: &FileKey) -> Result<(Vec<Stanza>, HashSet<String>), EncryptError> {
        let (mut stanzas, labels) = self.0.wrap_file_key(file_key)?;
        stanzas.push(Stanza { tag: KNOWS.to_owned(), args: self.1.clone(), body: Vec::new() });
        Ok((stanzas, labels))
    }
}

impl age::Recipient for Named {
    fn wrap_file_key(&self, file_key: &FileKey) -> Result<(Vec<Stanza>, HashSet<String>), EncryptError> {
        let (mut stanzas, labels) = self.0.wrap_file_key(file_key)?;
        stanzas.push(Stanza { tag: NAMED.to_owned(), args: vec![self.0.to_string()], body: Vec::new() });
        Ok((stanzas, labels))
    }
}

/// `clear` encrypted to all of `recipients`, armored; `knows` stands in the header for everybody to read.
pub(super) fn encrypt(clear: &str, recipients: &[Recipient], knows: &[String]) -> Result<Vec<u8>, EncryptError> {
    let mut named: Vec<Box<dyn age::Recipient>> = Vec::new();
    for recipient in recipients.iter().cloned().map(Named) {
        let first = named.is_empty() && !knows.is_empty();
        named.push(if first { Box::new(Marked(recipient, knows.to_vec())) } else { Box::new(recipient) });
    }
    let encryptor = Encryptor::with_recipients(named.iter().map(|r| &**r))?;
    let mut sealed = Vec::new();
    let mut writer = encryptor.wrap_output(ArmoredWriter::wrap_output(&mut sealed, Format::AsciiArmor)?)?;
    writer.write_all(clear.as_bytes())?;
    writer.finish()?.finish()?;
    Ok(sealed)
}

/// The clear text of `sealed`, armored or not.
pub(super) fn decrypt(sealed: &[u8], identity: &Identity) -> Result<Zeroizing<Vec<u8>>, DecryptError> {
    let decryptor = Decryptor::new_buffered(ArmoredReader::new(sealed))?;
    let mut clear = Zeroizing::new(Vec::new());
    decryptor.decrypt(identity.keys().map(|k| k as &dyn age::Identity))?.read_to_end(&mut clear)?;
    Ok(clear)
}

/// Whom the header of an age file names.
pub(super) struct Header {
    pub(super) named: Vec<Recipient>,
    /// What the secrets in it are told by, where it says so.
    pub(super) knows: Vec<String>,
    /// How many stanzas hold the file's key.
    pub(super) holders: usize,
}

/// Reads the header of `sealed` as far as it goes; a damaged one simply names fewer.
pub(super) fn header(sealed: &[u8]) -> Header {
    let mut bytes = Vec::new();
    // An error leaves what was read before it.
    let _ = ArmoredReader::new(sealed).read_to_end(&mut bytes);
    let mut header = Header { named: Vec::new(), knows: Vec::new(), holders: 0 };
    for line in bytes.split(|b| *b == b'\n').take_while(|l| !l.starts_with(b"---")) {
        let Some(stanza) = std::str::from_utf8(line).ok().and_then(|l| l.strip_prefix("-> ")) else { continue };
        match stanza.split(' ').collect::<Vec<_>>()[..] {
            [NAMED, recipient] => header.named.extend(recipient.parse::<Recipient>()),
            [KNOWS, ref sums @ ..] => header.knows.extend(sums.iter().map(|sum| (*sum).to_owned())),
            // Noise that age programs add on purpose.
            [tag, ..] if tag.ends_with("-grease") => {}
            _ => header.holders += 1,
        }
    }
    header
}
