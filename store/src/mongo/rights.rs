//! What the account may do.

use std::collections::BTreeSet;

use mongodb::bson::{Document, doc};

use super::MongoStore;
use crate::{StoreResult, TableMap};

/// What copying, writing and comparing take.
const NEEDED: [&str; 6] = [
    "find",
    "insert",
    "update",
    "remove",
    "createCollection",
    "listCollections",
];

/// Actions that the account lacks on a table's collection. None where the server asks nobody who they are.
pub(super) async fn missing(
    store: &MongoStore,
    table: &TableMap,
) -> StoreResult<Vec<&'static str>> {
    let database = store.conn.database().await?;
    let status = database
        .run_command(doc! { "connectionStatus": 1, "showPrivileges": true })
        .await
        .map_err(|error| store.conn.error(&error))?;
    let collection = &table.on(store.side).name.name;
    Ok(match status.get_document("authInfo") {
        Ok(info) if has_users(info) => {
            let granted = granted(info, database.name(), collection);
            let lacks = |action: &&str| !granted.contains(action);
            NEEDED.into_iter().filter(lacks).collect()
        }
        _nobody => Vec::new(),
    })
}

fn has_users(info: &Document) -> bool {
    info.get_array("authenticatedUsers")
        .is_ok_and(|users| !users.is_empty())
}

fn granted<'a>(info: &'a Document, database: &str, collection: &str) -> BTreeSet<&'a str> {
    let privileges = info.get_array("authenticatedUserPrivileges");
    let privileges = privileges.into_iter().flatten();
    let on_it = privileges
        .filter_map(|privilege| privilege.as_document())
        .filter(|privilege| {
            let resource = privilege.get_document("resource");
            resource.is_ok_and(|resource| covers(resource, database, collection))
        });
    on_it
        .filter_map(|privilege| privilege.get_array("actions").ok())
        .flatten()
        .filter_map(|action| action.as_str())
        .collect()
}

/// An empty name stands for all.
fn covers(resource: &Document, database: &str, collection: &str) -> bool {
    let names = |field, name| {
        let named = resource.get_str(field);
        named.is_ok_and(|named| named.is_empty() || named == name)
    };
    resource.get_bool("anyResource").unwrap_or(false)
        || (names("db", database) && names("collection", collection))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_count_where_their_resource_covers_the_collection() {
        let privilege = |resource, action: &str| doc! { "resource": resource, "actions": [action] };
        let info = doc! { "authenticatedUserPrivileges": [
            privilege(doc! { "db": "shop", "collection": "" }, "find"),
            privilege(doc! { "db": "shop", "collection": "orders" }, "insert"),
            privilege(doc! { "db": "shop", "collection": "items" }, "update"),
            privilege(doc! { "db": "other", "collection": "" }, "remove"),
            privilege(doc! { "anyResource": true }, "createCollection"),
            privilege(doc! { "cluster": true }, "listCollections"),
        ] };
        let granted = granted(&info, "shop", "orders");
        assert_eq!(
            granted.into_iter().collect::<Vec<_>>(),
            ["createCollection", "find", "insert"]
        );
    }
}
