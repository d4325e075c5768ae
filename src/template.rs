//! The templates of `templates/`, embedded at build time and rendered with strict undefined values:
//! a misspelt variable is an error, never an empty string in a unit file.

use crate::error::{Failure, Result};
use minijinja::{AutoEscape, Environment, UndefinedBehavior, syntax::SyntaxConfig};
use std::sync::OnceLock;

pub use minijinja::context;

/// Renders the template `name` (a path below `templates/`).
///
/// # Errors
/// A [`Failure`] of class *bug*: templates and their values are ours.
pub fn render(name: &str, values: minijinja::Value) -> Result<String> {
    environment()
        .get_template(name)
        .and_then(|t| t.render(values))
        .map_err(|e| Failure::bug(format!("template {name} does not render")).seen(format!("{e:#}")))
}

#[expect(clippy::expect_used, reason = "the generated loader: templates were parsed when they were embedded")]
fn environment() -> &'static Environment<'static> {
    static ENV: OnceLock<Environment<'static>> = OnceLock::new();
    ENV.get_or_init(|| {
        let mut env = Environment::new();
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).keep_trailing_newline(true).build();
        if let Ok(syntax) = syntax {
            env.set_syntax(syntax);
        }
        env.set_undefined_behavior(UndefinedBehavior::Strict);
        env.set_auto_escape_callback(|_| AutoEscape::None);
        minijinja_embed::load_templates!(&mut env);
        env
    })
}
