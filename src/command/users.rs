//! `crossfade users import`: the list of users for a document store, from the roles of the old store.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    process::ExitCode,
};

use crossfade_config::{
    Loaded, StoreConfig, UserList,
    users::{User, is_verifier},
};
use crossfade_store::postgres::conn::Endpoint;
use tokio_postgres::{NoTls, config::SslMode, error::SqlState};

use super::on_runtime;
use crate::{
    cli::ImportArgs,
    failure::{Failure, Status},
};

/// Login roles with what the server keeps of their passwords.
const ROLES: &str = "SELECT rolname::text, rolpassword, coalesce(rolvaliduntil <= now(), false) \
    FROM pg_catalog.pg_authid WHERE rolcanlogin ORDER BY rolname";

/// A role of the old store.
#[derive(Debug)]
struct Role {
    name: String,
    password: Option<String>,
    expired: bool,
}

/// Writes the list. Roles that are named replace what the list has of them; without any, the list becomes what the old store has.
///
/// # Errors
/// When the file names no list, the roles cannot be read or the list cannot be written.
pub(crate) fn import(args: &ImportArgs) -> Result<ExitCode, Failure> {
    on_runtime(&args.file.config, async |loaded| run(args, &loaded).await)
}

async fn run(args: &ImportArgs, loaded: &Loaded) -> Result<ExitCode, Failure> {
    let Some(list) = &loaded.config.users else {
        return Err(Failure::usage(
            "the file has no [users]; add [users] with file = \"users.txt\" and run the command again",
        ));
    };
    let roles = roles(&loaded.config.old).await?;
    let before = match args.role.is_empty() {
        true => &[][..],
        false => &list.users,
    };
    let mut users: BTreeMap<String, User> = before
        .iter()
        .map(|user| (user.name.clone(), user.clone()))
        .collect();
    let asked = |role: &&Role| args.role.is_empty() || args.role.contains(&role.name);
    let (mut imported, mut left) = (0, 0);
    for role in roles.iter().filter(asked) {
        match role.verifier() {
            Ok(verifier) => {
                imported += 1;
                let user = User {
                    name: role.name.clone(),
                    verifier,
                };
                users.insert(role.name.clone(), user);
            }
            Err(why) => {
                left += 1;
                sayln!("left out  {}: {why}", role.name);
            }
        }
    }
    for name in &args.role {
        if !roles.iter().any(|role| role.name == *name) {
            left += 1;
            sayln!("left out  {name}: the old store has no such login role");
        }
    }
    write(list, &users)?;
    sayln!(
        "{imported} imported, {} in \"{}\"",
        users.len(),
        list.file.display()
    );
    // With names, each of them was asked for; without, the old store's own roles (of its operators, say) may well stay out.
    if left > 0 && !args.role.is_empty() {
        return Ok(ExitCode::from(Status::No as u8));
    }
    Ok(ExitCode::SUCCESS)
}

impl Role {
    fn verifier(&self) -> Result<String, &'static str> {
        match &self.password {
            _ if self.expired => Err("its password has expired (VALID UNTIL)"),
            None => Err("it has no password"),
            Some(password) if is_verifier(password) => Ok(password.clone()),
            Some(password) if password.starts_with("md5") => Err(
                "its password is kept as md5; SET password_encryption = 'scram-sha-256', set the password anew with ALTER ROLE … PASSWORD, and import again",
            ),
            Some(_) => Err("its password is kept in a form that is not known"),
        }
    }
}

async fn roles(old: &StoreConfig) -> Result<Vec<Role>, Failure> {
    let stream = Endpoint::new(old.clone())?.open().await?;
    let failed = |error: tokio_postgres::Error| refused(old, &error);
    let mut config = tokio_postgres::Config::new();
    config
        .user(&old.url.user)
        .dbname(&old.url.database)
        .application_name("crossfade")
        // The stream has done its own handshake by now.
        .ssl_mode(SslMode::Disable);
    if let Some(password) = &old.url.password {
        config.password(password);
    }
    let (client, connection) = config.connect_raw(stream, NoTls).await.map_err(failed)?;
    let connection = tokio::spawn(connection);
    let rows = client.query(ROLES, &[]).await.map_err(failed);
    connection.abort();
    rows?
        .iter()
        .map(|row| {
            Ok(Role {
                name: row.try_get(0)?,
                password: row.try_get(1)?,
                expired: row.try_get(2)?,
            })
        })
        .collect::<Result<_, tokio_postgres::Error>>()
        .map_err(failed)
}

