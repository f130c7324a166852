//go:build unix

package run_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"reflect"
	"sync"
	"syscall"
	"testing"
	"time"

	"docache/run"
)

func (c *child) send(t *testing.T, s os.Signal) {
	t.Helper()
	if err := c.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// addTeller adds an actor that says when it runs, and what its interrupt got. If it is stubborn it
// runs until nothing more can be read from stdin.
func addTeller(g *run.Group, stubborn bool) {
	told := make(chan error, 1)
	g.Add(run.Name("teller"), run.Execute(func() error {
		fmt.Println("ready")
		fmt.Println("stopping:", <-told)
		if stubborn {
			io.Copy(io.Discard, os.Stdin)
		}
		return nil
	}), run.Interrupt(func(err error) { told <- err }))
}

// exit is what a program makes of the error.
func exit(err error) {
	fmt.Println(err)
	var stop *run.StopError
	switch {
	case errors.As(err, &stop):
		os.Exit(3)
	case run.IsSignal(err):
		os.Exit(0)
	}
	os.Exit(1)
}

func init() {
	children["signal"] = func() {
		var g run.Group
		g.Add(run.Signal())
		addTeller(&g, false)
		exit(g.Run())
	}
	children["chosen"] = func() {
		var g run.Group
		g.Add(run.Signal(syscall.SIGUSR1), run.Name("signals"), run.NoOpInterrupt())
		addTeller(&g, false)
		exit(g.Run())
	}
	children["stubborn"] = func() {
		var g run.Group
		g.Add(run.Signal())
		addTeller(&g, true)
		exit(g.Run())
	}
	children["error"] = func() {
		var g run.Group
		got := make(chan os.Signal, 1)
		signal.Notify(got, syscall.SIGTERM)
		go func() {
			for range got {
				fmt.Println("got it")
			}
		}()
		g.Add(run.Signal())
		addTeller(&g, true)
		g.Add(returns(errOne), run.NoOpInterrupt())
		exit(g.Run())
	}
	children["after"] = func() {
		var g run.Group
		g.Add(run.Signal())
		g.Add(returns(nil), run.NoOpInterrupt())
		fmt.Println(g.Run())
		time.Sleep(time.Hour) // until the signal
	}
	children["busy"] = func() {
		var l run.Loop
		got, busy := make(chan os.Signal, 9), make(chan struct{})
		leave, stop := make(chan struct{}), make(chan struct{})
		enter := sync.OnceFunc(func() { close(busy) })
		signal.Notify(got, syscall.SIGUSR1, syscall.SIGTERM)
		l.Add(run.Signal(syscall.SIGUSR1, syscall.SIGTERM, syscall.SIGUSR1),
			run.FailureHandler(func(err error) {
				enter()
				<-leave
				if errors.Is(err, run.SignalError{Signal: syscall.SIGTERM}) {
					close(stop)
				}
			}))
		l.Add(run.ExecuteContext(func(ctx context.Context) error {
			fmt.Println("ready")
			<-ctx.Done()
			return nil
		}))
		go func() {
			for s := range got {
				<-busy
				fmt.Println(s)
			}
		}()
		go func() {
			io.Copy(io.Discard, os.Stdin)
			close(leave)
		}()
		l.Run(stop)
		fmt.Println("stopped")
	}
	children["loop"] = func() {
		var l run.Loop
		ready := false
		l.Add(run.Signal(syscall.SIGUSR1, syscall.SIGTERM),
			run.FailureHandler(func(err error) { fmt.Println(err) }))
		l.Add(run.Execute(func() error {
			if !ready {
				fmt.Println("ready")
				ready = true
			}
			io.Copy(io.Discard, os.Stdin)
			return nil
		}), run.NoOpInterrupt())
		stop := make(chan struct{})
		go func() {
			io.Copy(io.Discard, os.Stdin)
			close(stop)
		}()
		l.Run(stop)
		fmt.Println("stopped")
		time.Sleep(time.Hour) // until the signal
	}
}

func TestASignalEndsTheGroup(t *testing.T) {
	for _, s := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		c := startChild(t, "signal")
		c.says(t, "ready")
		c.send(t, s)
		c.says(t, fmt.Sprint("stopping: received signal ", s))
		c.says(t, fmt.Sprint("received signal ", s))
		if code := c.wait(t); code != 0 {
			t.Error(s, code)
		}
	}
}

func TestOnlyTheChosenSignalsAreTaken(t *testing.T) {
	c := startChild(t, "chosen")
	c.says(t, "ready")
	c.send(t, syscall.SIGUSR1)
	c.says(t, "stopping: signals: received signal user defined signal 1")
	c.says(t, "signals: received signal user defined signal 1")
	if code := c.wait(t); code != 0 {
		t.Error(code)
	}

	c = startChild(t, "chosen")
	c.says(t, "ready")
	c.send(t, syscall.SIGTERM)
	c.endedBy(t, syscall.SIGTERM)
}

