//! Tables as the catalogs of the stores have them.

use std::collections::BTreeSet;

use crossfade_config::QualifiedName;

use crate::words::mentions;

/// A table as one store's catalog has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relation {
    /// Schema and name.
    pub name: QualifiedName,
    /// `pg_class.oid`; 0 where the store has none or was not asked.
    pub oid: u32,
    /// Columns in order, without dropped ones.
    pub columns: Vec<Column>,
    /// Unique indexes that are valid, immediate, and without predicate or expression; the primary key first.
    pub unique: Vec<UniqueIndex>,
    /// Deferrable unique constraints: ON CONFLICT cannot name them, and they hold all the same.
    pub deferrable_unique: Vec<UniqueIndex>,
    /// Names of unique indexes that have a predicate or an expression.
    pub partial_unique: Vec<String>,
    /// Names of exclusion constraints.
    pub exclusions: Vec<String>,
    /// CHECK constraints that are enforced for new rows (NOT VALID ones as well), in the order in which PostgreSQL looks at them.
    pub checks: Vec<Check>,
    /// The enums that its columns are of, or arrays of.
    pub enums: Vec<EnumType>,
    /// Names of the users' own triggers that fire, and of the rules that rewrite statements on it: what they do is done by that store alone.
    pub triggers: Vec<String>,
    /// Those of them that are called before a row is updated, on the table or on a part of it: they may change any of its columns, the key as well.
    pub before_update: Vec<String>,
    /// Row-level security is on: what a client sees depends on who it is.
    pub row_security: bool,
    /// Foreign keys of this table.
    pub foreign_keys: Vec<ForeignKey>,
    /// Foreign keys of other tables (or this one) that point here.
    pub referenced_by: Vec<ForeignKey>,
    /// The server that the table is in.
    pub server: ServerFacts,
    /// The store keeps no columns: the table has the shape that the mapping gives it.
    pub shapeless: bool,
}

impl Relation {
    /// A relation of which nothing but the name is known.
    #[must_use]
    pub fn named(name: QualifiedName) -> Relation {
        Relation {
            name,
            oid: 0,
            columns: Vec::new(),
            unique: Vec::new(),
            deferrable_unique: Vec::new(),
            partial_unique: Vec::new(),
            exclusions: Vec::new(),
            checks: Vec::new(),
            enums: Vec::new(),
            triggers: Vec::new(),
            before_update: Vec::new(),
            row_security: false,
            foreign_keys: Vec::new(),
            referenced_by: Vec::new(),
            server: ServerFacts::default(),
            shapeless: false,
        }
    }

    /// Whether everything that this type can hold was asked for. Not so for catalogs that were remembered by releases that asked for less: of those only
    /// names, types, keys and foreign keys are known, and no SQL can be answered by them alone.
    #[must_use]
    pub fn is_detailed(&self) -> bool {
        self.columns.iter().all(|column| column.number > 0)
    }

    /// The column of this name.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// The columns that may change when these are assigned: themselves, and what the store computes from any of them. Rather too many than too few.
    #[must_use]
    pub fn changed_by(&self, assigned: BTreeSet<String>) -> BTreeSet<String> {
        let follows = |column: &&Column| assigned.iter().any(|name| column.is_computed_from(name));
        let computed = self.columns.iter().filter(follows);
        let computed: Vec<String> = computed.map(|column| column.name.clone()).collect();
        assigned.into_iter().chain(computed).collect()
    }
}

/// What a server says of itself, and of the database.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServerFacts {
    /// `server_version_num`; 0 where it was not asked.
    pub version: u32,
    /// `server_version`; empty where it was not asked.
    pub version_text: String,
    /// Defaults of settings that decide on what a session reads and writes, as SHOW gives them; empty where it was not asked.
    pub settings: std::collections::BTreeMap<String, String>,
    /// `server_encoding`; empty where it was not asked.
    pub encoding: String,
    /// Texts of the database's own collation sort by their bytes; `false` also where it was not asked.
    pub default_sorts_by_bytes: bool,
    /// Settings with a dot in their names that functions, policies, views and defaults of users speak of. No server lists those that a session has set.
    pub custom_settings: std::collections::BTreeSet<String>,
    /// What `lower` and `upper` go by in the database's own collation: see [`Column::ctype`]. Empty where it was not asked.
    pub default_ctype: String,
}

impl ServerFacts {
    /// Whether `lower` and `upper` change ASCII letters alone in the database's own collation.
    #[must_use]
    pub fn folds_ascii_only(&self) -> bool {
        folds_ascii_only(&self.default_ctype)
    }
}

fn folds_ascii_only(ctype: &str) -> bool {
    matches!(ctype, "libc:C" | "libc:POSIX" | "builtin:C")
}

/// A CHECK constraint of a table or of a domain.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Check {
    /// Name of the constraint.
    pub name: String,
    /// The condition, as PostgreSQL prints it for an empty `search_path`; in a domain's the value is `VALUE`.
    pub expression: String,
}

