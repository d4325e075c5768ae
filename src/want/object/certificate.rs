//! A certificate kept in the API, judged by meaning as on a node: issuer, names, days left, never bytes.

use super::Object;
use crate::pki::{BACKDATE, LeafSpec, Pair, SecretText, begins, judge};
use data_encoding::BASE64;
use serde_json::Value;

/// What the certificate in a Secret of type `kubernetes.io/tls` must say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    pub spec: LeafSpec,
    /// PEM of the CA that must have signed it.
    pub ca: String,
    /// Renewed where it was made before this, in Unix seconds.
    pub since: Option<i64>,
}

impl Object {
    /// This object, with the certificate and key of `live` where those are good at `now` (Unix seconds): what a plan
    /// compares and apply writes, so that a renewed certificate is never put back.
    #[must_use]
    pub fn renewed(&self, live: &Value, now: i64) -> Self {
        let mut object = self.clone();
        let Some(wanted) = &self.certificate else { return object };
        let text = |field: &str| {
            let encoded = live["data"][field].as_str()?;
            String::from_utf8(BASE64.decode(encoded.as_bytes()).ok()?).ok()
        };
        let (Some(cert), Some(key)) = (text("tls.crt"), text("tls.key")) else { return object };
        let pair = Pair { cert, key: SecretText::new(key) };
        let old = wanted.since.is_some_and(|since| begins(&pair.cert).is_none_or(|at| at + BACKDATE < since));
        if !old && pair.is_whole() && judge(&wanted.spec, &wanted.ca, &pair.cert, now).is_ok() {
            object.manifest["data"] = live["data"].clone();
        }
        object
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::{Ca, Usage, issue, make_authority};
    use serde_json::json;

    const NOW: i64 = 1_795_219_200;
    const DAY: i64 = 24 * 60 * 60;

    fn data(pair: &Pair) -> Value {
        json!({"data": {"tls.crt": BASE64.encode(pair.cert.as_bytes()), "tls.key": BASE64.encode(pair.key.expose().as_bytes())}})
    }

    #[test]
    fn a_renewed_certificate_is_kept_and_a_bad_one_is_not() {
        let (ours, foreign) = (make_authority("kubernetes", NOW).unwrap(), make_authority("kubernetes", NOW).unwrap());
        let spec = LeafSpec {
            ca: Ca::Cluster,
            common_name: "x.y.svc".into(),
            organizations: Vec::new(),
            dns: vec!["x.y.svc".into()],
            ips: Vec::new(),
            usage: Usage::Server,
        };
        let first = issue(&ours, &spec, NOW).unwrap();
        let renewed = issue(&ours, &spec, NOW + 250 * DAY).unwrap();
        let crossed = Pair { key: first.key.clone(), ..renewed.clone() };
        let object = Object {
            addon: "x".into(),
            api_version: "v1".into(),
            kind: "Secret".into(),
            namespace: "y".into(),
            name: "x".into(),
            manifest: data(&first),
            present: true,
            certificate: Some(Certificate { spec: spec.clone(), ca: ours.cert.clone(), since: None }),
        };
        let now = NOW + 300 * DAY;
        let since =
            |at| Object { certificate: Some(Certificate { spec: spec.clone(), ca: ours.cert.clone(), since: Some(at) }), ..object.clone() };
        assert_eq!(since(NOW + 249 * DAY).renewed(&data(&renewed), now).manifest, data(&renewed));
        assert_eq!(since(NOW + 251 * DAY).renewed(&data(&renewed), now).manifest, data(&first));
        assert_eq!(object.renewed(&data(&renewed), now).manifest, data(&renewed));
        let bad =
            [data(&issue(&foreign, &spec, now).unwrap()), data(&crossed), data(&issue(&ours, &spec, NOW - 100 * DAY).unwrap()), json!({})];
        for live in bad {
            assert_eq!(object.renewed(&live, now).manifest, data(&first));
        }
        assert_eq!(Object { certificate: None, ..object }.renewed(&data(&renewed), now).manifest, data(&first));
    }
}
