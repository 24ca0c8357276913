//! Runs the checker.

use std::{fmt::Debug, hash::Hash, time::Instant};

use stateright::{Checker, Expectation, HasDiscoveries, Model};

/// A property that does not hold, and a way there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counterexample {
    /// The property.
    pub property: &'static str,
    /// What happened, step by step.
    pub steps: Vec<String>,
}

/// Visits every state, asserts that what must be true is true in all of them and that the good ends are reached, and prints how much it looked at.
///
/// # Panics
/// With a way to a state in which something is not true.
pub fn check<M>(name: &str, bounds: &dyn Debug, model: M)
where
    M: Model + Send + Sync + 'static,
    M::State: Clone + Debug + Hash + PartialEq + Send + Sync + 'static,
    M::Action: Clone + Debug + PartialEq + Send + Sync + 'static,
{
    let began = Instant::now();
    let checker = model.checker().spawn_bfs().join();
    let (states, depth) = (checker.unique_state_count(), checker.max_depth());
    println!(
        "{name}: {states} states, {depth} steps deep, {} ms",
        began.elapsed().as_millis()
    );
    println!("  {bounds:?}");
    checker.assert_properties();
}

/// Looks for a state in which something is not true that must be.
pub fn find<M>(model: M) -> Option<Counterexample>
where
    M: Model + Send + Sync + 'static,
    M::State: Clone + Debug + Hash + PartialEq + Send + Sync + 'static,
    M::Action: Clone + Debug + PartialEq + Send + Sync + 'static,
{
    let must: Vec<&str> = model
        .properties()
        .iter()
        .filter(|property| property.expectation == Expectation::Always)
        .map(|property| property.name)
        .collect();
    let checker = model
        .checker()
        .finish_when(HasDiscoveries::AnyFailures)
        .spawn_bfs()
        .join();
    let found = checker.discoveries().into_iter();
    let shortest = found
        .filter(|(name, _)| must.contains(name))
        .map(|(property, path)| (property, path.into_actions()))
        .min_by_key(|(_, steps)| steps.len())?;
    Some(Counterexample {
        property: shortest.0,
        steps: shortest.1.iter().map(|step| format!("{step:?}")).collect(),
    })
}

/// Asserts that nothing is found in the whole model and something in the one that a cure was taken out of; prints the way there.
///
/// # Panics
/// When the cure is not needed, or does not help.
pub fn is_needed<M>(whole: M, broken: M)
where
    M: Model + Send + Sync + 'static,
    M::State: Clone + Debug + Hash + PartialEq + Send + Sync + 'static,
    M::Action: Clone + Debug + PartialEq + Send + Sync + 'static,
{
    let Some(found) = find(broken) else {
        panic!("the model does not notice that a cure is missing");
    };
    println!("\"{}\" is not true after:", found.property);
    found.steps.iter().for_each(|step| println!("  {step}"));
    assert_eq!(find(whole), None, "with the cure");
}
