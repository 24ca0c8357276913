//! Random histories: clients work without a pause while toggles move, the secondary dies or freezes, and proxies are killed.
//!
//! Nothing acknowledged may be lost, nothing may be read that does not last, and in the end the stores are alike. `CROSSFADE_HISTORY_SEED` decides what
//! happens, `CROSSFADE_HISTORY_SECONDS` for how long.

use std::time::{Duration, Instant};

use crossfade_tests::{
    ConfigBuilder, Database, Findings, Postgres, Proxy, eventually,
    history::{Broken, HISTORY, HISTORY_SEED, HISTORY_TABLES, History, Random},
    journal_in_primary,
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
    proxies: Vec<Proxy>,
    phase: usize,
    random: Random,
    events: Vec<String>,
}

impl World {
    /// With one proxy, or with several that share the phases.
    async fn new(seed: u64, proxies: usize) -> World {
        let servers = [Postgres::start(), Postgres::start()];
        let stores = [servers[0].database("old"), servers[1].database("new")];
        for store in &stores {
            store.run(HISTORY).await;
        }
        stores[0].run(HISTORY_SEED).await;
        let config = |number: usize| {
            let config = ConfigBuilder::new(stores[0].own(), stores[1].own())
                .section("[flips]\nmismatch_window = \"0s\"")
                .section("[writes]\nsecondary_timeout = \"300ms\"\nbreaker_retry = \"200ms\"")
                .toggle("shop", "use-old", HISTORY_TABLES);
            if proxies == 1 {
                return config;
            }
            let config = config.line(&format!("control = \"database\"\nproxy = \"{number}\""));
            if journal_in_primary() {
                config.without_disk()
            } else {
                config
            }
        };
        let mut running = Vec::new();
        for number in 0..proxies {
            running.push(Proxy::start(config(number)).await);
        }
        running[0].flip("dual-write").await;
        running[0].cli(&["backfill"]).expect(0);
        running[0].cli(&["verify"]).expect(0);
        World {
            servers,
            stores,
            proxies: running,
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

    fn any(&mut self) -> usize {
        let proxies = u64::try_from(self.proxies.len()).unwrap();
        usize::try_from(self.random.below(proxies)).unwrap()
    }

    async fn something_happens(&mut self, clients: &[History]) {
        let acknowledged = || clients.iter().map(History::acknowledged).sum::<u64>();
        let (begin, before) = (Instant::now(), acknowledged());
        let any = self.any();
        let what = match self.random.below(10) {
            0..=4 => self.flip(any).await,
            5..=6 => {
                self.proxies[any].kill9();
                self.proxies[any].restart().await;
                "a proxy is killed"
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
                self.proxies[any].freeze();
                self.pause(300).await;
                self.proxies[any].thaw();
                "a proxy hangs"
            }
        };
        self.pause(400).await;
        let phase = PHASES[self.phase];
        let (took, more) = (begin.elapsed(), acknowledged() - before);
        self.events
            .push(format!("{what} ({phase}): {more} transactions in {took:?}"));
    }

    async fn pause(&mut self, most_ms: u64) {
        let pause = Duration::from_millis(50 + self.random.below(most_ms));
        tokio::time::sleep(pause).await;
    }

    /// A step forwards or back, asked for at any proxy whose file does not say it already. Its guard may say no for as long as there is something to repair.
    async fn flip(&mut self, any: usize) -> &'static str {
        self.phase = match self.phase {
            1 => 2 * usize::try_from(self.random.below(2)).unwrap(),
            _outermost => 1,
        };
        let phase = PHASES[self.phase];
        let proxies = self.proxies.len();
        let by = (0..proxies)
            .map(|step| (any + step) % proxies)
            .find(|&by| self.proxies[by].config().phase("shop") != phase)
            .expect("the last flip was asked for at one of them");
        self.proxies[by].ask("shop", phase);
        for proxy in &self.proxies {
            let arrived = async || proxy.toggle("shop").await["effective"] == phase;
            eventually("a flip comes about", FLIP, arrived).await;
        }
        "a flip"
    }

    /// The end: everything runs, the journals drain, and what the clients were told holds.
    async fn judge(&self, findings: &[Findings]) {
        for proxy in &self.proxies {
            proxy.drained().await;
        }
        for findings in findings {
            findings.check(&self.stores[self.primary()]).await;
        }
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

async fn history(proxies: usize) {
    let seed = number("CROSSFADE_HISTORY_SEED", 1);
    let time = Duration::from_secs(number("CROSSFADE_HISTORY_SECONDS", SECONDS));
    let mut world = World::new(seed, proxies).await;
    eprintln!("CROSSFADE_HISTORY_SEED={seed}");
    let mut clients = Vec::new();
    for (number, proxy) in (0..).zip(&world.proxies) {
        let endpoint = proxy.endpoint(&world.stores[0]);
        // Each history has rows of its own, and all share the accounts.
        let seed = seed * 100 + number;
        let each = 6 / proxies;
        clients.push(History::start(&endpoint, seed, each, Broken::Reconnect).await);
    }
    let begin = Instant::now();
    while begin.elapsed() < time {
        world.something_happens(&clients).await;
    }
    let mut findings = Vec::new();
    for clients in clients {
        clients.progress(50).await;
        findings.push(clients.stop().await);
    }
    eprintln!("{:#?}", world.events);
    for findings in &findings {
        let (acknowledged, unknown) = (findings.acknowledged, findings.unknown);
        let refused = &findings.refused;
        eprintln!(
            "{acknowledged} transactions, {unknown} of unknown outcome, refused: {refused:?}"
        );
    }
    world.judge(&findings).await;
    assert!(findings.iter().all(|findings| findings.refused.is_empty()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn histories_with_flips_and_faults_lose_and_invent_nothing() {
    history(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
pub(crate) async fn histories_through_two_proxies_lose_and_invent_nothing() {
    history(2).await;
}
