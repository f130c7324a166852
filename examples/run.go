// A server, a loop beside it and a client that retries, which start together and end together: by
// Ctrl-C, or else when the client is content. This part of the module needs neither cgo nor the
// library.
//
//	CGO_ENABLED=0 go run -C go ../examples/run.go
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"docache/run"
)

// warming answers with an error until the loop has counted to three.
func warming(count *atomic.Int64) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if count.Load() < 3 {
			http.Error(w, "not yet", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "counted to", count.Load())
	})
}

// get asks until it has an answer, for ten seconds at most.
func get(ctx context.Context, url string) error {
	backoff := run.Exponential(10*time.Millisecond, time.Second).WithBudget(10 * time.Second)
	return run.RetryContext(ctx, func(r run.Retrier) error {
		backoff.Apply(r)
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return run.Permanent(err)
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		text, err := io.ReadAll(response.Body)
		fmt.Printf("attempt %d: %s, %s", r.Iteration(), response.Status, text)
		if response.StatusCode != http.StatusOK {
			return errors.New(response.Status)
		}
		return err
	})
}

func main() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	var count atomic.Int64
	server := &http.Server{Handler: warming(&count)}

	var loop run.Loop
	loop.Add(
		run.Name("count"),
		run.Pause(run.Constant(20*time.Millisecond)),
		run.Execute(func() error { count.Add(1); return nil }),
		run.NoOpInterrupt(), // an execution is over at once
	)

	var group run.Group
	group.StopWithin(5 * time.Second)
	group.Add(run.Signal()) // SIGINT and SIGTERM; the second one ends the wait for the others
	group.Add(
		run.Name("server"),
		run.Execute(func() error { return server.Serve(listener) }),
		run.Interrupt(func(error) { server.Shutdown(context.Background()) }),
	)
	group.Add(run.Name("loop"), run.ExecuteContext(func(ctx context.Context) error {
		loop.Run(ctx.Done())
		return nil
	}))
	group.Add(run.Name("client"), run.ExecuteContext(func(ctx context.Context) error {
		return get(ctx, "http://"+listener.Addr().String())
	}))

	if err := group.Run(); err != nil && !run.IsSignal(err) {
		log.Fatal(err)
	}
	fmt.Println("all have stopped")
}
