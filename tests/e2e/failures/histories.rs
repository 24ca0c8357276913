//! Random histories: clients work without a pause while toggles move, the secondary dies or freezes, and the proxy is killed.
//!
//! Nothing acknowledged may be lost, nothing may be read that does not last, and in the end the stores are alike. `CROSSFADE_HISTORY_SEED` decides what
//! happens, `CROSSFADE_HISTORY_SECONDS` for how long.

use std::time::{Duration, Instant};

use crossfade_tests::{
    ConfigBuilder, Database, Findings, Postgres, Proxy, eventually,
    history::{Broken, HISTORY, HISTORY_SEED, HISTORY_TABLES, History, Random},
};

use super::number;

const SECONDS: u64 = 20;
/// Longest that a flip may take that waits for repairs to end.
const FLIP: Duration = Duration::from_secs(30);
/// In the order in which a toggle moves between them.
const PHASES: [&str; 3] = ["dual-write", "dual-read", "new-primary"];

/// A migration with servers of its own.
struct World {
    servers: [Postgres; 2],
    stores: [Database; 2],
    proxy: Proxy,
    phase: usize,
    random: Random,
    events: Vec<String>,
}

impl World {
    async fn new(seed: u64) -> World {
        let servers = [Postgres::start(), Postgres::start()];
        let stores = [servers[0].database("old"), servers[1].database("new")];
        for store in &stores {
            store.run(HISTORY).await;
        }
        stores[0].run(HISTORY_SEED).await;
        let config = ConfigBuilder::new(stores[0].own(), stores[1].own())
            .section("[flips]\nmismatch_window = \"0s\"")
            .section("[writes]\nsecondary_timeout = \"300ms\"\nbreaker_retry = \"200ms\"")
            .toggle("shop", "use-old", HISTORY_TABLES);
        let mut proxy = Proxy::start(config).await;
        proxy.flip("dual-write").await;
        proxy.cli(&["backfill"]).expect(0);
        proxy.cli(&["verify"]).expect(0);
        World {
            servers,
            stores,
            proxy,
            phase: 0,
            random: Random::new(seed),
            events: Vec::new(),
        }
    }

    fn primary(&self) -> usize {
        usize::from(PHASES[self.phase] == "new-primary")
    }

    fn secondary(&mut self) -> &mut Postgres {
        let secondary = 1 - self.primary();
        &mut self.servers[secondary]
    }

    async fn something_happens(&mut self, clients: &History) {
        let (begin, before) = (Instant::now(), clients.acknowledged());
        let what = match self.random.below(10) {
            0..=4 => self.flip().await,
            5..=6 => {
                self.proxy.kill9();
                self.proxy.restart().await;
                "the proxy is killed"
            }
            7 => {
                self.secondary().kill9();
                self.pause(300).await;
                self.secondary().restart();
                "the secondary is killed"
            }
            8 => {
                self.secondary().freeze();
                self.pause(900).await;
                self.secondary().thaw();
                "the secondary hangs"
            }
            _ => {
                self.proxy.freeze();
                self.pause(300).await;
                self.proxy.thaw();
                "the proxy hangs"
            }
        };
        self.pause(400).await;
        let phase = PHASES[self.phase];
        let (took, more) = (begin.elapsed(), clients.acknowledged() - before);
        self.events
            .push(format!("{what} ({phase}): {more} transactions in {took:?}"));
    }

    async fn pause(&mut self, most_ms: u64) {
        let pause = Duration::from_millis(50 + self.random.below(most_ms));
        tokio::time::sleep(pause).await;
    }

    /// A step forwards or back. Its guard may say no for as long as there is something to repair.
    async fn flip(&mut self) -> &'static str {
        self.phase = match self.phase {
            1 => 2 * usize::try_from(self.random.below(2)).unwrap(),
            _outermost => 1,
        };
        let phase = PHASES[self.phase];
        self.proxy.ask("shop", phase);
        let arrived = async || self.proxy.toggle("shop").await["effective"] == phase;
        eventually("a flip comes about", FLIP, arrived).await;
        "a flip"
    }

    /// The end: everything runs, the journal drains, and what the clients were told holds.
    async fn judge(&self, findings: &Findings) {
        self.proxy.drained().await;
        findings.check(&self.stores[self.primary()]).await;
        for table in ["registers", "lists", "accounts"] {
            let [old, new] = &self.stores;
            let rows = crossfade_tests::compare::tables(old, table, new, table).await;
            assert!(rows > 0, "{table}");
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("what happened: {:#?}", self.events);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn histories_with_flips_and_faults_lose_and_invent_nothing() {
    let seed = number("CROSSFADE_HISTORY_SEED", 1);
    let time = Duration::from_secs(number("CROSSFADE_HISTORY_SECONDS", SECONDS));
    let mut world = World::new(seed).await;
    eprintln!("CROSSFADE_HISTORY_SEED={seed}");
    let endpoint = world.proxy.endpoint(&world.stores[0]);
    let clients = History::start(&endpoint, seed, 6, Broken::Reconnect).await;
    let begin = Instant::now();
    while begin.elapsed() < time {
        world.something_happens(&clients).await;
    }
    let before = clients.acknowledged();
    clients.progress(50).await;
    let findings = clients.stop().await;
    eprintln!(
        "{:#?}\n{before} transactions, {} of unknown outcome, refused: {:?}, {} events",
        world.events,
        findings.unknown,
        findings.refused,
        world.events.len()
    );
    world.judge(&findings).await;
    assert!(findings.refused.is_empty(), "{:?}", findings.refused);
}
