//! Before a commit, the rows that foreign keys have changed are read: what is there is what the secondary gets, what is not there is deleted (docs/decision/24).
//!
//! Nobody else can have changed them: they were locked before the actions came to them.

use std::{collections::BTreeMap, sync::Arc};

use bytes::{BufMut as _, Bytes, BytesMut};
use crossfade_phase::Side;
use crossfade_store::{Change, Form, Key, TableId, postgres::sql::fetch};

use super::{
    Capture, End,
    backend::{Execute, Expect},
    managed::Managed,
};
use crate::{
    errors::ClientError,
    sql::Written,
    wire::{
        backend::Status,
        frontend::{self, Target},
    },
};

/// Of the statement and portal.
const AGAIN: &[u8] = b"crossfade_again";

/// Rows that one statement asks for.
const KEYS: usize = 256;

impl Managed {
    /// Reads what the present transaction has to know before it commits. One trip, and none where no foreign key has acted.
    ///
    /// # Errors
    /// What the client is told when the transaction cannot commit. The server listens again.
    pub(super) async fn read_again(&mut self, side: Side) -> Result<(), ClientError> {
        let ended = |end: End| ClientError::new("08006", end.to_string());
        if !self.transaction.is_unread() || self.is_failed(side).await.map_err(ended)? {
            return Ok(());
        }
        if !self.speaks_utf8() {
            // It did when the rows were changed.
            self.transaction.keep_keys();
            return Ok(());
        }
        let mut tables: BTreeMap<TableId, Vec<Key>> = BTreeMap::new();
        let most = self.shared.config.load().writes.max_transaction_bytes;
        for (table, key) in self.transaction.take_unread() {
            // Gone, unless it is found.
            self.transaction
                .push(table, key.clone(), Change::Delete(key.clone()), most);
            tables.entry(table).or_default().push(key);
        }
        for (table, keys) in &tables {
            if self.mapping.tables[table.0].on(side).row_security {
                // What is hidden from the client's present role is not gone: the server says so.
                let visible = "SELECT pg_catalog.set_config('row_security', 'off', true)";
                let backend = self.backend(side).map_err(ended)?;
                backend.push_own(AGAIN, visible, Execute::default());
            }
            for keys in keys.chunks(KEYS) {
                self.push_fetch(side, *table, keys).map_err(ended)?;
                self.send_all().await.map_err(ended)?;
            }
        }
        self.settle_batch(side).await.map_err(ended)?;
        if !self.skips() {
            return Ok(());
        }
        // The client has the server's own error. Nothing is committed.
        self.told = true;
        let backend = self.backend(side).map_err(ended)?;
        frontend::sync(&mut backend.out);
        backend.expect.push_back(Expect::Sync { show: false });
        self.settle(side).await.map_err(ended)?;
        Err(ClientError::new(
            "40000",
            "the rows that foreign keys have changed could not be read",
        ))
    }

    /// Whether the server would roll a COMMIT back.
    async fn is_failed(&mut self, side: Side) -> Result<bool, End> {
        if !self.transaction.in_block || self.backend(side)?.status != Status::Failed {
            return Ok(false);
        }
        // It may have gone back to a savepoint since. Within a block a Sync commits nothing.
        let backend = self.backend(side)?;
        frontend::sync(&mut backend.out);
        backend.expect.push_back(Expect::Sync { show: false });
        self.settle(side).await?;
        Ok(self.backend(side)?.status == Status::Failed)
    }

    fn push_fetch(&mut self, side: Side, table: TableId, keys: &[Key]) -> Result<(), End> {
        let map = &self.mapping.tables[table.0];
        let statement = fetch(map, side, keys.len(), Form::Own);
        let parts = keys.iter().flat_map(|key| key.0.iter().cloned());
        let values = statement
            .bind_key(&Key(parts.collect()))
            .unwrap_or_default();
        let capture = Capture {
            mapping: self.mapping.clone(),
            own: Some(Written::rows(table)),
            parts: None,
            counted: Vec::new(),
        };
        let backend = self.backend(side)?;
        frontend::target(&mut backend.out, b'C', Target::Statement, AGAIN);
        let types: Vec<u32> = statement.params.iter().map(|kind| kind.oid()).collect();
        frontend::parse(&mut backend.out, AGAIN, statement.sql.as_bytes(), &types);
        frontend::bind(&mut backend.out, AGAIN, AGAIN, &parameters(&values), &[]);
        frontend::execute(&mut backend.out, AGAIN, 0);
        frontend::target(&mut backend.out, b'C', Target::Portal, AGAIN);
        backend.batch = true;
        backend.expect.extend([
            Expect::Close { show: false },
            Expect::Parse { show: false },
            Expect::Bind { show: false },
            Expect::Execute(Execute {
                capture: Some(Arc::new(capture)),
                ..Execute::default()
            }),
            Expect::Close { show: false },
        ]);
        Ok(())
    }
}

/// Parameters as a Bind has them, all in binary format.
fn parameters(values: &[Option<Bytes>]) -> BytesMut {
    let mut out = BytesMut::new();
    out.put_u16(1);
    out.put_u16(1);
    out.put_u16(u16::try_from(values.len()).unwrap_or(u16::MAX));
    for value in values {
        match value {
            None => out.put_i32(-1),
            Some(value) => {
                out.put_i32(i32::try_from(value.len()).unwrap_or(i32::MAX));
                out.put_slice(value);
            }
        }
    }
    out
}
