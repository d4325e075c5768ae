//! Which machines a program is made for, as its first bytes say.

use crate::cluster::Arch;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// The machines that ELF files name most often.
const MACHINES: [(u16, &str); 8] =
    [(3, "i386"), (21, "ppc64"), (22, "s390x"), (40, "arm"), (62, "amd64"), (183, "arm64"), (243, "riscv64"), (258, "loong64")];

/// What the ELF file `program` is made for, where that is not `arch`; nothing where it fits, or is a script.
///
/// # Errors
/// It cannot be read.
pub fn foreign(program: &Path, arch: Arch) -> io::Result<Option<String>> {
    let mut head = Vec::new();
    File::open(program)?.take(20).read_to_end(&mut head)?;
    let [0x7f, b'E', b'L', b'F', bits, order, .., low, high] = head[..] else { return Ok(None) };
    let number = if order == 2 { u16::from_be_bytes([low, high]) } else { u16::from_le_bytes([low, high]) };
    let name = MACHINES.iter().find(|(n, _)| *n == number).map_or_else(|| format!("machine {number}"), |(_, name)| (*name).to_owned());
    // Both of ours are 64-bit and little-endian.
    Ok((bits != 2 || order != 1 || name != arch.as_str()).then(|| if bits == 2 { name } else { format!("32-bit {name}") }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_known_by_its_head() {
        let dir = tempfile::tempdir().unwrap();
        let told = |bytes: &[u8], arch| {
            std::fs::write(dir.path().join("p"), bytes).unwrap();
            foreign(&dir.path().join("p"), arch).unwrap()
        };
        let elf =
            |bits: u8, order: u8, machine: [u8; 2]| [&[0x7f, b'E', b'L', b'F', bits, order][..], &[0; 12], &machine, &[0; 40]].concat();
        for (bytes, on_amd64, on_arm64) in [
            (elf(2, 1, [62, 0]), None, Some("amd64")),
            (elf(2, 1, [183, 0]), Some("arm64"), None),
            (elf(1, 1, [40, 0]), Some("32-bit arm"), Some("32-bit arm")),
            (elf(1, 1, [62, 0]), Some("32-bit amd64"), Some("32-bit amd64")),
            (elf(2, 2, [0, 22]), Some("s390x"), Some("s390x")),
            (elf(2, 1, [1, 1]), Some("machine 257"), Some("machine 257")),
            (b"#!/bin/sh\n".to_vec(), None, None),
            (Vec::new(), None, None),
        ] {
            assert_eq!((told(&bytes, Arch::Amd64).as_deref(), told(&bytes, Arch::Arm64).as_deref()), (on_amd64, on_arm64), "{bytes:?}");
        }
        let here = if cfg!(target_arch = "x86_64") { Arch::Amd64 } else { Arch::Arm64 };
        assert_eq!(foreign(Path::new("/proc/self/exe"), here).unwrap(), None);
    }
}
