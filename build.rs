//! Embeds `templates/` into the binary, so that one file is the whole tool. Scripts and timers there are taken as they are.

fn main() {
    minijinja_embed::embed_templates!("templates", &[".j2", ".yaml"]);
}
