//! Randomness that comes in as an argument.

/// Sixteen octets from the caller's source of randomness. Whoever knows them knows every draw.
pub type Seed = [u8; 16];

/// Draws numbers from a [`Seed`]: the same seed, the same numbers.
///
/// SipHash-2-4 keyed with the seed over a counter, so that who sees some draws (an eavesdropper on DNS message ids)
/// does not learn the next.
#[derive(Clone, PartialEq, Eq)]
pub struct Dice {
    key: [u64; 2],
    drawn: u64,
}

impl Dice {
    /// Dice for this seed.
    pub fn new(seed: Seed) -> Self {
        let half = |at: usize| u64::from_le_bytes(core::array::from_fn(|i| seed[at + i]));
        Self { key: [half(0), half(8)], drawn: 0 }
    }

    /// The next number.
    pub fn draw(&mut self) -> u64 {
        let drawn = sip24(self.key, self.drawn);
        self.drawn = self.drawn.wrapping_add(1);
        drawn
    }

    /// A number below `bound`; 0 if `bound` is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        // The high half of a product spreads the draw evenly enough: the bias is `bound` in 2^64.
        ((u128::from(self.draw()) * bound as u128) >> 64) as usize
    }

    /// Puts `items` into a random order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }

    /// Dice of their own, for a part that must not disturb these draws.
    pub fn fork(&mut self) -> Self {
        Self { key: [self.draw(), self.draw()], drawn: 0 }
    }

    /// What [`Dice::resume`] takes: the seed, and how many numbers were drawn.
    pub fn position(&self) -> (Seed, u64) {
        let mut seed = [0; 16];
        seed[..8].copy_from_slice(&self.key[0].to_le_bytes());
        seed[8..].copy_from_slice(&self.key[1].to_le_bytes());
        (seed, self.drawn)
    }

    /// Dice that go on where [`Dice::position`] was taken.
    pub fn resume(seed: Seed, drawn: u64) -> Self {
        Self { drawn, ..Self::new(seed) }
    }
}

impl core::fmt::Debug for Dice {
    // The seed is a secret: it predicts DNS message ids.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Dice(drawn {})", self.drawn)
    }
}

/// SipHash-2-4 of one 8-octet message.
fn sip24([k0, k1]: [u64; 2], message: u64) -> u64 {
    let mut v = [
        k0 ^ 0x736f_6d65_7073_6575,
        k1 ^ 0x646f_7261_6e64_6f6d,
        k0 ^ 0x6c79_6765_6e65_7261,
        k1 ^ 0x7465_6462_7974_6573,
    ];
    const LENGTH: u64 = 8 << 56;
    for block in [message, LENGTH] {
        v[3] ^= block;
        round(&mut v);
        round(&mut v);
        v[0] ^= block;
    }
    v[2] ^= 0xff;
    for _ in 0..4 {
        round(&mut v);
    }
    v[0] ^ v[1] ^ v[2] ^ v[3]
}

fn round(v: &mut [u64; 4]) {
    v[0] = v[0].wrapping_add(v[1]);
    v[1] = v[1].rotate_left(13) ^ v[0];
    v[0] = v[0].rotate_left(32);
    v[2] = v[2].wrapping_add(v[3]);
    v[3] = v[3].rotate_left(16) ^ v[2];
    v[0] = v[0].wrapping_add(v[3]);
    v[3] = v[3].rotate_left(21) ^ v[0];
    v[2] = v[2].wrapping_add(v[1]);
    v[1] = v[1].rotate_left(17) ^ v[2];
    v[2] = v[2].rotate_left(32);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_reference_vector_for_eight_octets() {
        let mut dice = Dice::new(core::array::from_fn(|i| i as u8));
        dice.drawn = 0x0706_0504_0302_0100;
        assert_eq!(dice.draw(), 0x93f5_f579_9a93_2462);
    }

    #[test]
    fn resumes_where_it_was() {
        let mut dice = Dice::new([7; 16]);
        dice.draw();
        let (seed, drawn) = dice.position();
        assert_eq!(Dice::resume(seed, drawn).draw(), dice.draw());
    }
}
