//! The parameters of a store URL.

use std::{collections::BTreeMap, path::PathBuf};

use super::{BadUrl, component, decode};
use crate::{StoreKind, TlsMode, defaults, suggest::nearest};

/// TLS mode, root certificate, and every other parameter.
type Parameters = (TlsMode, Option<PathBuf>, BTreeMap<String, String>);

/// Reads what follows the `?`: TLS apart, the rest as typed.
pub(super) fn parameters(
    typed: &str,
    kind: StoreKind,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Parameters, Vec<BadUrl>> {
    let mut mistakes = Vec::new();
    let mut mode = None;
    let mut root_cert = None;
    let mut params = BTreeMap::new();
    for pair in typed.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let decoded = decode("parameter", name)
            .and_then(|name| Ok((name, component("parameter", value, env)?)));
        let outcome = decoded.and_then(|(name, value)| {
            match (name.as_str(), kind) {
                ("sslmode", _) => mode = Some(tls_mode(&value)?),
                ("tls" | "ssl", StoreKind::Mongo) => mode = Some(mongo_tls(&value)?),
                ("sslrootcert", _) | ("tlsCAFile", StoreKind::Mongo) => root_cert = Some(value),
                (name, _) => {
                    refuse_parameter(name)?;
                    if params.insert(name.to_owned(), value).is_some() {
                        return Err(BadUrl::new(
                            "sets a parameter twice",
                            "leave one of the two",
                        ));
                    }
                }
            }
            Ok(())
        });
        mistakes.extend(outcome.err());
    }
    let default = if kind == StoreKind::Mongo {
        defaults::MONGO_TLS_MODE
    } else {
        defaults::TLS_MODE
    };
    let mode = mode.unwrap_or(default);
    if root_cert.is_some() && !matches!(mode, TlsMode::VerifyCa | TlsMode::VerifyFull) {
        // Naming a root and not checking against it would be trust in name only.
        let what = "names a root certificate that its TLS mode does not check";
        mistakes.push(BadUrl::new(
            what,
            "add sslmode=verify-full (or verify-ca), or leave the root certificate out",
        ));
    }
    if !mistakes.is_empty() {
        return Err(mistakes);
    }
    // libpq's word for the roots that are there anyway.
    let root_cert = root_cert.filter(|path| path != "system").map(PathBuf::from);
    Ok((mode, root_cert, params))
}

fn tls_mode(value: &str) -> Result<TlsMode, BadUrl> {
    match value {
        "disable" => Ok(TlsMode::Disable),
        "prefer" => Ok(TlsMode::Prefer),
        "require" => Ok(TlsMode::Require),
        "verify-ca" => Ok(TlsMode::VerifyCa),
        "verify-full" => Ok(TlsMode::VerifyFull),
        _ => Err(BadUrl::new(
            "has an unknown sslmode",
            "write sslmode= with one of disable, prefer, require, verify-ca, verify-full",
        )),
    }
}

fn mongo_tls(value: &str) -> Result<TlsMode, BadUrl> {
    match value {
        "true" => Ok(TlsMode::VerifyFull),
        "false" => Ok(TlsMode::Disable),
        _ => Err(BadUrl::new(
            "has a tls that is neither true nor false",
            "write tls=true or tls=false",
        )),
    }
}

/// Parameters that are known and have another place, and misspelt ones that would leave a connection unprotected.
fn refuse_parameter(name: &str) -> Result<(), BadUrl> {
    let instead = match name {
        "user" | "password" | "host" | "hostaddr" | "port" | "dbname" => {
            "write SCHEME://USER:PASSWORD@HOST:PORT/DATABASE"
        }
        "connect_timeout" => "set connect_timeout beside url",
        "passfile" => "set password_file beside url",
        "sslcert" | "sslkey" | "sslpassword" => {
            "use a password: client certificates towards a store are not supported"
        }
        _ => {
            let near = nearest(name, ["sslmode", "sslrootcert"]);
            return near.map_or(Ok(()), |near| {
                Err(BadUrl::new(
                    "has an unknown parameter",
                    format!("did you mean \"{near}\"?"),
                ))
            });
        }
    };
    Err(BadUrl::new(
        format!("has the parameter \"{name}\", which does not belong there"),
        instead,
    ))
}
