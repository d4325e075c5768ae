//! Text that must never be shown: no `Display`, a `Debug` that tells nothing, wiped when dropped.

use sha2::{Digest, Sha256};
use std::fmt;
use zeroize::Zeroizing;

/// Secret text (a PEM key, a kubeconfig, an encryption config).
#[derive(Clone, PartialEq, Eq)]
pub struct SecretText(Zeroizing<String>);

impl SecretText {
    /// Takes ownership of the text.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The text, for the one place that writes it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Lower-case hex sha256 of the text, which may be shown.
    #[must_use]
    pub fn sha256(&self) -> String {
        data_encoding::HEXLOWER.encode(&Sha256::digest(self.0.as_bytes()))
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretText(…)")
    }
}
