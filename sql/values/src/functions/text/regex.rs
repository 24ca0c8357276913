//! `~` and its kin, for patterns whose every part means the same in any dialect: letters, `.`, classes, anchors, groups, alternatives, counts and the common
//! escapes. Any other pattern is refused.
//!
//! A pattern is a machine of states that are all followed at once, so that no pattern takes longer than its length times the text's.

mod parse;

use crate::{Error, Result, Value, resolve::Call};

use super::super::text;
use parse::{Class, Node};

/// The code of this name.
pub(super) fn find(code: &str) -> Option<Call> {
    Some(match code {
        "textregexeq" | "nameregexeq" | "regexp_like_no_flags" => {
            |_, args| matched(args, false, true)
        }
        "textregexne" | "nameregexne" => |_, args| matched(args, false, false),
        "texticregexeq" | "nameicregexeq" | "bpcharicregexeq" => {
            |_, args| matched(args, true, true)
        }
        "texticregexne" | "nameicregexne" | "bpcharicregexne" => {
            |_, args| matched(args, true, false)
        }
        _ => return None,
    })
}

/// Most states of a machine.
const MAX_STATES: usize = 20_000;

fn unserved(pattern: &str) -> Error {
    Error::unsupported(format!("the regular expression \"{pattern}\""))
}

fn matched(args: &[Value], fold: bool, wanted: bool) -> Result<Value> {
    let (text, pattern) = (text(args, 0)?, text(args, 1)?);
    let parsed = parse::parse(pattern).ok_or_else(|| unserved(pattern))?;
    // What is a letter, and which letters differ in case only, is the locale's to say beyond ASCII.
    if (fold || parsed.has_classes) && !(text.is_ascii() && pattern.is_ascii()) {
        return Err(unserved(pattern));
    }
    let mut machine = Machine {
        states: Vec::new(),
        fold,
    };
    let end = machine.add(State::End);
    let start = machine
        .compile(&parsed.root, end)
        .ok_or_else(|| unserved(pattern))?;
    Ok(Value::Bool(machine.finds(start, text) == wanted))
}

/// A state, and where it leads.
#[derive(Debug, Clone)]
enum State {
    One(Class, usize),
    Either(usize, usize),
    Begin(usize),
    Finish(usize),
    End,
}

struct Machine {
    states: Vec<State>,
    fold: bool,
}

impl Machine {
    fn add(&mut self, state: State) -> usize {
        self.states.push(state);
        self.states.len() - 1
    }

    /// Builds what matches the node and goes on at `next`; `None` where it grows too large.
    fn compile(&mut self, node: &Node, next: usize) -> Option<usize> {
        if self.states.len() > MAX_STATES {
            return None;
        }
        Some(match node {
            Node::One(class) => self.add(State::One(class.clone(), next)),
            Node::Begin => self.add(State::Begin(next)),
            Node::Finish => self.add(State::Finish(next)),
            Node::Sequence(parts) => parts
                .iter()
                .rev()
                .try_fold(next, |next, part| self.compile(part, next))?,
            Node::Alternatives(branches) => {
                let (last, rest) = branches.split_last()?;
                let last = self.compile(last, next)?;
                rest.iter().rev().try_fold(last, |other, branch| {
                    let branch = self.compile(branch, next)?;
                    Some(self.add(State::Either(branch, other)))
                })?
            }
            Node::Repeat { node, least, most } => {
                let mut at = next;
                match most {
                    Some(most) => {
                        for _ in *least..*most {
                            let once = self.compile(node, at)?;
                            at = self.add(State::Either(once, next));
                        }
                    }
                    None => {
                        at = self.add(State::Either(next, next));
                        let once = self.compile(node, at)?;
                        self.states[at] = State::Either(once, next);
                    }
                }
                (0..*least).try_fold(at, |at, _| self.compile(node, at))?
            }
        })
    }

    /// Whether the pattern matches anywhere in the text.
    fn finds(&self, start: usize, text: &str) -> bool {
        let chars: Vec<char> = text.chars().collect();
        let mut live: Vec<usize> = Vec::new();
        for at in 0..=chars.len() {
            let mut seen = vec![false; self.states.len()];
            let mut reached = Vec::new();
            live.push(start);
            for state in live.drain(..) {
                self.follow(state, at == 0, at == chars.len(), &mut seen, &mut reached);
            }
            if reached
                .iter()
                .any(|state| matches!(self.states[*state], State::End))
            {
                return true;
            }
            let Some(c) = chars.get(at) else {
                break;
            };
            live.extend(
                reached
                    .iter()
                    .filter_map(|state| match &self.states[*state] {
                        State::One(class, next) => class.has(*c, self.fold).then_some(*next),
                        _ => None,
                    }),
            );
        }
        false
    }

    /// The states that ask for a character, reached without one.
    fn follow(
        &self,
        from: usize,
        first: bool,
        last: bool,
        seen: &mut [bool],
        out: &mut Vec<usize>,
    ) {
        let mut open = vec![from];
        while let Some(at) = open.pop() {
            if std::mem::replace(&mut seen[at], true) {
                continue;
            }
            match &self.states[at] {
                State::Either(left, right) => open.extend([*left, *right]),
                State::Begin(next) if first => open.push(*next),
                State::Finish(next) if last => open.push(*next),
                State::Begin(_) | State::Finish(_) => {}
                State::One(..) | State::End => out.push(at),
            }
        }
    }
}
