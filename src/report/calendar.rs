//! Certificates' ends as an iCalendar file (RFC 5545): an all-day event each, with a reminder two weeks before.
//!
//! An event keeps its identity when the certificate is renewed: a calendar that reads the file again moves it.

use super::Certificate;
use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;

/// Bytes of a line without its end.
const WIDTH: usize = 75;

/// The calendar of `cluster`; `now` in Unix seconds.
#[must_use]
pub fn calendar(cluster: &str, certificates: &[Certificate], now: i64) -> String {
    let mut text = String::new();
    let name = format!("Certificates of {cluster}");
    for line in ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//homectl//certs//EN", "CALSCALE:GREGORIAN", "METHOD:PUBLISH"] {
        fold(&mut text, line);
    }
    fold(&mut text, &format!("X-WR-CALNAME:{}", escaped(&name)));
    for certificate in certificates {
        for line in event(cluster, certificate, now) {
            fold(&mut text, &line);
        }
    }
    fold(&mut text, "END:VCALENDAR");
    text
}

fn event(cluster: &str, c: &Certificate, now: i64) -> Vec<String> {
    let place = format!("{cluster}\n{}\n{}\n{}", c.node, c.path, c.subject);
    let id = data_encoding::HEXLOWER.encode(&Sha256::digest(place.as_bytes())[..16]);
    let summary = format!("{cluster}: {} on {} ends", short(&c.path), c.node);
    let about = format!("{}\nsubject {}\nissuer {}\nrenewed by {}\nends {}", c.path, c.subject, c.issuer, c.renewal, utc(c.ends));
    vec![
        "BEGIN:VEVENT".into(),
        format!("UID:{id}@homectl"),
        format!("DTSTAMP:{}", utc(now)),
        format!("DTSTART;VALUE=DATE:{}", day(c.ends)),
        format!("SUMMARY:{}", escaped(&summary)),
        format!("DESCRIPTION:{}", escaped(&about)),
        "TRANSP:TRANSPARENT".into(),
        "BEGIN:VALARM".into(),
        "ACTION:DISPLAY".into(),
        format!("DESCRIPTION:{}", escaped(&summary)),
        "TRIGGER:-P14D".into(),
        "END:VALARM".into(),
        "END:VEVENT".into(),
    ]
}

/// The last part of a path.
fn short(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// `20270917T120000Z`.
fn utc(seconds: i64) -> String {
    format_at(seconds, "%Y%m%dT%H%M%SZ")
}

/// `20270917`.
fn day(seconds: i64) -> String {
    format_at(seconds, "%Y%m%d")
}

fn format_at(seconds: i64, form: &str) -> String {
    // An end past the year 9999 is as good as that year's.
    let at = jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::MAX);
    at.to_zoned(jiff::tz::TimeZone::UTC).strftime(form).to_string()
}

/// As a TEXT value; control characters of strangers are left out.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '\\' | ';' | ',' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    out
}

/// A content line, folded between characters.
fn fold(text: &mut String, line: &str) {
    let mut width = 0;
    for c in line.chars() {
        if width + c.len_utf8() > WIDTH {
            text.push_str("\r\n ");
            width = 1;
        }
        let _ = write!(text, "{c}");
        width += c.len_utf8();
    }
    text.push_str("\r\n");
}

#[cfg(test)]
mod tests {
    use super::super::certificates::tests::left;
    use super::*;
    use crate::report::Renewal;
    use icalendar::parser::{read_calendar, unfold};
    use icalendar::{Calendar, CalendarComponent, Component as _, DatePerhapsTime};

    const NOW: i64 = 1_795_219_200;

    #[test]
    fn what_is_written_is_what_others_read() {
        let mut odd = left(12, Renewal::Nobody("it was; twice, \\ broken".into()));
        odd.node = "außenstelle".repeat(9);
        odd.subject = "CN=x\u{1b}[2J\r\nEND:VCALENDAR".into();
        let text = calendar("home", &[left(300, Renewal::Timer), odd.clone()], NOW);
        assert!(text.split_inclusive("\r\n").all(|line| line.ends_with("\r\n") && line.len() <= WIDTH + 2), "{text}");
        assert!(!text.replace("\r\n", "").contains(['\r', '\n', '\u{1b}']));

        let unfolded = unfold(&text);
        let read = Calendar::from(read_calendar(&unfolded).unwrap());
        assert_eq!(read.property_value("VERSION"), Some("2.0"));
        let events: Vec<_> = read.components.iter().filter_map(CalendarComponent::as_event).collect();
        assert_eq!((events.len(), read.components.len()), (2, 2));
        assert_eq!(events[0].get_summary(), Some("home: apiserver.crt on attic ends"));
        let Some(DatePerhapsTime::Date(day)) = events[0].get_start() else { panic!("a day: {text}") };
        assert_eq!(day.to_string(), "2027-09-17");
        assert_eq!(events[0].property_value("DTSTAMP"), Some("20261121T000000Z"));
        assert_eq!(events[1].get_summary(), Some(format!("home: apiserver.crt on {} ends", odd.node).as_str()));
        let about = events[1].get_description().unwrap();
        assert!(about.contains("renewed by nobody: it was; twice, \\ broken") && about.contains("ends 20261203T120000Z"), "{about}");
        assert_ne!(events[0].get_uid(), events[1].get_uid());
    }

    #[test]
    fn an_event_moves_when_its_certificate_is_renewed() {
        let id = |days| {
            let text = calendar("home", &[left(days, Renewal::Timer)], NOW);
            text.lines().find(|l| l.starts_with("UID:")).unwrap().to_owned()
        };
        assert_eq!(id(20), id(300));
    }
}
