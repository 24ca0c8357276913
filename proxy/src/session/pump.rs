//! Between the client and its servers: sending, waiting, and what is done with each answer.

use bytes::Bytes;
use crossfade_crash::{self as crash, Point};
use crossfade_phase::Side;

use super::{
    End,
    backend::{Execute, Expect, Received},
    client::Frame,
    commit::intent_refused,
    handover::values,
    managed::{Managed, out_of_step},
    merge::Found,
    names::moved_names,
    transaction::{Effect, Transaction},
};
use crate::errors::ClientError;
use crate::sql::MOVED;
use crate::wire::{
    ProtocolError,
    backend::{self, Status},
    frontend, take_cstr,
};

/// Output for a server that is sent before the client's next message is looked at.
pub(super) const SEND_AT: usize = 32 * 1024;

impl Managed {
    /// Sends everything that servers are to get, handling what they answer meanwhile: a server that is not read from
    /// stops reading.
    pub(super) async fn send_all(&mut self) -> Result<(), End> {
        for side in [Side::Old, Side::New] {
            while self
                .backends
                .get_mut(side)
                .is_some_and(|backend| !backend.out.is_empty())
            {
                self.exchange(side, false).await?;
            }
        }
        Ok(())
    }

    /// Waits until the server of `side` owes nothing. Where it waits itself, for the data of a COPY, the client has gone on with something else.
    pub(super) async fn settle(&mut self, side: Side) -> Result<(), End> {
        while self
            .backends
            .get_mut(side)
            .is_some_and(|backend| !backend.settled())
        {
            if self.copying == Some(side) {
                return Err(out_of_step());
            }
            self.exchange(side, true).await?;
        }
        Ok(())
    }

    /// Waits until the server of `side` has answered what has this number, and which a Sync has followed.
    pub(super) async fn answered(&mut self, side: Side, number: u64) -> Result<(), End> {
        while self
            .backends
            .get_mut(side)
            .is_some_and(|backend| !backend.settled() && backend.first_owed() <= number)
        {
            if self.copying == Some(side) {
                return Err(out_of_step());
            }
            self.exchange(side, true).await?;
        }
        Ok(())
    }

    /// As [`Managed::settle`], or until the server takes a copy's data, for which it will wait.
    pub(super) async fn settle_or_copy(&mut self, side: Side) -> Result<(), End> {
        let Some(backend) = self.backends.get_mut(side) else {
            return Ok(());
        };
        if backend.batch && !backend.settled() {
            frontend::flush(&mut backend.out);
        }
        while self.copying.is_none()
            && self
                .backends
                .get_mut(side)
                .is_some_and(|backend| !backend.settled())
        {
            self.exchange(side, true).await?;
        }
        Ok(())
    }

    /// As [`Managed::settle`], of a batch that no Sync has ended yet.
    pub(super) async fn settle_batch(&mut self, side: Side) -> Result<(), End> {
        if let Some(backend) = self.backends.get_mut(side)
            && !backend.settled()
        {
            frontend::flush(&mut backend.out);
        }
        self.settle(side).await
    }

    /// Where tests end the process between a COMMIT and its answer.
    pub(super) async fn commit_under_way(&mut self) {
        let point = Point::CommitSent;
        if crash::is_armed(point) {
            // What fails here fails again where the answer is waited for.
            let _ = self.send_all().await;
            crash::at(point);
        }
    }

    async fn exchange(&mut self, side: Side, wanted: bool) -> Result<(), End> {
        let exchanged = self.backend(side)?.exchange(wanted).await;
        self.drain_inbound(side).await?;
        if exchanged.unwrap_or(false) {
            Ok(())
        } else {
            Err(End::ServerGone(side))
        }
    }

    /// Handles what a server has sent.
    pub(super) async fn drain_inbound(&mut self, side: Side) -> Result<(), End> {
        while let Some(received) = self.backend(side)?.next()? {
            match received {
                Received::Piece(bytes) => self.client.out.extend_from_slice(&bytes),
                Received::Message(frame) => self.answer(side, frame)?,
            }
            if self.transaction.is_full() {
                self.send_ahead(side).await;
            }
            self.client
                .flush_if_large()
                .await
                .map_err(|_| End::ClientGone)?;
        }
        Ok(())
    }

