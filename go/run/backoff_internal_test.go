package run

import (
	"testing"
	"time"
)

func TestThePauseGrowsWithFailuresInARowOnly(t *testing.T) {
	r := &loopRun{stopped: make(chan struct{})}
	a := &repeated{actor: &actor{failed: func(error) {}}}
	for _, c := range []struct {
		err      error
		failures int
	}{{nil, 0}, {ErrGoexit, 1}, {ErrGoexit, 2}, {nil, 0}, {ErrGoexit, 1}} {
		r.ended(a, outcome{err: c.err})
		if a.failures != c.failures {
			t.Errorf("%+v: %d", c, a.failures)
		}
	}
	b := Exponential(time.Second, 3*time.Second)
	for failures, bound := range map[int]time.Duration{1: 1, 2: 2, 3: 3, 4: 3} {
		if got := b.bound(failures); got != bound*time.Second {
			t.Error(failures, got)
		}
	}
}
