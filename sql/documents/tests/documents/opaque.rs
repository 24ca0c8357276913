//! Columns of types that documents keep as bytes.

use crossfade_tests::Mongod;
use mongodb::bson::{Binary, Document, doc, spec::BinarySubtype};

use crate::world::World;

const PLACES: &str =
    "CREATE TABLE places (id int PRIMARY KEY, at point, during tsrange, name text);
    CREATE TABLE names (id int PRIMARY KEY, name text)";

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_names_the_column_and_its_type_and_what_to_do() {
    let mongod = Mongod::start().await;
    let world = World::of(&mongod, PLACES, "").await;
    let mut session = world.on_documents().await;
    // As the proxy asks for images where both stores are written.
    for (column, ty, send) in [
        ("at", "point", "point_send"),
        ("during", "tsrange", "range_send"),
    ] {
        let image = format!("pg_catalog.encode(pg_catalog.{send}(\"places\".\"{column}\"), 'hex')");
        for write in [
            "INSERT INTO places (id, name) VALUES (1, 'a')",
            "UPDATE places SET name = 'b'",
            "DELETE FROM places",
        ] {
            let refused = session.run(&format!("{write} RETURNING {image}")).await;
            assert_eq!(
                refused.sqlstate.as_deref(),
                Some("0A000"),
                "{}",
                refused.end
            );
            for told in [
                "table \"places\"".to_owned(),
                format!("column \"{column}\" of type"),
                ty.to_owned(),
                format!("`column.{column} = false`"),
            ] {
                assert!(refused.end.contains(&told), "{told}: {}", refused.end);
            }
        }
    }
    // Who asks for something else hears what PostgreSQL says.
    let unknown = session.run("SELECT name_send(name) FROM names").await;
    assert_eq!(
        unknown.sqlstate.as_deref(),
        Some("42883"),
        "{}",
        unknown.end
    );

    // Where only the new store is written, the table can be written; a row that has such a value can be read by its other columns.
    let bytes = Binary {
        subtype: BinarySubtype::Generic,
        bytes: vec![0; 16],
    };
    let database = mongod.database(&world.database).await;
    let places = database.collection::<Document>("places");
    let place = doc! { "_id": 7, "at": bytes.clone(), "name": "seven" };
    places.insert_one(place).await.unwrap();
    session
        .ok("INSERT INTO places (id, name) VALUES (8, 'eight')")
        .await;
    session
        .ok("UPDATE places SET name = 'acht' WHERE id = 8")
        .await;
    let found = session.ok("SELECT id, name FROM places ORDER BY id").await;
    assert_eq!(found.rows, ["7\tseven", "8\tacht"]);
    for statement in [
        "SELECT * FROM places",
        "UPDATE places SET name = 'sieben' WHERE id = 7",
        "DELETE FROM places WHERE id = 7",
    ] {
        let refused = session.run(statement).await;
        assert_eq!(refused.sqlstate.as_deref(), Some("0A000"), "{statement}");
        let told =
            refused.end.contains("type point") && refused.end.contains("`column.at = false`");
        assert!(told, "{statement}: {}", refused.end);
    }
    session.ok("TRUNCATE places").await;
}
