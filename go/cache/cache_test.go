package cache

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"time"

	"docache"
)

func TestAnyValueComesBackAsItWas(t *testing.T) {
	c := newCache(t, nil)
	p, f := new(int), func() {}
	for i, v := range []any{nil, 1, "text", 1.5, p, []int{1}, map[string]int{"a": 1}, f, struct{}{}, errTest, [3]any{1, nil, p}} {
		key := strconv.Itoa(i)
		c.Set(key, v)
		got, err := c.Get(key)
		if err != nil || fmt.Sprintf("%T %v", got, got) != fmt.Sprintf("%T %v", v, v) {
			t.Errorf("%v, not %v: %v", got, v, err)
		}
	}
	if got, _ := c.Get("4"); got != any(p) {
		t.Error("another pointer")
	}
}

func TestKeysAreComparedAsBytes(t *testing.T) {
	c := newCache(t, nil)
	keys := []string{"", "a", "a\x00", "\x00a", "ab", string(make([]byte, 5000)), "\xff\xfe"}
	for i, key := range keys {
		c.Set(key, i)
	}
	for i, key := range keys {
		if v, err := c.Get(key); v != i || err != nil {
			t.Errorf("%.10q: %v, %v", key, v, err)
		}
	}
	if n := c.Len(); n != len(keys) {
		t.Error(n)
	}
}

func TestLongListsAreWhole(t *testing.T) {
	for _, n := range []int{0, 1, batch - 1, batch, batch + 1, 5*batch + 7} {
		c := newCache(t, nil)
		list, keys := map[string]any{}, keysOf(n)
		for i, key := range keys {
			list[key] = i
		}
		c.SetList(list)
		got := c.GetList(append([]string{"missing"}, keys...))
		if len(got) != n || c.Len() != n {
			t.Errorf("%d of %d, len %d", len(got), n, c.Len())
		}
		for i, v := range got {
			if v != i {
				t.Fatalf("%v at %d", v, i)
			}
		}
		c.DeleteList(keys[n/2:])
		if c.Len() != n/2 {
			t.Errorf("%d left of %d", c.Len(), n)
		}
	}
}

// gone waits until what was set for so long has expired for everybody. Times to live are counted
// from the same clock.
func gone(t *testing.T, ttl time.Duration) {
	witness := newCache(t, manual())
	witness.SetEx("key", ttl, 1)
	eventually(t, "expiry", func() bool { _, err := witness.Get("key"); return err == ErrNotFound })
}

func TestValuesExpire(t *testing.T) {
	const short = time.Millisecond
	for name, keep := range map[string]func(c *Cache){
		"by default": func(c *Cache) { c.Set("key", 1) },
		"in a list":  func(c *Cache) { c.SetList(map[string]any{"key": 1}) },
		"SetEx":      func(c *Cache) { c.SetEx("key", short, 1) },
		"Fetch":      func(c *Cache) { c.Fetch("key", func(string) (any, error) { return 1, nil }) },
		"FetchEx":    func(c *Cache) { c.FetchEx("key", short, func(string) (any, error) { return 1, nil }) },
	} {
		c := newCache(t, &Config{DefaultTTL: short, CleanupInterval: rarely})
		c.SetEx("stays", NoTTL, 2)
		keep(c)
		gone(t, short)
		if v, err := c.Get("key"); v != nil || err != ErrNotFound {
			t.Error(name, v, err)
		}
		if n := c.Len(); n != 2 {
			t.Errorf("%s: %d entries before the cleanup", name, n)
		}
		c.DeleteExpired()
		if v, err := c.Get("stays"); v != 2 || err != nil || c.Len() != 1 {
			t.Error(name, v, err, c.Len())
		}
		if n := c.values.len(); n != 1 {
			t.Errorf("%s: %d values", name, n)
		}
		if s := c.Stats(); s.Expired != 1 {
			t.Errorf("%s: %+v", name, s)
		}
	}
}

