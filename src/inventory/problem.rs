//! A mistake in a file, shown with its line: what miette renders, and the places behind it for machines.

use miette::{Diagnostic, LabeledSpan, NamedSource, Severity, SourceCode};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// How many mistakes are shown in full; the rest is counted.
const SHOWN: usize = 50;

/// A file's name and text, shared by everything that points into it.
#[derive(Debug, Clone)]
pub struct Source(Arc<NamedSource<String>>);

impl Source {
    /// The file `name` (as the operator wrote it) with its `text`.
    #[must_use]
    pub fn new(name: impl AsRef<str>, text: String) -> Self {
        Self(Arc::new(NamedSource::new(name, text)))
    }

    /// The text.
    #[must_use]
    pub fn text(&self) -> &str {
        self.0.inner()
    }

    /// The file's name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.name()
    }

    /// 1-based line and column (in characters) of a byte offset.
    #[must_use]
    pub fn position(&self, offset: usize) -> (usize, usize) {
        let before = self.text().get(..offset).unwrap_or(self.text());
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().map_or(0, |l| l.chars().count()) + 1;
        (line, column)
    }
}

/// One mistake or warning.
#[derive(Debug, Clone)]
pub struct Problem {
    severity: Severity,
    message: String,
    labels: Vec<LabeledSpan>,
    help: Option<String>,
    source: Source,
}

impl Problem {
    /// Text beside the caret.
    pub(super) fn label(&mut self, text: impl Into<String>) -> &mut Self {
        if let Some(first) = self.labels.first_mut() {
            first.set_label(Some(text.into()));
        }
        self
    }

    /// A second place that belongs to it.
    pub(super) fn also(&mut self, at: &Range<usize>, text: impl Into<String>) -> &mut Self {
        self.labels.push(LabeledSpan::new_with_span(Some(text.into()), at.clone()));
        self
    }

    /// What to do.
    pub(super) fn help(&mut self, text: impl Into<String>) -> &mut Self {
        self.help = Some(text.into());
        self
    }

    /// Whether it only warns.
    #[must_use]
    pub fn is_warning(&self) -> bool {
        self.severity == Severity::Warning
    }

    /// What is wrong, without place and help.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What to do.
    #[must_use]
    pub fn remedy(&self) -> Option<&str> {
        self.help.as_deref()
    }

    /// The file it is in.
    #[must_use]
    pub fn file(&self) -> &str {
        self.source.name()
    }

    /// 1-based line and column of its first place; `(1, 1)` where it is about the whole file.
    #[must_use]
    pub fn position(&self) -> (usize, usize) {
        self.source.position(self.offset())
    }

    fn offset(&self) -> usize {
        self.labels.first().map_or(0, LabeledSpan::offset)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Problem {}

impl Diagnostic for Problem {
    fn severity(&self) -> Option<Severity> {
        Some(self.severity)
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.help.as_ref().map(|h| Box::new(h) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        (!self.labels.is_empty()).then_some(&*self.source.0 as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        (!self.labels.is_empty()).then(|| Box::new(self.labels.iter().cloned()) as Box<dyn Iterator<Item = LabeledSpan>>)
    }
}

/// All mistakes of one file, in the order of its lines; never empty.
#[derive(Debug)]
pub struct Problems {
    all: Vec<Problem>,
    source: Source,
}

impl Problems {
    /// The parser stopped and did not say where.
    pub(super) fn unexplained(source: Source) -> Self {
        let mut sink = Sink::new(source.clone());
        sink.error_anywhere("this is not TOML");
        Self { all: sink.problems, source }
    }

    /// Every one of them; warnings may be among them.
    #[must_use]
    pub fn all(&self) -> &[Problem] {
        &self.all
    }

    fn only(&self) -> Option<&Problem> {
        if let [only] = self.all.as_slice() { Some(only) } else { None }
    }

    fn errors(&self) -> usize {
        self.all.iter().filter(|p| !p.is_warning()).count()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(only) = self.only() {
            return only.fmt(f);
        }
        let errors = self.errors();
        write!(f, "{} has {errors} {}", self.source.name(), if errors == 1 { "mistake" } else { "mistakes" })?;
        if self.all.len() > SHOWN {
            write!(f, "; these are the first {SHOWN}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// A single mistake is shown as itself, several under a headline.
impl Diagnostic for Problems {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.only()?.help()
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.only()?.source_code()
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        self.only()?.labels()
    }

    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn Diagnostic> + 'a>> {
        if self.only().is_some() {
            return None;
        }
        Some(Box::new(self.all.iter().take(SHOWN).map(|p| p as &dyn Diagnostic)))
    }
}

/// Collects mistakes while a file is read.
#[derive(Debug)]
pub(super) struct Sink {
    pub(super) source: Source,
    problems: Vec<Problem>,
}

impl Sink {
    pub(super) fn new(source: Source) -> Self {
        Self { source, problems: Vec::new() }
    }

    /// A mistake at a place.
    pub(super) fn error(&mut self, at: &Range<usize>, message: impl Into<String>) -> &mut Problem {
        self.add(Severity::Error, vec![LabeledSpan::new_primary_with_span(None, at.clone())], message.into())
    }

    /// A mistake of the whole file.
    pub(super) fn error_anywhere(&mut self, message: impl Into<String>) -> &mut Problem {
        self.add(Severity::Error, Vec::new(), message.into())
    }

    /// Something legal that is probably not meant.
    pub(super) fn warn(&mut self, at: &Range<usize>, message: impl Into<String>) -> &mut Problem {
        self.add(Severity::Warning, vec![LabeledSpan::new_primary_with_span(None, at.clone())], message.into())
    }

    fn add(&mut self, severity: Severity, labels: Vec<LabeledSpan>, message: String) -> &mut Problem {
        let at = self.problems.len();
        self.problems.push(Problem { severity, message, labels, help: None, source: self.source.clone() });
        &mut self.problems[at]
    }

    pub(super) fn has_errors(&self) -> bool {
        self.problems.iter().any(|p| !p.is_warning())
    }

    /// All mistakes in the order of the file; warnings alone are no failure.
    pub(super) fn finish(mut self) -> Result<Vec<Problem>, Problems> {
        self.problems.sort_by_key(Problem::offset);
        if self.has_errors() { Err(Problems { all: self.problems, source: self.source }) } else { Ok(self.problems) }
    }
}
