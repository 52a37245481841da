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

/// Codes by symbol, but with the number's leading zeros in place of its size.
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

    #[inline(always)]
    fn other(&self, zeros: u32, number: Number) -> Code {
        self.others[(zeros << 4 | number.leading_zeros & 15) as usize & 255]
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
            codes[by_leading_zeros(*symbol)] = Code {
                bits: next << more,
                length: length + more,
            };
            next += 1;
        }
        next <<= 1;
    }
    codes
}

/// A number of `n` bits, 11 at most, has `32 - n` leading zeros; their last four bits tell them apart.
const fn by_leading_zeros(symbol: u8) -> usize {
    (symbol & 0xf0 | (32 - (symbol & 15)) & 15) as usize
}

/// What follows a code.
#[derive(Clone, Copy)]
struct Number {
    /// Of its absolute value.
    leading_zeros: u32,
    /// Its bits; of a negative number those of the next smaller.
    bits: u32,
}

impl Number {
    const NONE: Self = Self {
        leading_zeros: 32,
        bits: 0,
    };

    #[inline(always)]
    fn new(value: i32) -> Self {
        let leading_zeros = value.unsigned_abs().leading_zeros();
        let lower = (value + (value >> 31)) as u32;
        Self {
            leading_zeros,
            bits: lower & ((1 << (32 - leading_zeros)) - 1),
        }
    }
}

/// More bytes than a block can become, and a power of two: each coefficient has less than 32 bits.
const LONGEST_BLOCK: usize = 64 * 4;
/// Bits are written so many bytes at a time.
const WORD: usize = 8;
/// Where a block's codes are written.
type Room = [u8; LONGEST_BLOCK + WORD];

/// A picture's codes, without what a JPEG stuffs between.
#[derive(Default)]
pub(super) struct Coded {
    /// Beyond what is written, there is room for more.
    bytes: Vec<u8>,
    end: End,
}

/// Where the next bits come: apart from the bytes, so that it can stay in registers.
#[derive(Clone, Copy, Default)]
struct End {
    at: usize,
    /// The lowest `waiting` bits, fewer than 8, are no whole byte yet; what there is of it is written too.
    bits: u64,
    waiting: u32,
}

impl Coded {
    pub(super) fn start(&mut self) {
        self.end = End::default();
    }

    /// Codes blocks. `last` is the first coefficient of each component's block before; `order` says which component and which
    /// table each block of a unit is of.
    #[inline(always)]
    pub(super) fn blocks<const N: usize>(
        &mut self,
        blocks: &[Block],
        order: [(usize, usize); N],
        last: &mut [i32; 3],
        codes: &[Codes; 2],
    ) {
        let mut end = self.end;
        let needs = end.at + (blocks.len() + 1) * LONGEST_BLOCK;
        if self.bytes.len() < needs {
            self.bytes.resize(needs, 0);
        }
        for unit in blocks.as_chunks::<N>().0 {
            for (block, (component, table)) in unit.iter().zip(order) {
                let room = self.bytes[end.at..].first_chunk_mut();
                let room = room.expect("there is room for all blocks, and one more");
                end.at += end.block(room, block, &mut last[component], &codes[table]);
            }
        }
        self.end = end;
    }

    /// Fills the last byte with ones, and writes all behind a JPEG's header, and the JPEG's end.
    pub(super) fn finish(&mut self, jpeg: &mut Vec<u8>) {
        let End { mut at, waiting, .. } = self.end;
        if waiting > 0 {
            self.bytes[at] |= 0xff >> waiting;
            at += 1;
        }
        let mut coded = &self.bytes[..at];
        // A byte of ones is stuffed with a 0 after it, lest it begin a marker.
        while let Some(at) = memchr::memchr(0xff, coded) {
            let (whole, rest) = coded.split_at(at + 1);
            jpeg.extend_from_slice(whole);
            jpeg.push(0);
            coded = rest;
        }
        jpeg.extend_from_slice(coded);
        jpeg.extend_from_slice(&END);
    }
}

impl End {
    /// How many whole bytes it became.
    #[inline(always)]
    fn block(&mut self, room: &mut Room, block: &Block, last: &mut i32, codes: &Codes) -> usize {
        let first = i32::from(block.coefficients[0]);
        let number = Number::new(first - *last);
        *last = first;
        let mut at = self.put(room, 0, codes.first[number.leading_zeros as usize & 15], number);
        let mut present = block.present & !1;
        let mut before = 0;
        while present != 0 {
            let place = present.trailing_zeros();
            present &= present - 1;
            let mut zeros = place - before - 1;
            before = place;
            while zeros > 15 {
                at = self.put(room, at, codes.others[SIXTEEN_ZEROS], Number::NONE);
                zeros -= 16;
            }
            let number = Number::new(block.in_scan(place).into());
            at = self.put(room, at, codes.other(zeros, number), number);
        }
        if before < 63 {
            at = self.put(room, at, codes.others[REST_IS_ZERO], Number::NONE);
        }
        at
    }

    /// Writes all waiting bits, whole bytes or not: a question whether there are enough of them would too often be answered wrongly
    /// by the processor. Where the next whole byte comes.
    #[inline(always)]
    fn put(&mut self, room: &mut Room, at: usize, code: Code, number: Number) -> usize {
        self.bits = (self.bits << code.length) | u64::from(code.bits | number.bits);
        self.waiting += code.length;
        let word = self.bits << (self.waiting.wrapping_neg() & 63);
        room[at & (LONGEST_BLOCK - 1)..][..WORD].copy_from_slice(&word.to_be_bytes());
        let whole = self.waiting as usize / 8;
        self.waiting %= 8;
        at + whole
    }
}
