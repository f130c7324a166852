package singleflight

import (
	"math/rand/v2"
	"testing"
	"unsafe"
)

// oneShard makes a core whose keys all fall to one shard.
func oneShard() (*core[int, int], *shard[int, int]) {
	c := newCore[int, int](false)
	c.shards = c.shards[:1]
	return c, &c.shards[0]
}

// hashOf spreads keys over the buckets; two of them share a hash.
func hashOf(key int) uint64 { return uint64(key/2) << 32 }

// A shard finds what a map would, however many runs are under way, and whatever hashes they have.
func TestAShardFindsWhatIsUnderWay(t *testing.T) {
	c, s := oneShard()
	listed := map[int]*run[int, int]{}
	for _, most := range []int{3, 500, 20, 2000, 1} {
		for range 20_000 {
			key := rand.IntN(2 * most)
			r, waits := s.enter(key, hashOf(key), 0, &c.seats)
			if known := listed[key]; known != nil != (waits != nil) || known != nil && known != r {
				t.Fatalf("key %d: %p, not %p", key, r, known)
			}
			if waits != nil {
				if !s.leave(waits) {
					t.Fatal("a seat that nobody told")
				}
				c.put(waits)
				if s.land(r, outcome[int]{}) {
					t.Fatal("shared with one that left")
				}
				delete(listed, key)
			} else {
				listed[key] = r
			}
			if s.inFlight() != len(listed) {
				t.Fatalf("%d in flight, not %d", s.inFlight(), len(listed))
			}
		}
		for key, r := range listed {
			if !s.forget(key, hashOf(key)) || s.forget(key, hashOf(key)) {
				t.Fatal("not forgotten")
			}
			s.land(r, outcome[int]{})
		}
		clear(listed)
	}
}

// What a crowd of runs took is not kept for ever.
func TestAShardDoesNotKeepWhatACrowdTook(t *testing.T) {
	c, s := oneShard()
	var runs []*run[int, int]
	for key := range 10_000 {
		r, _ := s.enter(key, hashOf(key), 0, &c.seats)
		runs = append(runs, r)
	}
	for _, r := range runs {
		s.land(r, outcome[int]{})
	}
	n := 0
	for r := s.spares; r != nil; r = r.next {
		n++
	}
	if n != s.spare || n > fewSpares || s.buckets != nil || s.list != nil {
		t.Errorf("%d spares, said to be %d; %d buckets", n, s.spare, len(s.buckets))
	}
}

// Nor are a few runs that come and go together allocated anew each time.
func TestAFewRunsAtOnceAllocateNothing(t *testing.T) {
	c, s := oneShard()
	if n := testing.AllocsPerRun(100, func() {
		var runs [fewSpares]*run[int, int]
		for key := range runs {
			runs[key], _ = s.enter(key, hashOf(key), 0, &c.seats)
		}
		for _, r := range runs {
			s.land(r, outcome[int]{})
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestShardsSuitTheProcessors(t *testing.T) {
	for processors, want := range map[int]int{1: 64, 2: 64, 4: 64, 5: 128, 8: 128, 31: 512, 1000: 512} {
		if n := shardsFor[string](processors); n != want {
			t.Errorf("%d for %d processors", n, processors)
		}
	}
	if n := shardsFor[struct{}](8); n != 1 {
		t.Errorf("%d for one key", n)
	}
	if hot := unsafe.Offsetof(shard[string, int]{}.spare) + 8; unsafe.Sizeof(shard[string, int]{}) < hot+cacheLine {
		t.Error("two shards in one cache line")
	}
}
