use super::*;
use crate::cache::reclaim::{advance, pin};

const BATCH: u32 = super::BATCH as u32;

/// The next place; waits for the readers of other tests.
fn released(limbo: &mut Limbo) -> u32 {
    loop {
        if let Some(place) = limbo.pop_elapsed() {
            return place;
        }
        advance();
        std::thread::yield_now();
    }
}

#[test]
fn nothing_leaves_while_a_reader_may_see_it() {
    let mut limbo = Limbo::new(u64::MAX);
    let guard = pin();
    limbo.retire(7);
    limbo.seal();
    assert!(!limbo.is_empty());
    for _ in 0..10 {
        advance();
        assert_eq!(limbo.pop_elapsed(), None);
    }
    drop(guard);
    assert_eq!(released(&mut limbo), 7);
    assert!(limbo.is_empty());
}

#[test]
fn a_weight_belongs_to_the_places_that_were_just_retired() {
    let mut limbo = Limbo::new(100);
    let full: Vec<bool> = (0..BATCH).map(|place| limbo.retire(place)).collect();
    assert_eq!(full.iter().position(|&full| full), Some(BATCH as usize - 1));
    // It goes with those who have filled the batch, so it does not fill another one.
    assert!(!limbo.add_weight(1_000));
    // One heavy place is a batch of its own.
    assert!(!limbo.retire(BATCH) && limbo.add_weight(100));
    assert_eq!(limbo.weight(), 1_100);
    (0..BATCH).for_each(|place| assert_eq!(released(&mut limbo), place));
    assert_eq!(limbo.weight(), 100);
    assert_eq!((released(&mut limbo), limbo.weight()), (BATCH, 0));
}

#[test]
fn memory_is_given_back_when_little_of_it_is_used() {
    let mut limbo = Limbo::new(u64::MAX);
    let many = 16 * BATCH * MIN_SHRINK_LEN as u32;
    assert_eq!((0..many).filter(|&place| limbo.retire(place)).count(), (many / BATCH) as usize);
    let full = limbo.memory();
    assert!(full >= many as usize * size_of::<u32>());
    (0..many / 2).for_each(|place| assert_eq!(released(&mut limbo), place));
    assert_eq!(limbo.memory(), full, "it may soon be wanted again");
    (many / 2..many).for_each(|place| assert_eq!(released(&mut limbo), place));
    assert!(limbo.is_empty() && limbo.memory() <= full / 8, "{} of {full}", limbo.memory());
}
