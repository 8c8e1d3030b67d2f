//! What every stream promises, checked in one place.

use super::{Batch, Episode, Split, TargetKind, Targets, TaskStream};

/// Purity, shapes, labels, seeds, splits, and buffers that are reused.
pub(super) fn check_stream(stream: &dyn TaskStream, other_seed: &dyn TaskStream) {
    let shape = stream.shape();
    let fresh = |stream: &dyn TaskStream, split, k| {
        let mut episode = Episode::default();
        stream.sample(split, k, &mut episode);
        episode
    };

    // The same bytes whatever was drawn before and in whatever order, into any buffer.
    let mut reused = Episode::empty_for(shape);
    let buffers = addresses(&reused);
    for k in [5, 0, u64::MAX, 3, 0] {
        for split in Split::ALL {
            stream.sample(split, k, &mut reused);
            assert_eq!(reused, fresh(stream, split, k), "{split} {k}");
            assert_eq!(addresses(&reused), buffers, "a buffer was allocated anew");
            check_batch(&reused.support, shape.support, stream);
            check_batch(&reused.query, shape.query, stream);
        }
    }

    // Other tasks, splits and seeds are other tasks.
    let first = fresh(stream, Split::Train, 0);
    assert_ne!(first, fresh(stream, Split::Train, 1));
    assert_ne!(first, fresh(stream, Split::Validation, 0));
    assert_ne!(first, fresh(stream, Split::Test, 0));
    assert_ne!(first, fresh(other_seed, Split::Train, 0));
}

/// FNV-1a of the bits of some tasks: whatever it is, it must be that everywhere and stay so, for a
/// seed in a report to mean something.
pub(super) fn fingerprint(stream: &dyn TaskStream) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut add = |bits: u32| hash = (hash ^ u64::from(bits)).wrapping_mul(0x0100_0000_01b3);
    let mut episode = Episode::empty_for(stream.shape());
    for k in 0..20 {
        for split in Split::ALL {
            stream.sample(split, k, &mut episode);
            for batch in [&episode.support, &episode.query] {
                batch.x.iter().for_each(|x| add(x.to_bits()));
                match &batch.y {
                    Targets::Values(y) => y.iter().for_each(|y| add(y.to_bits())),
                    Targets::Classes(y) => y.iter().for_each(|y| add(*y)),
                }
            }
        }
    }
    hash
}

fn check_batch(batch: &Batch, rows: usize, stream: &dyn TaskStream) {
    assert_eq!(batch.x.len(), rows * stream.shape().x_len());
    assert!(batch.x.iter().all(|x| x.is_finite()));
    match (&batch.y, stream.shape().target) {
        (Targets::Values(y), TargetKind::Values(width)) => assert_eq!(y.len(), rows * width),
        (Targets::Classes(y), TargetKind::Classes(ways)) => {
            assert_eq!(y.len(), rows);
            for class in 0..ways as u32 {
                let members = y.iter().filter(|y| **y == class).count();
                assert_eq!(members, rows / ways, "class {class} is not balanced");
            }
            assert!(batch.x.iter().all(|x| (0.0..=1.0).contains(x)));
        }
        (y, kind) => panic!("targets {y:?} are not {kind:?}"),
    }
}

/// Where the buffers are and how large: unchanged means nothing was allocated.
fn addresses(episode: &Episode) -> Vec<(usize, usize)> {
    let mut addresses = Vec::new();
    for batch in [&episode.support, &episode.query] {
        addresses.push((batch.x.as_ptr() as usize, batch.x.capacity()));
        addresses.push(match &batch.y {
            Targets::Values(y) => (y.as_ptr() as usize, y.capacity()),
            Targets::Classes(y) => (y.as_ptr() as usize, y.capacity()),
        });
    }
    addresses
}