    pub(super) async fn flush_client(&mut self) -> Result<(), End> {
        self.client.flush().await.map_err(|_| End::ClientGone)
    }

    fn answer(&mut self, side: Side, mut frame: Frame) -> Result<(), End> {
        if matches!(frame.kind, b'N' | b'E')
            && let Some(body) = self.by_its_name(&frame.body())
        {
            frame = Frame::new(frame.kind, &body);
        }
        match frame.kind {
            b'N' if self.quiet => {}
            // The last words of a server that nobody has asked.
            b'N' if side != self.home && self.backend(side)?.is_idle() => {}
            b'E' if self.backend(side)?.is_idle() => self.backend(side)?.farewell = Some(frame),
            b'N' | b'A' => self.show(&frame),
            b'S' => self.parameter_status(side, &frame)?,
            b'E' => self.error(side, &frame)?,
            b'Z' => self.ready(side, &frame)?,
            _ => self.owed(side, frame)?,
        }
        Ok(())
    }

    fn show(&mut self, frame: &Frame) {
        self.client.out.extend_from_slice(&frame.whole);
    }

    pub(super) fn parameter_status(&mut self, side: Side, frame: &Frame) -> Result<(), End> {
        let body = frame.body();
        let mut rest = &body[..];
        if let (Some(name), Some(value)) = (take_cstr(&mut rest), take_cstr(&mut rest)) {
            let (name, value) = (
                String::from_utf8_lossy(name),
                String::from_utf8_lossy(value),
            );
            if side != self.home {
                self.backend(side)?.note_parameter(&name, &value);
                return Ok(());
            }
            self.note_status(&name, &value);
        }
        self.show(frame);
        Ok(())
    }

    fn error(&mut self, side: Side, frame: &Frame) -> Result<(), End> {
        let refused = match self.intent_error(side, frame)? {
            None => self.moved_names(frame),
            refused => refused,
        };
        match refused {
            Some(error) => {
                self.note_refusal(&error);
                self.client.error(&error);
            }
            None if self.muted => {}
            None => self.show(frame),
        }
        self.backend(side)?.batch_failed = true;
        self.fatal_shown |= matches!(
            backend::error_field(&frame.body(), b'V').as_deref(),
            Some("FATAL" | "PANIC")
        );
        self.upserts.clear();
        self.below.clear();
        self.own_rows = 0;
        self.count_failed(side)?;
        let copying = self.copying == Some(side);
        self.take_back(side)?;
        let backend = self.backend(side)?;
        backend.skip();
        backend.copy_in = false;
        if copying {
            self.copying = None;
        }
        Ok(())
    }

    /// A captured statement that fails may have changed rows before, and the server counts them.
    fn count_failed(&mut self, side: Side) -> Result<(), End> {
        if let Some(Expect::Execute(execute)) = self.backend(side)?.expect.front()
            && let Some(capture) = execute.capture.clone()
        {
            self.own.failed(&capture);
        }
        Ok(())
    }

    /// Whether the error says that a name means another table than it did; then what the client is told.
    fn moved_names(&mut self, frame: &Frame) -> Option<ClientError> {
        let told = backend::error_field(&frame.body(), b'M')?;
        if !told.contains(MOVED) {
            return None;
        }
        self.forget_names();
        Some(moved_names())
    }

    /// Whether the error is about the intent of the transaction; then what the client is told. What is the primary's own affair (a cancel, a serialization failure, a
    /// shutdown) is told in the primary's own words.
    fn intent_error(&mut self, side: Side, frame: &Frame) -> Result<Option<ClientError>, End> {
        let backend = self.backend(side)?;
        let is_intent =
            |expect: &Expect| matches!(expect, Expect::Execute(execute) if execute.intent);
        if !backend.expect.iter().any(is_intent) {
            return Ok(None);
        }
        backend.intent_refused = true;
        let body = frame.body();
        let sqlstate = backend::error_field(&body, b'C').unwrap_or_default();
        let own = ["08", "25", "40", "57"]
            .iter()
            .any(|class| sqlstate.starts_with(class));
        let message = backend::error_field(&body, b'M').unwrap_or_default();
        Ok((!own).then(|| intent_refused(side, &message)))
    }

