//! The live application: clients that work through the proxy at a steady pace, and count every error and every wrong answer.
//!
//! No client tries anything again: an error is an error. Clients write only rows of their own customers, so that none of them waits for another
//! for long, and none can be a deadlock's victim by the application's own fault.

mod analyst;
mod checker;
mod desk;
mod probe;
mod shopper;
mod visitor;

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    sync::{RwLock, RwLockWriteGuard},
    task::JoinHandle,
    time::MissedTickBehavior,
};
use tokio_postgres::Config;

use super::{
    halt::Halt,
    random::Random,
    server::connect,
    tally::{Kind, Tally, Trouble, describe},
};
pub(super) use checker::Model;

/// Customers that the old store starts with.
pub(super) const CUSTOMERS: u32 = 600;
/// Orders that the old store starts with. No client deletes any of them.
pub(super) const ORDERS: u32 = 3000;
/// Clients that write, each with customers of its own.
const WRITERS: u32 = 6;
/// Pause between two operations of a client: eight clients make some 350 operations a second, which leaves room on two cores.
const PACE: Duration = Duration::from_millis(22);

/// Longest that a client waits for an operation: far beyond what any bound in the proxy allows.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a client does, one operation after the other.
trait Worker: Send {
    /// One operation; says which kind it was. After it was dropped half way the worker is of no more use.
    fn step(&mut self) -> impl Future<Output = Result<Kind, Trouble>> + Send;

    /// Whether its connection is gone, so that nothing more can come of it.
    fn is_gone(&self) -> bool;
}

/// What all clients share.
#[derive(Debug)]
struct Shared {
    tally: Arc<Tally>,
    /// Held for reading during an operation; for writing, to let the traffic pause.
    turn: RwLock<()>,
    stop: AtomicBool,
}

/// What a client starts with.
#[derive(Debug)]
struct Seat {
    /// Which of the [`WRITERS`] it is.
    writer: u32,
    tally: Arc<Tally>,
    random: Random,
}

impl Seat {
    /// One of the customers that are this client's own.
    fn customer(&mut self) -> i64 {
        let each = CUSTOMERS / WRITERS;
        i64::from(self.writer * each + self.random.below(each) + 1)
    }

    /// Any order that was there from the start.
    fn seeded_order(&mut self) -> i64 {
        i64::from(self.random.below(ORDERS) + 1)
    }
}

/// Where the clients connect.
#[derive(Debug)]
pub(super) struct Targets {
    /// The proxy.
    pub(super) proxy: Config,
    /// Straight to the old store.
    pub(super) old: Config,
    /// Straight to the new store, where it speaks PostgreSQL's protocol.
    pub(super) new: Option<Config>,
}

/// How SQL names things in the new store that have other names in the old.
#[derive(Debug)]
pub(super) struct Names {
    /// The total of an order.
    pub(super) amount: &'static str,
    /// The table of the payments.
    pub(super) payments: &'static str,
}

/// The running clients.
#[derive(Debug)]
pub(super) struct Traffic {
    shared: Arc<Shared>,
    clients: Vec<JoinHandle<()>>,
    checker: JoinHandle<Model>,
}

impl Traffic {
    /// Connects all clients and sets them to work.
    ///
    /// # Errors
    /// When one cannot connect.
    pub(super) async fn start(targets: &Targets, tally: &Arc<Tally>) -> Result<Traffic, Halt> {
        let shared = Arc::new(Shared {
            tally: tally.clone(),
            turn: RwLock::default(),
            stop: AtomicBool::default(),
        });
        let seat = |writer: u32| Seat {
            writer,
            tally: tally.clone(),
            random: Random::new(u64::from(writer) + 1),
        };
        let proxy = &targets.proxy;
        let broken = |trouble: Trouble| match trouble {
            Trouble::Failed(error) => {
                Halt::broken("a client of the demo cannot start", describe(&error))
            }
            Trouble::Wrong(what) => Halt::broken("a client of the demo cannot start", what),
        };
        let mut clients = Vec::new();
        for number in 0..3 {
            let shopper = shopper::Shopper::connect(proxy, seat(number))
                .await
                .map_err(broken)?;
            clients.push(spawn(format!("shopper {number}"), shopper, &shared));
        }
        let desk = desk::Desk::connect(proxy, seat(3)).await.map_err(broken)?;
        clients.push(spawn("desk".to_owned(), desk, &shared));
        let visitor = visitor::Visitor::new(proxy.clone(), seat(4));
        clients.push(spawn("visitor".to_owned(), visitor, &shared));
        let windows = targets.new.is_some();
        let analyst = analyst::Analyst::connect(proxy, seat(WRITERS), windows)
            .await
            .map_err(broken)?;
        clients.push(spawn("analyst".to_owned(), analyst, &shared));
        let probe = probe::Probe::connect(targets, seat(WRITERS + 1))
            .await
            .map_err(broken)?;
        clients.push(spawn("probe".to_owned(), probe, &shared));
        let checker = checker::Checker::connect(proxy, seat(5))
            .await
            .map_err(broken)?;
        let checking = shared.clone();
        let checker = tokio::spawn(async move {
            work("checker".to_owned(), checker, checking)
                .await
                .into_model()
        });
        Ok(Traffic {
            shared,
            clients,
            checker,
        })
    }

    /// Lets every client finish what it is at, and holds the next operation back until the guard is dropped.
    pub(super) async fn pause(&self) -> RwLockWriteGuard<'_, ()> {
        self.shared.turn.write().await
    }

    /// Lets every client finish what it is at and ends them; gives what the checker knows of its rows.
    ///
    /// # Errors
    /// When a client was ended by a fault of its own.
    pub(super) async fn stop(self) -> Result<Model, Halt> {
        self.shared.stop.store(true, Ordering::Relaxed);
        let fault = |why: tokio::task::JoinError| Halt::broken("a client of the demo failed", why);
        for client in self.clients {
            client.await.map_err(fault)?;
        }
        self.checker.await.map_err(fault)
    }
}

fn spawn(name: String, worker: impl Worker + 'static, shared: &Arc<Shared>) -> JoinHandle<()> {
    let shared = shared.clone();
    tokio::spawn(async move { drop(work(name, worker, shared).await) })
}

/// Keeps a client at work until the traffic stops or its connection is gone.
async fn work<W: Worker>(name: String, mut worker: W, shared: Arc<Shared>) -> W {
    let mut pace = tokio::time::interval(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        pace.tick().await;
        let _turn = shared.turn.read().await;
        if shared.stop.load(Ordering::Relaxed) {
            return worker;
        }
        let begin = Instant::now();
        let Ok(outcome) = tokio::time::timeout(PATIENCE, worker.step()).await else {
            shared.tally.trouble(
                &name,
                &Trouble::Wrong(format!(
                    "no answer within {} s; this client stops",
                    PATIENCE.as_secs()
                )),
            );
            return worker;
        };
        match outcome {
            Ok(kind) => shared.tally.done(kind, begin.elapsed()),
            Err(trouble) => shared.tally.trouble(&name, &trouble),
        }
        if worker.is_gone() {
            // Counted, whatever broke it: a client of a real application would have noticed as well.
            shared.tally.trouble(
                &name,
                &Trouble::Wrong("the connection is gone; this client stops".to_owned()),
            );
            return worker;
        }
    }
}

/// An answer that must be so.
fn expect(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), Trouble> {
    if holds {
        Ok(())
    } else {
        Err(Trouble::Wrong(otherwise()))
    }
}
