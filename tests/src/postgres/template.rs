//! A data folder made once a machine by `initdb` and copied for each server: half a second instead of five.

use std::{
    collections::hash_map::DefaultHasher,
    fs,
    hash::{Hash, Hasher},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::{
    binaries::Release,
    settings::{HBA, ROLES, SETTINGS, TLS},
};
use crate::{
    folders::{base, locked, make, sweep},
    identity::{give_to_servers, unprivileged},
};

/// Arguments of `initdb`. Small WAL segments keep a copy small.
const INITDB: [&str; 8] = [
    "--username=postgres",
    "--auth=trust",
    "--encoding=UTF8",
    "--locale=C.UTF-8",
    "--no-sync",
    "--no-instructions",
    "--wal-segsize=4",
    "--data-checksums",
];

/// The finished template: `data/` to copy, and `tls/` with the certificate that servers and proxies show.
pub(crate) struct Template {
    path: PathBuf,
}

impl Template {
    /// The template of this release and these settings; made by whichever process comes first.
    pub(crate) fn of(release: Release) -> Template {
        let path = base().join(format!("template-{}", recipe(release)));
        let _lock = locked(&path.with_extension("lock"));
        if !path.exists() {
            sweep();
            build(&path, release);
        }
        Template { path }
    }

    /// A name that changes with everything the template is made of.
    pub(crate) fn name(&self) -> String {
        self.path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned()
    }

    /// The certificate (PEM); it names `localhost` and `127.0.0.1` and is its own root.
    pub(crate) fn cert(&self) -> PathBuf {
        self.path.join("tls/cert.pem")
    }

    /// The certificate's key (PEM), readable by us.
    pub(crate) fn key(&self) -> PathBuf {
        self.path.join("tls/key.pem")
    }

    /// Puts a fresh data folder at `to`.
    pub(crate) fn copy(&self, to: &Path) {
        let mut cp = unprivileged(Path::new("cp"));
        run(cp
            .args(["-a", "--reflink=auto"])
            .arg(self.path.join("data"))
            .arg(to));
    }
}

fn recipe(release: Release) -> String {
    let mut hasher = DefaultHasher::new();
    (release.version(), INITDB, settings(release), HBA, ROLES).hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

fn settings(release: Release) -> String {
    let tls = if release.has_tls() { TLS } else { "" };
    format!("{SETTINGS}{tls}")
}

/// Builds under another name and renames: a killed build leaves no half template.
fn build(path: &Path, release: Release) {
    let partial = path.with_extension("partial");
    let _ = fs::remove_dir_all(&partial);
    make(&partial, 0o755);
    let data = partial.join("data");
    make(&data, 0o700);
    give_to_servers(&data);
    run(unprivileged(&release.program("initdb"))
        .args(INITDB)
        .arg("--pgdata")
        .arg(&data));
    certificate(&partial.join("tls"), &data);
    fs::write(data.join("pg_hba.conf"), HBA).unwrap();
    let conf = data.join("postgresql.conf");
    fs::write(
        &conf,
        fs::read_to_string(&conf).unwrap() + &settings(release),
    )
    .unwrap();
    roles(&data, release);
    fs::rename(&partial, path).unwrap();
}

fn certificate(tls: &Path, data: &Path) {
    make(tls, 0o755);
    let (cert, key) = (tls.join("cert.pem"), tls.join("key.pem"));
    let mut openssl = Command::new("openssl");
    openssl.args([
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
    ]);
    openssl.args([
        "-days",
        "3650",
        "-subj",
        "/CN=localhost",
        "-addext",
        "subjectAltName=DNS:localhost,IP:127.0.0.1",
    ]);
    openssl.args(["-addext", "basicConstraints=critical,CA:FALSE"]);
    run(openssl.arg("-keyout").arg(&key).arg("-out").arg(&cert));
    for (from, to) in [(&cert, "server.crt"), (&key, "server.key")] {
        let to = data.join(to);
        fs::copy(from, &to).unwrap();
        run(Command::new("chmod").arg("0600").arg(&to));
        give_to_servers(&to);
    }
}

/// A server in single-user mode takes one statement a line, and starts and ends in a moment.
fn roles(data: &Path, release: Release) {
    let mut single = unprivileged(&release.program("postgres"));
    let stdin = tempfile::tempfile().unwrap();
    {
        use std::io::{Seek, Write};
        let mut file = &stdin;
        file.write_all(ROLES.as_bytes()).unwrap();
        file.rewind().unwrap();
    }
    run(single
        .arg("--single")
        .arg("-D")
        .arg(data)
        .arg("postgres")
        .stdin(Stdio::from(stdin)));
}

fn run(command: &mut Command) {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && !said.contains("ERROR:"),
        "{command:?} failed: {said}"
    );
}
