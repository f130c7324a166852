//! The threads that there are.

/// The names of the process's threads. The system cuts them after 15 bytes.
pub(crate) fn threads() -> Vec<String> {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let name = |task: std::io::Result<std::fs::DirEntry>| {
        std::fs::read_to_string(task.unwrap().path().join("comm"))
    };
    tasks.filter_map(|task| name(task).ok()).map(|name| name.trim().to_owned()).collect()
}

/// How many of them have this name.
pub(crate) fn threads_called(name: &str) -> usize {
    threads().iter().filter(|one| *one == name).count()
}