// Those with NoCleanup, and those that ask for it.
func TestExpiredValuesStayUntilTheCleanup(t *testing.T) {
	for _, config := range []Config{
		{CleanupInterval: NoCleanup},
		{CleanupInterval: NoCleanup, ExpireOnCleanupOnly: true},
		{CleanupInterval: rarely, ExpireOnCleanupOnly: true},
	} {
		config.DefaultTTL = time.Microsecond
		c := newCache(t, &config)
		again := func(string) (any, error) { t.Error("loaded again"); return nil, nil }
		c.Set("a", "a")
		c.SetEx("b", 0, "b")
		c.SetEx("c", -2, "c")
		c.SetList(map[string]any{"d": "d"})
		c.Fetch("e", func(string) (any, error) { return "e", nil })
		c.FetchEx("f", -7, func(string) (any, error) { return "f", nil })
		gone(t, time.Microsecond)
		for _, key := range []string{"a", "b", "c", "d", "e", "f"} {
			if v, err := c.Get(key); v != key || err != nil {
				t.Error(key, v, err)
			}
			if v, err := c.Fetch(key, again); v != key || err != nil {
				t.Error(key, v, err)
			}
		}
		if got := c.GetList([]string{"a", "b", "f"}); fmt.Sprint(got) != "[a b f]" {
			t.Error(got)
		}
		c.SetEx("stays", NoTTL, "stays")
		c.Delete("b")
		if _, err := c.Get("b"); err != ErrNotFound {
			t.Error("deleted:", err)
		}
		c.DeleteExpired()
		if _, err := c.Get("a"); err != ErrNotFound || c.Len() != 1 {
			t.Error("cleaned up:", err, c.Len())
		}
	}
	// The library reads the clock for what is deleted at once after it was set.
	c := newCache(t, &Config{CleanupInterval: NoCleanup})
	for range 100 {
		c.SetEx("key", 0, 1)
		if v, err := c.Get("key"); v != 1 || err != nil {
			t.Fatal(v, err)
		}
		if c.DeleteExpired(); c.Len() != 0 {
			t.Fatal("still there")
		}
	}
}

func TestATimeThatIsOverKeepsNothing(t *testing.T) {
	c := newCache(t, manual())
	for _, ttl := range []time.Duration{0, -2, math.MinInt64} {
		c.Set("key", 1)
		c.SetEx("key", ttl, 2)
		if v, err := c.Get("key"); v != nil || err != ErrNotFound || c.Len() != 0 {
			t.Error(ttl, v, err)
		}
		v, err := c.FetchEx("key", ttl, func(string) (any, error) { return 3, nil })
		if v != 3 || err != nil {
			t.Error(ttl, v, err)
		}
		gone(t, 1)
		if v, err := c.Get("key"); v != nil || err != ErrNotFound {
			t.Error(ttl, v, err)
		}
	}
}

func TestTheCleanupRunsByItself(t *testing.T) {
	for _, interval := range []time.Duration{1, time.Millisecond} {
		c := newCache(t, &Config{DefaultTTL: time.Millisecond, CleanupInterval: interval})
		for range 3 {
			c.Set("key", 1)
			eventually(t, "the cleanup", func() bool { return c.Len() == 0 && c.values.len() == 0 })
		}
	}
}

func TestAFullCacheLetsGo(t *testing.T) {
	for _, policy := range []Policy{Adaptive, LRU} {
		c := newCache(t, &Config{Capacity: 100, Policy: policy})
		for i, key := range keysOf(10_000) {
			c.Set(key, i)
		}
		if n := c.Len(); n > 100 || n < 50 {
			t.Errorf("%d entries", n)
		}
		if s := c.Stats(); s.Evicted+uint64(s.Len) != 10_000 {
			t.Errorf("%+v", s)
		}
		c.DeleteAll()
		if n := c.values.len(); n != 0 {
			t.Errorf("%d values", n)
		}
	}
}

func TestConfigsAreChecked(t *testing.T) {
	nan := math.NaN()
	for name, config := range map[string]Config{
		"DefaultTTL":      {DefaultTTL: -2},
		"CleanupInterval": {CleanupInterval: -10},
		"Capacity":        {Capacity: -1},
		"MaxBytes":        {MaxBytes: -1},
		"Policy":          {Policy: 7},
		"TTLJitter":       {TTLJitter: nan},
	} {
		var argument *docache.ArgumentError
		_, err := NewTyped[string, string](&config)
		if !errors.As(err, &argument) || argument.Name != name {
			t.Errorf("%s: %v", name, err)
		}
		func() {
			defer func() {
				if p := recover(); fmt.Sprint(p) != err.Error() {
					t.Errorf("%s: %v", name, p)
				}
			}()
			NewCache(&config)
			t.Errorf("%s was taken", name)
		}()
	}
	for _, config := range []Config{{Capacity: 1, MaxBytes: 1}, {Policy: LRU}, {TTLJitter: 1.1}, {CleanupInterval: -2}} {
		if _, err := config.filled(); err == nil {
			t.Errorf("%+v was taken", config)
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("MaxBytes was taken for Go values")
		}
	}()
	NewCache(&Config{MaxBytes: 1})
}

