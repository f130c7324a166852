//! Calls of the C ABI that name their owner.

use std::ptr;

use docache::ffi::{
    DOCACHE_LEADER, DOCACHE_LEADER_LOST, DOCACHE_OK, DOCACHE_PENDING, DOCACHE_REENTRANT,
    docache_call, docache_call_free, docache_call_poll, docache_group, docache_group_begin,
    docache_group_begin_as, docache_group_free, docache_group_new, docache_status, docache_value,
};

struct Group(*mut docache_group);

impl Group {
    fn new() -> Group {
        let mut group = ptr::null_mut();
        // SAFETY: the outputs are ours.
        let status = unsafe { docache_group_new(ptr::null(), &mut group, ptr::null_mut()) };
        assert_eq!(status, DOCACHE_OK);
        Group(group)
    }

    fn begin_as(&self, owner: u64) -> (docache_status, *mut docache_call) {
        let mut call = ptr::null_mut();
        let key = b"key";
        // SAFETY: HANDLE, SPAN.
        let status = unsafe {
            docache_group_begin_as(
                self.0,
                key.as_ptr(),
                key.len(),
                owner,
                &mut call,
                ptr::null_mut(),
            )
        };
        (status, call)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // SAFETY: HANDLE; nobody uses it any more.
        unsafe { docache_group_free(self.0) };
    }
}

fn free(call: *mut docache_call) -> docache_status {
    // SAFETY: HANDLE; nobody uses it any more.
    unsafe { docache_call_free(call) }
}

#[test]
fn a_call_of_the_owner_that_leads_is_reentrant_on_any_thread() {
    let group = Group::new();
    let (status, leader) = group.begin_as(7);
    assert_eq!(status, DOCACHE_LEADER);
    let address = group.0 as usize;
    std::thread::spawn(move || {
        let group = std::mem::ManuallyDrop::new(Group(address as *mut docache_group));
        assert_eq!(group.begin_as(7), (DOCACHE_REENTRANT, ptr::null_mut()));
    })
    .join()
    .unwrap();
    let (status, other) = group.begin_as(8);
    assert_eq!(status, DOCACHE_PENDING, "another owner waits");
    let (status, unnamed) = group.begin_as(0);
    assert_eq!(status, DOCACHE_PENDING, "nobody waits");
    for call in [other, unnamed] {
        assert_eq!(free(call), DOCACHE_OK);
    }
    assert_eq!(free(leader), DOCACHE_LEADER_LOST);
}

#[test]
fn nobody_is_not_an_owner() {
    let group = Group::new();
    let mut leader = ptr::null_mut();
    // SAFETY: HANDLE, SPAN.
    let status =
        unsafe { docache_group_begin(group.0, b"key".as_ptr(), 3, &mut leader, ptr::null_mut()) };
    assert_eq!(status, DOCACHE_LEADER);
    let (status, waiter) = group.begin_as(0);
    assert_eq!(status, DOCACHE_PENDING);
    assert_eq!(free(waiter), DOCACHE_OK);
    assert_eq!(free(leader), DOCACHE_LEADER_LOST);
}

/// The one that the lead is handed to leads with its own name.
#[test]
fn an_owner_that_the_lead_was_handed_to_is_the_one_that_is_reentrant() {
    let group = Group::new();
    let (_, first) = group.begin_as(7);
    let (_, second) = group.begin_as(8);
    assert_eq!(free(first), DOCACHE_OK);
    let mut value: *mut docache_value = ptr::null_mut();
    // SAFETY: HANDLE, SPAN.
    let status = unsafe { docache_call_poll(second, &mut value, ptr::null_mut(), ptr::null_mut()) };
    assert_eq!(status, DOCACHE_LEADER);
    assert_eq!(group.begin_as(8).0, DOCACHE_REENTRANT);
    let (status, waiter) = group.begin_as(7);
    assert_eq!(status, DOCACHE_PENDING);
    assert_eq!(free(waiter), DOCACHE_OK);
    assert_eq!(free(second), DOCACHE_LEADER_LOST);
}
