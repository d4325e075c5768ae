//! All certificates of ours anew, however much of their life is left.

use super::Step;
use crate::want::Want;

/// The steps with every certificate wanted that was made at `since` (Unix seconds) or later.
pub fn renewed(steps: &mut [Step], since: i64) {
    for want in steps.iter_mut().flat_map(|s| &mut s.wants) {
        match want {
            Want::Leaf(leaf) => leaf.since = Some(since),
            Want::Object(object) => {
                if let Some(certificate) = &mut object.certificate {
                    certificate.since = Some(since);
                }
            }
            _ => {}
        }
    }
}
