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

/// What the random numbers of step `step` of a run with `seed` are drawn by on the device.
pub fn step_seed(seed: u64, step: u64) -> u32 {
    pcg4d([seed as u32, (seed >> 32) as u32, step as u32, (step >> 32) as u32])[0]
}

/// Whether element `index` of what layer `layer` puts out stays in a step with this seed, where a share `rate` drops out; the
/// same on every device.
pub fn stays(seed: u32, layer: u32, index: u32, rate: f32) -> bool {
    pcg4d([index, layer, seed, 0])[0] >= (rate * 4_294_967_296.0) as u32
}

/// Four numbers from four, each bit of each depending on all: Jarzynski and Olano, *Hash Functions for GPU Rendering* (2020).
/// Its twin is `shaders/random.wgsl`.
fn pcg4d(v: [u32; 4]) -> [u32; 4] {
    let [mut x, mut y, mut z, mut w] = v.map(|v| v.wrapping_mul(1_664_525).wrapping_add(1_013_904_223));
    let mix = |x: &mut u32, y: &mut u32, z: &mut u32, w: &mut u32| {
        *x = x.wrapping_add(y.wrapping_mul(*w));
        *y = y.wrapping_add(z.wrapping_mul(*x));
        *z = z.wrapping_add(x.wrapping_mul(*y));
        *w = w.wrapping_add(y.wrapping_mul(*z));
    };
    mix(&mut x, &mut y, &mut z, &mut w);
    [x, y, z, w] = [x, y, z, w].map(|v| v ^ (v >> 16));
    mix(&mut x, &mut y, &mut z, &mut w);
    [x, y, z, w]
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers of the published function, computed apart from this one with numbers of any length.
    #[test]
    fn four_numbers_are_those_of_pcg4d() {
        assert_eq!(pcg4d([0; 4]), [0x0f02_f829, 0x2d56_8769, 0x32b0_c43b, 0xd325_48ea]);
        assert_eq!(pcg4d([1, 2, 3, 4]), [0x3622_cd16, 0xf114_71d8, 0xe110_9b3f, 0x02b9_4c2f]);
        assert_eq!(pcg4d([u32::MAX, 7, 1 << 31, 12345]), [0xef91_5379, 0xd05f_9fcb, 0x52c5_ef09, 0xeadb_4cc0]);
    }

    /// Each place, layer and step has a draw of its own, with the share that was asked for; six deviations are a chance of
    /// one in a billion.
    #[test]
    fn the_share_that_drops_out_is_the_rate() {
        let n = 40_000;
        for rate in [0.0, 0.1, 0.5, 0.9f32] {
            let deviation = (f64::from(rate) * f64::from(1.0 - rate) / f64::from(n)).sqrt();
            let [first, second] = [step_seed(3, 10), step_seed(3, 11)];
            let out = |seed, layer| (0..n).map(move |i| !stays(seed, layer, i, rate));
            let share = |drops: &mut dyn Iterator<Item = bool>| drops.filter(|&out| out).count() as f64 / f64::from(n);
            for (seed, layer) in [(first, 0), (first, 1), (second, 0)] {
                let found = share(&mut out(seed, layer));
                assert!((found - f64::from(rate)).abs() <= 6.0 * deviation, "{rate}: {found}");
            }
            let both = f64::from(rate * rate);
            let deviation = (both * (1.0 - both) / f64::from(n)).sqrt();
            for (seed, layer) in [(first, 1), (second, 0)] {
                let found = share(&mut out(first, 0).zip(out(seed, layer)).map(|(a, b)| a && b));
                assert!((found - both).abs() <= 6.0 * deviation, "{rate}: both {found}");
            }
        }
    }
}
