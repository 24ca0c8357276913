//! The same read by key, straight to the store and through the proxy: what the proxy adds.

use std::time::Instant;

use crossfade_phase::Side;
use tokio_postgres::{Client, Config, Statement};

use super::{Seat, Targets, Worker, connect, expect};
use crate::demo::tally::{Kind, Trouble};

const READ: &str = "SELECT customer_id, status::text, note FROM orders WHERE id = $1";

#[derive(Debug)]
struct Way {
    client: Client,
    read: Statement,
}

impl Way {
    async fn connect(config: &Config) -> Result<Way, Trouble> {
        let client = connect(config).await?;
        Ok(Way {
            read: client.prepare(READ).await?,
            client,
        })
    }

    async fn read(&self, id: i64) -> Result<(std::time::Duration, bool), Trouble> {
        let begin = Instant::now();
        let row = self.client.query_opt(&self.read, &[&id]).await?;
        Ok((begin.elapsed(), row.is_some()))
    }
}

#[derive(Debug)]
pub(super) struct Probe {
    proxy: Way,
    direct: Option<Way>,
    /// The store that `direct` leads to: the one whose answer decides.
    side: Side,
    new: Option<Config>,
    seat: Seat,
    steps: u64,
}

impl Probe {
    pub(super) async fn connect(targets: &Targets, seat: Seat) -> Result<Probe, Trouble> {
        Ok(Probe {
            proxy: Way::connect(&targets.proxy).await?,
            direct: Some(Way::connect(&targets.old).await?),
            side: Side::Old,
            new: targets.new.clone(),
            seat,
            steps: 0,
        })
    }
}

impl Worker for Probe {
    async fn step(&mut self) -> Result<Kind, Trouble> {
        let phase = self.seat.tally.phase();
        if phase.primary() != self.side {
            // The old store is left behind here: nothing of the demo's own holds on to it when it is switched off.
            self.direct = match &self.new {
                Some(new) => Some(Way::connect(new).await?),
                None => None,
            };
            self.side = phase.primary();
        }
        let id = self.seat.seeded_order();
        let Some(direct) = &self.direct else {
            let proxied = self.proxy.read(id).await?;
            expect(proxied.1, || format!("order {id} is not found"))?;
            return Ok(Kind::Read);
        };
        self.steps += 1;
        // Each goes first half of the time: the second finds the row in the store's cache.
        let (direct, proxied) = if self.steps.is_multiple_of(2) {
            let direct = direct.read(id).await;
            (direct, self.proxy.read(id).await?)
        } else {
            let proxied = self.proxy.read(id).await?;
            (direct.read(id).await, proxied)
        };
        expect(proxied.1, || format!("order {id} is not found"))?;
        // The store itself is not what is tested: without its answer there is no pair.
        if let (Ok((direct, true)), true) = (direct, self.seat.tally.phase() == phase) {
            self.seat.tally.pair(direct, proxied.0);
        }
        Ok(Kind::Read)
    }

    fn is_gone(&self) -> bool {
        self.proxy.client.is_closed()
    }
}
