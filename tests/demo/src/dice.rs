//! Numbers that look random and are the same in every run, so that every run shows the same.

/// A xorshift generator. Its quality is good enough for grain in pictures and for made-up orders.
pub struct Dice(u64);

impl Dice {
    /// Dice with a run of their own for each `seed`.
    pub fn new(seed: u64) -> Self {
        // Spread over all bits, and never 0, from which xorshift does not move.
        Self(seed.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// A number from 0 to `sides` - 1.
    pub fn roll(&mut self, sides: u32) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        let high = u32::try_from(self.0 >> 32).expect("32 bits are left");
        high % sides
    }

    /// One of several.
    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        let sides = u32::try_from(from.len()).expect("a handful");
        &from[self.roll(sides) as usize]
    }
}
