//! Small changes to inputs, for runs without cargo-fuzz.

use crate::Rng;

/// Changes `input` a little: octets flipped, cut out, doubled, or something from `words` put in.
pub fn mutate(input: &[u8], words: &[&[u8]], rng: &mut Rng) -> Vec<u8> {
    let mut output = input.to_vec();
    for _ in 0..rng.between(1, 6) {
        let at = rng.below(output.len() + 1);
        let end = at + rng.below((output.len() - at).min(24) + 1);
        match rng.below(6) {
            0 if at < output.len() => output[at] = rng.next_u64() as u8,
            1 => {
                output.drain(at..end);
            }
            2 => {
                let twice = output[at..end].to_vec();
                output.splice(at..at, twice);
            }
            3 if at < output.len() => output[at] ^= 1 << rng.below(8),
            4 => {
                let special = [b'\r', b'\n', b'.', 0, 0xff, b' ', b'"', b'{', b'(', b'9'];
                output.insert(at, special[rng.below(special.len())]);
            }
            _ if !words.is_empty() => {
                let word = words[rng.below(words.len())];
                output.splice(at..at, word.iter().copied());
            }
            _ => {}
        }
    }
    output
}
