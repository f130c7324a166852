package cache

import (
	"context"
	"math/rand/v2"
	"strconv"
	"testing"
)

// One goroutine does at random what can be done, and a map says what must come of it.
func TestACacheIsAMapThatLoads(t *testing.T) {
	both(t, func(t *testing.T, c fetcher) {
		keys := append(keysOf(20), "")
		model := map[string]string{}
		for i := range 20_000 {
			key, value := keys[rand.IntN(len(keys))], strconv.Itoa(i)
			want, there := model[key]
			switch n := rand.IntN(100); {
			case n < 25:
				c.set(key, value)
				model[key] = value
			case n < 40:
				c.remove(key)
				delete(model, key)
			case n == 40:
				c.clear()
				clear(model)
			case n < 70:
				failure := error(nil)
				if n < 50 {
					failure = errTest
				}
				v, err := c.fetch(context.Background(), key, func() (string, error) {
					if there {
						t.Fatalf("%d: %q is loaded, though it is there", i, key)
					}
					return value, failure
				})
				if there && (v != want || err != nil) || !there && (err != failure || (v == value) != (err == nil)) {
					t.Fatalf("%d: Fetch %q: %q, %v; not %q, %v", i, key, v, err, want, there)
				}
				if !there && failure == nil {
					model[key] = value
				}
			default:
				if v, err := c.get(key); v != want || (err == nil) != there {
					t.Fatalf("%d: Get %q: %q, %v; not %q, %v", i, key, v, err, want, there)
				}
			}
			if n := c.len(); n != len(model) {
				t.Fatalf("%d: %d entries, not %d", i, n, len(model))
			}
		}
		if a, ok := c.(anyFetcher); ok {
			a.c.DeleteExpired()
			if n := a.c.values.len(); n != len(model) {
				t.Errorf("%d values for %d entries", n, len(model))
			}
		}
	})
}
