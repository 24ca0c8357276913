//! A primary that is a map: what a keeper writes stays there over restarts of the journal, as long as the test runs.

use std::{
    cell::Cell,
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
    sync::{
        Arc, LazyLock, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use crossfade_journal::{DirtyLine, Feed, Intent, IntentRow, Journal, Line, Options};
use crossfade_phase::Side;

thread_local! {
    static IN_PRIMARY: Cell<bool> = const { Cell::new(false) };
}

/// Runs a test of the journal with the journal kept in a primary.
pub(crate) fn in_primary(test: impl FnOnce()) {
    IN_PRIMARY.set(true);
    test();
    IN_PRIMARY.set(false);
}

pub(crate) fn is_in_primary() -> bool {
    IN_PRIMARY.get()
}

/// The rows of one store.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    pub(crate) intents: BTreeMap<(u64, u64), Vec<u8>>,
    pub(crate) dirty: BTreeMap<(u64, String, Vec<u8>), DirtyLine>,
    pub(crate) down: bool,
}

/// Both stores.
pub(crate) type Stores = Arc<[Mutex<Rows>; 2]>;

static OWNERS: AtomicU64 = AtomicU64::new(1);
/// The stores of a folder's journal, and those of an owner.
static BY_FOLDER: LazyLock<Mutex<HashMap<PathBuf, Stores>>> = LazyLock::new(Mutex::default);
static BY_OWNER: LazyLock<Mutex<HashMap<u64, (Stores, Side)>>> = LazyLock::new(Mutex::default);

pub(crate) fn stores_of(dir: &Path) -> Stores {
    let mut all = BY_FOLDER.lock().unwrap();
    all.entry(dir.to_owned()).or_default().clone()
}

pub(crate) fn on(stores: &Stores, side: Side) -> std::sync::MutexGuard<'_, Rows> {
    stores[usize::from(side == Side::New)].lock().unwrap()
}

/// A journal over these stores, its toggle "shop" at home in `home`, with everything read.
pub(crate) fn open(dir: &Path, stores: Stores, home: Side, options: Options) -> Journal {
    let owner = OWNERS.fetch_add(1, Ordering::Relaxed);
    BY_OWNER
        .lock()
        .unwrap()
        .insert(owner, (stores.clone(), home));
    let keeper = move |feed: Feed| keep(&feed, &stores);
    let journal = Journal::open_in_primary(dir, options, owner, keeper).unwrap();
    drop(journal.live_in("shop", home));
    wait_for(|| journal.answers(home).is_ok());
    journal
}

pub(crate) fn wait_for(what: impl Fn() -> bool) {
    for _ in 0..5_000 {
        if what() {
            return;
        }
        thread::sleep(Duration::from_millis(1));
    }
    panic!("it does not come about");
}

/// The primary's transaction commits, with the intent's row in it.
pub(crate) fn committed(intent: Intent) -> Intent {
    if let Some(row) = intent.row() {
        let (stores, home) = BY_OWNER.lock().unwrap()[&row.owner].clone();
        on(&stores, home)
            .intents
            .insert((row.owner, row.id), row.body.clone());
    }
    intent
}

fn keep(feed: &Feed, stores: &Stores) {
    let mut read = [false; 2];
    loop {
        // Before the rows are looked at: what is queued by then is written.
        let stopping = feed.is_stopping();
        for (index, side) in [Side::Old, Side::New].into_iter().enumerate() {
            // What is queued for a store that was let go of is still written.
            if feed.is_wanted(side) || read[index] {
                serve(feed, side, &mut on(stores, side), &mut read[index]);
            }
        }
        if stopping {
            return;
        }
        thread::sleep(Duration::from_millis(1));
    }
}

fn serve(feed: &Feed, side: Side, rows: &mut Rows, read: &mut bool) {
    if rows.down {
        return feed.failing(side, "the primary is down");
    }
    if !*read {
        let mine = feed.owner();
        let intents = rows.intents.iter().filter(|((owner, _), _)| *owner != mine);
        let intents: Vec<_> = intents
            .map(|(&(owner, id), body)| IntentRow {
                owner,
                id,
                body: body.clone(),
            })
            .collect();
        let dirty = rows.dirty.values().filter(|line| line.owner != mine);
        let dirty: Vec<_> = dirty.cloned().collect();
        feed.adopt_dirty(side, &dirty);
        feed.adopt_intents(side, &intents);
        feed.unsettled(side, false);
        *read = true;
    }
    while let Some(batch) = feed.take(side) {
        batch.lines().iter().for_each(|line| apply(rows, line));
        feed.written(side, batch);
    }
    feed.opened(side);
}

fn apply(rows: &mut Rows, line: &Line) {
    match line {
        Line::Dirty(line) => {
            let name = (line.owner, line.table.to_string(), line.key.clone());
            rows.dirty.insert(name, line.clone());
        }
        Line::Clean {
            owner,
            table,
            key,
            generation,
        } => {
            let name = (*owner, table.to_string(), key.clone());
            if rows
                .dirty
                .get(&name)
                .is_some_and(|line| line.generation <= *generation)
            {
                rows.dirty.remove(&name);
            }
        }
        Line::Closed { owner, id } => drop(rows.intents.remove(&(*owner, *id))),
    }
}
