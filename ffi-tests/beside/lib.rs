//! Another Rust library in a program that uses docache, with a copy of the standard library of its
//! own. It uses what two copies could get in each other's way with: threads, allocations, panics.

/// The sum of the numbers below `n`, on a thread and by way of texts.
#[unsafe(no_mangle)]
pub extern "C" fn beside_sum(n: u32) -> u32 {
    let words: Vec<String> = (0..n).map(|i| i.to_string()).collect();
    let sum = std::thread::spawn(move || words.iter().map(|word| word.parse::<u32>().unwrap()).sum());
    sum.join().unwrap_or(0)
}

/// 1 if a panic is caught.
#[unsafe(no_mangle)]
pub extern "C" fn beside_catches() -> u32 {
    u32::from(std::panic::catch_unwind(|| std::panic::resume_unwind(Box::new(7))).is_err())
}
