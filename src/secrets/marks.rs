//! By what secrets are told from others of the same cluster, older or newer: sums of certificates and of random keys. Nothing of it is
//! secret.

use super::{Authority, Secrets, Stage};
use crate::pki::{Ca, SecretText, certificates};

/// What is exchanged in stages, as one copy of the secrets has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// sha256, lower-case hex: the former one first, then the one that takes its place.
    pub known: Vec<String>,
    /// Which of them is used.
    pub used: usize,
    /// Number of the first of them, where they have numbers.
    pub number: u32,
}

/// All of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marks {
    /// The authority of the cluster; nothing where former ones have run out, so that machines may be anywhere on the way.
    pub authority: Option<Mark>,
    pub encryption: Mark,
}

impl Secrets {
    /// The marks of these secrets at `now` (Unix seconds).
    #[must_use]
    pub fn marks(&self, now: i64) -> Marks {
        let authority = Mark { known: self.authority_sums(), used: used(self.authority_stage()), number: 0 };
        let mut keys: Vec<String> = self.encryption_keys().into_iter().map(|(_, key)| key.sha256()).collect();
        // The one that is written with comes first there.
        if used(self.key_stage()) == 1 {
            keys.reverse();
        }
        let encryption = Mark { known: keys, used: used(self.key_stage()), number: self.encryption_number };
        Marks { authority: Some(authority).filter(|_| !self.supersedes_expired(now)), encryption }
    }

    /// sha256, lower-case hex, of every authority of the cluster and every key of encryption at rest that these secrets know.
    #[must_use]
    pub fn sums(&self) -> Vec<String> {
        let keys = self.encryption_keys().into_iter().map(|(_, key)| key.sha256());
        self.authority_sums().into_iter().chain(keys).collect()
    }

    /// sha256, lower-case hex, of each certificate of the cluster's authority that is trusted, in their order.
    #[must_use]
    pub fn authority_sums(&self) -> Vec<String> {
        self.authorities_of(Ca::Cluster).flat_map(sums).collect()
    }
}

fn used(stage: Stage) -> usize {
    usize::from(stage == Stage::First)
}

fn sums(authority: &Authority) -> Vec<String> {
    certificates(&authority.cert).into_iter().map(|cert| SecretText::new(cert).sha256()).collect()
}
