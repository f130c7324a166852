package docache

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"
)

// How a program fares that has caches running: the goroutines that have nothing to do with them,
// and its processor time.
//
// These are timings, so each is a median, taken in rounds in turn with what it is compared with,
// and the margins are wide.

const rounds = 5

func median[T int | float64 | time.Duration](values []T) T {
	slices.Sort(values)
	return values[len(values)/2]
}

// plain is a loop cache as one would write it by hand: a goroutine, a timer, a mutex and a slice.
type plain struct {
	mu      sync.Mutex
	results []Data[int]
	calls   uint64
	stop    chan struct{}
	done    chan struct{}
}

func startPlain(interval time.Duration, capacity int, doer Doer[int]) *plain {
	p := &plain{stop: make(chan struct{}), done: make(chan struct{})}
	go func() {
		defer close(p.done)
		timer := time.NewTimer(0)
		defer timer.Stop()
		for {
			select {
			case <-p.stop:
				return
			case <-timer.C:
			}
			at := time.Now()
			v, err := doer.Do()
			p.mu.Lock()
			p.calls++
			p.results = append(p.results, Data[int]{Value: v, Timestamp: at, Error: err})
			if len(p.results) > capacity {
				p.results = slices.Delete(p.results, 0, 1)
			}
			p.mu.Unlock()
			timer.Reset(interval)
		}
	}()
	return p
}

func (p *plain) Stop() {
	close(p.stop)
	<-p.done
}

// one is the least there is to do.
var one = DoerFunc[int](func() (int, error) { return 1, nil })

// loops are running caches of either kind.
type loops struct {
	stop  func()
	calls func() uint64
}

func startPlains(n int, interval time.Duration) loops {
	ps := make([]*plain, n)
	for i := range ps {
		ps[i] = startPlain(interval, 8, one)
	}
	return loops{
		func() { each(ps, (*plain).Stop) },
		func() uint64 {
			return sum(ps, func(p *plain) uint64 { p.mu.Lock(); defer p.mu.Unlock(); return p.calls })
		},
	}
}

func startOurs(t testing.TB, n int, interval time.Duration) loops {
	cs := make([]*LoopCache[int], n)
	for i := range cs {
		c, err := New[int](context.Background(), interval, one, WithCapacity(8))
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		cs[i] = c
	}
	return loops{
		func() { each(cs, (*LoopCache[int]).Close) },
		func() uint64 { return sum(cs, (*LoopCache[int]).Version) },
	}
}

func each[T any](all []T, f func(T)) {
	for _, one := range all {
		f(one)
	}
}

func sum[T any](all []T, f func(T) uint64) (total uint64) {
	each(all, func(one T) { total += f(one) })
	return total
}

// lateness is by how much goroutines that only sleep wake too late: the median of many times.
func lateness() time.Duration {
	const nap = 3 * time.Millisecond
	late := make([]time.Duration, 30)
	for i := range late {
		start := time.Now()
		time.Sleep(nap)
		late[i] = time.Since(start) - nap
	}
	return median(late)
}

// timed leaves a test out under the race detector, which slows this package down and not what it is
// compared with.
func timed(t *testing.T) {
	if raceEnabled {
		t.Skip("a timing, which the race detector distorts")
	}
}

func TestOthersWakeInTime(t *testing.T) {
	timed(t)
	for _, procs := range []int{1, 2, 8} {
		for _, n := range []int{1, 2, 8, 60} {
			t.Run(fmt.Sprintf("GOMAXPROCS=%d/%d", procs, n), func(t *testing.T) {
				defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(procs))
				var ratios []float64
				for range rounds {
					without := lateness()
					if n > 8 {
						// So many loops have others wait for a processor, whoever wrote them.
						plains := startPlains(n, 10*time.Millisecond)
						without = max(without, lateness())
						plains.stop()
					}
					ours := startOurs(t, n, 10*time.Millisecond)
					with := lateness()
					ours.stop()
					ratios = append(ratios, float64(with)/float64(without))
				}
				m := median(ratios)
				t.Logf("%.2f times as late", m)
				if m > 2 {
					t.Errorf("goroutines wake %.2f times as late beside %d caches", m, n)
				}
			})
		}
	}
}

// processorTime is what this process has used so far.
func processorTime(t testing.TB) time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		t.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// tickCost is the processor time of one call.
func tickCost(t testing.TB, span time.Duration, start func() loops) float64 {
	l := start()
	defer l.stop()
	time.Sleep(span / 8)
	calls, used := l.calls(), processorTime(t)
	time.Sleep(span)
	return float64(processorTime(t)-used) / float64(l.calls()-calls)
}

func TestTicksAreCheap(t *testing.T) {
	timed(t)
	for _, n := range []int{1, 8, 60} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			var ratios, costs []float64
			for range rounds {
				theirs := tickCost(t, tickSpan, func() loops { return startPlains(n, tickInterval) })
				ours := tickCost(t, tickSpan, func() loops { return startOurs(t, n, tickInterval) })
				ratios, costs = append(ratios, ours/theirs), append(costs, ours)
			}
			m := median(ratios)
			t.Logf("%.1f µs a call, %.2f times that of a loop written by hand", median(costs)/1e3, m)
			if m > 3 {
				t.Errorf("a call costs %.2f times as much as in a loop written by hand", m)
			}
		})
	}
}

func TestStopIsPrompt(t *testing.T) {
	timed(t)
	ours := startOurs(t, 20, 10*time.Millisecond)
	defer ours.stop()
	var took []time.Duration
	for range 200 {
		c, err := New[int](context.Background(), time.Millisecond, one)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond)
		start := time.Now()
		c.Stop()
		took = append(took, time.Since(start))
		c.Close()
	}
	slices.Sort(took)
	t.Logf("median %v, 99 %% %v", took[len(took)/2], took[len(took)*99/100])
	if late := took[len(took)*99/100]; late > 20*time.Millisecond {
		t.Errorf("one stop of a hundred takes %v", late)
	}
}

func TestManyCachesAddNoThreads(t *testing.T) {
	before := threads()
	ours := startOurs(t, 1000, 10*time.Millisecond)
	defer ours.stop()
	eventually(t, "calls", func() bool { return ours.calls() > 10_000 })
	// Go's own may come, as in any program that is busy.
	if more := threads() - before; more > 8 {
		t.Errorf("%d threads more", more)
	}
}
