//! The operating system's word on memory: an implicit meta-gradient needs as much for 1000 inner steps as for 1.

use std::process::Command;

use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::Value;

const MODEL: &str = "conv4:channels=64,stride=2,ways=5,image=1x28x28";

/// An episode file with one 5-way 1-shot task and arbitrary parameters.
fn episode(path: &std::path::Path) {
    let model: nn::Model = MODEL.parse().unwrap();
    let mut state = 1_u32;
    let mut number = move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 24) as f32 - 0.5
    };
    let mut tensors: Vec<(String, Dtype, Vec<usize>, Vec<u8>)> = Vec::new();
    for entry in model.layout().entries() {
        let bytes = (0..entry.range().len()).flat_map(|_| (0.1 * number()).to_le_bytes()).collect();
        tensors.push((format!("param.{}", entry.name()), Dtype::F32, entry.file_shape().to_vec(), bytes));
    }
    for set in ["support", "query"] {
        let bytes = (0..5 * 28 * 28).flat_map(|_| number().to_le_bytes()).collect();
        tensors.push((format!("{set}.x"), Dtype::F32, vec![1, 5, 1, 28, 28], bytes));
        let labels = (0..5_i64).flat_map(i64::to_le_bytes).collect();
        tensors.push((format!("{set}.y"), Dtype::I64, vec![1, 5], labels));
    }
    let views: Vec<(&str, TensorView<'_>)> = tensors
        .iter()
        .map(|(name, dtype, shape, bytes)| (name.as_str(), TensorView::new(*dtype, shape.clone(), bytes).unwrap()))
        .collect();
    std::fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
}

#[test]
fn an_implicit_meta_gradient_takes_the_same_memory_for_any_number_of_steps() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("episode.safetensors");
    episode(&file);
    let measure = |steps: usize| -> (u64, u64) {
        let output = Command::new(env!("CARGO_BIN_EXE_imaml"))
            .arg("metagrad")
            .arg(&file)
            .args(["--model", MODEL, "--method", "imaml", "--inner-lr", "0.01", "--threads", "1", "--json"])
            .args(["--inner-steps", &steps.to_string()])
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
        (summary["plan_bytes"].as_u64().unwrap(), summary["peak_rss_bytes"].as_u64().unwrap_or(0))
    };
    let (few, many) = (measure(1), measure(1000));
    println!("1 step: {} bytes planned, {} resident; 1000 steps: {} and {}", few.0, few.1, many.0, many.1);
    assert_eq!(few.0, many.0);
    assert!(few.1.abs_diff(many.1) <= 1 << 20, "{} and {} bytes", few.1, many.1);
}
