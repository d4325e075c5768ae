//! What takes the place of something else, in stages, so that everybody knows the new one before anybody needs it and nobody
//! needs the old one when it goes: keys of encryption at rest, authorities.

use super::{Authority, SecretText, Secrets};
use crate::error::Result;
use crate::pki::{Ca, make_authority};
use std::collections::BTreeMap;

/// Something on its way in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Next<T> {
    pub value: T,
    /// Whether it is the one that is used; before that it is only known.
    pub first: bool,
}

/// How far it has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// What it made is understood; nobody uses it yet.
    Known,
    /// It is the one that is used; what the old one made is still understood.
    First,
    /// It is the only one.
    Alone,
}

/// New authorities.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authorities {
    pub cluster: Authority,
    pub etcd: Authority,
    pub front_proxy: Authority,
    /// Unix seconds since when every machine and every namespace trusts them, where that is so.
    pub trusted_since: Option<i64>,
}

impl Authorities {
    /// Three new ones, from `now` (Unix seconds) on.
    ///
    /// # Errors
    /// The system's random source failed.
    pub fn make(now: i64) -> Result<Self> {
        let make = |ca: Ca| make_authority(ca.common_name(), now);
        Ok(Self { cluster: make(Ca::Cluster)?, etcd: make(Ca::Etcd)?, front_proxy: make(Ca::FrontProxy)?, trusted_since: None })
    }

    pub(super) fn of(&self, ca: Ca) -> &Authority {
        match ca {
            Ca::Cluster => &self.cluster,
            Ca::Etcd => &self.etcd,
            Ca::FrontProxy => &self.front_proxy,
        }
    }
}

fn stage<T>(next: Option<&Next<T>>) -> Stage {
    match next {
        None => Stage::Alone,
        Some(Next { first: false, .. }) => Stage::Known,
        Some(Next { first: true, .. }) => Stage::First,
    }
}

/// One stage on; gives back what is alone from now on.
fn turn<T>(next: &mut Option<Next<T>>, fresh: impl FnOnce() -> Result<T>) -> Result<Option<T>> {
    match next.take() {
        None => *next = Some(Next { value: fresh()?, first: false }),
        Some(Next { value, first: false }) => *next = Some(Next { value, first: true }),
        Some(Next { value, first: true }) => return Ok(Some(value)),
    }
    Ok(None)
}

/// Authorities.
impl Secrets {
    /// The authority `ca`: the one that signs.
    #[must_use]
    pub fn authority(&self, ca: Ca) -> &Authority {
        match &self.authorities_next {
            Some(next) if next.first => next.value.of(ca),
            _ => self.former(ca),
        }
    }

    /// PEM of every certificate that proves what `ca` signs: two while one takes the other's place, always in the same order.
    #[must_use]
    pub fn trusted(&self, ca: Ca) -> String {
        self.authorities_of(ca).flat_map(|authority| [authority.cert.trim_end(), "\n"]).collect()
    }

    /// The former one first, then the one that takes its place.
    pub(super) fn authorities_of(&self, ca: Ca) -> impl Iterator<Item = &Authority> {
        let former = self.former(ca);
        let next = self.authorities_next.as_ref().map(|next| next.value.of(ca));
        // One that is not exchanged while others are takes its own place.
        std::iter::once(former).chain(next.filter(|next| next.cert != former.cert))
    }

    /// Whether keys and certificates of `ca` belong together; of a former one nobody needs the key, which may be lost.
    pub(super) fn is_whole(&self, ca: Ca) -> bool {
        let lost = |authority: &Authority| authority.key.expose().is_empty() && self.authority(ca).cert != authority.cert;
        self.authorities_of(ca).all(|authority| authority.is_whole() || lost(authority))
    }

    /// Whether the key of a former authority is lost.
    pub(super) fn has_lost_keys(&self) -> bool {
        Ca::ALL.iter().any(|&ca| self.former(ca).key.expose().is_empty())
    }

    /// The authority that was there before another began to take its place.
    fn former(&self, ca: Ca) -> &Authority {
        match ca {
            Ca::Cluster => &self.cluster_ca,
            Ca::Etcd => &self.etcd_ca,
            Ca::FrontProxy => &self.front_proxy_ca,
        }
    }

    /// Takes the exchange of the authorities one stage on: new ones are trusted, then sign, then are alone.
    ///
    /// Between two stages every machine must have heard of the first; before new ones sign, whoever verifies must trust them, and
    /// before they are alone everything must be signed by them.
    ///
    /// # Errors
    /// The system's random source failed.
    pub fn turn_authorities(&mut self, now: i64) -> Result<()> {
        if let Some(alone) = turn(&mut self.authorities_next, || Authorities::make(now))? {
            (self.cluster_ca, self.etcd_ca, self.front_proxy_ca) = (alone.cluster, alone.etcd, alone.front_proxy);
        }
        Ok(())
    }

    /// Takes it to where new ones sign, without anybody who trusts them yet: for a cluster whose authorities have run out, so that
    /// nobody trusts anybody.
    ///
    /// # Errors
    /// The system's random source failed.
    pub fn supersede_authorities(&mut self, now: i64) -> Result<()> {
        loop {
            self.turn_authorities(now)?;
            // Those on their way in may have ended on it.
            if self.authority_stage() == Stage::First && self.authorities_end()?.1 > now {
                return Ok(());
            }
        }
    }

    /// The stage of that exchange; `Alone` where there is none.
    #[must_use]
    pub fn authority_stage(&self) -> Stage {
        stage(self.authorities_next.as_ref())
    }

