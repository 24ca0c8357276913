//! Changes to inputs.

use std::ops::Range;

use crate::random::Random;

/// Longest input, in bytes.
const LONGEST: usize = 8 << 10;
/// Most changes in a row.
const CHANGES: usize = 6;
/// Numbers at which lengths and counts break.
const NUMBERS: [u32; 10] = [
    0,
    1,
    3,
    4,
    5,
    0x7fff,
    0xffff,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
];

/// Makes inputs of others.
pub(crate) struct Mutator<'a> {
    random: Random,
    dictionary: &'a [&'a [u8]],
}

impl<'a> Mutator<'a> {
    pub(crate) fn new(random: Random, dictionary: &'a [&'a [u8]]) -> Mutator<'a> {
        Mutator { random, dictionary }
    }

    /// Another input, made of those of the pool.
    pub(crate) fn mutate(&mut self, pool: &[Vec<u8>]) -> Vec<u8> {
        let mut input = self.random.pick(pool).cloned().unwrap_or_default();
        for _ in 0..=self.random.below(CHANGES) {
            self.change(&mut input, pool);
        }
        input.truncate(LONGEST);
        input
    }

    fn change(&mut self, input: &mut Vec<u8>, pool: &[Vec<u8>]) {
        match self.random.below(12) {
            0 => self.flip(input),
            1 => self.overwrite(input),
            2 => self.number(input),
            3 => drop(input.drain(self.range(input.len()))),
            4 => self.repeat(input),
            5 => self.insert_bytes(input),
            6 | 7 => self.word(input),
            8 | 9 => self.replace_word(input),
            10 => self.splice(input, pool),
            _ => self.exchange(input),
        }
    }

    /// A short range, or any.
    fn range(&mut self, length: usize) -> Range<usize> {
        let start = self.random.below(length + 1);
        let most = if self.random.below(4) == 0 {
            length
        } else {
            16
        };
        let end = start + self.random.below(most.min(length - start) + 1);
        start..end
    }

    fn flip(&mut self, input: &mut [u8]) {
        let at = self.random.below(input.len());
        let bit = self.random.below(8);
        if let Some(byte) = input.get_mut(at) {
            *byte ^= 1 << bit;
        }
    }

    fn overwrite(&mut self, input: &mut [u8]) {
        let at = self.random.below(input.len());
        let value = self.random.byte();
        if let Some(byte) = input.get_mut(at) {
            *byte = value;
        }
    }

    /// Two or four bytes that are a number where the protocol has one.
    fn number(&mut self, input: &mut [u8]) {
        let number = NUMBERS[self.random.below(NUMBERS.len())].to_be_bytes();
        let wide = if self.random.below(2) == 0 { 0 } else { 2 };
        let at = self.random.below(input.len());
        if let Some(place) = input.get_mut(at..at + 4 - wide) {
            place.copy_from_slice(&number[wide..]);
        }
    }

    /// A part again, once or very often: what nests, nests deep.
    fn repeat(&mut self, input: &mut Vec<u8>) {
        let range = self.range(input.len());
        let part = input[range.clone()].to_vec();
        let times = if self.random.below(8) == 0 {
            self.random.below(600)
        } else {
            1 + self.random.below(3)
        };
        let room = LONGEST.saturating_sub(input.len());
        let times = times.min(room / part.len().max(1));
        let again = part.repeat(times);
        input.splice(range.end..range.end, again);
    }

    fn insert_bytes(&mut self, input: &mut Vec<u8>) {
        let at = self.random.below(input.len() + 1);
        let count = 1 + self.random.below(4);
        let bytes: Vec<u8> = (0..count).map(|_| self.random.byte()).collect();
        input.splice(at..at, bytes);
    }

    fn word(&mut self, input: &mut Vec<u8>) {
        let Some(word) = self.random.pick(self.dictionary).copied() else {
            return;
        };
        let at = self.random.below(input.len() + 1);
        input.splice(at..at, word.iter().copied());
    }

    /// A word of the input gives way to one of the dictionary.
    fn replace_word(&mut self, input: &mut Vec<u8>) {
        let Some(word) = self.random.pick(self.dictionary).copied() else {
            return;
        };
        let at = self.random.below(input.len());
        let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
        let Some(offset) = input[at..].iter().position(is_word) else {
            return;
        };
        let start = input[..at + offset]
            .iter()
            .rposition(|byte| !is_word(byte))
            .map_or(0, |before| before + 1);
        let length = input[start..]
            .iter()
            .position(|byte| !is_word(byte))
            .unwrap_or(input.len() - start);
        input.splice(start..start + length, word.iter().copied());
    }

    /// A part of another input in the place of a part of this.
    fn splice(&mut self, input: &mut Vec<u8>, pool: &[Vec<u8>]) {
        let Some(other) = self.random.pick(pool) else {
            return;
        };
        let from = self.random.below(other.len() + 1);
        let length = self.random.below(other.len() - from + 1);
        let range = self.range(input.len());
        input.splice(range, other[from..from + length].iter().copied());
    }

    /// Two parts change places.
    fn exchange(&mut self, input: &mut Vec<u8>) {
        let first = self.range(input.len());
        let rest = input.len() - first.end;
        let second = self.range(rest);
        let second = first.end + second.start..first.end + second.end;
        let (one, two) = (
            input[first.clone()].to_vec(),
            input[second.clone()].to_vec(),
        );
        input.splice(second, one);
        input.splice(first, two);
    }
}
