//! Embeds `templates/` into the binary, so that one file is the whole tool.

fn main() {
    minijinja_embed::embed_templates!("templates");
}
