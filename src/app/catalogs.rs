//! The catalogs as they were when a store was last asked: in phase 8 the old store may be switched off, and a proxy that restarts while a store is down
//! serves on.

mod record;
mod remembering;

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use crossfade_config::{Config, QualifiedName};
use crossfade_phase::Side;
use crossfade_store::{Alias, Relation, Store};
use serde::{Deserialize, Serialize};

use super::lock;
use crate::failure::Failure;
use record::{AliasRecord, RelationRecord};
pub(super) use remembering::Remembering;

/// Beside the journal, in `state_dir`.
const NAME: &str = "catalogs.json";

/// Whom to believe about a store's catalog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trust {
    /// The store.
    Ask,
    /// The store, or, when it does not answer, what it said last.
    AskOrAsItWas,
    /// What it said last; only where nothing is known is the store asked.
    AsItWas,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Catalogs {
    /// `None` for a process without a folder.
    path: Option<PathBuf>,
    memory: Memory,
    saved: Mutex<Option<Vec<u8>>>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Known {
    old: Catalog,
    new: Catalog,
    /// Tables of each toggle, by their old names.
    tables: BTreeMap<String, Vec<String>>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Catalog {
    relations: BTreeMap<String, RelationRecord>,
    aliases: BTreeMap<String, Vec<AliasRecord>>,
}

/// What is known; clones are the same memory.
#[derive(Debug, Clone, Default)]
struct Memory(Arc<Mutex<Known>>);

impl Known {
    fn on(&mut self, side: Side) -> &mut Catalog {
        match side {
            Side::Old => &mut self.old,
            Side::New => &mut self.new,
        }
    }
}

impl Catalogs {
    /// Reads what is known.
    ///
    /// # Errors
    /// When the file is there and cannot be read.
    pub(super) fn open(state_dir: &Path) -> Result<Catalogs, Failure> {
        let path = state_dir.join(NAME);
        let known = match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| {
                Failure::broken(format!(
                    "\"{}\" is damaged: {error}; remove it and start again while both stores answer",
                    path.display()
                ))
            })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Known::default(),
            Err(error) => return Err(Failure::broken(format!("cannot read \"{}\": {error}; correct the rights of the folder", path.display()))),
        };
        Ok(Catalogs {
            path: Some(path),
            memory: Memory(Arc::new(Mutex::new(known))),
            saved: Mutex::default(),
        })
    }

    /// Knows nothing yet, and keeps nothing on a disk.
    pub(super) fn in_memory() -> Catalogs {
        Catalogs {
            path: None,
            memory: Memory::default(),
            saved: Mutex::default(),
        }
    }

    /// Whether nothing is known.
    pub(super) fn is_empty(&self) -> bool {
        let known = lock(&self.memory.0);
        known.old.relations.is_empty() && known.new.relations.is_empty()
    }

    /// All that is known, for a place where the next start finds it; `None` where there is nothing to find.
    pub(super) fn text(&self) -> Option<String> {
        if self.is_empty() {
            return None;
        }
        serde_json::to_string(&*lock(&self.memory.0)).ok()
    }

    /// Takes over what another start knew. What cannot be read is asked for again.
    pub(super) fn remember(&self, text: &str) {
        match serde_json::from_str(text) {
            Ok(known) => *lock(&self.memory.0) = known,
            Err(error) => {
                tracing::warn!(%error, "what the proxies keep of the stores' catalogs cannot be read; the stores are asked")
            }
        }
    }

    /// The tables that a toggle had when its mapping was last made.
    pub(super) fn tables_of(&self, toggle: &str) -> Option<Vec<String>> {
        lock(&self.memory.0).tables.get(toggle).cloned()
    }

    /// The store, believed as far as `trust` says, and remembered.
    pub(super) fn remembering(&self, store: &Arc<dyn Store>, trust: Trust) -> Remembering {
        Remembering::new(self.memory.clone(), store.clone(), trust)
    }

    /// Keeps what is known by now on the disk. That it cannot be kept costs nothing until a restart finds a store down.
    pub(super) fn keep(&self, config: &Config) {
        let bytes = {
            let mut known = lock(&self.memory.0);
            let names = |tables: &[crossfade_config::TableConfig]| {
                tables.iter().map(|table| table.old.to_string()).collect()
            };
            known.tables = config
                .toggles
                .iter()
                .map(|(name, toggle)| (name.clone(), names(&toggle.tables)))
                .collect();
            serde_json::to_vec_pretty(&*known)
        };
        let Some(path) = &self.path else { return };
        let mut saved = lock(&self.saved);
        match bytes {
            Ok(bytes) if saved.as_ref() == Some(&bytes) => {}
            Ok(bytes) => match replace(path, &bytes) {
                Ok(()) => *saved = Some(bytes),
                Err(error) => {
                    tracing::warn!(%error, file = %path.display(), "what the stores' catalogs say could not be kept for the next start")
                }
            },
            Err(error) => {
                tracing::warn!(%error, "what the stores' catalogs say could not be kept for the next start")
            }
        }
    }
}

