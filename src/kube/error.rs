//! What a call to the API can come back with, other than an answer.

use std::fmt::Write as _;

/// Why a call to the API failed. Each says what was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ApiError {
    /// The API server answered with an error.
    Status {
        /// HTTP status.
        code: u16,
        /// The API's word for it: `NotFound`, `Conflict`, `Invalid`, …; may be empty.
        reason: String,
        message: String,
        /// `field: what is wrong with it`.
        causes: Vec<String>,
        /// Seconds after which it wants to be asked again; 0 where it did not say.
        retry_after: u32,
    },
    /// The connection broke, or none came about.
    Lost { seen: String },
    /// No answer in the time given.
    Timeout { seconds: u64, call: String },
    /// The API answered all the time, but what was waited for did not come: what was seen last.
    NotYet { seconds: u64, seen: String },
    /// A node was not emptied: these pods, `namespace/name`, would be gone for good.
    Bare { pods: Vec<String> },
    /// An answer that is not what the API promises.
    Garbled { call: String, seen: String },
}

impl ApiError {
    /// The object, or its kind, does not exist.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Status { code: 404, .. })
    }

    /// The object was changed by somebody else in between.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Status { code: 409, .. })
    }

    /// The API server judged the object and refused it: asking again will not help.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        match self {
            Self::Status { code: 400 | 403 | 405 | 413 | 415 | 422, .. } => !self.is_transient(),
            other => other.is_schema(),
        }
    }

    /// The object cannot be what its kind's schema asks for.
    #[must_use]
    pub fn is_schema(&self) -> bool {
        match self {
            Self::Status { code: 400 | 422, .. } => true,
            // Server-side apply says it like this.
            Self::Status { code: 500, message, .. } => {
                message.contains("field not declared in schema") || message.contains("typed patch object")
            }
            _ => false,
        }
    }

    /// Worth another try: overload, a server on its way up or down, a broken connection, a webhook without an endpoint yet.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Status { code: 429 | 502 | 503 | 504, .. } | Self::Lost { .. } | Self::Timeout { .. } => true,
            Self::Status { code: 500, .. } => !self.is_schema(),
            Self::Status { code: 403, message, .. } => message.contains("being terminated"),
            Self::Status { .. } | Self::NotYet { .. } | Self::Bare { .. } | Self::Garbled { .. } => false,
        }
    }

    /// From what the kube crate says about `call`.
    pub(super) fn from_kube(call: &str, error: &::kube::Error) -> Self {
        match error {
            ::kube::Error::Api(status) => {
                let details = status.details.as_ref();
                let causes = details.map(|d| &d.causes).into_iter().flatten();
                Self::Status {
                    code: status.code,
                    reason: status.reason.clone(),
                    message: status.message.clone(),
                    causes: causes
                        .map(|c| if c.field.is_empty() { c.message.clone() } else { format!("{}: {}", c.field, c.message) })
                        .collect(),
                    retry_after: details.map_or(0, |d| d.retry_after_seconds),
                }
            }
            ::kube::Error::FromUtf8(e) => Self::Garbled { call: call.into(), seen: e.to_string() },
            other => {
                let said = chain(other);
                Self::Lost { seen: unready(&said).unwrap_or(said) }
            }
        }
    }
}

impl std::fmt::Display for ApiError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Status { code, reason, message, .. } if reason.is_empty() => write!(f, "{message} ({code})"),
            Self::Status { code, reason, message, .. } => write!(f, "{message} ({code} {reason})"),
            Self::Lost { seen } => write!(f, "the connection to the API broke: {seen}"),
            Self::Timeout { seconds, call } => write!(f, "no answer from the API within {seconds} s: {call}"),
            Self::NotYet { seconds, seen } => write!(f, "after {seconds} s {seen}"),
            Self::Bare { pods } => write!(f, "nothing makes these pods anew, they would be gone for good: {}", pods.join(", ")),
            Self::Garbled { call, seen } => write!(f, "the API's answer to {call} cannot be read: {seen}"),
        }
    }
}

impl std::error::Error for ApiError {}

/// An error and its sources on one line, each said once.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(e) = next {
        let said = e.to_string();
        if !text.contains(&said) {
            let _ = write!(text, ": {said}");
        }
        next = e.source();
    }
    text
}

/// What `/readyz` holds against a server, of the forty lines it answers with.
fn unready(said: &str) -> Option<String> {
    let failed: Vec<&str> = said.lines().filter_map(|l| l.split_once("[-]")?.1.split_whitespace().next()).collect();
    (!failed.is_empty()).then(|| format!("the API server is not ready: {}", failed.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_server_that_is_not_ready_only_what_fails_is_told() {
        let said =
            "[+]ping ok\n[+]etcd ok\n[-]poststarthook/rbac/bootstrap-roles failed: reason withheld\n[+]shutdown ok\nreadyz check failed";
        assert_eq!(unready(said).unwrap(), "the API server is not ready: poststarthook/rbac/bootstrap-roles");
        assert_eq!(unready("connection refused"), None);
    }

    fn status(code: u16, message: &str) -> ApiError {
        ApiError::Status { code, reason: String::new(), message: message.into(), causes: Vec::new(), retry_after: 0 }
    }

    #[test]
    fn what_is_worth_another_try() {
        let table = [
            (status(429, "too many requests"), true),
            (status(503, "apiserver is shutting down"), true),
            (status(500, "failed calling webhook \"x\": no endpoints available"), true),
            (status(500, "failed to create typed patch object: .spec.x: field not declared in schema"), false),
            (status(403, "unable to create new content in namespace x because it is being terminated"), true),
            (status(403, "forbidden: User \"x\" cannot patch"), false),
            (status(404, "not found"), false),
            (status(409, "the object has been modified"), false),
            (status(422, "field is immutable"), false),
            (status(500, "etcdserver: leader changed"), true),
            (ApiError::Lost { seen: "eof".into() }, true),
        ];
        for (error, expected) in table {
            assert_eq!(error.is_transient(), expected, "{error}");
        }
    }
}
