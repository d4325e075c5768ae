//! A backup written: a tar inside age, the manifest first. Parts pass through; nothing is kept in clear.

use super::manifest::{Manifest, Part};
use super::{MANIFEST, manifest};
use crate::error::{Failure, Result};
use crate::secrets::{Recipient, seal};
use age::stream::StreamWriter;
use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};
use std::io::{self, Write};

/// Bytes in a tar's block.
const BLOCK: u64 = 512;

/// A backup that is being written. Only what [`Seal::finish`] gives back is one.
pub struct Seal<W: Write> {
    out: StreamWriter<W>,
    /// Parts that are to come, in order.
    awaited: std::vec::IntoIter<Part>,
    /// The one that is being written, its digest so far and its bytes so far.
    current: Option<(Part, Sha256, u64)>,
}

impl<W: Write> Seal<W> {
    /// Begins a backup at `to` for `readers`: its manifest is written first, so every part's size and sum are known by now.
    ///
    /// # Errors
    /// `to` takes nothing.
    pub fn begin(to: W, readers: &[Recipient], manifest: &Manifest) -> Result<Self> {
        let text = manifest.write()?;
        let own = Part { name: MANIFEST.into(), bytes: text.len() as u64, sha256: manifest::sha256(&text) };
        let parts: Vec<Part> = std::iter::once(own).chain(manifest.parts.iter().cloned()).collect();
        let mut begun = Self { out: seal(to, readers)?, awaited: parts.into_iter(), current: None };
        begun.part(MANIFEST, &text)?;
        Ok(begun)
    }

    /// The next part, in hand.
    ///
    /// # Errors
    /// It is not the one that the manifest names next, or not what it says; the disk.
    pub fn part(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        self.open(name)?;
        self.write(bytes).map_err(|e| Failure::failed(format!("the backup could not be written: {e}")))?;
        self.close()
    }

    /// Begins the next part, which comes in pieces.
    ///
    /// # Errors
    /// As [`Seal::part`].
    pub fn open(&mut self, name: &str) -> Result<()> {
        let next = self.awaited.next();
        let Some(part) = next.filter(|p| p.name == name && self.current.is_none()) else {
            return Err(Failure::bug(format!("the backup's manifest does not name {name} here")));
        };
        let failed = |e: io::Error| Failure::failed(format!("the backup could not be written: {e}")).seen(part.name.clone());
        let mut header = tar::Header::new_ustar();
        header.set_path(&part.name).map_err(failed)?;
        header.set_size(part.bytes);
        header.set_mode(0o600);
        header.set_mtime(0);
        header.set_cksum();
        self.out.write_all(header.as_bytes()).map_err(failed)?;
        self.current = Some((part, Sha256::new(), 0));
        Ok(())
    }

    /// The next piece of the part that was opened.
    ///
    /// # Errors
    /// The disk.
    pub fn write(&mut self, piece: &[u8]) -> io::Result<()> {
        let Some((_, digest, bytes)) = &mut self.current else { return Err(io::Error::other("no part was begun")) };
        digest.update(piece);
        *bytes += piece.len() as u64;
        self.out.write_all(piece)
    }

    /// Ends the part that was opened.
    ///
    /// # Errors
    /// It is not what the manifest says; the disk.
    pub fn close(&mut self) -> Result<()> {
        let Some((part, digest, bytes)) = self.current.take() else { return Err(Failure::bug("no part of the backup was begun")) };
        let sum = HEXLOWER.encode(&digest.finalize());
        if (bytes, &sum) != (part.bytes, &part.sha256) {
            return Err(Failure::failed(format!("{} is not what it was when it was looked at", part.name))
                .seen(format!("{} bytes, sha256 {}", part.bytes, part.sha256))
                .seen(format!("{bytes} bytes, sha256 {sum}"))
                .help("run the command again"));
        }
        let padding = bytes.next_multiple_of(BLOCK) - bytes;
        self.zeros(padding)
    }

    /// The backup's last bytes; what it was written to.
    ///
    /// # Errors
    /// A part is missing; the disk.
    pub fn finish(mut self) -> Result<W> {
        if let Some(part) = self.awaited.next() {
            return Err(Failure::bug(format!("the backup lacks its part {}", part.name)));
        }
        self.zeros(2 * BLOCK)?;
        self.out.finish().map_err(|e| Failure::failed(format!("the backup could not be written: {e}")))
    }

    fn zeros(&mut self, count: u64) -> Result<()> {
        let zeros = vec![0; usize::try_from(count).unwrap_or_default()];
        self.out.write_all(&zeros).map_err(|e| Failure::failed(format!("the backup could not be written: {e}")))
    }
}
