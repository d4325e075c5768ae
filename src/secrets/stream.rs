//! Files too large to hold: encrypted and opened as they pass, for the same readers and by the same identities as the secrets file.

use super::Identity;
use super::crypt::{Named, Recipient, header};
use super::store::no_reader;
use crate::error::{Failure, Result};
use age::stream::{StreamReader, StreamWriter};
use age::{DecryptError, Decryptor, Encryptor};
use std::io::{BufReader, Chain, Cursor, Read, Write};
use std::path::Path;

/// Bytes in which a header ends: some thousand readers.
const HEADER: u64 = 256 << 10;

/// What goes in here comes out at `to`, encrypted to all of `readers`. Whole only once it was finished.
///
/// # Errors
/// There is no reader; `to` takes nothing.
pub fn seal<W: Write>(to: W, readers: &[Recipient]) -> Result<StreamWriter<W>> {
    let named: Vec<Named> = readers.iter().cloned().map(Named).collect();
    let failed = |why: String| Failure::failed(format!("cannot encrypt: {why}"));
    let encryptor = Encryptor::with_recipients(named.iter().map(|r| r as &dyn age::Recipient)).map_err(|e| failed(e.to_string()))?;
    encryptor.wrap_output(to).map_err(|e| failed(e.to_string()))
}

/// A sealed file, opened; what is read last fails where the file was cut or changed.
pub type Unsealed<R> = StreamReader<BufReader<Chain<Cursor<Vec<u8>>, R>>>;

/// The clear content of `from`, which lies at `path`.
///
/// # Errors
/// Another identity's (class `INVENTORY`), not an age file, damaged.
pub fn unseal<R: Read>(path: &Path, mut from: R, identity: &Identity) -> Result<Unsealed<R>> {
    let damaged = |why: String| Failure::failed(format!("{} is no backup, or damaged", path.display())).seen(why).help("take another one");
    let mut beginning = Vec::new();
    from.by_ref().take(HEADER).read_to_end(&mut beginning).map_err(|e| damaged(e.to_string()))?;
    let header = header(&beginning);
    let decryptor = Decryptor::new_buffered(BufReader::new(Cursor::new(beginning).chain(from))).map_err(|e| damaged(e.to_string()))?;
    decryptor.decrypt(identity.keys().map(|k| k as &dyn age::Identity)).map_err(|e| match e {
        DecryptError::NoMatchingKeys if !identity.keys().any(|k| header.named.contains(&k.to_public())) => {
            no_reader(path, &header, identity)
        }
        e => damaged(e.to_string()),
    })
}
