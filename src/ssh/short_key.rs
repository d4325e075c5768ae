//! Key files as `ssh-keygen` writes them, all of them.
//!
//! OpenSSH drops leading zero bytes of an ECDSA key's private number, so one P-256 key in 256 is a byte shorter than the others. The
//! library's decoder refuses those for their length; here such a key is taken apart by hand, after it said so.

use russh::keys::ssh_key::private::{EcdsaKeypair, EcdsaPrivateKey, KeypairData};
use russh::keys::ssh_key::{Error as KeyError, encoding};
use russh::keys::{Error, PrivateKey, decode_secret_key};
use zeroize::Zeroizing;

const MAGIC: &[u8] = b"openssh-key-v1\0";
const BEGIN: &str = "-----BEGIN OPENSSH PRIVATE KEY-----";
const END: &str = "-----END OPENSSH PRIVATE KEY-----";

/// The private key in `text`, a key file of any format that `OpenSSH` or `PuTTY` write.
///
/// # Errors
/// [`Error::KeyIsEncrypted`] where it takes a passphrase and none is given; else what is wrong with the text or the passphrase.
pub(super) fn decode(text: &str, passphrase: Option<&str>) -> Result<PrivateKey, Error> {
    match decode_secret_key(text, passphrase) {
        Err(Error::SshKey(KeyError::Encoding(encoding::Error::Length))) => {
            let section = match passphrase {
                Some(passphrase) => unlocked(text, passphrase),
                None => plain(text),
            };
            let refused = || Error::SshKey(KeyError::Encoding(encoding::Error::Length));
            section.and_then(|section| padded(&section)).ok_or_else(refused)
        }
        decoded => decoded,
    }
}

/// The private section of a file that is not encrypted.
fn plain(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let armored = text.split_once(BEGIN)?.1.split_once(END)?.0;
    let armored: Zeroizing<Vec<u8>> = Zeroizing::new(armored.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect());
    let bytes = Zeroizing::new(data_encoding::BASE64.decode(&armored).ok()?);
    let mut rest = bytes.strip_prefix(MAGIC)?;
    let (_cipher, _kdf, _options) = (string(&mut rest)?, string(&mut rest)?, string(&mut rest)?);
    let _keys = take(&mut rest, 4)?;
    let _public = string(&mut rest)?;
    Some(Zeroizing::new(string(&mut rest)?.to_vec()))
}

/// The private section of an encrypted file. Ciphers with a tag (never OpenSSH's default) are not served: the library keeps the tag.
fn unlocked(text: &str, passphrase: &str) -> Option<Zeroizing<Vec<u8>>> {
    let sealed = PrivateKey::from_openssh(text).ok()?;
    let (key, iv) = sealed.kdf().derive_key_and_iv(sealed.cipher(), passphrase).ok()?;
    let mut section = Zeroizing::new(sealed.key_data().encrypted()?.to_vec());
    sealed.cipher().decrypt(&key, &iv, &mut section, None).ok()?;
    Some(section)
}

/// The key of a private section, its number padded to full length: two equal check numbers, then the key's strings, then padding.
fn padded(section: &[u8]) -> Option<PrivateKey> {
    let mut rest = section;
    if take(&mut rest, 4)? != take(&mut rest, 4)? || string(&mut rest)? != b"ecdsa-sha2-nistp256" || string(&mut rest)? != b"nistp256" {
        return None;
    }
    let (public, number, comment) = (string(&mut rest)?, string(&mut rest)?, string(&mut rest)?);
    let mut full = Zeroizing::new([0_u8; 32]);
    let zeros = full.len().checked_sub(number.len())?;
    full.get_mut(zeros..)?.copy_from_slice(number);
    let pair = EcdsaKeypair::NistP256 { public: public.try_into().ok()?, private: EcdsaPrivateKey::from(*full) };
    PrivateKey::new(KeypairData::Ecdsa(pair), String::from_utf8_lossy(comment).into_owned()).ok()
}

/// The next string: its length as four bytes, then it.
fn string<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = u32::from_be_bytes(take(rest, 4)?.try_into().ok()?);
    take(rest, usize::try_from(length).ok()?)
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, left) = rest.split_at_checked(length)?;
    *rest = left;
    Some(taken)
}