/// An enum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnumType {
    /// `pg_type.oid`.
    pub oid: u32,
    /// OID of the type of its arrays.
    pub array_oid: u32,
    /// Schema and name.
    pub name: QualifiedName,
    /// In their order.
    pub labels: Vec<String>,
}

/// A domain, with what it takes over from the domains that it is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Domain {
    /// Schema and name.
    pub name: QualifiedName,
    /// NOT NULL.
    pub not_null: bool,
    /// In the order in which PostgreSQL looks at them: those of inner domains first.
    pub checks: Vec<Check>,
}

/// How a sequence counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SequenceFacts {
    /// Its first value.
    pub start: i64,
    /// What each value adds to the one before; never 0.
    pub increment: i64,
    /// Its least value.
    pub min: i64,
    /// Its greatest value.
    pub max: i64,
    /// It begins again behind its last value, which is an error otherwise.
    pub cycle: bool,
}

impl SequenceFacts {
    /// What keeps the counter of a store without sequences from counting as it does, with the clause of ALTER SEQUENCE that ends it.
    #[must_use]
    pub fn beyond_counters(&self) -> Option<(&'static str, &'static str)> {
        if self.increment < 0 {
            Some(("counts down, and counters count up", "INCREMENT 1"))
        } else if self.cycle {
            Some((
                "begins again at its end (CYCLE), and counters do not",
                "NO CYCLE",
            ))
        } else {
            None
        }
    }
}

/// A sequence that belongs to a column: dropped with it, and set back by TRUNCATE … RESTART IDENTITY.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnedSequence {
    /// Schema and name.
    pub name: QualifiedName,
    /// Its first value.
    pub start: i64,
    /// What each value adds to the one before; never 0.
    pub increment: i64,
}

/// A foreign key as one store's catalog has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignKey {
    /// Name of the constraint.
    pub name: String,
    /// The table that it constrains.
    pub child: QualifiedName,
    /// Its columns there.
    pub columns: Vec<String>,
    /// The table it points to.
    pub parent: QualifiedName,
    /// The columns it points to, in the order of `columns`.
    pub parent_columns: Vec<String>,
    /// What a DELETE of the parent does to the child.
    pub on_delete: FkAction,
    /// What an UPDATE of the parent's columns does to the child.
    pub on_update: FkAction,
    /// `SET CONSTRAINTS … DEFERRED` moves its check to COMMIT.
    pub deferrable: bool,
    /// Its check is at COMMIT from the first (INITIALLY DEFERRED).
    pub initially_deferred: bool,
    /// MATCH FULL: of several columns all are NULL or none is.
    pub match_full: bool,
    /// The columns that SET NULL or SET DEFAULT is confined to when the parent is deleted; none where it sets them all.
    pub set_columns: Vec<String>,
}

/// A referential action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FkAction {
    /// NO ACTION or RESTRICT: the parent's change is refused, no child row changes.
    Refuse,
    /// CASCADE.
    Cascade,
    /// SET NULL.
    SetNull,
    /// SET DEFAULT.
    SetDefault,
}

impl FkAction {
    /// The words of SQL.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            FkAction::Refuse => "NO ACTION",
            FkAction::Cascade => "CASCADE",
            FkAction::SetNull => "SET NULL",
            FkAction::SetDefault => "SET DEFAULT",
        }
    }
}

/// A unique index over plain columns.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UniqueIndex {
    /// Name of the index, and of the constraint where it is one's.
    pub name: String,
    /// Its columns, in index order.
    pub columns: Vec<String>,
    /// Whether it is the primary key.
    pub primary: bool,
    /// Whether it belongs to a constraint, which ON CONFLICT ON CONSTRAINT can name.
    pub constraint: bool,
    /// NULLS NOT DISTINCT: two NULLs are the same.
    pub nulls_not_distinct: bool,
    /// Its check is at COMMIT from the first (INITIALLY DEFERRED).
    pub initially_deferred: bool,
}

