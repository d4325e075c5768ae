//! Resource quantities, compared by value: `0.1` is `100m`, `1024Mi` is `1Gi`.

use serde_json::Value;

const NANO: i128 = 1_000_000_000;

/// Whether both are quantities of the same value.
pub(super) fn equal(a: &Value, b: &Value) -> bool {
    matches!((nanos(a), nanos(b)), (Some(a), Some(b)) if a == b)
}

/// A quantity in thousand-millionths; `None` where it is none, or finer than that.
fn nanos(value: &Value) -> Option<i128> {
    match value {
        Value::Number(n) => parse(&n.to_string()),
        Value::String(s) => parse(s),
        _ => None,
    }
}

fn parse(text: &str) -> Option<i128> {
    let end = text.find(|c: char| !(c.is_ascii_digit() || "+-.".contains(c))).unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let negative = whole.starts_with('-');
    let digits = whole.trim_start_matches(['+', '-']);
    if digits.is_empty() && fraction.is_empty() || fraction.len() > 18 {
        return None;
    }
    let digits: i128 = format!("{digits}{fraction}").parse().ok()?;
    let (multiply, divide) = scale(suffix)?;
    let scaled = digits.checked_mul(NANO)?.checked_mul(multiply)?;
    let by = 10i128.checked_pow(u32::try_from(fraction.len()).ok()?)?.checked_mul(divide)?;
    (scaled % by == 0).then(|| if negative { -(scaled / by) } else { scaled / by })
}

/// What a suffix multiplies and divides by.
fn scale(suffix: &str) -> Option<(i128, i128)> {
    let binary = |power: u32| Some((1i128 << (10 * power), 1));
    let decimal = |power: u32| Some((10i128.pow(power), 1));
    match suffix {
        "" => Some((1, 1)),
        "n" => Some((1, NANO)),
        "u" => Some((1, 1_000_000)),
        "m" => Some((1, 1_000)),
        "k" => decimal(3),
        "M" => decimal(6),
        "G" => decimal(9),
        "T" => decimal(12),
        "P" => decimal(15),
        "E" => decimal(18),
        "Ki" => binary(1),
        "Mi" => binary(2),
        "Gi" => binary(3),
        "Ti" => binary(4),
        "Pi" => binary(5),
        "Ei" => binary(6),
        exponent => {
            let power: i32 = exponent.strip_prefix(['e', 'E'])?.parse().ok()?;
            let by = 10i128.checked_pow(power.unsigned_abs())?;
            Some(if power < 0 { (1, by) } else { (by, 1) })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn table() {
        let same = [
            (json!(0.1), json!("100m")),
            (json!("0.1"), json!("100m")),
            (json!(1), json!("1")),
            (json!("1024Mi"), json!("1Gi")),
            (json!("1e3"), json!("1k")),
            (json!("1E3"), json!("1000")),
            (json!("1500m"), json!("1.5")),
            (json!("128974848"), json!("123Mi")),
            (json!("-1"), json!("-1000m")),
            (json!("2Ei"), json!("2305843009213693952")),
        ];
        for (a, b) in same {
            assert!(equal(&a, &b), "{a} {b}");
        }
        let other = [
            (json!("100m"), json!("200m")),
            (json!("1G"), json!("1Gi")),
            (json!("x"), json!("x")),
            (json!(""), json!("0")),
            (json!("1.2.3"), json!("1.2.3")),
            (json!(true), json!(true)),
        ];
        for (a, b) in other {
            assert!(!equal(&a, &b), "{a} {b}");
        }
    }
}