    fn ready(&mut self, side: Side, frame: &Frame) -> Result<(), End> {
        let bad = || End::Malformed(ProtocolError::Body { kind: b'Z' });
        let status = frame
            .body()
            .first()
            .copied()
            .and_then(Status::read)
            .ok_or_else(bad)?;
        let backend = self.backend(side)?;
        backend.status = status;
        backend.skipping = false;
        let show = match backend.answer() {
            Some(Expect::Sync { show }) => show,
            Some(Expect::Query { .. } | Expect::Function) => true,
            _ => return Err(bad()),
        };
        // By batch and not by time: several of them may be under way, and each fails for itself (trap 14).
        let failed = std::mem::take(&mut backend.batch_failed);
        self.failed = failed;
        let backend = self.backend(side)?;
        if std::mem::take(&mut backend.intent_refused) && show && status == Status::Failed {
            // A COMMIT that fails leaves no block behind.
            backend.push_own(
                b"crossfade_rollback",
                "ROLLBACK",
                Execute {
                    effect: Some(Effect::Rollback { chain: false }),
                    ..Execute::default()
                },
            );
            frontend::sync(&mut backend.out);
            backend.batch = false;
            backend.expect.push_back(Expect::Sync { show: true });
            backend.batch_failed = true;
            return Ok(());
        }
        if status == Status::Idle && std::mem::take(&mut self.names_moved) {
            self.path = None;
        }
        if status == Status::Idle && std::mem::take(&mut self.defines) {
            self.shared.note_definition();
        }
        if show {
            if status == Status::Idle {
                self.transaction = Transaction::default();
            }
            self.transaction.in_block = status != Status::Idle;
        }
        if show {
            if !self.failed {
                self.client.out.extend_from_slice(&self.held_completion);
            }
            self.held_completion.clear();
            self.show(frame);
        }
        Ok(())
    }

    fn owed(&mut self, side: Side, frame: Frame) -> Result<(), End> {
        let unexpected = End::Malformed(ProtocolError::Kind { kind: frame.kind });
        let Some(front) = self.backend(side)?.expect.front() else {
            return Err(unexpected);
        };
        match (front, frame.kind) {
            (&Expect::Parse { show }, b'1')
            | (&Expect::Bind { show }, b'2')
            | (&Expect::Close { show }, b'3') => self.done(side, show, &frame),
            (Expect::Types, b't') => {
                self.told_types = Some(backend::parameter_types(&frame.body())?.into());
                Ok(())
            }
            (Expect::Types, b'T' | b'n') => self.done(side, false, &frame),
            (Expect::Describe { .. }, b't') => {
                self.show(&frame);
                Ok(())
            }
            (&Expect::Describe { strip, show_none }, b'T' | b'n') => {
                self.description(side, &frame, strip, show_none)
            }
            (Expect::Execute(_), kind) => self.executed(side, frame, kind),
            (Expect::Query { .. }, b'G' | b'W') => {
                self.show(&frame);
                self.copying = Some(side);
                Ok(())
            }
            (Expect::Query { .. }, b'C') => self.completed_in_query(side, &frame),
            (Expect::Query { .. } | Expect::Function, _) => {
                self.show(&frame);
                Ok(())
            }
            _ => Err(unexpected),
        }
    }

    /// A statement of a Query that was passed on whole. Whatever else of it fails, this one has taken place.
    fn completed_in_query(&mut self, side: Side, frame: &Frame) -> Result<(), End> {
        let effect = match self.backend(side)?.expect.front_mut() {
            Some(Expect::Query { effects }) => effects.pop_front().flatten(),
            _ => None,
        };
        if let Some(effect) = effect {
            self.follow(side, &effect, &frame.body())?;
        }
        self.note_given_up(side, &frame.body());
        self.show(frame);
        Ok(())
    }

    fn done(&mut self, side: Side, show: bool, frame: &Frame) -> Result<(), End> {
        self.backend(side)?.answer();
        if show {
            self.show(frame);
        }
        Ok(())
    }

