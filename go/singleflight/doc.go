// Package singleflight lets callers that want the same thing at the same time share one run of the
// work.
//
//	var users singleflight.KeyedGroups[string, *User]
//
//	func load(id string) (*User, error) {
//		return users.Do(id, func() (*User, error) { return fetch(id) })
//	}
//
// The first caller of a key leads: its function runs, on its own goroutine. Callers that come
// before that run has ended wait, and get the same result and the same error; their functions are
// not called. Whoever calls after that begins a new run: nothing is kept. [Group] is for work
// without a key.
//
// The types have the API of nikand.dev/go/singleflight; its programs need only change the import
// path. Programs of golang.org/x/sync/singleflight use DoShared for its Do, DoChan, and the field
// Repanic for its handling of panics.
//
// # Guarantees
//
//   - Runs of one key never overlap, unless Forget lets them.
//   - All callers that waited for a run get what that run returned, not a copy: do not change what
//     a pointer, slice or map points to once it was returned.
//   - A panic in the run continues in the call that led, with its value and stack. Callers that
//     waited get a [PanicError] with both; after [runtime.Goexit] they get [ErrGoexit]. The next
//     call runs again. With Repanic they panic or exit as the leader does.
//   - Waiting blocks a goroutine, never a thread, however many wait.
//   - DoCtx lets a caller that waits leave. The run goes on for the others. An error of a run whose
//     own context is done goes to its caller only; one of the others runs next. If a run is to
//     outlive the caller that began it, such as a request, have its function use
//     [context.WithoutCancel].
//   - DoChan lets a caller go on, and receive the result later or never, even if its function is
//     the one that runs.
//   - A call from inside the run that it would wait for returns [ErrReentrant], if it comes from
//     the goroutine that leads. Cycles through other goroutines or other keys are deadlocks that
//     are not detected.
//   - A result is released as soon as all callers that share it have returned, a key as soon as its
//     run has ended.
//
// # Cost
//
// A call that nobody shares takes a short lock twice, which few other keys have in common with it,
// and allocates nothing: it costs some 50 ns. It does not call the C library; neither does one that
// waits, which blocks on a channel. A group takes some 8 KB at its first call, more on many
// processors.
//
// Keys are hashed and compared as those of a map are. A key that does not equal itself, as a NaN
// does not, is never shared.
package singleflight
