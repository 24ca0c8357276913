//! The configuration file of the demo.

use super::{
    mongod::Mongod,
    server::{DATABASE, PASSWORD, PROXY_USER},
};
use crate::cli::NewStore;

/// The one toggle.
pub(super) const TOGGLE: &str = "shop";

/// Loopback ports that nobody uses.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ports {
    pub(super) old: u16,
    pub(super) new: u16,
    pub(super) listen: u16,
    pub(super) admin: u16,
}

impl Ports {
    /// Four ports that were free a moment ago.
    ///
    /// # Errors
    /// When the system has none.
    pub(super) fn free() -> std::io::Result<Ports> {
        // Held all at once, so that they differ.
        let held: Vec<_> = (0..4)
            .map(|_| std::net::TcpListener::bind(("127.0.0.1", 0)))
            .collect::<Result<_, _>>()?;
        let port = |index: usize| held[index].local_addr().map(|addr| addr.port());
        Ok(Ports {
            old: port(0)?,
            new: port(1)?,
            listen: port(2)?,
            admin: port(3)?,
        })
    }
}

/// The text of the file, in phase 1. `window_s` is the time in phase 4 that the step to 5 asks for.
pub(super) fn text(ports: Ports, kind: NewStore, window_s: u64) -> String {
    let Ports {
        old,
        new,
        listen,
        admin,
    } = ports;
    let (new_url, users, tables) = match kind {
        NewStore::Postgres => (
            format!(
                "postgres://{PROXY_USER}:{PASSWORD}@127.0.0.1:{new}/{DATABASE}?sslmode=disable"
            ),
            "",
            TO_POSTGRES,
        ),
        NewStore::Mongodb => (Mongod::url(new), USERS, TO_MONGO),
    };
    format!(
        r#"# Written by `crossfade demo`, which walks this shop through the eight phases by editing "phase" below.
listen    = "127.0.0.1:{listen}"
admin     = "127.0.0.1:{admin}"
state_dir = "state"

[old]
url = "postgres://{PROXY_USER}:{PASSWORD}@127.0.0.1:{old}/{DATABASE}?sslmode=disable"

[new]
url = "{new_url}"
{users}
[flips]
mismatch_window = "{window_s}s"     # in production: hours or days

[reconcile]
chunk_rows = 1000                   # so that a table of the demo has several chunks
brake_latency = "250ms"             # servers, proxy and clients share this machine: a slow answer says little

[toggle.{TOGGLE}]
phase = "deploy-new"

{tables}"#
    )
}

const TO_POSTGRES: &str = r#"[toggle.shop.table.customers]
version = "version"

[toggle.shop.table.orders]
version = "updated_at"
column.total = { to = "amount", type = "numeric(14,4)" }

[toggle.shop.table.order_items]    # no version: its rows never change once written
column.sku = { type = "text" }

[toggle.shop.table.payments]
target = "billing.payment"
"#;

const TO_MONGO: &str = r#"[toggle.shop.table.customers]
version = "version"

[toggle.shop.table.orders]
version = "updated_at"
column.total = "amount"            # a field of another name
column.note = "delivery.note"      # and fields of a field
column.shipping = "delivery.address"

[toggle.shop.table.order_items]    # a key of two columns: { _id: { order_id, line } }

[toggle.shop.table.payments]
"#;

const USERS: &str = r#"
[users]                            # who may sign in once the old store is off: `crossfade users import` writes it
file = "users.txt"
"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_are_valid_and_their_phase_can_be_edited() {
        for kind in [NewStore::Postgres, NewStore::Mongodb] {
            let ports = Ports {
                old: 1,
                new: 2,
                listen: 3,
                admin: 4,
            };
            let text = text(ports, kind, 3);
            let edited =
                crossfade_config::edit::set_phase(&text, TOGGLE, crossfade_phase::Phase::DualWrite)
                    .unwrap();
            assert!(edited.contains("phase = \"dual-write\""));
        }
    }
}
