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

func TestTicketsMayOutliveTheCache(t *testing.T) {
	vs := newValues()
	config, _ := manual().filled()
	tb, err := newTable(&config)
	if err != nil {
		t.Fatal(err)
	}
	tb.setTicket("key", vs.add(1), byDefault)
	tb.setTicket("other", vs.add(2), byDefault)
	held, err := tb.find("key")
	if err != nil || held.id() == 0 {
		t.Fatal(err)
	}
	gone := make(chan struct{})
	runtime.AddCleanup(vs, func(struct{}) { close(gone) }, struct{}{})
	tb.clear()
	tb.flush()
	vs.sweep()
	if n := vs.len(); n != 1 {
		t.Errorf("%d values while one is held", n)
	}
	vs = nil
	collect(t, "the values", func() bool {
		select {
		case <-gone:
			return true
		default:
			return false
		}
	})
	held.release() // under valgrind or a sanitizer this would show
	runtime.KeepAlive(tb)
}

// Values have their places to themselves, and each is found until its ticket is dropped.
func TestPlacesAreUsedAgain(t *testing.T) {
	c := newCache(t, manual())
	keys := keysOf(3000)
	for range 5 {
		ids := map[uint64]string{}
		for _, key := range keys {
			k := c.values.add(key)
			ids[uint64(k.c.id)] = key
			c.table.setTicket(key, k, byDefault)
		}
		for id, key := range ids {
			if v, ok := c.values.get(id); v != key || !ok {
				t.Fatalf("%#x: %v", id, v)
			}
		}
		if n := c.values.len(); len(ids) != len(keys) || n != len(keys) {
			t.Fatalf("%d ids, %d values", len(ids), n)
		}
		c.DeleteAll()
		for id := range ids {
			if v, ok := c.values.get(id); ok {
				t.Fatalf("%#x: %v", id, v)
			}
		}
	}
	places := 0
	for i := range c.values.stripes {
		places += int(c.values.stripes[i].used)
	}
	if places > 2*len(keys) {
		t.Errorf("%d places for %d values", places, len(keys))
	}
}

// What goroutines have added that are gone is let go when others add.
func TestAddsLetGoOfWhatOthersAdded(t *testing.T) {
	c := newCache(t, manual())
	ids := make([]uint64, 100)
	for i := range ids {
		within(t, async(func() {
			k := c.values.add(i)
			ids[i] = uint64(k.c.id)
			c.table.setTicket("key", k, byDefault)
		}), "an add")
	}
	c.table.remove("key")
	c.table.flush()
	for range stripes {
		c.Set("other", nil)
	}
	for _, id := range ids {
		if _, ok := c.values.get(id); ok {
			t.Errorf("%#x is still there", id)
		}
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
