//! The same script against the server itself and through the proxy must see the same frames.

use crossfade_tests::{Endpoint, Proxy, SHOP, Stores, Wire, wire::Frame};

/// Beside the shop: what scripts need to provoke notices, errors and waits.
const EXTRA: &str = "
CREATE TABLE numbers (n int PRIMARY KEY, word text NOT NULL CHECK (word <> 'forbidden'));
CREATE FUNCTION warn(message text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN RAISE WARNING 'mind: %', message USING HINT = 'none', DETAIL = 'some'; RETURN message; END $$;
";

/// Puts the tables back to where every run of a script begins.
const REFILL: &str = "
TRUNCATE orders, items, counters, numbers RESTART IDENTITY;
INSERT INTO numbers SELECT n, 'word ' || n FROM generate_series(1, 20) n;
INSERT INTO orders (customer, total, token, created_at, updated_at)
    SELECT 'customer ' || n, n, '00000000-0000-0000-0000-000000000000', 'epoch', 'epoch' FROM generate_series(1, 20) n;
";

/// A database with the shop, the tables of scripts, and proxies to put in front of it.
pub(super) struct Bench {
    pub(super) stores: Stores,
}

impl Bench {
    pub(super) async fn new() -> Bench {
        let stores = Stores::create(&format!("{SHOP}{EXTRA}")).await;
        stores.old.run(REFILL).await;
        Bench { stores }
    }

    /// A proxy in front of it, in `phase`.
    pub(super) async fn proxy(&self, phase: &str) -> Proxy {
        Proxy::start(self.stores.shop_config(phase)).await
    }

    /// Runs `script` against the server and through a proxy in each phase that only relays, and compares what came back.
    pub(super) async fn same(&self, script: impl AsyncFn(Endpoint) -> Vec<Frame>) {
        let expected = self.run(&script, self.stores.old.direct()).await;
        assert!(!expected.is_empty(), "the script saw nothing");
        for phase in ["deploy-new", "use-old"] {
            let proxy = self.proxy(phase).await;
            let seen = self.run(&script, proxy.endpoint(&self.stores.old)).await;
            let differs = expected
                .iter()
                .zip(&seen)
                .position(|(left, right)| left != right);
            let at = differs.unwrap_or_else(|| expected.len().min(seen.len()));
            assert!(
                expected == seen,
                "in {phase}, frame {at} is {:?} instead of {:?}\nall: {seen:#?}",
                seen.get(at),
                expected.get(at)
            );
        }
    }

    async fn run(
        &self,
        script: &impl AsyncFn(Endpoint) -> Vec<Frame>,
        endpoint: Endpoint,
    ) -> Vec<Frame> {
        self.stores.old.run(REFILL).await;
        let frames = script(endpoint).await;
        frames.into_iter().map(Frame::comparable).collect()
    }
}

/// [`Bench::same`] for scripts that need one connection, signed in.
pub(super) async fn same(script: impl AsyncFn(&mut Wire) -> Vec<Frame>) {
    let bench = Bench::new().await;
    bench
        .same(async |endpoint| {
            let mut wire = endpoint.wire().await;
            script(&mut wire).await
        })
        .await;
}
