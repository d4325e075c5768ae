//! The authorities from what lies on the machines, where the file that knew them is lost: also in the middle of an exchange.

use super::{Authorities, Authority, Next, SecretText, Secrets};
use crate::pki::{Ca, certificates};

/// What machines have of one authority.
#[derive(Debug, Default)]
pub struct FoundAuthority {
    /// The certificates that each machine trusts, in PEM.
    pub bundles: Vec<String>,
    /// The key of each that signs.
    pub keys: Vec<SecretText>,
}

/// What is made of it.
struct Told {
    /// Whose place is taken, without its key where nobody has that any more; the signer itself where nobody's is.
    former: Authority,
    signer: Authority,
    /// Whether another one was trusted already and never signed: its key was in the lost file only.
    given_up: bool,
}

impl Secrets {
    /// Takes the authorities from what the machines have: `found` of each. Says whether an exchange had to be given up, because nothing
    /// was signed yet by those on their way in, and their keys are lost.
    ///
    /// A stage that was cut is gone on with: where any machine signs by new ones they do, and the former ones are trusted until an
    /// apply of that stage has reached everybody.
    ///
    /// # Errors
    /// What does not fit together: a fragment.
    pub fn take_authorities(&mut self, found: impl Fn(Ca) -> FoundAuthority) -> Result<bool, String> {
        let tell = |ca: Ca| tell(&found(ca)).map_err(|why| format!("{ca}: {why}"));
        let (cluster, etcd, front_proxy) = (tell(Ca::Cluster)?, tell(Ca::Etcd)?, tell(Ca::FrontProxy)?);
        let all = [&cluster, &etcd, &front_proxy];
        let given_up = all.iter().any(|told| told.given_up);
        self.authorities_next = all.iter().any(|told| told.former.cert != told.signer.cert).then(|| Next {
            value: Authorities {
                cluster: cluster.signer.clone(),
                etcd: etcd.signer.clone(),
                front_proxy: front_proxy.signer.clone(),
                trusted_since: None,
            },
            first: true,
        });
        (self.cluster_ca, self.etcd_ca, self.front_proxy_ca) = (cluster.former, etcd.former, front_proxy.former);
        Ok(given_up)
    }
}

fn tell(found: &FoundAuthority) -> Result<Told, String> {
    let bundles: Vec<Vec<String>> = found.bundles.iter().map(|pem| certificates(pem)).collect();
    let (former, next) = ordered(&bundles)?;
    let with_key = |cert: &str| {
        let pairs = found.keys.iter().map(|key| Authority { cert: cert.to_owned(), key: key.clone() });
        pairs.into_iter().find(Authority::is_whole)
    };
    let stray = found.keys.iter().any(|key| {
        let fits = |cert: &String| Authority { cert: cert.clone(), key: key.clone() }.is_whole();
        !fits(&former) && !next.as_ref().is_some_and(fits)
    });
    if stray {
        return Err("its key and its certificate do not belong together".into());
    }
    let alone = |signer: Authority, given_up| Told { former: signer.clone(), signer, given_up };
    let lost = || Authority { cert: former.clone(), key: SecretText::new(String::new()) };
    // Who trusts the new one alone was told so after everything was signed by it.
    let is_over = next.as_ref().is_some_and(|next| bundles.iter().any(|bundle| *bundle == [next.as_str()]));
    match (with_key(&former), next.as_ref().map(|next| (with_key(next), next))) {
        (Some(key), None) => Ok(alone(key, false)),
        (Some(old), Some((None, _))) if !is_over => Ok(alone(old, true)),
        (_, Some((Some(new), _))) if is_over => Ok(alone(new, false)),
        (old, Some((Some(new), _))) => Ok(Told { former: old.unwrap_or_else(lost), signer: new, given_up: false }),
        (_, _) => Err("its key lies on no machine that answers".into()),
    }
}

/// The one certificate that all machines trust, or the former one and the next: where both are trusted, they lie in that order.
fn ordered(bundles: &[Vec<String>]) -> Result<(String, Option<String>), String> {
    let different = || Err("machines have different certificates".to_owned());
    let longest = bundles.iter().max_by_key(|bundle| bundle.len()).ok_or("its certificate lies on no machine that answers")?;
    if bundles.iter().any(|bundle| !bundle.iter().all(|cert| longest.contains(cert)) || bundle.len() == longest.len() && bundle != longest)
    {
        return different();
    }
    match longest.as_slice() {
        [one] => Ok((one.clone(), None)),
        [former, next] => Ok((former.clone(), Some(next.clone()))),
        [] => Err("its certificate lies on no machine that answers".into()),
        _ => Err("more than two certificates are trusted".into()),
    }
}
