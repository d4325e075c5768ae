//! Who may open the secrets file: an age identity file, as `age-keygen` writes it.

use super::crypt::Recipient;
use super::store::{is_for_others, read_secret, recipients, write_whole};
use crate::error::{Failure, Result, exit};
use age::secrecy::ExposeSecret;
use etcetera::BaseStrategy;
use std::ffi::OsString;
use std::fmt;
use std::fs::{DirBuilder, File};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// One or more age keys; the first is the one that new files are written for.
#[derive(Clone)]
pub struct Identity {
    first: age::x25519::Identity,
    others: Vec<age::x25519::Identity>,
}

impl Identity {
    /// A new one.
    #[must_use]
    pub fn generate() -> Self {
        Self { first: age::x25519::Identity::generate(), others: Vec::new() }
    }

    /// The public key of the first.
    #[must_use]
    pub fn recipient(&self) -> Recipient {
        self.first.to_public()
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &age::x25519::Identity> {
        std::iter::once(&self.first).chain(&self.others)
    }

    /// From the text of an identity file. The error is a fragment about the file, and quotes nothing of it.
    fn parse(text: &str) -> Result<Self, String> {
        let mut keys = Vec::new();
        for (number, line) in text.lines().map(str::trim).enumerate() {
            match line {
                "" => {}
                l if l.starts_with('#') => {}
                l if l.starts_with("age-encryption.org/") || l == "-----BEGIN AGE ENCRYPTED FILE-----" => {
                    return Err("is protected by a passphrase, which is not supported yet".into());
                }
                l if l.starts_with("-----BEGIN ") => return Err("is an SSH or PEM key, not an age identity".into()),
                l if l.starts_with("AGE-PLUGIN-") => return Err("needs an age plugin, which is not supported".into()),
                l => keys.push(l.parse::<age::x25519::Identity>().map_err(|_| format!("has no age identity on line {}", number + 1))?),
            }
        }
        if keys.is_empty() {
            return Err("holds no age identity".into());
        }
        Ok(Self { first: keys.remove(0), others: keys })
    }

    /// The text of an identity file that was made at `now`.
    fn write(&self, now: jiff::Timestamp) -> Zeroizing<String> {
        let (public, secret) = (self.recipient(), self.first.to_string());
        let created = now.strftime("%Y-%m-%dT%H:%M:%SZ");
        Zeroizing::new(format!("# created: {created}\n# public key: {public}\n{}\n", secret.expose_secret()))
    }
}

/// The public keys, never more.
impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.keys().map(age::x25519::Identity::to_public)).finish()
    }
}

/// An identity, and where it came from.
#[derive(Debug, Clone)]
pub struct IdentityChoice {
    pub identity: Identity,
    pub path: PathBuf,
    /// Whether it was made just now, which the operator must be told: without a copy of it the secrets are lost.
    pub created: bool,
}

/// Where an identity may be said to be.
pub(super) struct Places {
    /// `--identity` or `HOMECTL_IDENTITY`.
    pub(super) named: Option<PathBuf>,
    pub(super) default: PathBuf,
}

impl Places {
    /// `env` is the value of `HOMECTL_IDENTITY`.
    pub(super) fn new(flag: Option<&Path>, env: Option<OsString>) -> Result<Self> {
        let named = flag.map(Path::to_path_buf).or_else(|| env.map(PathBuf::from)).filter(|path| !path.as_os_str().is_empty());
        let base = etcetera::choose_base_strategy()
            .map_err(|e| Failure::new(exit::USAGE, format!("no home directory: {e}")).help("name an identity: --identity FILE"))?;
        Ok(Self { named, default: base.config_dir().join("homectl").join("identity.txt") })
    }

    pub(super) fn find(&self) -> Result<Option<IdentityChoice>> {
        let path = self.named.as_ref().unwrap_or(&self.default);
        match File::open(path) {
            Ok(file) => Ok(Some(IdentityChoice { identity: load(path, file)?, path: path.clone(), created: false })),
            Err(e) if e.kind() == ErrorKind::NotFound && self.named.is_none() => Ok(None),
            Err(e) => Err(Failure::new(exit::USAGE, format!("cannot read the identity {}: {e}", path.display()))
                .help(format!("make one with `age-keygen -o {}`, or name another", path.display()))),
        }
    }

