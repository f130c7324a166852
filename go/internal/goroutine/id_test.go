package goroutine

import (
	"runtime"
	"sync"
	"testing"
)

func deep(n int, f func()) {
	var pad [512]byte
	if n == 0 {
		f()
	} else {
		deep(n-1, f)
	}
	runtime.KeepAlive(&pad)
}

func TestAGoroutineKeepsItsID(t *testing.T) {
	for name, id := range map[string]func() uintptr{"ID": ID, "parsed": parsed} {
		first := id()
		if first == 0 {
			t.Fatal(name, "is 0")
		}
		deep(1000, func() {
			runtime.Gosched()
			if id() != first {
				t.Error(name, "changed with the stack")
			}
		})
		if id() != first {
			t.Error(name, "changed")
		}
	}
}

func TestGoroutinesThatLiveTogetherDiffer(t *testing.T) {
	for name, id := range map[string]func() uintptr{"ID": ID, "parsed": parsed} {
		const many = 1000
		var ids [many]uintptr
		var ready, done sync.WaitGroup
		leave := make(chan struct{})
		for i := range many {
			ready.Add(1)
			done.Add(1)
			go func() {
				defer done.Done()
				ids[i] = id()
				ready.Done()
				<-leave
			}()
		}
		ready.Wait()
		close(leave)
		done.Wait()
		seen := map[uintptr]bool{0: true, id(): true}
		for _, id := range ids {
			if seen[id] {
				t.Fatalf("%s: %#x twice", name, id)
			}
			seen[id] = true
		}
	}
}

func TestNearMostlyStaysAndDiffers(t *testing.T) {
	const many = 100
	var first, again [many]uintptr
	var wg, all sync.WaitGroup
	all.Add(many) // they live together
	for i := range many {
		wg.Add(1)
		go func() {
			defer wg.Done()
			all.Done()
			all.Wait()
			first[i], again[i] = Near(), Near()
		}()
	}
	wg.Wait()
	stayed, different := 0, map[uintptr]bool{}
	for i := range many {
		different[first[i]] = true
		if first[i] == again[i] {
			stayed++
		}
	}
	if stayed < many/2 || len(different) < many/2 {
		t.Errorf("%d stayed, %d differ", stayed, len(different))
	}
}
