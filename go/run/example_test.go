package run_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"syscall"
	"time"

	"docache/run"
)

func Example() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	server := &http.Server{Handler: http.NotFoundHandler()}

	var group run.Group
	group.Add(run.Signal()) // Ctrl-C, and SIGTERM
	group.Add(
		run.Execute(func() error { return server.Serve(listener) }),
		run.Interrupt(func(error) { server.Shutdown(context.Background()) }),
	)
	group.Add(
		run.Name("client"),
		run.ExecuteContext(func(ctx context.Context) error {
			url := "http://" + listener.Addr().String()
			request, _ := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
			response, err := http.DefaultClient.Do(request)
			if err != nil {
				return err
			}
			defer response.Body.Close()
			return errors.New(response.Status)
		}),
	)
	err = group.Run()
	fmt.Println(err, run.IsSignal(err))
	// Output: client: 404 Not Found false
}

func ExampleGroup() {
	done := make(chan struct{})
	var group run.Group
	group.Add(
		run.Execute(func() error { <-done; return nil }),
		run.Interrupt(func(err error) {
			fmt.Println("interrupted because of:", err)
			close(done)
		}),
	)
	group.Add(
		run.Execute(func() error { return errors.New("no disk") }),
		run.NoOpInterrupt(),
	)
	fmt.Println(group.Run())
	// Output:
	// interrupted because of: no disk
	// no disk
}

func ExampleGroup_RunContext() {
	ctx, cancel := context.WithCancel(context.Background())
	var group run.Group
	group.Add(run.ExecuteContext(func(ctx context.Context) error {
		cancel() // as anybody may
		<-ctx.Done()
		return nil
	}))
	fmt.Println(group.RunContext(ctx))
	// Output: context canceled
}

func ExampleGroup_StopWithin() {
	leave := make(chan struct{})
	defer close(leave)
	var group run.Group
	group.StopWithin(10 * time.Millisecond)
	group.Add(
		run.Name("stubborn"),
		run.Execute(func() error { <-leave; return nil }),
		run.NoOpInterrupt(),
	)
	group.Add(
		run.Execute(func() error { return errors.New("no disk") }),
		run.NoOpInterrupt(),
	)
	err := group.Run()
	fmt.Println(err)
	var stop *run.StopError
	if errors.As(err, &stop) {
		fmt.Println(stop.Running, stop.Cause)
	}
	// Output:
	// run: still running: stubborn; stopped by: no disk
	// [stubborn] no disk
}

func ExampleExecuteContext() {
	var inner, outer run.Group
	inner.Add(run.ExecuteContext(func(ctx context.Context) error {
		<-ctx.Done()
		fmt.Println("stopped because of:", context.Cause(ctx))
		return nil
	}))
	outer.Add(run.ExecuteContext(inner.RunContext))
	outer.Add(
		run.Execute(func() error { return errors.New("no disk") }),
		run.NoOpInterrupt(),
	)
	fmt.Println(outer.Run())
	// Output:
	// stopped because of: no disk
	// no disk
}

func ExampleFailureHandler() {
	var group run.Group
	group.Add(
		run.Execute(func() error { return errors.New("no disk") }),
		run.NoOpInterrupt(),
		run.FailureHandler(func(err error) { fmt.Println("failed:", err) }),
	)
	fmt.Println(group.Run())
	// Output:
	// failed: no disk
	// no disk
}

func ExampleName() {
	noDisk := errors.New("no disk")
	var group run.Group
	group.Add(
		run.Name("log"),
		run.Execute(func() error { return noDisk }),
		run.NoOpInterrupt(),
	)
	err := group.Run()
	fmt.Println(err, errors.Is(err, noDisk))
	// Output: log: no disk true
}

func ExampleActorError() {
	err := error(&run.ActorError{Name: "log", Err: errors.New("no disk")})
	var named *run.ActorError
	if errors.As(err, &named) {
		fmt.Printf("%s failed with %q\n", named.Name, named.Err)
	}
	// Output: log failed with "no disk"
}

func ExamplePanicError() {
	var group run.Group
	group.Add(
		run.Execute(func() error { panic("boom") }),
		run.NoOpInterrupt(),
		run.FailureHandler(func(err error) {
			var p run.PanicError
			if errors.As(err, &p) {
				fmt.Println("panicked with:", p.Value, "with a stack:", p.Stack != "")
			}
		}),
	)
	defer func() { fmt.Println("recovered:", recover()) }()
	group.Run()
	// Output:
	// panicked with: boom with a stack: true
	// recovered: boom
}

func ExampleSignal() {
	var group run.Group
	group.Add(run.Signal(os.Interrupt, syscall.SIGTERM, syscall.SIGHUP))
	group.Add(
		run.Execute(func() error { return errors.New("no disk") }),
		run.NoOpInterrupt(),
	)
	err := group.Run()
	if run.IsSignal(err) {
		fmt.Println("asked to end") // not a failure
	} else {
		fmt.Println("failed:", err)
	}
	// Output: failed: no disk
}