    fn description(
        &mut self,
        side: Side,
        frame: &Frame,
        strip: usize,
        show_none: bool,
    ) -> Result<(), End> {
        self.backend(side)?.answer();
        if frame.kind == b'T' {
            match backend::strip_description(&frame.body(), strip)? {
                Some(body) => backend::with_body(&mut self.client.out, b'T', &body),
                None if show_none => backend::empty(&mut self.client.out, b'n'),
                None => {}
            }
        } else if show_none {
            self.show(frame);
        }
        Ok(())
    }

    fn executed(&mut self, side: Side, frame: Frame, kind: u8) -> Result<(), End> {
        match kind {
            b'D' => self.row(side, frame),
            b'C' | b'I' | b's' => self.complete(side, frame),
            b'G' | b'W' => {
                // Syncs that were sent already are ignored by a server in copy-in mode; the client sends another one.
                let backend = self.backend(side)?;
                backend.copy_in = true;
                backend.expect.truncate(1);
                backend.batch = true;
                self.copying = Some(side);
                // The batch goes on there.
                self.active = side;
                self.show(&frame);
                Ok(())
            }
            b'H' | b'd' | b'c' => {
                self.show(&frame);
                Ok(())
            }
            kind => Err(End::Malformed(ProtocolError::Kind { kind })),
        }
    }

    fn row(&mut self, side: Side, frame: Frame) -> Result<(), End> {
        let Some(Expect::Execute(execute)) = self.backend(side)?.expect.front() else {
            return Err(End::Malformed(ProtocolError::Kind { kind: b'D' }));
        };
        let show = execute.show_rows;
        if let Some(versions) = execute.lookup {
            let mut row = backend::split_row(frame.body(), versions)?;
            let version = row.appended.pop().flatten();
            let mut kept = bytes::BytesMut::new();
            backend::kept_row(&mut kept, &row);
            self.found.push(Found {
                row: kept.freeze(),
                version,
            });
            return Ok(());
        }
        let own = execute.own;
        if own && execute.capture.is_none() {
            let row = values(&frame.body()).ok_or(ProtocolError::Body { kind: b'D' })?;
            self.told_rows.push(row);
            return Ok(());
        }
        let Some(capture) = execute.capture.clone() else {
            if show {
                self.show(&frame);
            }
            return Ok(());
        };
        let portion = execute.portion.as_ref().map(|(portal, _)| portal.clone());
        let mut row = backend::split_row(frame.body(), capture.width() + usize::from(own))?;
        let mut appended = std::mem::take(&mut row.appended);
        let answer = if own { appended.remove(0) } else { None };
        let captured = capture
            .read(appended)
            .ok_or(End::Malformed(ProtocolError::Body { kind: b'D' }))?;
        if captured.own {
            self.own_answer = answer;
            self.own_rows += 1;
        }
        if show && captured.own {
            match portion {
                None => backend::kept_row(&mut self.client.out, &row),
                Some(portal) => {
                    let mut held = bytes::BytesMut::new();
                    backend::kept_row(&mut held, &row);
                    if let Some(portal) = self.prepared.portals.get_mut(&portal) {
                        portal.held.push_back(held.freeze());
                    }
                }
            }
        }
        self.own.captured(&captured.changes);
        // Where no key changes there is no delete to go behind, and large statements stream.
        let last = capture.goes_last(&captured);
        if capture.outdates() {
            // Those of its own rows, too: foreign keys may point from them to others of them, whose keys change as well.
            let upserts = captured.changes.iter();
            let upserts = upserts.filter_map(|(table, key, change)| {
                let stays = matches!(change, crossfade_store::Change::Upsert(_));
                stays.then(|| (*table, key.clone()))
            });
            self.below.extend(upserts.chain(captured.below));
        } else {
            self.note_below(captured.below);
        }
        let most = self.shared.config.load().writes.max_transaction_bytes;
        for (table, key, change) in captured.changes {
            match change {
                crossfade_store::Change::Upsert(_) if last => {
                    self.upserts.push((table, key, change))
                }
                _ => self.transaction.push(table, key, change, most),
            }
        }
        Ok(())
    }

    /// Rows that foreign keys change.
    fn note_below(&mut self, keys: Vec<(crossfade_store::TableId, crossfade_store::Key)>) {
        let most = self.shared.config.load().writes.max_transaction_bytes;
        for (table, key) in keys {
            self.transaction.push_unread(table, key, most);
        }
    }

