//! Seeded random numbers. Each use has a stream of its own, so that drawing more numbers for one purpose never
//! changes another: the split stays the same when the network grows.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// What random numbers are drawn for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Initial weights.
    Weights,
    /// Which rows are held out.
    Split,
    /// The order of the samples in one epoch, counted from 0.
    Epoch(u64),
    /// Synthetic data.
    Synthetic,
}

/// The generator for `purpose` under `seed`; the same bits on every machine (ChaCha with 8 rounds).
pub fn generator(seed: u64, purpose: Purpose) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(match purpose {
        Purpose::Weights => 0,
        Purpose::Split => 1,
        Purpose::Epoch(epoch) => 2 + epoch,
        // No epoch comes so far.
        Purpose::Synthetic => u64::MAX,
    });
    rng
}
