//! What PostgreSQL's own catalogs say of the built-in types, casts, operators and functions: `catalog/*.txt`, one entry a line, as a query of
//! `pg_type`, `pg_cast`, `pg_operator` and `pg_proc` gives them. The tables are whole, although not everything in them is served: which function is
//! meant depends on all those that could be.

use std::{collections::HashMap, sync::LazyLock};

use crate::Oid;

/// One line of `types.txt`.
#[derive(Debug)]
pub(crate) struct BuiltIn {
    pub(crate) oid: Oid,
    pub(crate) name: &'static str,
    /// The type of arrays of it; 0 for none.
    pub(crate) array: Oid,
    /// The type of its elements; 0 for none.
    pub(crate) element: Oid,
    pub(crate) length: i16,
    /// `typcategory`.
    pub(crate) category: u8,
    pub(crate) preferred: bool,
}

/// One line of `casts.txt`.
#[derive(Debug)]
pub(crate) struct CastRow {
    /// `i`, `a` or `e`.
    pub(crate) context: u8,
    /// `f`, `b` (the same bytes) or `i` (by text).
    pub(crate) method: u8,
    /// Name of the code.
    pub(crate) code: &'static str,
}

/// A function or operator.
#[derive(Debug)]
pub(crate) struct Routine {
    pub(crate) name: &'static str,
    pub(crate) args: Vec<Oid>,
    pub(crate) result: Oid,
    /// `f`, `a` (aggregate) or `w` (window).
    pub(crate) kind: u8,
    /// `i`, `s` or `v`.
    pub(crate) volatility: u8,
    pub(crate) strict: bool,
    pub(crate) returns_set: bool,
    pub(crate) variadic: bool,
    /// How many of the last arguments have defaults.
    pub(crate) defaults: usize,
    /// Name of the code (`prosrc`), or `name(types)` for a function written in SQL.
    pub(crate) code: &'static str,
}

/// All of it.
#[derive(Debug, Default)]
pub(crate) struct Catalog {
    pub(crate) types: HashMap<Oid, BuiltIn>,
    names: HashMap<&'static str, Oid>,
    pub(crate) casts: HashMap<(Oid, Oid), CastRow>,
    pub(crate) operators: HashMap<&'static str, Vec<Routine>>,
    pub(crate) functions: HashMap<&'static str, Vec<Routine>>,
}

static CATALOG: LazyLock<Catalog> = LazyLock::new(Catalog::read);

/// The catalogs, read on first use.
pub(crate) fn catalog() -> &'static Catalog {
    &CATALOG
}

impl Catalog {
    fn read() -> Catalog {
        let mut catalog = Catalog::default();
        for fields in lines(include_str!("catalog/types.txt")) {
            catalog.read_type(&fields);
        }
        for fields in lines(include_str!("catalog/casts.txt")) {
            catalog.read_cast(&fields);
        }
        for fields in lines(include_str!("catalog/operators.txt")) {
            catalog.read_operator(&fields);
        }
        for fields in lines(include_str!("catalog/functions.txt")) {
            catalog.read_function(&fields);
        }
        catalog
    }

    /// A built-in type's OID.
    pub(crate) fn named(&self, name: &str) -> Option<Oid> {
        self.names.get(name).copied()
    }

    fn read_type(&mut self, fields: &[&'static str]) {
        let [
            oid,
            name,
            array,
            element,
            length,
            category,
            preferred,
            _kind,
        ] = fields
        else {
            return;
        };
        let number = |text: &str| text.parse().unwrap_or(0);
        let built_in = BuiltIn {
            oid: number(oid),
            name,
            array: number(array),
            element: number(element),
            length: length.parse().unwrap_or(-1),
            category: category.bytes().next().unwrap_or(b'X'),
            preferred: *preferred == "1",
        };
        self.names.insert(name, built_in.oid);
        self.types.insert(built_in.oid, built_in);
    }

    fn read_cast(&mut self, fields: &[&'static str]) {
        let [from, to, how, code] = fields else {
            return;
        };
        let (Some(from), Some(to), [context, method]) =
            (self.named(from), self.named(to), how.as_bytes())
        else {
            return;
        };
        let row = CastRow {
            context: *context,
            method: *method,
            code,
        };
        self.casts.insert((from, to), row);
    }

    fn read_operator(&mut self, fields: &[&'static str]) {
        let [name, left, right, result, code, strict, volatility] = fields else {
            return;
        };
        let args = [left, right].into_iter().filter(|name| **name != "-");
        let args: Option<Vec<Oid>> = args.map(|name| self.named(name)).collect();
        let (Some(args), Some(result)) = (args, self.named(result)) else {
            return;
        };
        self.operators.entry(name).or_default().push(Routine {
            name,
            args,
            result,
            kind: b'f',
            volatility: volatility.bytes().next().unwrap_or(b'v'),
            strict: *strict == "1",
            returns_set: false,
            variadic: false,
            defaults: 0,
            code,
        });
    }

    fn read_function(&mut self, fields: &[&'static str]) {
        let [name, args, result, flags, code] = fields else {
            return;
        };
        let args: Option<Vec<Oid>> = if *args == "-" {
            Some(Vec::new())
        } else {
            args.split(',').map(|name| self.named(name)).collect()
        };
        let (Some(args), Some(result)) = (args, self.named(result)) else {
            return;
        };
        let flags = flags.as_bytes();
        let rest = flags.get(2..).unwrap_or_default();
        let defaults = rest.iter().find(|flag| flag.is_ascii_digit());
        self.functions.entry(name).or_default().push(Routine {
            name,
            args,
            result,
            kind: flags[0],
            volatility: flags.get(1).copied().unwrap_or(b'v'),
            strict: rest.contains(&b's'),
            returns_set: rest.contains(&b'r'),
            variadic: rest.contains(&b'v'),
            defaults: defaults.map_or(0, |digit| usize::from(digit - b'0')),
            code,
        });
    }
}

fn lines(text: &'static str) -> impl Iterator<Item = Vec<&'static str>> {
    text.lines().map(|line| line.split(' ').collect())
}

/// A built-in type as `pg_type` has it.
#[derive(Debug, Clone, Copy)]
pub struct BuiltInType {
    /// `oid`.
    pub oid: Oid,
    /// `typname`.
    pub name: &'static str,
    /// `typarray`.
    pub array: Oid,
    /// `typelem`.
    pub element: Oid,
    /// `typlen`.
    pub length: i16,
    /// `typcategory`.
    pub category: u8,
}

/// All built-in types, by OID.
pub fn built_in_types() -> impl Iterator<Item = BuiltInType> {
    let mut all: Vec<BuiltInType> = catalog()
        .types
        .values()
        .map(|ty| BuiltInType {
            oid: ty.oid,
            name: ty.name,
            array: ty.array,
            element: ty.element,
            length: ty.length,
            category: ty.category,
        })
        .collect();
    all.sort_by_key(|ty| ty.oid);
    all.into_iter()
}
