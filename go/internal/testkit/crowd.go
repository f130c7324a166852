package testkit

import (
	"sync"
	"testing"
)

// ManyWaitersFewThreads has one goroutine run work and 20,000 others wait for it: that must not
// cost a thread for each. waiting counts those that wait; call runs the work, or shares a run of
// it, and returns what it returned.
func ManyWaitersFewThreads(
	t *testing.T, waiting func(t testing.TB) int, call func(work func() (int, error)) (any, error),
) {
	t.Helper()
	const many = 20_000
	g := NewGate()
	work := func() (int, error) {
		g.Pass()
		return 1, nil
	}
	var wg sync.WaitGroup
	begin := func() {
		wg.Add(1)
		go func() {
			defer wg.Done()
			if v, err := call(work); v != 1 || err != nil {
				t.Error(v, err)
			}
		}()
	}
	begin()
	Within(t, g.Entered, "the run")
	for range many {
		begin()
	}
	Eventually(t, "waiters", func() bool { return waiting(t) == many })
	FewThreads(t, "waiting")
	close(g.Leave)
	wg.Wait()
	FewThreads(t, "told")
}
