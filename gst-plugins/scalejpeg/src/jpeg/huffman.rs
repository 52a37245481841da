//! Blocks of coefficients as Huffman codes.

use super::dct::Block;
use super::header::{END, Table, Tables};

/// Symbols of a coefficient: sixteen zeros before another, and that all the rest is zero.
const SIXTEEN_ZEROS: usize = 0xf0;
const REST_IS_ZERO: usize = 0x00;

/// Bits of a symbol, with as many zeros as the number that follows has bits, and how many bits that are.
#[derive(Clone, Copy, Default)]
struct Code {
    bits: u32,
    length: u32,
}

pub(super) struct Codes {
    first: [Code; 16],
    others: [Code; 256],
}

impl Codes {
    pub(super) fn new(tables: &Tables) -> Self {
        Self {
            first: codes(&tables.first),
            others: codes(&tables.others),
        }
    }
}

/// Codes of one length follow each other, and those of the next length begin after them (T.81, Annex C).
fn codes<const N: usize>(table: &Table) -> [Code; N] {
    let mut codes = [Code::default(); N];
    let mut symbols = table.symbols.iter();
    let mut next = 0;
    for (length, count) in (1..).zip(table.counts) {
        for symbol in symbols.by_ref().take(count.into()) {
            let more = u32::from(symbol & 15);
            codes[usize::from(*symbol)] = Code {
                bits: next << more,
                length: length + more,
            };
            next += 1;
        }
        next <<= 1;
    }
    codes
}

/// More bytes than a block can become: each coefficient has less than 32 bits, and each byte may be stuffed.
pub(super) const LONGEST_BLOCK: usize = 64 * 4 * 2;

/// Writes codes to a buffer that has room for them.
///
/// The buffer is no part of this, so that this can stay in registers.
pub(super) struct Bits {
    /// How many bytes are written.
    at: usize,
    /// The lowest `waiting` bits, fewer than 32, are not written yet.
    bits: u64,
    waiting: u32,
}

impl Bits {
    /// Behind a header.
    pub(super) fn after(at: usize) -> Self {
        Self {
            at,
            bits: 0,
            waiting: 0,
        }
    }

    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// Codes a block. `last` is the first coefficient of the component's block before.
    #[inline(always)]
    pub(super) fn block(&mut self, out: &mut [u8], block: &Block, last: &mut i32, codes: &Codes) {
        let first = i32::from(block.coefficients[0]);
        let (size, number) = sized(first - *last);
        *last = first;
        self.put(out, codes.first[size as usize & 15], number);
        let mut present = block.present_in_scan() & !1;
        let mut before = 0;
        while present != 0 {
            let place = present.trailing_zeros();
            present &= present - 1;
            let mut zeros = place - before - 1;
            before = place;
            while zeros > 15 {
                self.put(out, codes.others[SIXTEEN_ZEROS], 0);
                zeros -= 16;
            }
            let (size, number) = sized(block.in_scan(place).into());
            self.put(out, codes.others[(zeros << 4 | size) as usize & 255], number);
        }
        if before < 63 {
            self.put(out, codes.others[REST_IS_ZERO], 0);
        }
    }

    #[inline(always)]
    fn put(&mut self, out: &mut [u8], code: Code, number: u32) {
        self.bits = (self.bits << code.length) | u64::from(code.bits | number);
        self.waiting += code.length;
        if self.waiting >= 32 {
            self.waiting -= 32;
            self.word(out, (self.bits >> self.waiting) as u32);
        }
    }

    #[inline(always)]
    fn word(&mut self, out: &mut [u8], word: u32) {
        // A byte of ones is a 0 in the complement, and borrows from its highest bit.
        let ones = word & (!word).wrapping_sub(0x0101_0101) & 0x8080_8080;
        if ones == 0 {
            out[self.at..][..4].copy_from_slice(&word.to_be_bytes());
            self.at += 4;
        } else {
            self.at = stuffed_word(out, self.at, word);
        }
    }

    /// Fills the last byte with ones, and writes the JPEG's end; its length.
    pub(super) fn finish(mut self, out: &mut [u8]) -> usize {
        let missing = self.waiting.wrapping_neg() % 8;
        self.bits = (self.bits << missing) | ((1 << missing) - 1);
        self.waiting += missing;
        while self.waiting > 0 {
            self.waiting -= 8;
            self.at = stuffed(out, self.at, (self.bits >> self.waiting) as u8);
        }
        out[self.at..][..END.len()].copy_from_slice(&END);
        self.at + END.len()
    }
}

/// Seldom called, and kept apart so that the loop around it has all registers.
#[cold]
#[inline(never)]
fn stuffed_word(out: &mut [u8], at: usize, word: u32) -> usize {
    word.to_be_bytes()
        .into_iter()
        .fold(at, |at, byte| stuffed(out, at, byte))
}

/// Writes a byte; after one of ones comes a 0, lest it begin a marker.
fn stuffed(out: &mut [u8], at: usize, byte: u8) -> usize {
    out[at] = byte;
    if byte < 0xff {
        return at + 1;
    }
    out[at + 1] = 0;
    at + 2
}

/// How many bits a number has, and these: of a negative one those of the next smaller.
#[inline(always)]
fn sized(number: i32) -> (u32, u32) {
    let size = 32 - number.unsigned_abs().leading_zeros();
    let bits = (number + (number >> 31)) as u32;
    (size, bits & ((1 << size) - 1))
}