impl Memory {
    fn relation(&self, side: Side, name: &QualifiedName) -> Option<Relation> {
        lock(&self.0)
            .on(side)
            .relations
            .get(&name.to_string())
            .map(RelationRecord::relation)
    }

    fn note_relation(&self, side: Side, name: &QualifiedName, relation: &Relation) {
        lock(&self.0)
            .on(side)
            .relations
            .insert(name.to_string(), RelationRecord::from(relation));
    }

    fn aliases(&self, side: Side, tables: &[QualifiedName]) -> Option<Vec<(QualifiedName, Alias)>> {
        let mut known = lock(&self.0);
        let catalog = known.on(side);
        let mut found = Vec::new();
        for table in tables {
            let aliases = catalog.aliases.get(&table.to_string())?;
            found.extend(aliases.iter().map(|alias| (table.clone(), alias.alias())));
        }
        Some(found)
    }

    fn note_aliases(&self, side: Side, tables: &[QualifiedName], found: &[(QualifiedName, Alias)]) {
        let mut known = lock(&self.0);
        let catalog = known.on(side);
        for table in tables {
            let of_table = found.iter().filter(|(name, _)| name == table);
            catalog.aliases.insert(
                table.to_string(),
                of_table
                    .map(|(_, alias)| AliasRecord::from(alias))
                    .collect(),
            );
        }
    }
}

