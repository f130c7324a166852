//! What works in the child of a fork, while the parent's threads are idle, busy, reading, leading
//! or waiting.
//!
//! A fork copies all of a process but its threads. So each case has a process of its own, without a
//! test harness and its threads: this program runs itself again with the case's name, and says
//! which cases failed.

#[cfg(not(unix))]
fn main() {}

#[cfg(all(unix, feature = "capi"))]
mod abi;
#[cfg(unix)]
mod caches;
#[cfg(unix)]
mod contexts;
#[cfg(unix)]
mod echo;
#[cfg(unix)]
mod flights;
#[cfg(unix)]
mod loops;
#[cfg(unix)]
mod process;
#[cfg(unix)]
mod runs;
#[cfg(unix)]
mod schedulers;
#[cfg(target_os = "linux")]
#[path = "../common/threads.rs"]
mod threads;

#[cfg(unix)]
const CASES: &[(&str, fn())] = &[
    ("idle_threads", caches::idle_threads),
    ("a_clock_of_the_users", caches::a_clock_of_the_users),
    ("busy_writers", caches::busy_writers),
    ("a_place_in_the_background", caches::a_place_in_the_background),
    ("guards_of_others", caches::guards_of_others),
    ("a_guard_of_ones_own", caches::a_guard_of_ones_own),
    ("timers", caches::timers),
    ("busy_timers", caches::busy_timers),
    ("a_daemon", caches::a_daemon),
    ("a_child_of_a_child", caches::a_child_of_a_child),
    ("only_what_is_used_starts_threads", caches::only_what_is_used_starts_threads),
    ("flights_of_others", flights::flights_of_others),
    ("a_flight_of_ones_own", flights::a_flight_of_ones_own),
    ("a_clone_that_forks", flights::a_clone_that_forks),
    ("a_destructor_that_forks", flights::a_destructor_that_forks),
    ("a_bulk_call_of_ones_own", flights::a_bulk_call_of_ones_own),
    ("a_future_that_waited", flights::a_future_that_waited),
    ("busy_groups", flights::busy_groups),
    ("a_loop_between_calls", loops::a_loop_between_calls),
    ("a_loop_in_its_call", loops::a_loop_in_its_call),
    ("a_loop_that_forks", loops::a_loop_that_forks),
    ("those_who_wait_for_a_loop", loops::those_who_wait_for_a_loop),
    ("busy_loops", loops::busy_loops),
    ("busy_contexts", contexts::busy_contexts),
    ("a_load_of_another_thread", echo::a_load_of_another_thread),
    ("a_refresh_of_another_thread", echo::a_refresh_of_another_thread),
    ("a_refresh_on_a_scheduler", echo::a_refresh_on_a_scheduler),
    ("a_refresh_that_forks", echo::a_refresh_that_forks),
    ("renewals", echo::renewals),
    ("a_group_of_other_threads", runs::a_group_of_other_threads),
    ("a_group_that_does_not_run_yet", runs::a_group_that_does_not_run_yet),
    ("an_actor_that_forks", runs::an_actor_that_forks),
    ("a_run_that_forks", runs::a_run_that_forks),
    #[cfg(feature = "capi")]
    ("a_call_that_others_look_at", abi::a_call_that_others_look_at),
    #[cfg(feature = "capi")]
    ("a_wait_that_others_poll", abi::a_wait_that_others_poll),
    #[cfg(feature = "capi")]
    ("a_scheduler_that_others_use", abi::a_scheduler_that_others_use),
    #[cfg(feature = "capi")]
    ("frees_inside_callbacks", abi::frees_inside_callbacks),
    ("a_scheduler_of_other_threads", schedulers::a_scheduler_of_other_threads),
    ("a_fork_before_anything_else", schedulers::a_fork_before_anything_else),
    ("workers_in_calls", schedulers::workers_in_calls),
    ("a_scheduled_loop_that_forks", schedulers::a_scheduled_loop_that_forks),
    ("busy_schedulers", schedulers::busy_schedulers),
    ("a_cache_that_a_scheduler_sweeps", schedulers::a_cache_that_a_scheduler_sweeps),
    ("sweeps_that_fork", schedulers::sweeps_that_fork),
    #[cfg(target_os = "linux")]
    ("threads_come_and_go", echo::threads_come_and_go),
];

#[cfg(unix)]
fn main() {
    let wanted: Vec<String> =
        std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    if let Ok(name) = std::env::var(process::CASE) {
        let case = CASES.iter().find(|(case, _)| *case == name);
        return case.expect("a case").1();
    }
    let is_wanted =
        |name: &str| wanted.is_empty() || wanted.iter().any(|word| name.contains(word.as_str()));
    let failed: Vec<&str> = CASES
        .iter()
        .map(|(name, _)| *name)
        .filter(|name| is_wanted(name))
        .filter(|name| {
            let passed = process::run_case(name);
            println!("{name} ... {}", if passed { "ok" } else { "FAILED" });
            !passed
        })
        .collect();
    assert!(failed.is_empty(), "failed: {failed:?}");
}