// endedBy waits for a child that a signal ends in the usual way.
func (c *child) endedBy(t *testing.T, want syscall.Signal) {
	t.Helper()
	c.wait(t)
	status, ok := c.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if !ok || !status.Signaled() || status.Signal() != want {
		t.Error(c.cmd.ProcessState)
	}
}

func TestTheSecondSignalEndsTheWait(t *testing.T) {
	c := startChild(t, "stubborn")
	c.says(t, "ready")
	c.send(t, syscall.SIGTERM)
	c.says(t, "stopping: received signal terminated")
	c.send(t, syscall.SIGINT)
	c.says(t, "run: still running: teller (not waited for after a second signal, interrupt); "+
		"stopped by: received signal terminated")
	if code := c.wait(t); code != 3 {
		t.Error(code)
	}
}

func TestOneSignalIsWaitedFor(t *testing.T) {
	c := startChild(t, "stubborn")
	c.says(t, "ready")
	c.send(t, syscall.SIGTERM)
	c.says(t, "stopping: received signal terminated")
	c.stdin.Close()
	c.says(t, "received signal terminated")
	if code := c.wait(t); code != 0 {
		t.Error(code)
	}
}

// A supervisor's SIGTERM is no reason to hurry if the group is stopping already.
func TestTheFirstSignalInAShutdownDoesNotEndTheWait(t *testing.T) {
	c := startChild(t, "error")
	c.says(t, "ready")
	c.says(t, "stopping: one")
	c.send(t, syscall.SIGTERM)
	c.says(t, "got it")
	c.stdin.Close()
	c.says(t, "one")
	if code := c.wait(t); code != 1 {
		t.Error(code)
	}

	c = startChild(t, "error")
	c.says(t, "ready")
	c.says(t, "stopping: one")
	c.send(t, syscall.SIGTERM)
	c.says(t, "got it")
	c.send(t, syscall.SIGINT)
	c.says(t, "run: still running: teller (not waited for after a second signal, interrupt); "+
		"stopped by: one")
	if code := c.wait(t); code != 3 {
		t.Error(code)
	}
}

func TestAfterRunSignalsHaveTheirUsualEffect(t *testing.T) {
	c := startChild(t, "after")
	c.says(t, "<nil>")
	c.send(t, syscall.SIGTERM)
	c.endedBy(t, syscall.SIGTERM)
}

func TestALoopTakesEachSignal(t *testing.T) {
	c := startChild(t, "loop")
	c.says(t, "ready")
	for range 3 {
		c.send(t, syscall.SIGUSR1)
		c.says(t, "received signal user defined signal 1")
	}
	c.stdin.Close()
	c.says(t, "stopped")
	c.send(t, syscall.SIGTERM)
	c.endedBy(t, syscall.SIGTERM)
}

// While the failure handler is busy, some of the one kind do not keep out the other.
func TestALoopKeepsASignalOfEachKind(t *testing.T) {
	c := startChild(t, "busy")
	c.says(t, "ready")
	for range 3 {
		c.send(t, syscall.SIGUSR1)
		c.says(t, "user defined signal 1")
	}
	c.send(t, syscall.SIGTERM)
	c.says(t, "terminated")
	c.stdin.Close()
	c.says(t, "stopped")
	if code := c.wait(t); code != 0 {
		t.Error(code)
	}
}

func TestIsSignal(t *testing.T) {
	value := run.SignalError{Signal: os.Interrupt}
	for _, err := range []error{
		value, &value, fmt.Errorf("wrapped: %w", value), errors.Join(errOne, value),
		&run.ActorError{Name: "signals", Err: value}, &run.StopError{Cause: value},
		&run.StopError{Cause: errOne, Signal: syscall.SIGTERM},
	} {
		if !run.IsSignal(err) {
			t.Error(err)
		}
	}
	for _, err := range []error{nil, errOne, &run.StopError{}} {
		if run.IsSignal(err) {
			t.Error(err)
		}
	}
	if value.Error() != "received signal interrupt" {
		t.Error(value)
	}
}

func TestDefaultSignals(t *testing.T) {
	want := []os.Signal{os.Interrupt, syscall.SIGTERM}
	signals := run.DefaultSignals()
	if !reflect.DeepEqual(signals, want) {
		t.Error(signals)
	}
	signals[0] = syscall.SIGHUP // is the caller's own
	if !reflect.DeepEqual(run.DefaultSignals(), want) {
		t.Error(run.DefaultSignals())
	}
}
