//! Texts of several certificates.

use super::Ca;
use super::judge::Parsed;

/// Each certificate of a PEM text as a text of its own, in their order; what lies between them is left out.
#[must_use]
pub fn certificates(pem: &str) -> Vec<String> {
    const END: &str = "-----END CERTIFICATE-----";
    let blocks = pem.split_inclusive(END).filter_map(|block| block.find("-----BEGIN CERTIFICATE-----").map(|at| &block[at..]));
    blocks.filter(|block| block.ends_with(END)).map(|block| format!("{block}\n")).collect()
}

/// `bundle` without certificates of authorities that are called as `ca` is and are not among `trusted`; nothing where there is none
/// of them. What is somebody else's stays, also what cannot be read.
#[must_use]
pub fn without_former(bundle: &str, ca: Ca, trusted: &str) -> Option<String> {
    let (all, trusted) = (certificates(bundle), certificates(trusted));
    let bytes = |pem: &str| Parsed::new(pem).map(Parsed::into_der).ok();
    let is_trusted = |pem: &str| trusted.iter().any(|other| bytes(other) == bytes(pem));
    let (former, stay): (Vec<&String>, Vec<&String>) = all.iter().partition(|pem| is_called(pem, ca) && !is_trusted(pem));
    (!former.is_empty()).then(|| stay.into_iter().map(String::as_str).collect())
}

fn is_called(pem: &str, ca: Ca) -> bool {
    let Ok(parsed) = Parsed::new(pem) else { return false };
    parsed.cert().is_ok_and(|cert| {
        let mut names = cert.subject().iter_common_name().map(|name| name.as_str().unwrap_or_default());
        names.next() == Some(ca.common_name()) && names.next().is_none() && cert.is_ca()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::fixture::NOW;
    use crate::pki::make_authority;

    #[test]
    fn what_is_ours_and_not_trusted_goes_and_all_else_stays() {
        let made = |name: &str| make_authority(name, NOW).unwrap().cert;
        let (old, new, theirs) = (made("kubernetes"), made("kubernetes"), made("their-own"));
        assert_eq!(Ca::Cluster.common_name(), "kubernetes");
        let odd = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let bundle = format!("# words\n{old}{theirs}\n{new}{odd}");
        assert_eq!(certificates(&bundle), [old.as_str(), &theirs, &new, odd]);
        assert_eq!(without_former(&bundle, Ca::Cluster, &new), Some(format!("{theirs}{new}{odd}")));
        assert_eq!(without_former(&bundle, Ca::Cluster, &format!("{old}{new}")), None);
        assert_eq!(without_former(&bundle, Ca::FrontProxy, &new), None, "another authority's name");
        assert_eq!((certificates(""), certificates("-----BEGIN CERTIFICATE-----\ncut")), (Vec::new(), Vec::new()));
    }
}
