//! Store URLs: `SCHEME://USER:PASSWORD@HOST:PORT/DATABASE?PARAMETERS`.
//!
//! No message of this module repeats any part of a URL but its scheme. Where special characters are not
//! percent-encoded, the parts are not what they seem, and the "port" may be the rest of a password.

mod params;

use std::str::FromStr;

use crate::{
    StoreKind, StoreUrl, defaults,
    env::{self, EnvMistake},
    suggest::nearest,
};

/// Schemes and the kinds of store they mean.
const SCHEMES: [(&str, StoreKind); 5] = [
    ("postgres", StoreKind::Postgres),
    ("postgresql", StoreKind::Postgres),
    ("mongodb", StoreKind::Mongo),
    ("mysql", StoreKind::MySql),
    ("mariadb", StoreKind::MySql),
];

/// A URL that cannot be used. Neither part repeats the URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the url {what}; {instead}")]
pub struct BadUrl {
    /// What is wrong, as in "the url has no host".
    pub what: String,
    /// What to write instead.
    pub instead: String,
}

impl BadUrl {
    fn new(what: impl Into<String>, instead: impl Into<String>) -> BadUrl {
        BadUrl {
            what: what.into(),
            instead: instead.into(),
        }
    }
}

impl From<EnvMistake> for BadUrl {
    fn from(mistake: EnvMistake) -> BadUrl {
        BadUrl::new(format!("cannot be completed: {mistake}"), mistake.instead())
    }
}

impl FromStr for StoreUrl {
    type Err = BadUrl;

    /// Reads a URL without placeholders, as a test or a tool has it; the first mistake is the error.
    fn from_str(text: &str) -> Result<StoreUrl, BadUrl> {
        // Doubling the dollar keeps a literal "${" from being a placeholder.
        parse(&text.replace("${", "$${"), &|_| None).map_err(|mut mistakes| mistakes.swap_remove(0))
    }
}

