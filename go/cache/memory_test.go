package cache

import (
	"runtime"
	"testing"
	"weak"
)

// big is a value that is worth noticing when it stays.
type big struct{ bytes [1 << 16]byte }

func TestValuesThatLeaveAreNotKept(t *testing.T) {
	c := newCache(t, manual())
	for name, leave := range map[string]func(){
		"Set":        func() { c.Set("key", nil); c.DeleteExpired() },
		"Delete":     func() { c.Delete("key"); c.DeleteExpired() },
		"DeleteList": func() { c.DeleteList([]string{"key"}); c.DeleteExpired() },
		"DeleteAll":  func() { c.DeleteAll() },
		"Close":      func() { c.Close() },
	} {
		c = newCache(t, manual())
		v := new(big)
		left := weak.Make(v)
		c.Set("key", v)
		v = nil
		runtime.GC()
		if left.Value() == nil {
			t.Error(name, "the value did not stay")
		}
		leave()
		collect(t, name, func() bool { return left.Value() == nil })
		runtime.KeepAlive(c)
	}
}

func TestValuesAndErrorsOfLoadsAreNotKept(t *testing.T) {
	both(t, func(t *testing.T, c fetcher) {
		type failure struct {
			error
			big
		}
		f := &failure{error: errTest}
		left := weak.Make(f)
		crowd(t, c, 5, func() (string, error) { return "", f }, nothing)
		f = nil
		collect(t, "the error", func() bool { return left.Value() == nil })
		crowd(t, c, 5, func() (string, error) { return "value", nil }, nothing)
		c.clear()
		if a, ok := c.(anyFetcher); ok && a.c.values.len() != 0 {
			t.Errorf("%d values", a.c.values.len())
		}
	})
}

func TestForgottenCachesAreFreed(t *testing.T) {
	var left []weak.Pointer[big]
	var tables []weak.Pointer[table]
	for range 20 {
		v := new(big)
		left = append(left, weak.Make(v))
		c := NewCache(nil)
		c.Set("key", v)
		c.Fetch("other", func(string) (any, error) { return v, nil })
		typed, err := NewTyped[string, string](nil)
		if err != nil {
			t.Fatal(err)
		}
		typed.Set("key", "value")
		tables = append(tables, weak.Make(c.table), weak.Make(typed.table))
	}
	collect(t, "caches", func() bool {
		for _, v := range left {
			if v.Value() != nil {
				return false
			}
		}
		for _, t := range tables {
			if t.Value() != nil {
				return false
			}
		}
		return true
	})
	collect(t, "seats", func() bool { return places.Len() == 0 })
}

func TestDropsMayComeAfterTheCache(t *testing.T) {
	vs := newValues()
	d, err := newDrops()
	if err != nil {
		t.Fatal(err)
	}
	config, _ := manual().filled()
	tb, err := newTable(&config)
	if err != nil {
		t.Fatal(err)
	}
	tb.setID("key", vs.add(1), byDefault, d, nil)
	held, err := tb.find("key")
	if err != nil || held.id() == 0 {
		t.Fatal(err)
	}
	gone := make(chan struct{})
	runtime.AddCleanup(d, func(struct{}) { close(gone) }, struct{}{})
	tb.clear()
	tb.flush()
	if d.Any() {
		t.Error("dropped while it was held")
	}
	d = nil
	collect(t, "the drops", func() bool {
		select {
		case <-gone:
			return true
		default:
			return false
		}
	})
	held.release() // under valgrind or a sanitizer this would show
	if vs.len() != 1 {
		t.Error("removed by nobody")
	}
	runtime.KeepAlive(tb)
}

func TestManyDropsComeInTheirTime(t *testing.T) {
	c := newCache(t, manual())
	keys := keysOf(1000)
	for _, key := range keys {
		c.table.setID(key, c.values.add(key), byDefault, c.drops, nil)
	}
	c.table.clear()
	c.table.flush()
	var ids [7]uint64
	seen := map[uint64]bool{}
	for c.drops.Any() {
		for _, id := range ids[:c.drops.Take(ids[:])] {
			if _, ok := c.values.get(id); !ok || seen[id] {
				t.Fatalf("%#x", id)
			}
			seen[id] = true
		}
		c.values.remove(ids[:0])
	}
	if len(seen) != len(keys) {
		t.Errorf("%d of %d", len(seen), len(keys))
	}
}

func TestReadsAllocateNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("under the race detector a sync.Pool forgets at random")
	}
	c := newCache(t, manual())
	texts := typed[string, string](t, manual())
	numbers := typed[[]byte, [4]int](t, manual())
	c.Set("key", c)
	if texts.Set("key", "value") != nil || numbers.Set([]byte("key"), [4]int{1}) != nil {
		t.Fatal("not set")
	}
	key, buf := []byte("key"), make([]byte, 0, 64)
	never := func(string) (any, error) { return nil, nil }
	for name, read := range map[string]func(){
		"Cache.Get":      func() { c.Get("key") },
		"Cache.Fetch":    func() { c.Fetch("key", never) },
		"Typed.AppendTo": func() { texts.AppendTo(buf, "key") },
		"Typed.Get":      func() { numbers.Get(key) },
		"Typed.Has":      func() { numbers.Has(key) },
		"Typed.Set":      func() { numbers.Set(key, [4]int{2}) },
		"a miss":         func() { texts.Get("none") },
	} {
		if n := testing.AllocsPerRun(1000, read); n > 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
