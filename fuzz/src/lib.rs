//! A small mutational fuzzer that runs as ordinary tests: no special compiler, a bounded time, and a seed that repeats a run.
//!
//! A target is a function from bytes to what it showed. Inputs begin with the seeds of `corpus/NAME`, each of which runs as it is; then they are
//! mutated. An input that shows something new joins the seeds, which takes the place of coverage. What fails is made smaller and written to
//! the target folder, to become a seed when it is mended.
//!
//! | variable | meaning |
//! | --- | --- |
//! | `CROSSFADE_FUZZ_SECONDS` | time for each target; 8 without it |
//! | `CROSSFADE_FUZZ_SEED` | decides the mutations; always the same ones without it |

mod mutate;
mod random;
mod shrink;

use std::{
    collections::HashSet,
    env,
    fs::{self, File},
    hash::{DefaultHasher, Hash, Hasher as _},
    os::unix::fs::FileExt as _,
    panic::{self, AssertUnwindSafe},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use mutate::Mutator;
use random::Random;

/// Time of a target, in seconds.
const SECONDS: u64 = 8;
/// An input that takes longer than this is a finding: whoever sends it stops a thread of the proxy.
const SLOW: Duration = Duration::from_secs(2);
/// Inputs kept at the most.
const KEPT: usize = 4000;

/// What an input showed: equal for inputs that are alike to the code under test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Shown(u64);

impl Shown {
    /// Of anything that can be told apart.
    #[must_use]
    pub fn of(what: impl Hash) -> Shown {
        let mut hasher = DefaultHasher::new();
        what.hash(&mut hasher);
        Shown(hasher.finish())
    }
}

/// What is fuzzed.
pub struct Target<'a> {
    /// Name of its corpus.
    pub name: &'a str,
    /// Words and bytes that mean something to it.
    pub dictionary: &'a [&'a [u8]],
    /// Where a failing input goes.
    pub folder: &'a str,
    /// The code under test; an error is a finding, as a panic is.
    pub check: &'a dyn Fn(&[u8]) -> Result<Shown, String>,
}

impl Target<'_> {
    /// Runs all seeds, then mutations of them for as long as the time allows.
    ///
    /// # Panics
    /// With the smallest input found that fails.
    pub fn run(&self) {
        let seed = number("CROSSFADE_FUZZ_SEED").unwrap_or(1);
        let time = Duration::from_secs(number("CROSSFADE_FUZZ_SECONDS").unwrap_or(SECONDS));
        let begin = Instant::now();
        // Behind an overflow of the stack nothing runs any more: the input is left for whoever looks. Kept open, as each is written there.
        let last = File::create(self.path("last"));
        let last = last.unwrap_or_else(|error| panic!("{}: {error}", self.folder));
        let mut known = HashSet::new();
        let mut pool = self.corpus();
        for input in &pool {
            known.insert(self.one(input, seed, &last));
        }
        let mut mutator = Mutator::new(Random::new(seed), self.dictionary);
        let mut tried = 0_u64;
        while begin.elapsed() < time {
            let input = mutator.mutate(&pool);
            tried += 1;
            if known.insert(self.one(&input, seed, &last)) && pool.len() < KEPT {
                pool.push(input);
            }
        }
        eprintln!("{}: {tried} inputs, {} kept", self.name, pool.len());
    }

    fn one(&self, input: &[u8], seed: u64, last: &File) -> Shown {
        let length = u64::try_from(input.len()).unwrap_or(u64::MAX);
        let left = last
            .write_all_at(input, 0)
            .and_then(|()| last.set_len(length));
        assert!(left.is_ok(), "{left:?}");
        match self.attempt(input) {
            Ok(shown) => shown,
            Err(what) => {
                let small = quietly(|| shrink::shrink(input, |input| self.attempt(input).is_err()));
                let path = self.path(&format!("{:016x}", Shown::of(&small).0));
                let kept = fs::write(&path, &small);
                panic!(
                    "{what}\n  target {}, CROSSFADE_FUZZ_SEED={seed}\n  input \"{}\"\n  kept as {} ({kept:?})",
                    self.name,
                    small.escape_ascii(),
                    path.display(),
                );
            }
        }
    }

    fn attempt(&self, input: &[u8]) -> Result<Shown, String> {
        let begin = Instant::now();
        let outcome = panic::catch_unwind(AssertUnwindSafe(|| (self.check)(input)));
        let took = begin.elapsed();
        match outcome {
            Ok(Ok(_)) if took > SLOW => Err(format!("it took {took:?}")),
            Ok(outcome) => outcome,
            Err(panic) => Err(format!("it panicked: {}", text(&*panic))),
        }
    }

    fn path(&self, end: &str) -> PathBuf {
        Path::new(self.folder).join(format!("fuzz-{}-{end}", self.name))
    }

    fn corpus(&self) -> Vec<Vec<u8>> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("corpus")
            .join(self.name);
        let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
        let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        // In the order of their names: a run must not depend on the file system.
        paths.sort();
        let seeds = paths.iter().map(|path| fs::read(path).unwrap_or_default());
        seeds.collect()
    }
}

fn number(variable: &str) -> Option<u64> {
    let text = env::var(variable).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{variable} is not a number: {text}")),
    )
}

fn text(panic: &(dyn std::any::Any + Send)) -> &str {
    let owned = panic.downcast_ref::<String>().map(String::as_str);
    owned
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("?")
}

/// Without a word about the panics of each smaller input.
fn quietly<T>(work: impl FnOnce() -> T) -> T {
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let outcome = work();
    panic::set_hook(hook);
    outcome
}