fn refused(old: &StoreConfig, error: &tokio_postgres::Error) -> Failure {
    let user = &old.url.user;
    match error.as_db_error() {
        Some(told) if *told.code() == SqlState::INSUFFICIENT_PRIVILEGE => Failure::no(format!(
            "{}: the account \"{user}\" may not read the roles' passwords; as a superuser of the old store run\n  \
             GRANT SELECT ON pg_catalog.pg_authid TO \"{account}\";\n\
             then this command again, and afterwards\n  \
             REVOKE SELECT ON pg_catalog.pg_authid FROM \"{account}\";\n\
             where nobody may grant that (managed servers), write the lines by hand: docs/users.md",
            old.url,
            account = user.replace('"', "\"\""),
        )),
        Some(told) => Failure::broken(format!(
            "{}: {} ({}); see that the account of [old] may log in",
            old.url,
            told.message(),
            told.code().code()
        )),
        None => Failure::broken(format!(
            "{}: {error}; see that the server runs, and correct [old] in the file",
            old.url
        )),
    }
}

fn write(list: &UserList, users: &BTreeMap<String, User>) -> Result<(), Failure> {
    let mut text = String::from(
        "# Who may log in where the new store is MongoDB (docs/users.md): NAME SCRAM-SHA-256$…\n",
    );
    for user in users.values() {
        text.push_str(&format!("{user}\n"));
    }
    replace(&list.file, &text).map_err(|error| {
        Failure::broken(format!(
            "cannot write \"{}\": {error}; see that its folder exists and may be written, and run the command again",
            list.file.display()
        ))
    })
}

/// In one step: a reader sees the old text or the new one. Nobody but the owner may read it.
fn replace(file: &Path, text: &str) -> io::Result<()> {
    let target = fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
    let mut name = target
        .file_name()
        .ok_or_else(|| io::Error::from(io::ErrorKind::IsADirectory))?
        .to_owned();
    name.push(format!(".{}", std::process::id()));
    let temporary = target.with_file_name(name);
    let written = fill(&temporary, text).and_then(|()| fs::rename(&temporary, &target));
    if written.is_err() {
        // Best effort: the error that counts is the first.
        let _ = fs::remove_file(&temporary);
    }
    written?;
    let folder = target.parent().filter(|folder| *folder != Path::new(""));
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

fn fill(temporary: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(temporary)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const VERIFIER: &str = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";

    fn role(password: Option<&str>, expired: bool) -> Role {
        Role {
            name: "app".to_owned(),
            password: password.map(str::to_owned),
            expired,
        }
    }

    #[test]
    fn only_passwords_that_can_be_checked_are_imported() {
        assert_eq!(
            role(Some(VERIFIER), false).verifier(),
            Ok(VERIFIER.to_owned())
        );
        for (role, why) in [
            (
                role(Some("md5d41d8cd98f00b204e9800998ecf8427e"), false),
                "md5",
            ),
            (role(None, false), "no password"),
            (role(Some(VERIFIER), true), "expired"),
            (role(Some("plain"), false), "not known"),
        ] {
            let told = role.verifier().unwrap_err();
            assert!(told.contains(why), "{told}");
        }
    }

    #[test]
    fn the_list_is_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let list = UserList {
            file: folder.path().join("users.txt"),
            users: Vec::new(),
        };
        fs::write(&list.file, "old").unwrap();
        let user = User {
            name: "two words".to_owned(),
            verifier: VERIFIER.to_owned(),
        };
        let users = BTreeMap::from([(user.name.clone(), user.clone())]);
        write(&list, &users).unwrap();
        let text = fs::read_to_string(&list.file).unwrap();
        assert_eq!(crossfade_config::users::parse(&text).unwrap(), [user]);
        let mode = fs::metadata(&list.file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
