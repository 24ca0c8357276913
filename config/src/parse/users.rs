//! `[users]`.

use std::io::ErrorKind;

use crate::{
    UserList, keys,
    load::{Content, read},
    reader::{Reader, Section},
    users::{self, User},
};

/// Reads the list of users, where the file names one. It is watched with the file.
pub(crate) fn users(reader: &mut Reader<'_>, root: &Section<'_>) -> Option<UserList> {
    let section = reader.section(root, "users", &keys::USERS)?;
    let Some(field) = section.get("file") else {
        reader.missing(
            section.at.clone(),
            "[users] has no \"file\"",
            "add file = \"users.txt\"",
        );
        return None;
    };
    let file = reader.path(&field)?;
    let content = read(&file);
    reader.secrets.push((file.clone(), content.clone()));
    match listed(content) {
        Ok(users) => Some(UserList { file, users }),
        Err(why) => {
            let what = format!("\"{}\" names a file of which {why}", field.path);
            let instead = "write one user a line, NAME SCRAM-SHA-256$…; `crossfade users import` writes such a file";
            reader.mistake(field.at(), what, instead);
            None
        }
    }
}

/// A file that is not there yet is one without users: `crossfade users import` makes it.
fn listed(content: Content) -> Result<Vec<User>, String> {
    let bytes = match content {
        Ok(bytes) => bytes,
        Err(ErrorKind::NotFound) => return Ok(Vec::new()),
        Err(kind) => return Err(format!("nothing can be read: {kind}")),
    };
    let text = String::from_utf8(bytes).map_err(|_| "the text is not UTF-8".to_owned())?;
    users::parse(&text).map_err(|bad| bad.to_string())
}
