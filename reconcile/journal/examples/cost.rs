//! What the journal costs: `cargo run --release -p crossfade-journal --example cost [FOLDER]`.
//!
//! Prints throughput and CPU microseconds an intent (the whole process: sessions, writer thread, kernel) at 1, 8 and 32
//! callers on one current-thread runtime, and the memory of a dirty key.

use std::{fs, os::unix::fs::FileExt, path::Path, time::Instant};

use crossfade_journal::{Journal, JournalKey, Options, Reason};
use crossfade_phase::Side;

/// Flushes of the bare loop.
const FLOOR_WRITES: u64 = 5000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let parent = std::env::args()
        .nth(1)
        .map_or_else(std::env::temp_dir, Into::into);
    let dir = parent.join(format!("crossfade-journal-cost-{}", std::process::id()));
    println!("callers  intents/s  mean_us  user_us/intent  system_us/intent");
    fs::create_dir_all(&dir)?;
    bare(&dir)?;
    for callers in [1, 8, 32] {
        let journal = Journal::open(&dir)?;
        measure(&journal, callers);
        drop(journal);
    }
    let options = Options {
        max_keys: 20_000_000,
        ..Options::default()
    };
    memory(&Journal::open_with(&dir, options)?, 1_000_000)?;
    let began = Instant::now();
    let journal = Journal::open_with(&dir, options)?;
    let keys = journal.dirty_count("shop");
    println!(
        "reopened with {keys} dirty keys in {:.2} s",
        began.elapsed().as_secs_f64()
    );
    drop(journal);
    fs::remove_dir_all(&dir)?;
    Ok(())
}

/// The floor: one thread that overwrites and flushes a preallocated file.
fn bare(dir: &Path) -> std::io::Result<()> {
    let path = dir.join("bare");
    fs::write(&path, vec![0; 1 << 20])?;
    let file = fs::File::options().write(true).open(&path)?;
    file.sync_all()?;
    let (began, (user, system)) = (Instant::now(), cpu_us());
    for n in 0..FLOOR_WRITES {
        file.write_all_at(&[7; 64], n % 16_000 * 64)?;
        file.sync_data()?;
    }
    let (wall, now) = (began.elapsed().as_secs_f64(), cpu_us());
    let writes = FLOOR_WRITES as f64;
    println!(
        "{:>7}  {:>9.0}  {:>7.0}  {:>14.2}  {:>16.2}",
        "bare",
        writes / wall,
        wall * 1e6 / writes,
        (now.0 - user) / writes,
        (now.1 - system) / writes,
    );
    fs::remove_file(path)
}

fn key(n: u64) -> JournalKey {
    let key = vec![(n * 7_919).to_string().into_bytes()];
    JournalKey {
        toggle: "shop".into(),
        table: "public.orders".into(),
        key,
    }
}

fn measure(journal: &Journal, callers: u64) {
    let each = 20_000 / callers;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    let local = tokio::task::LocalSet::new();
    let (began, (user, system)) = (Instant::now(), cpu_us());
    for caller in 0..callers {
        let journal = journal.clone();
        local.spawn_local(async move {
            let keys = [key(caller)];
            for _ in 0..each {
                journal
                    .intend(Side::New, &keys)
                    .await
                    .expect("a writable journal")
                    .done();
            }
        });
    }
    runtime.block_on(local);
    let (wall, now) = (began.elapsed().as_secs_f64(), cpu_us());
    let intents = (each * callers) as f64;
    println!(
        "{callers:>7}  {:>9.0}  {:>7.0}  {:>14.2}  {:>16.2}",
        intents / wall,
        wall * 1e6 / each as f64,
        (now.0 - user) / intents,
        (now.1 - system) / intents,
    );
}

fn memory(journal: &Journal, keys: u64) -> Result<(), Box<dyn std::error::Error>> {
    let before = rss_bytes();
    let began = Instant::now();
    for chunk in 0..keys / 1000 {
        let chunk: Vec<_> = (chunk * 1000..(chunk + 1) * 1000).map(key).collect();
        journal
            .mark_dirty(Side::New, &chunk, Reason::BreakerOpen)
            .wait()?;
    }
    let seconds = began.elapsed().as_secs_f64();
    let per_key = (rss_bytes() - before) / keys as f64;
    println!("{keys} dirty keys in {seconds:.2} s, {per_key:.0} bytes of memory each");
    let began = Instant::now();
    let hits = (0..keys)
        .filter(|n| journal.is_dirty("public.orders", &key(*n).key))
        .count();
    let each = began.elapsed().as_secs_f64() * 1e9 / hits as f64;
    println!("a lookup among them {each:.0} ns");
    Ok(())
}

/// (user, system) CPU of this process so far, in microseconds, at the kernel's tick of 10 ms.
fn cpu_us() -> (f64, f64) {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap_or("")
        .split_whitespace()
        .collect();
    let ticks = |at: usize| {
        fields
            .get(at)
            .and_then(|f| f.parse::<f64>().ok())
            .unwrap_or(0.0)
    };
    (ticks(11) * 10_000.0, ticks(12) * 10_000.0)
}

fn rss_bytes() -> f64 {
    let statm = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm
        .split_whitespace()
        .nth(1)
        .and_then(|pages| pages.parse::<f64>().ok());
    pages.unwrap_or(0.0) * 4096.0
}