/// One column as a catalog has it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Column {
    /// Name.
    pub name: String,
    /// `pg_attribute.attnum`, counted from 1; 0 where it was not asked ([`Relation::is_detailed`]).
    pub number: i16,
    /// `pg_type.oid` of the type as it is declared: of the domain where it is one. 0 where it was not asked.
    pub declared_oid: u32,
    /// `pg_type.oid`, of the base type where the type is a domain.
    pub type_oid: u32,
    /// The type as `format_type` writes it with its schema where needed: fit for a cast.
    pub type_name: String,
    /// As `type_name`, of the base type where the type is a domain.
    pub base_type: String,
    /// The base type's modifier (a length, precision and scale, …), its own or the domain's; -1 where it has none.
    pub modifier: i32,
    /// `pg_type.typlen` of the base type: bytes, or -1 where the length varies.
    pub length: i16,
    /// The domain that the type is.
    pub domain: Option<Domain>,
    /// The collation with its provider and version, the same text only where both stores sort alike. `None` where the
    /// type has none, or where nobody can tell.
    pub collation: Option<String>,
    /// What `lower` and `upper` go by: provider and locale, as `libc:en_US.UTF-8`, `icu:en-US` or `builtin:C.UTF-8`. `None` where the type has no
    /// collation, or where it was not asked.
    pub ctype: Option<String>,
    /// Whether the type can be collated.
    pub collatable: bool,
    /// Schema of the operators of the type's default order where that is not `pg_catalog`: a session whose
    /// `search_path` is empty finds them by no other way.
    pub operator_schema: Option<String>,
    /// A type made by users whose text depends on session settings, because a part of it does: its canonical text
    /// does not mean the same in every session.
    pub text_varies: bool,
    /// NOT NULL.
    pub not_null: bool,
    /// Computed by the store from other columns (`GENERATED ALWAYS AS (…) STORED`): never written.
    pub generated: bool,
    /// The expression that it is computed by, as PostgreSQL prints it for an empty `search_path`.
    pub generated_as: Option<String>,
    /// `GENERATED ALWAYS AS IDENTITY`: an explicit value needs OVERRIDING SYSTEM VALUE.
    pub identity_always: bool,
    /// Sequence that feeds it (owned, identity, or named in its default).
    pub sequence: Option<QualifiedName>,
    /// How that sequence counts.
    pub sequence_facts: Option<SequenceFacts>,
    /// The sequences that belong to it (`OWNED BY`, serial, identity). Neither need it be fed by them, nor need the one that feeds it be among them.
    pub owns: Vec<OwnedSequence>,
    /// The default, its own or the domain's, as PostgreSQL prints it for an empty `search_path`. Identities have none: `sequence` feeds them.
    pub default: Option<String>,
    /// Has a default, an identity or a generation expression.
    pub has_default: bool,
}

impl Column {
    /// Whether the store may compute it from the column `name`, as far as the text of the expression tells; always where that is not known.
    #[must_use]
    pub fn is_computed_from(&self, name: &str) -> bool {
        // Inside of quotes, a quote is written twice.
        let name = name.replace('"', "\"\"");
        let expression = self.generated_as.as_deref();
        self.generated && expression.is_none_or(|expression| mentions(expression, &name))
    }

    /// Whether texts of this column sort by their bytes, in the encoding of the server: collations `C`, `POSIX` and those that sort by code points
    /// (`C.UTF-8` of the operating system and of PostgreSQL itself, `PG_UNICODE_FAST`). `false` where that is not certain.
    #[must_use]
    pub fn sorts_by_bytes(&self) -> bool {
        self.collation.as_deref().is_some_and(sorts_by_bytes)
    }

    /// Whether `lower` and `upper` change ASCII letters alone.
    #[must_use]
    pub fn folds_ascii_only(&self) -> bool {
        self.ctype.as_deref().is_some_and(folds_ascii_only)
    }
}

/// By the text of [`Column::collation`].
pub(crate) fn sorts_by_bytes(collation: &str) -> bool {
    matches!(collation, "C" | "C.UTF-8") || collation.starts_with("PG_UNICODE_FAST/b/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(columns: &[(&str, Option<&str>)]) -> Relation {
        let column = |(name, expression): &(&str, Option<&str>)| Column {
            name: (*name).to_owned(),
            generated: expression.is_some(),
            generated_as: expression.filter(|text| !text.is_empty()).map(Into::into),
            ..Column::default()
        };
        let name = QualifiedName {
            schema: "public".into(),
            name: "t".into(),
        };
        Relation {
            columns: columns.iter().map(column).collect(),
            ..Relation::named(name)
        }
    }

    #[test]
    fn trap_10_what_is_computed_changes_with_what_it_is_computed_from() {
        let table = table(&[
            ("n", None),
            ("name", None),
            ("Odd \"N\"", None),
            ("twice", Some("(n * 2)")),
            ("low", Some("lower(name)")),
            ("odd", Some("COALESCE(\"Odd \"\"N\"\"\", n)")),
        ]);
        let changed = |assigned: &[&str]| {
            let assigned = assigned.iter().map(|name| (*name).to_owned()).collect();
            let changed: Vec<String> = table.changed_by(assigned).into_iter().collect();
            changed.join(" ")
        };
        assert_eq!(changed(&["n"]), "n odd twice");
        assert_eq!(changed(&["name"]), "low name");
        assert_eq!(changed(&["Odd \"N\""]), "Odd \"N\" odd");
        assert_eq!(changed(&["lower", "other"]), "low lower other");
        assert_eq!(changed(&[]), "");
    }

    /// Records of earlier releases do not have it.
    #[test]
    fn trap_10_what_an_unknown_expression_computes_changes_with_anything() {
        let table = table(&[("n", None), ("twice", Some(""))]);
        let changed = table.changed_by(["whatever".to_owned()].into());
        assert!(changed.contains("twice") && !changed.contains("n"));
        assert!(table.changed_by(BTreeSet::new()).is_empty());
    }
}
