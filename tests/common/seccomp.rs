//! System calls that a process or a thread forbids itself, for good.

/// Has these system calls answered with `errno` from here on: in the calling thread and those that
/// it starts, or, with [`SECCOMP_FILTER_FLAG_TSYNC`](libc::SECCOMP_FILTER_FLAG_TSYNC), in all.
pub(crate) fn deny(calls: &[libc::c_long], errno: i32, flags: libc::c_ulong) {
    let load = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    let equal = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    let answer = (libc::BPF_RET | libc::BPF_K) as u16;
    let step = |code, k, jt, jf| libc::sock_filter { code, jt, jf, k };
    let mut steps = vec![step(load, 0, 0, 0)];
    // A call that is named goes on at its refusal; any other steps over that.
    for &call in calls {
        steps.push(step(equal, call as u32, 0, 1));
        steps.push(step(answer, libc::SECCOMP_RET_ERRNO | errno as u32, 0, 0));
    }
    steps.push(step(answer, libc::SECCOMP_RET_ALLOW, 0, 0));
    let program = libc::sock_fprog { len: steps.len() as u16, filter: steps.as_mut_ptr() };
    // SAFETY: numbers only.
    let done = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    assert_eq!(done, 0);
    // SAFETY: the program and its steps live until it returns.
    let done = unsafe {
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const program)
    };
    assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
}
