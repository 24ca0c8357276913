//! Canonical values on their way through `tokio-postgres`.

use std::error::Error;

use bytes::{Bytes, BytesMut};
use tokio_postgres::{
    Row as Answer,
    types::{FromSql, IsNull, ToSql, Type, to_sql_checked},
};

use super::sql::{ParamKind, Statement};
use crate::{Key, Row};

/// A parameter in the binary format of its type.
#[derive(Debug, Clone)]
pub(super) struct Param {
    value: Option<Bytes>,
    ty: Type,
}

impl Param {
    fn new(kind: ParamKind, value: Option<Bytes>) -> Option<Param> {
        Some(Param {
            value,
            ty: Type::from_oid(kind.oid())?,
        })
    }

    pub(super) fn text(value: impl Into<String>) -> Param {
        Param::canonical(Bytes::from(value.into()))
    }

    pub(super) fn canonical(value: Bytes) -> Param {
        Param {
            value: Some(value),
            ty: Type::TEXT,
        }
    }

    pub(super) fn oid(oid: u32) -> Param {
        Param {
            value: Some(Bytes::copy_from_slice(&oid.to_be_bytes())),
            ty: Type::OID,
        }
    }

    pub(super) fn int8(number: i64) -> Param {
        Param {
            value: Some(Bytes::copy_from_slice(&number.to_be_bytes())),
            ty: Type::INT8,
        }
    }

    pub(super) fn typed(&self) -> (&(dyn ToSql + Sync), Type) {
        (self, self.ty.clone())
    }
}

impl ToSql for Param {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        Ok(match &self.value {
            Some(value) => {
                out.extend_from_slice(value);
                IsNull::No
            }
            None => IsNull::Yes,
        })
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

/// The parameters of `statement` for `row`. `None` when a value is not in canonical text.
pub(super) fn of_row(statement: &Statement, row: &Row) -> Option<Vec<Param>> {
    bound(statement, statement.bind_row(row)?)
}

/// The parameters of `statement` for `key`, or for several keys' values in one list.
pub(super) fn of_key(statement: &Statement, key: &Key) -> Option<Vec<Param>> {
    bound(statement, statement.bind_key(key)?)
}

fn bound(statement: &Statement, values: Vec<Option<Bytes>>) -> Option<Vec<Param>> {
    std::iter::zip(&statement.params, values)
        .map(|(&kind, value)| Param::new(kind, value))
        .collect()
}

/// A value of type `text`, without a check of its encoding.
struct Raw<'a>(&'a [u8]);

impl<'a> FromSql<'a> for Raw<'a> {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Raw<'a>, Box<dyn Error + Sync + Send>> {
        Ok(Raw(raw))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

/// The columns from `first` on, `count` of them, as values that share one allocation.
pub(super) fn values(
    answer: &Answer,
    first: usize,
    count: usize,
) -> Result<Vec<Option<Bytes>>, tokio_postgres::Error> {
    let mut all = BytesMut::with_capacity(answer.raw_size_bytes());
    let mut ends = Vec::with_capacity(count);
    for column in first..first + count {
        let value: Option<Raw<'_>> = answer.try_get(column)?;
        ends.push(value.map(|Raw(value)| {
            let start = all.len();
            all.extend_from_slice(value);
            start..all.len()
        }));
    }
    let all = all.freeze();
    Ok(ends
        .into_iter()
        .map(|range| range.map(|range| all.slice(range)))
        .collect())
}