    /// When the first of the authorities that sign ends, in Unix seconds, and which that is.
    ///
    /// # Errors
    /// A certificate cannot be read.
    pub fn authorities_end(&self) -> Result<(Ca, i64)> {
        first_end(|ca| self.authority(ca))
    }

    /// The same of those whose place is taken; nothing where they sign still.
    ///
    /// # Errors
    /// As [`Secrets::authorities_end`].
    pub fn former_authorities_end(&self) -> Result<Option<(Ca, i64)>> {
        let superseded = self.authority_stage() == Stage::First;
        superseded.then(|| first_end(|ca| self.former(ca))).transpose()
    }

    /// Whether the authorities that sign have taken the place of some that had run out by `now` (Unix seconds): that is a rescue, of which
    /// machines may not have heard yet.
    #[must_use]
    pub fn supersedes_expired(&self, now: i64) -> bool {
        self.former_authorities_end().ok().flatten().is_some_and(|(_, end)| end <= now)
    }
}

fn first_end<'a>(authority: impl Fn(Ca) -> &'a Authority) -> Result<(Ca, i64)> {
    let ends = |ca: Ca| Ok((ca, authority(ca).left(0)?));
    let [first, rest @ ..] = Ca::ALL;
    rest.into_iter().try_fold(ends(first)?, |least, ca| Ok(std::cmp::min_by_key(least, ends(ca)?, |(_, end)| *end)))
}

/// What people should know.
impl Secrets {
    /// What is on its way in at `now` (Unix seconds), a line each: how far it has come, and what goes on with it.
    #[must_use]
    pub fn under_way(&self, now: i64) -> Vec<String> {
        let rescued = self.supersedes_expired(now);
        let authorities = match self.authority_stage() {
            Stage::Known => Some("new authorities are on their way in (1 of 3: machines trust them beside the old ones)"),
            Stage::First if rescued => {
                Some("new authorities take the place of expired ones (1 of 2: they sign; nobody needs the old ones)")
            }
            Stage::First => Some("new authorities are on their way in (2 of 3: they sign, and the old ones are still trusted)"),
            Stage::Alone => None,
        };
        let key = match self.key_stage() {
            Stage::Known => Some("a new key of encryption at rest is on its way in (1 of 3: API servers can read with it)"),
            Stage::First => Some("a new key of encryption at rest is on its way in (2 of 3: Secrets are written anew with it)"),
            Stage::Alone => None,
        };
        let goes_on = |what: Option<&str>, by: &str| what.map(|what| format!("{what}: homectl certs {by} goes on"));
        [goes_on(authorities, if rescued { "rescue" } else { "rotate-ca" }), goes_on(key, "rotate-key encryption")]
            .into_iter()
            .flatten()
            .collect()
    }
}

/// Keys of encryption at rest.
impl Secrets {
    /// The keys of encryption at rest with their names, the one that is written with first.
    #[must_use]
    pub fn encryption_keys(&self) -> Vec<(String, &SecretText)> {
        let mut keys = vec![(key_name(self.encryption_number), &self.encryption_key)];
        if let Some(next) = &self.encryption_next {
            let at = usize::from(!next.first);
            keys.insert(at, (key_name(self.encryption_number + 1), &next.value));
        }
        keys
    }

    /// Takes the exchange of that key one stage on: a new one is read with, then written with, then alone.
    ///
    /// Between two stages every API server must have heard of the first, and before the last everything must be written anew.
    pub fn turn_encryption_key(&mut self, fresh: impl FnOnce() -> SecretText) -> Stage {
        if let Ok(Some(alone)) = turn(&mut self.encryption_next, || Ok(fresh())) {
            self.encryption_key = alone;
            self.encryption_number += 1;
        }
        self.key_stage()
    }

    /// Takes those keys from what API servers read, as homectl writes it; says whether all of `files` fit together. Where machines
    /// are at two stages of an exchange, it is the one in which both can read everything.
    pub fn take_encryption_keys(&mut self, files: &[&str]) -> bool {
        let mut keys: BTreeMap<u32, &str> = BTreeMap::new();
        let mut first = Vec::new();
        for file in files {
            let mut number = None;
            for (at, line) in file.lines().map(str::trim).filter(|l| l.contains("name: ") || l.starts_with("secret: ")).enumerate() {
                if let Some(secret) = line.strip_prefix("secret: ") {
                    let Some(number) = number.take() else { return false };
                    if *keys.entry(number).or_insert(secret) != secret {
                        return false;
                    }
                } else {
                    number = line.strip_prefix("- name: key").and_then(|n| n.parse().ok());
                    first.extend(number.filter(|_| at == 0));
                }
            }
        }
        let all: Vec<(u32, &str)> = keys.into_iter().collect();
        let key = |text: &str| SecretText::new(text.to_owned());
        match all.as_slice() {
            [(number, only)] => (self.encryption_number, self.encryption_key, self.encryption_next) = (*number, key(only), None),
            [(number, old), (next, new)] if *next == number + 1 => {
                self.encryption_next = Some(Next { value: key(new), first: first.contains(next) });
                (self.encryption_number, self.encryption_key) = (*number, key(old));
            }
            _ => return false,
        }
        true
    }

    /// The stage of that exchange; `Alone` where there is none.
    #[must_use]
    pub fn key_stage(&self) -> Stage {
        stage(self.encryption_next.as_ref())
    }
}

fn key_name(number: u32) -> String {
    format!("key{number}")
}
