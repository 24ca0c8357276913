//! Collations in words that mean the same on every server.

/// A name that two stores share only where they sort alike: one without a version says nothing of its order, but for byte order.
pub(super) fn order(
    name: &str,
    provider: &str,
    version: Option<&str>,
    deterministic: bool,
) -> Option<String> {
    // Byte order, which in UTF-8 is the order of code points.
    if matches!(provider, "c" | "b") && matches!(name, "C" | "POSIX") {
        return Some("C".to_owned());
    }
    if matches!(provider, "c" | "b")
        && matches!(name.to_ascii_lowercase().as_str(), "c.utf-8" | "c.utf8")
    {
        return Some("C.UTF-8".to_owned());
    }
    let kind = if deterministic {
        ""
    } else {
        "/nondeterministic"
    };
    version.map(|version| format!("{name}/{provider}/{version}{kind}"))
}

/// What `lower` and `upper` go by: [`crate::Column::ctype`].
pub(super) fn ctype(locale: &str, provider: &str) -> String {
    let provider = match provider {
        "c" => "libc",
        "i" => "icu",
        "b" => "builtin",
        other => other,
    };
    format!("{provider}:{locale}")
}