    fn complete(&mut self, side: Side, frame: Frame) -> Result<(), End> {
        let Some(Expect::Execute(execute)) = self.backend(side)?.answer() else {
            return Err(End::Malformed(ProtocolError::Kind { kind: frame.kind }));
        };
        if let Some(capture) = &execute.capture {
            self.own.completed(capture);
        }
        if !self.upserts.is_empty() {
            let most = self.shared.config.load().writes.max_transaction_bytes;
            for (table, key, change) in std::mem::take(&mut self.upserts) {
                self.transaction.push(table, key, change, most);
            }
        }
        // Behind the statement's own images, which may be older.
        let below = std::mem::take(&mut self.below);
        self.note_below(below);
        let Execute {
            show_complete,
            effect,
            portion,
            capture,
            copied,
            ..
        } = execute;
        let rows = std::mem::take(&mut self.own_rows);
        let whole = match capture.and_then(|capture| capture.tag(rows)) {
            Some(tag) if frame.kind == b'C' => {
                let mut message = bytes::BytesMut::new();
                backend::with_body(&mut message, b'C', tag.as_bytes());
                message.freeze()
            }
            _ if copied => as_copy(frame.clone()).whole,
            _ => frame.whole.clone(),
        };
        if frame.kind == b'C' {
            self.note_given_up(side, &frame.body());
            if let Some(effect) = effect {
                self.follow(side, &effect, &frame.body())?;
            }
        }
        match portion {
            Some((portal, rows)) => self.hand_out(&portal, rows, Some(whole)),
            None if show_complete => {
                self.completion_at = Some(self.client.out.len());
                self.client.out.extend_from_slice(&whole);
            }
            None => {}
        }
        Ok(())
    }

    /// Follows what a completed statement does to the transaction. The server's own word on that comes with the next `ReadyForQuery`, which may be long behind
    /// what comes next in the batch.
    fn follow(&mut self, side: Side, effect: &Effect, tag: &[u8]) -> Result<(), End> {
        // COMMIT of a failed block is answered with ROLLBACK: nothing was committed.
        let undone = matches!(effect, Effect::Commit { .. }) && !tag.starts_with(b"COMMIT");
        let backend = self.backend(side)?;
        backend.batch_failed |= undone;
        match effect {
            Effect::Commit { chain: false } | Effect::Rollback { chain: false } => {
                backend.status = Status::Idle;
            }
            Effect::Begin
            | Effect::Commit { .. }
            | Effect::Rollback { .. }
            | Effect::RollbackTo(_) => backend.status = Status::InBlock,
            Effect::Savepoint(_) | Effect::Release(_) => {}
        }
        self.transaction.apply(effect);
        Ok(())
    }

    /// Hands out rows of a captured write that the client asked for in portions.
    pub(super) fn hand_out(&mut self, name: &Bytes, rows: usize, completion: Option<Bytes>) {
        let Some(portal) = self.prepared.portals.get_mut(name) else {
            return;
        };
        if completion.is_some() {
            portal.completion = completion;
        }
        let now = if rows == 0 {
            portal.held.len()
        } else {
            rows.min(portal.held.len())
        };
        for row in portal.held.drain(..now) {
            self.client.out.extend_from_slice(&row);
        }
        // As the server does it: a portal is suspended when the limit was met, even if nothing is left.
        if rows != 0 && now == rows {
            backend::empty(&mut self.client.out, b's');
        } else if let Some(completion) = &portal.completion {
            // As the server does it: the completion counts the rows of this message.
            let tag = completion.get(crate::wire::HEADER..).unwrap_or_default();
            let tag = String::from_utf8_lossy(tag);
            let (verb, _all) = tag.rsplit_once(' ').unwrap_or((&tag, ""));
            let tag = format!("{verb} {now}\0");
            backend::with_body(&mut self.client.out, b'C', tag.as_bytes());
        }
    }
}

/// `INSERT 0 n` as `COPY n`.
fn as_copy(frame: Frame) -> Frame {
    match frame.body().strip_prefix(b"INSERT 0 ") {
        Some(rows) => Frame::new(frame.kind, &[b"COPY ", rows].concat()),
        None => frame,
    }
}
