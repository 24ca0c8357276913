mod mistakes;
mod reference;
mod secrets;
mod shape;
mod syntax;

use crate::{Config, Loaded, Mistakes, load};

/// The two stores that every file needs.
const STORES: &str =
    "[old]\nurl = 'postgres://u:${OLD_PW}@old/shop'\n[new]\nurl = 'postgres://u@new/shop'\n";

fn env(name: &str) -> Option<String> {
    match name {
        "OLD_PW" | "NEW_PASSWORD" => Some("hunter2".to_owned()),
        "SEVEN" => Some("7".to_owned()),
        "PHASE" => Some("dual-write".to_owned()),
        _ => None,
    }
}

fn parse(text: &str) -> Result<Loaded, Mistakes> {
    load::parse(text, "x.toml", &env, "/nowhere")
}

fn good(text: &str) -> Config {
    match parse(text) {
        Ok(loaded) => loaded.config,
        Err(mistakes) => panic!("{mistakes}\nin\n{text}"),
    }
}

fn bad(text: &str) -> Mistakes {
    match parse(text) {
        Ok(_) => panic!("no mistake was found in\n{text}"),
        Err(mistakes) => mistakes,
    }
}

/// A file with one toggle `a` and one table `t`, and `body` as keys of the table.
fn with_table(body: &str) -> String {
    format!("{STORES}[toggle.a]\nphase = 1\n[toggle.a.table.t]\n{body}\n")
}