func TestAConfigIsReadOnce(t *testing.T) {
	config := NewConfig()
	if config.DefaultTTL != 15*time.Minute || config.CleanupInterval != 20*time.Minute {
		t.Errorf("%+v", config)
	}
	c := newCache(t, config)
	config.DefaultTTL = 1
	c.Set("key", 1)
	gone(t, 1)
	if v, err := c.Get("key"); v != 1 || err != nil {
		t.Error(v, err)
	}
}

func TestAClosedCacheKeepsNothing(t *testing.T) {
	c := NewCache(nil)
	c.Set("key", 1)
	for range 2 {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
	c.Set("key", 2)
	c.SetEx("key", time.Hour, 2)
	c.SetList(map[string]any{"key": 2})
	c.DeleteExpired()
	c.DeleteAll()
	c.Delete("key")
	c.DeleteList([]string{"key"})
	if v, err := c.Get("key"); v != nil || err != ErrClosed {
		t.Error(v, err)
	}
	if v, err := c.Fetch("key", func(string) (any, error) { t.Error("ran"); return 3, nil }); v != nil || err != ErrClosed {
		t.Error(v, err)
	}
	if l := c.GetList([]string{"key"}); len(l) != 0 || c.Len() != 0 || c.values.len() != 0 {
		t.Error(l, c.Len(), c.values.len())
	}
}

func TestLoadsOutliveTheCache(t *testing.T) {
	both(t, func(t *testing.T, c fetcher) {
		for _, o := range crowd(t, c, 5, func() (string, error) { return "value", nil }, c.close) {
			if o.v != "value" || o.err != nil {
				t.Error(o)
			}
		}
		if _, err := c.get("key"); err != ErrClosed || c.len() != 0 {
			t.Error(err, c.len())
		}
	})
}

// Every method at once, and Close among them. What is read is what was set for that key.
func TestEverythingAtOnce(t *testing.T) {
	for _, config := range []*Config{
		{CleanupInterval: time.Millisecond},
		{CleanupInterval: time.Millisecond, DefaultTTL: 100 * time.Microsecond, Capacity: 16, TTLJitter: 0.5, CountReads: true},
	} {
		c := NewCache(config)
		keys := keysOf(64)
		check := func(key string, v any, err error) {
			if err != nil && err != ErrNotFound && err != ErrClosed || (err == nil) != (v == any(key)) {
				t.Errorf("%q: %v, %v", key, v, err)
			}
		}
		var wg sync.WaitGroup
		for range 8 {
			wg.Add(1)
			go func() {
				defer wg.Done()
				for range 3000 {
					key := keys[rand.IntN(len(keys))]
					switch rand.IntN(11) {
					case 0:
						c.Set(key, key)
					case 1:
						c.SetEx(key, NoTTL, key)
					case 2:
						c.SetList(map[string]any{key: key, keys[0]: keys[0]})
					case 3:
						c.Delete(key)
					case 4:
						c.DeleteList(keys[:3])
					case 5:
						v, err := c.FetchEx(key, time.Millisecond, func(key string) (any, error) { return key, nil })
						check(key, v, err)
					case 6:
						for _, v := range c.GetList([]string{key}) {
							check(key, v, nil)
						}
					case 7:
						c.Stats()
						c.DeleteExpired()
					default:
						v, err := c.Get(key)
						check(key, v, err)
					}
				}
				c.DeleteAll()
			}()
		}
		wg.Wait()
		eventually(t, "no values", func() bool { c.DeleteAll(); return c.values.len() == 0 })
		for range 4 {
			wg.Add(2)
			go func() { defer wg.Done(); c.Close() }()
			go func() {
				defer wg.Done()
				for _, key := range keys {
					c.Set(key, key)
					v, err := c.Fetch(key, func(key string) (any, error) { return key, nil })
					check(key, v, err)
				}
			}()
		}
		wg.Wait()
		if n := c.Len(); n != 0 {
			t.Errorf("%d entries in a closed cache", n)
		}
	}
}
