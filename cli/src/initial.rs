//! Initial parameters, a pure function of the seed.

use nn::{Init, Model};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// θ₀: PyTorch's default initialisation, drawn from ChaCha8 with the key `parameters` (16 bytes, zero padded) ‖
/// seed (8, little endian) ‖ 0 (8), so that it shares no stream with any task.
pub fn parameters(model: &Model, seed: u64) -> Vec<f32> {
    let mut key = [0; 32];
    key[..10].copy_from_slice(b"parameters");
    key[16..24].copy_from_slice(&seed.to_le_bytes());
    let mut rng = ChaCha8Rng::from_seed(key);
    // ⌊w / 2¹¹⌋ · 2⁻⁵³ of a 64-bit word w
    model.init(Init::PyTorch, &mut || (rng.next_u64() >> 11) as f64 * (1.0 / (1_u64 << 53) as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_depend_on_the_seed_and_nothing_else() {
        let model: Model = "mlp:1-8-1".parse().unwrap();
        assert_eq!(parameters(&model, 3), parameters(&model, 3));
        assert_ne!(parameters(&model, 3), parameters(&model, 4));
        assert!(parameters(&model, 3).iter().all(|p| p.abs() <= 1.0));
    }
}
