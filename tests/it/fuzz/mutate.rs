//! Inputs made of others by small changes, the same for the same seed.

use super::corpus::encode;
use crate::support::seeded::Seeded;

/// Longest input, bytes.
const LONGEST: usize = 1 << 20;

/// Longest input that is changed further, and how many are kept beside the seeds: short ones are changed faster.
const LONGEST_KEPT: usize = 64 << 10;
const MOST_KEPT: usize = 2000;

/// Numbers at which readers of text go wrong.
const NUMBERS: [&str; 16] = [
    "0",
    "-0",
    "-1",
    "127",
    "128",
    "2147483648",
    "-9223372036854775809",
    "18446744073709551616",
    "1e400",
    "1e-400",
    "0e99999999999",
    "-1.5E+3",
    "00",
    "1.",
    "123456789012345678901234567890123456789012345678901234567890",
    "0.0000000000000000000000000000000000000000000000000000000001",
];

/// Makes inputs.
pub(super) struct Mutator {
    random: Seeded,
    seeds: Vec<Vec<u8>>,
    kept: Vec<Vec<u8>>,
    tokens: &'static [&'static [u8]],
    is_object: bool,
}

impl Mutator {
    pub(super) fn new(seed: u64, seeds: Vec<Vec<u8>>, tokens: &'static [&'static [u8]], is_object: bool) -> Self {
        Self { random: Seeded(seed), seeds, kept: Vec::new(), tokens, is_object }
    }

    /// Keeps an input to be changed further.
    pub(super) fn keep(&mut self, input: Vec<u8>) {
        if input.len() <= LONGEST_KEPT && self.kept.len() < MOST_KEPT {
            self.kept.push(input);
        }
    }

    /// The next input.
    pub(super) fn input(&mut self) -> Vec<u8> {
        let mut input = self.some();
        for _ in 0..=self.below(5) {
            self.change(&mut input);
        }
        if self.is_object && self.below(6) == 0 {
            let mut encodings = encode::all(&input);
            input = encodings.swap_remove(self.below(encodings.len())).1;
            for _ in 0..self.below(3) {
                self.change(&mut input);
            }
        }
        input.truncate(LONGEST);
        input
    }

    fn below(&mut self, bound: usize) -> usize {
        self.random.below(bound.max(1) as u64) as usize
    }

    /// A seed or a kept input.
    fn some(&mut self) -> Vec<u8> {
        let from_kept = !self.kept.is_empty() && self.below(2) == 0;
        let at = self.below(if from_kept { self.kept.len() } else { self.seeds.len() });
        if from_kept { self.kept[at].clone() } else { self.seeds[at].clone() }
    }

    /// A part of the input of at most `longest` bytes.
    fn part(&mut self, input: &[u8], longest: usize) -> std::ops::Range<usize> {
        let start = self.below(input.len() + 1);
        // Mostly short: what is long seldom stays in order.
        let longest = if self.below(4) == 0 { longest } else { longest.min(16) };
        let length = self.below(longest.min(input.len() - start) + 1);
        start..start + length
    }

    fn change(&mut self, input: &mut Vec<u8>) {
        let (part, at) = (self.part(input, 1024), self.below(input.len() + 1));
        match self.below(12) {
            0 if at < input.len() => input[at] ^= 1 << self.below(8),
            1 if at < input.len() => input[at] = b"\0\x01\x7f\x80\xff\n\"\\{}[],:<>()'`"[self.below(20)],
            2 => drop(input.drain(part)),
            3 => {
                let block = input[part].to_vec();
                input.splice(at..at, block);
            }
            4 => {
                let block = input[part].to_vec();
                let end = input.len().min(at + block.len());
                input.splice(at..end, block);
            }
            5 => {
                let other = self.some();
                let from = self.below(other.len() + 1);
                input.truncate(at);
                input.extend_from_slice(&other[from..]);
            }
            6 => self.change_length(input, at),
            7 => input.truncate(at),
            8 => self.repeat(input, part),
            9 => self.change_number(input, at),
            _ if self.tokens.is_empty() => {}
            10 => {
                let token = self.tokens[self.below(self.tokens.len())];
                input.splice(part, token.iter().copied());
            }
            _ => {
                let token = self.tokens[self.below(self.tokens.len())];
                input.splice(at..at, token.iter().copied());
            }
        }
    }

    /// Writes a number that lengths go wrong at, in one of the widths and orders that formats have.
    fn change_length(&mut self, input: &mut [u8], at: usize) {
        let length = input.len() as u64;
        let numbers = [0, 1, length, length + 1, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, u64::MAX, u64::MAX >> 1, 1 << 40];
        let number = numbers[self.below(numbers.len())];
        let width = [1, 2, 4, 8][self.below(4)];
        let Some(place) = input.get_mut(at..at + width) else { return };
        match self.below(2) {
            0 => place.copy_from_slice(&number.to_le_bytes()[..width]),
            _ => place.copy_from_slice(&number.to_be_bytes()[8 - width..]),
        }
    }

    /// Repeats a part, sometimes so often that recursion does not survive it.
    fn repeat(&mut self, input: &mut Vec<u8>, part: std::ops::Range<usize>) {
        let times = if self.below(40) == 0 { 100_000 } else { self.below(300) };
        let block = &input[part.clone()];
        let times = times.min((LONGEST - input.len().min(LONGEST)) / block.len().max(1));
        let block = block.repeat(times);
        input.splice(part, block);
    }

    /// Writes another number in place of the next one.
    fn change_number(&mut self, input: &mut Vec<u8>, at: usize) {
        let Some(start) = input[at..].iter().position(u8::is_ascii_digit).map(|found| at + found) else { return };
        let end = input[start..].iter().position(|b| !b.is_ascii_digit()).map_or(input.len(), |found| start + found);
        let number = NUMBERS[self.below(NUMBERS.len())];
        input.splice(start..end, number.bytes());
    }
}