/// Reads a URL as typed. What an environment variable holds is taken as it is (a password needs no
/// percent-encoding there), unless it holds the beginning of the URL: then it is read as if it were typed.
pub(crate) fn parse(
    typed: &str,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<StoreUrl, Vec<BadUrl>> {
    if typed.trim_start().starts_with("${") {
        let whole = env::expand(typed, env).map_err(|mistake| vec![mistake.into()])?;
        return parse_template(&whole.replace("${", "$${"), env);
    }
    parse_template(typed, env)
}

fn parse_template(
    typed: &str,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<StoreUrl, Vec<BadUrl>> {
    let (kind, rest) = scheme(typed.trim()).map_err(|mistake| vec![mistake])?;
    let (rest, query) = rest
        .split_once('?')
        .map_or((rest, ""), |(rest, query)| (rest, query));
    let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
    let (account, place) = authority.rsplit_once('@').unwrap_or(("", authority));

    let mut mistakes = Vec::new();
    let mut keep = |mistake: BadUrl| mistakes.push(mistake);
    let account = user_and_password(account, kind, env)
        .map_err(&mut keep)
        .ok();
    let place = host_and_port(place, kind, env).map_err(&mut keep).ok();
    let database = database_name(database, env).map_err(&mut keep).ok();
    let query = params::parameters(query, kind, env)
        .map_err(|found| found.into_iter().for_each(&mut keep))
        .ok();
    let (
        Some((user, password)),
        Some((host, port)),
        Some(database),
        Some((tls, root_cert, params)),
    ) = (account, place, database, query)
    else {
        return Err(mistakes);
    };
    Ok(StoreUrl {
        kind,
        host,
        port,
        user,
        password,
        database,
        tls,
        root_cert,
        params,
    })
}

fn scheme(typed: &str) -> Result<(StoreKind, &str), BadUrl> {
    const KNOWN: &str = "begin it with postgres://, mongodb:// or mysql://";
    let (scheme, rest) = typed
        .split_once("://")
        .ok_or_else(|| BadUrl::new("has no scheme", KNOWN))?;
    if let Some((_, kind)) = SCHEMES.iter().find(|(name, _)| *name == scheme) {
        return Ok((*kind, rest));
    }
    if scheme == "mongodb+srv" {
        let instead = "write mongodb:// and the host and port of one member of the replica set";
        return Err(BadUrl::new(
            "has the scheme \"mongodb+srv\", which needs DNS records",
            instead,
        ));
    }
    if !scheme
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
        || scheme.len() > 20
    {
        return Err(BadUrl::new("has no scheme", KNOWN));
    }
    let instead = nearest(scheme, SCHEMES.iter().map(|(name, _)| *name)).map_or_else(
        || KNOWN.to_owned(),
        |near| format!("did you mean \"{near}://\"?"),
    );
    Err(BadUrl::new(
        format!("has the unknown scheme \"{scheme}\""),
        instead,
    ))
}

type Account = (String, Option<String>);

fn user_and_password(
    typed: &str,
    kind: StoreKind,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Account, BadUrl> {
    let (user, password) = typed
        .split_once(':')
        .map_or((typed, None), |(user, password)| (user, Some(password)));
    let from_env = env::has_placeholder(user);
    let user = component("user", user, env)?;
    if from_env && user.contains(':') {
        // Shown in logs as the user's name, it would show the password.
        let instead = "give the user and the password in two variables: ${USER}:${PASSWORD}@HOST";
        return Err(BadUrl::new(
            "has a variable for its user that holds a \":\"",
            instead,
        ));
    }
    let password = password
        .map(|password| component("password", password, env))
        .transpose()?;
    if user.is_empty() && (kind != StoreKind::Mongo || password.is_some()) {
        return Err(BadUrl::new(
            "names no user",
            "write SCHEME://USER@HOST:PORT/DATABASE with the proxy's own account",
        ));
    }
    Ok((user, password))
}

fn host_and_port(
    typed: &str,
    kind: StoreKind,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<(String, u16), BadUrl> {
    let place = env::expand(typed, env)?;
    if place.contains(',') {
        let instead = "name one host; of a replica set, any one member";
        return Err(BadUrl::new("names several hosts", instead));
    }
    let (host, port) = if let Some(rest) = place.strip_prefix('[') {
        let unclosed = || {
            BadUrl::new(
                "has an unclosed \"[\"",
                "write an IPv6 address as [::1]:5432",
            )
        };
        let (host, after) = rest.split_once(']').ok_or_else(unclosed)?;
        host.parse::<std::net::Ipv6Addr>().map_err(|_| {
            BadUrl::new(
                "has no IPv6 address between \"[\" and \"]\"",
                "write one, as in [::1]:5432",
            )
        })?;
        (
            host.to_owned(),
            if after.is_empty() {
                None
            } else {
                Some(after.strip_prefix(':').unwrap_or(""))
            },
        )
    } else {
        let (host, port) = place
            .split_once(':')
            .map_or((place.as_str(), None), |(host, port)| (host, Some(port)));
        (decode("host", host)?, port)
    };
    if host.is_empty() {
        return Err(BadUrl::new(
            "has no host",
            "write SCHEME://USER@HOST:PORT/DATABASE",
        ));
    }
    if host.starts_with('/') {
        return Err(BadUrl::new(
            "names a Unix socket",
            "name the host and port on which the store listens for TCP",
        ));
    }
    if host.chars().any(|c| {
        c.is_whitespace() || c.is_control() || matches!(c, '/' | '?' | '#' | '@' | '\\' | '$')
    }) {
        return Err(BadUrl::new(
            "has characters in its host that no host has",
            ENCODE,
        ));
    }
    let Some(port) = port else {
        return Ok((host, defaults::port(kind)));
    };
    match port.parse::<u16>() {
        Ok(port) if port > 0 => Ok((host, port)),
        Ok(_) | Err(_) => Err(BadUrl::new(
            "has a port that is not a number from 1 to 65535",
            ENCODE,
        )),
    }
}

/// The usual cause of parts that make no sense.
const ENCODE: &str = "correct it; if the user or password holds one of @ : / ? # %, write that percent-encoded (@ is %40, / is %2F)";

fn database_name(typed: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<String, BadUrl> {
    let database = component("database", typed, env)?;
    if database.is_empty() {
        return Err(BadUrl::new("names no database", "end it with /DATABASE"));
    }
    if database.contains('/') || database.chars().any(char::is_control) {
        return Err(BadUrl::new(
            "has characters in its database that none has",
            ENCODE,
        ));
    }
    Ok(database)
}

/// A part of the URL: typed text is percent-decoded, what a variable holds is not.
fn component(
    part: &str,
    typed: &str,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<String, BadUrl> {
    let mut whole = String::new();
    for piece in env::pieces(typed)? {
        match piece {
            env::Piece::Typed(text) => whole.push_str(&decode(part, text)?),
            env::Piece::Escaped => whole.push_str("${"),
            env::Piece::Variable(name) => {
                whole.push_str(&env(name).ok_or_else(|| EnvMistake::Unset(name.to_owned()))?);
            }
        }
    }
    if whole.contains('\0') {
        return Err(BadUrl::new(
            format!("has a NUL byte in its {part}"),
            "leave it out: no store takes it",
        ));
    }
    Ok(whole)
}

fn decode(part: &str, typed: &str) -> Result<String, BadUrl> {
    let bad = || {
        BadUrl::new(
            format!("has a \"%\" in its {part} that is no percent-encoding"),
            "write % itself as %25",
        )
    };
    let mut bytes = Vec::with_capacity(typed.len());
    let mut rest = typed.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        if first != b'%' {
            bytes.push(first);
            rest = after;
            continue;
        }
        let digits = after
            .get(..2)
            .and_then(|pair| std::str::from_utf8(pair).ok())
            .ok_or_else(bad)?;
        if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(bad());
        }
        bytes.push(u8::from_str_radix(digits, 16).map_err(|_| bad())?);
        rest = &after[2..];
    }
    String::from_utf8(bytes).map_err(|_| {
        BadUrl::new(
            format!("has a {part} that is not UTF-8 once decoded"),
            "percent-encode its UTF-8 bytes",
        )
    })
}

#[cfg(test)]
mod tests;
