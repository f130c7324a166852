// Package run runs the parts of a program side by side and ends them together.
//
//	var group run.Group
//	group.Add(run.Signal()) // Ctrl-C, and SIGTERM
//	group.Add(
//		run.Execute(func() error { return server.Serve(listener) }),
//		run.Interrupt(func(error) { server.Close() }),
//	)
//	err := group.Run() // until the first of them returns
//
// There are three things in it:
//
//   - [Group]: actors that run until the first of them returns, whereupon the others are
//     interrupted.
//   - [Loop]: actors that are executed again and again until the loop is stopped.
//   - [Retry]: a function that is called until it succeeds, or says that it will not; with a
//     [Backoff] if wanted.
//
// An actor is made of [Option]s: something to execute, something that makes it return early, and
// maybe a function that is told of failures. [Signal] is an actor that waits for signals.
//
// The package is pure Go. Unlike the others of this module it needs neither cgo nor the library.
//
// # Guarantees
//
//   - Run returns when all executions, failure handlers and interrupts have, unless
//     [Group.StopWithin] or a second signal ends the wait. Then it returns a [StopError], which
//     names those that still run. No goroutine of this package outlives them.
//   - Interrupts run at the same time: one that blocks holds up no other. Each is called at most
//     once, also if the execution has returned by then.
//   - A failure handler is told of each execution of its actor that failed, also after the
//     interrupt.
//   - The zero values of Group and Loop are ready. They run once: another call of [Group.Run]
//     returns [ErrAlreadyRun], another call of [Loop.Run] panics, and so does Add after Run.
//   - Waits of a stopped Loop, and of a [RetryContext] whose context is done, end at once.
//   - A Loop whose actors return at once, or panic, over and over keeps a processor busy, but still
//     stops when it is told to. Give such actors a [Pause].
//
// # Panics
//
// A panic in an execution counts as its failure: the interrupts (in a Group) and the failure
// handler get a [PanicError] with the value and the stack. When all actors of a Group have stopped
// the panic goes on in Run, with the same value. If it ends the program, the runtime prints the
// value and, above it, which actor panicked and its stack. A panic in an interrupt or a failure
// handler keeps nobody else from stopping, and then goes on in Run in the same way. If there were
// several panics the first one goes on.
//
// A Loop goes on after a panic; see [Loop.Run]. If a Group stops waiting for its actors after one
// of them panicked, the panic goes on all the same, in place of a StopError. After a StopError
// nobody is left in whom a panic could go on: only the failure handler is told.
//
// [runtime.Goexit] in an execution counts as returning [ErrGoexit]. In an interrupt or a failure
// handler it counts as returning.
//
// # Groups in groups
//
// A group is an actor of another by its RunContext:
//
//	outer.Add(run.Name("inner"), run.ExecuteContext(inner.RunContext))
//
// and a loop by the Done channel of the context that [ExecuteContext] gives.
package run