func ExampleIsSignal() {
	err := fmt.Errorf("the server: %w", run.SignalError{Signal: os.Interrupt})
	fmt.Println(err, run.IsSignal(err))
	// Output: the server: received signal interrupt true
}

func ExampleDefaultSignals() {
	signals := append(run.DefaultSignals(), syscall.SIGQUIT)
	fmt.Println(signals)
	// Output: [interrupt terminated quit]
}

func ExampleLoop() {
	stop := make(chan struct{})
	n := 0
	var loop run.Loop
	loop.Add(
		run.Execute(func() error {
			if n++; n == 3 {
				close(stop)
			}
			return fmt.Errorf("attempt %d failed", n)
		}),
		run.NoOpInterrupt(),
		run.FailureHandler(func(err error) { fmt.Println(err) }),
	)
	loop.Run(stop)
	// Output:
	// attempt 1 failed
	// attempt 2 failed
	// attempt 3 failed
}

func ExamplePause() {
	ctx, cancel := context.WithCancel(context.Background())
	var loop run.Loop
	n := 0
	loop.Add(
		run.Pause(run.Exponential(time.Millisecond, time.Second)),
		run.NoOpInterrupt(),
		run.Execute(func() error {
			if n++; n == 3 {
				cancel()
			}
			return errors.New("the server does not answer")
		}),
	)
	loop.Run(ctx.Done())
	fmt.Println(n)
	// Output: 3
}

func ExampleRetry() {
	notYet, never := errors.New("not yet"), errors.New("never")
	err := run.Retry(func(r run.Retrier) error {
		fmt.Println("attempt", r.Iteration())
		if r.Iteration() == 3 {
			r.Stop()
			return never
		}
		r.SetDelay(time.Millisecond)
		return notYet
	})
	fmt.Println(err)
	// Output:
	// attempt 1
	// attempt 2
	// attempt 3
	// never
}

func ExampleRetryContext() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	err := run.RetryContext(ctx, func(r run.Retrier) error {
		r.SetDelay(time.Hour)
		return errors.New("no answer")
	})
	fmt.Println(err)
	fmt.Println(errors.Is(err, context.DeadlineExceeded))
	// Output:
	// run: gave up after 1 attempt: context deadline exceeded; the last error: no answer
	// true
}

func ExampleBackoff() {
	backoff := run.Exponential(time.Millisecond, 10*time.Millisecond).
		WithMaxAttempts(5).
		WithBudget(time.Minute)
	err := run.Retry(func(r run.Retrier) error {
		backoff.Apply(r)
		return errors.New("no answer")
	})
	var gaveUp *run.RetryError
	if errors.As(err, &gaveUp) {
		fmt.Println(gaveUp.Attempts, "attempts;", gaveUp.Reason, "/", gaveUp.Last)
	}
	// Output: 5 attempts; no attempts are left / no answer
}

func ExampleBackoff_Apply() {
	backoff := run.Exponential(time.Millisecond, time.Second)
	err := run.Retry(func(r run.Retrier) error {
		backoff.Apply(r)
		if r.Iteration() == 1 { // the server has answered with Retry-After
			r.SetDelay(2 * time.Millisecond)
			return errors.New("too many requests")
		}
		return nil
	})
	fmt.Println(err)
	// Output: <nil>
}

func ExampleBackoff_WithBudget() {
	backoff := run.Constant(time.Hour).WithBudget(time.Minute)
	err := run.Retry(func(r run.Retrier) error {
		backoff.Apply(r)
		return errors.New("no answer")
	})
	fmt.Println(err)
	fmt.Println(errors.Is(err, run.ErrBudget))
	// Output:
	// run: gave up after 1 attempt: the time is used up; the last error: no answer
	// true
}

func ExampleBackoff_WithMaxAttempts() {
	err := run.Retry(func(r run.Retrier) error {
		run.Constant(time.Millisecond).WithMaxAttempts(2).Apply(r)
		return errors.New("no answer")
	})
	fmt.Println(errors.Is(err, run.ErrMaxAttempts))
	// Output: true
}

func ExampleConstant() {
	calls := 0
	run.Retry(func(r run.Retrier) error {
		run.Constant(time.Millisecond).Apply(r)
		if calls++; calls < 3 {
			return errors.New("no answer")
		}
		return nil
	})
	fmt.Println(calls)
	// Output: 3
}

func ExampleExponential() {
	// Waits of up to 1, 2, 4, 8, then always of up to 10 ms.
	backoff := run.Exponential(time.Millisecond, 10*time.Millisecond)
	err := run.Retry(func(r run.Retrier) error {
		backoff.Apply(r)
		if r.Iteration() < 5 {
			return errors.New("no answer")
		}
		return nil
	})
	fmt.Println(err)
	// Output: <nil>
}

func ExamplePermanent() {
	err := run.Retry(func(r run.Retrier) error {
		fmt.Println("attempt", r.Iteration())
		return run.Permanent(errors.New("no such host"))
	})
	fmt.Println(err)
	// Output:
	// attempt 1
	// no such host
}