/// One whole version is there at every moment.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("tmp");
    fs::write(&temporary, bytes)?;
    fs::File::open(&temporary)?.sync_all()?;
    fs::rename(&temporary, path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossfade_store::{
        Check, Column, Domain, EnumType, FkAction, ForeignKey, OwnedSequence, SequenceFacts,
        ServerFacts, UniqueIndex,
    };

    fn relation(name: &QualifiedName) -> Relation {
        let check = Check {
            name: "positive".into(),
            expression: "(VALUE > 0)".into(),
        };
        let id = Column {
            name: "id".into(),
            number: 1,
            declared_oid: 16_400,
            type_oid: 20,
            type_name: "public.number".into(),
            base_type: "bigint".into(),
            modifier: -1,
            length: 8,
            domain: Some(Domain {
                name: name.clone(),
                not_null: true,
                checks: vec![check.clone()],
            }),
            ctype: Some("libc:C".into()),
            not_null: true,
            generated_as: Some("1".into()),
            sequence: Some(name.clone()),
            sequence_facts: Some(SequenceFacts {
                start: 1,
                increment: -2,
                min: i64::MIN,
                max: i64::MAX,
                cycle: true,
            }),
            owns: vec![OwnedSequence {
                name: name.clone(),
                start: 7,
                increment: -2,
            }],
            default: Some("nextval('numbers'::regclass)".into()),
            ..Column::default()
        };
        let key = UniqueIndex {
            name: "orders_pkey".into(),
            columns: vec!["id".into()],
            primary: true,
            constraint: true,
            nulls_not_distinct: false,
            initially_deferred: false,
        };
        let later = UniqueIndex {
            name: "later".into(),
            primary: false,
            nulls_not_distinct: true,
            initially_deferred: true,
            ..key.clone()
        };
        let foreign_key = ForeignKey {
            name: "fk".into(),
            child: name.clone(),
            columns: vec!["id".into()],
            parent: name.clone(),
            parent_columns: vec!["id".into()],
            on_delete: FkAction::SetNull,
            on_update: FkAction::Cascade,
            deferrable: true,
            initially_deferred: true,
            match_full: true,
            set_columns: vec!["id".into()],
        };
        Relation {
            oid: 7,
            referenced_by: vec![foreign_key.clone()],
            foreign_keys: vec![foreign_key],
            columns: vec![id],
            unique: vec![key],
            deferrable_unique: vec![later],
            partial_unique: vec!["partial".into()],
            exclusions: vec!["apart".into()],
            checks: vec![check],
            enums: vec![EnumType {
                oid: 16_401,
                array_oid: 16_402,
                name: name.clone(),
                labels: vec!["a".into(), "b".into()],
            }],
            triggers: vec!["touch".into(), "total".into()],
            before_update: vec!["touch".into()],
            row_security: true,
            server: ServerFacts {
                version: 150_000,
                version_text: "15.0".into(),
                settings: [("TimeZone".to_owned(), "Europe/Berlin".to_owned())].into(),
                encoding: "UTF8".into(),
                custom_settings: ["app.tenant".to_owned()].into(),
                default_sorts_by_bytes: true,
                default_ctype: "icu:de".into(),
            },
            ..Relation::named(name.clone())
        }
    }

    #[test]
    fn a_record_of_an_older_release_is_read_and_known_to_lack_details() {
        let column = r#"{"name": "id", "type_oid": 20, "type_name": "bigint", "base_type": "bigint", "collation": null, "collatable": false,
            "operator_schema": null, "text_varies": false, "not_null": true, "generated": false, "identity_always": false, "sequence": null,
            "has_default": false}"#;
        let relation = format!(
            r#"{{"name": ["public", "orders"], "oid": 7, "columns": [{column}], "unique": [["orders_pkey", ["id"], true]], "partial_unique": [],
            "foreign_keys": [], "referenced_by": [], "server": [150000, "UTF8"], "triggers": ["touch"]}}"#
        );
        let known: RelationRecord = serde_json::from_str(&relation).unwrap();
        let known = known.relation();
        assert!(!known.is_detailed());
        assert_eq!(known.unique[0].columns, ["id"]);
        assert_eq!(known.server.version, 150_000);
        // Any may be of those that are called before an update.
        assert_eq!(known.before_update, ["touch"]);
    }

    #[test]
    fn what_a_store_said_is_known_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let name = QualifiedName {
            schema: "public".into(),
            name: "orders".into(),
        };
        let relation = relation(&name);
        let aliases = [(name.clone(), Alias::View("recent".into()))];
        let loaded = crossfade_config::parse(
            "[old]\nurl = \"postgres://a@127.0.0.1/a\"\n[new]\nurl = \"postgres://a@127.0.0.1/b\"\n[toggle.shop]\nphase = 2\n[toggle.shop.table.orders]\n",
            "crossfade.toml",
            &|_| None,
            "",
        );
        let config = loaded.unwrap().config;
        let catalogs = Catalogs::open(dir.path()).unwrap();
        catalogs.memory.note_relation(Side::Old, &name, &relation);
        catalogs
            .memory
            .note_aliases(Side::Old, std::slice::from_ref(&name), &aliases);
        catalogs.keep(&config);

        let again = Catalogs::open(dir.path()).unwrap();
        assert_eq!(again.memory.relation(Side::Old, &name), Some(relation));
        assert_eq!(again.memory.relation(Side::New, &name), None);
        assert_eq!(
            again.memory.aliases(Side::Old, std::slice::from_ref(&name)),
            Some(aliases.to_vec())
        );
        assert_eq!(
            again.tables_of("shop"),
            Some(vec!["public.orders".to_owned()])
        );
    }
}