    /// Why the file `secrets` stays shut, where nobody named an identity and there is none for it.
    pub(super) fn shut(&self, secrets: &Path) -> Result<Option<String>> {
        if self.named.is_some() || !secrets.exists() {
            return Ok(None);
        }
        let (secret, default) = (secrets.display(), self.default.display());
        Ok(match self.find()? {
            None => Some(format!("{secret} stays shut: no identity was named, and there is none at {default}")),
            Some(own) if is_for_others(secrets, &own.identity)? => {
                Some(format!("{secret} stays shut: it is not for the identity {default}"))
            }
            Some(_) => None,
        })
    }

    pub(super) fn find_or_create(&self, secrets: &Path) -> Result<IdentityChoice> {
        if let Some(found) = self.find()? {
            return Ok(found);
        }
        if !secrets.exists() {
            return create_identity(&self.default);
        }
        let wanted = recipients(secrets)?.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let mut failure = Failure::new(exit::INVENTORY, format!("no identity to open {} with", secrets.display()))
            .help(format!("copy it to {}, or name it: --identity FILE, or HOMECTL_IDENTITY", self.default.display()));
        if !wanted.is_empty() {
            failure = failure.seen(format!("encrypted to {wanted}"));
        }
        Err(failure)
    }
}

/// The identity at `flag` (`--identity`), else `HOMECTL_IDENTITY`, else the XDG configuration directory; `None` where the last has none.
///
/// # Errors
/// It cannot be read, is open to others, or is of a kind that is not supported.
pub fn find_identity(flag: Option<&Path>) -> Result<Option<IdentityChoice>> {
    Places::new(flag, std::env::var_os("HOMECTL_IDENTITY"))?.find()
}

/// As [`find_identity`], and made where there is none at the default place and no `secrets` file that would need another.
///
/// # Errors
/// As [`find_identity`]; there is a secrets file and no identity.
pub fn identity(flag: Option<&Path>, secrets: &Path) -> Result<IdentityChoice> {
    Places::new(flag, std::env::var_os("HOMECTL_IDENTITY"))?.find_or_create(secrets)
}

/// Why the file `secrets` stays shut here, where it does: nobody named an identity by `flag` (`--identity`) or
/// `HOMECTL_IDENTITY`, and the one at the default place is missing, or another's.
///
/// # Errors
/// As [`find_identity`]; the file cannot be read.
pub(super) fn shut(secrets: &Path, flag: Option<&Path>) -> Result<Option<String>> {
    Places::new(flag, std::env::var_os("HOMECTL_IDENTITY"))?.shut(secrets)
}

/// Makes a new identity file (0600) and its directory (0700). Where another run was quicker, its file is taken.
///
/// # Errors
/// The disk.
pub fn create_identity(path: &Path) -> Result<IdentityChoice> {
    let dir = path.parent().unwrap_or(Path::new("."));
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(|e| Failure::new(exit::USAGE, format!("cannot make {}: {e}", dir.display())))?;
    let identity = Identity::generate();
    let written = write_whole(path, identity.write(jiff::Timestamp::now()).as_bytes(), true);
    match (written, File::open(path)) {
        (Ok(()), _) => Ok(IdentityChoice { identity, path: path.to_path_buf(), created: true }),
        (Err(_), Ok(file)) => Ok(IdentityChoice { identity: load(path, file)?, path: path.to_path_buf(), created: false }),
        (Err(failure), Err(_)) => Err(failure),
    }
}

/// Reads the open file, after a look at who else may.
fn load(path: &Path, mut file: File) -> Result<Identity> {
    let fail = |what: String| Failure::new(exit::INVENTORY, format!("the identity {} {what}", path.display()));
    let meta = file.metadata().map_err(|e| fail(format!("cannot be examined: {e}")))?;
    if meta.is_file() && meta.mode() & 0o077 != 0 {
        let shell = path.display().to_string().replace('\'', r"'\''");
        return Err(fail(format!("is open to others (mode {:04o})", meta.mode() & 0o7777)).help(format!("chmod 600 '{shell}'")));
    }
    let text = read_secret(&mut file).map_err(|e| fail(format!("cannot be read: {e}")))?;
    Identity::parse(&text).map_err(|what| fail(what).help("homectl takes files as age-keygen writes them (AGE-SECRET-KEY-1…)"))
}
