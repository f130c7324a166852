package memory

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"docache"
	"docache/echocache"
)

var ctx = context.Background()

func want[T comparable](t *testing.T, c echocache.Cacher[T], key string, value T, there bool) {
	t.Helper()
	if v, ok, err := c.Get(ctx, key); v != value || ok != there || err != nil {
		t.Errorf("%q: %v, %v, %v instead of %v, %v", key, v, ok, err, value, there)
	}
}

func set[T any](t *testing.T, c echocache.Cacher[T], key string, value T) {
	t.Helper()
	if err := c.Set(ctx, key, value); err != nil {
		t.Error(key, err)
	}
}

func TestTheThirdKeyEvictsTheOldest(t *testing.T) {
	for name, c := range map[string]echocache.Cacher[string]{
		"plain":       NewLRUCache[string](2),
		"expirable":   NewLRUExpirableCache[string](2, time.Hour),
		"no time set": NewLRUExpirableCache[string](2, 0),
	} {
		t.Run(name, func(t *testing.T) {
			want(t, c, "a", "", false)
			set(t, c, "a", "1")
			set(t, c, "b", "2")
			set(t, c, "c", "3")
			want(t, c, "a", "", false)
			want(t, c, "b", "2", true)
			want(t, c, "c", "3", true)
			want(t, c, "b", "2", true) // used last
			set(t, c, "", "4")
			want(t, c, "c", "", false)
			want(t, c, "b", "2", true)
			want(t, c, "", "4", true)
		})
	}
}

// What the cache has is at each step what a list in the order of use has.
func TestTheOrderIsThatOfUse(t *testing.T) {
	for _, size := range []int{1, 2, 3, 7, 64, 1000} {
		c, order := NewLRUCache[int](size), list.New()
		at := map[string]*list.Element{}
		random := rand.New(rand.NewPCG(1, uint64(size)))
		for step := range 20_000 {
			key := fmt.Sprint(random.IntN(2*size + 1))
			e := at[key]
			if random.IntN(2) == 0 {
				v, ok, err := c.Get(ctx, key)
				if err != nil || ok != (e != nil) || ok && v != e.Value.([2]any)[1] {
					t.Fatalf("size %d, step %d, %s: %v, %v, %v", size, step, key, v, ok, err)
				}
				if e != nil {
					order.MoveToFront(e)
				}
				continue
			}
			set(t, c, key, step)
			if e != nil {
				order.Remove(e)
			} else if order.Len() == size {
				delete(at, order.Remove(order.Back()).([2]any)[0].(string))
			}
			at[key] = order.PushFront([2]any{key, step})
		}
	}
}

func TestValuesStayWhatTheyAre(t *testing.T) {
	pointer := new(int)
	c := NewLRUCache[*int](1)
	set(t, c, "k", pointer)
	want(t, c, "k", pointer, true)
	s := NewSingleCache[*int](time.Hour)
	set(t, s, "k", pointer)
	want(t, s, "k", pointer, true)
	set(t, s, "k", nil)
	want(t, s, "k", nil, true)
	e := NewLRUCache[error](1)
	set(t, e, "k", nil)
	want(t, e, "k", nil, true)
	f := NewLRUExpirableCache[func() int](1, time.Hour)
	set(t, f, "k", func() int { return 7 })
	if v, ok, err := f.Get(ctx, "k"); !ok || err != nil || v() != 7 {
		t.Error(ok, err)
	}
}

func TestValuesExpire(t *testing.T) {
	for name, c := range map[string]echocache.Cacher[int]{
		"expirable": NewLRUExpirableCache[int](10, 300*time.Millisecond),
		"unlimited": NewLRUExpirableCache[int](0, 300*time.Millisecond),
		"single":    NewSingleCache[int](300 * time.Millisecond),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			begun := time.Now()
			set(t, c, "k", 1)
			v, ok, err := c.Get(ctx, "k")
			if time.Since(begun) < 300*time.Millisecond && (v != 1 || !ok || err != nil) {
				t.Error(v, ok, err)
			}
			time.Sleep(time.Until(begun.Add(400 * time.Millisecond)))
			want(t, c, "k", 0, false)
			set(t, c, "k", 2)
			if v, ok, _ := c.Get(ctx, "k"); ok && v != 2 {
				t.Error(v)
			}
		})
	}
}

func TestTheSingleCacheIgnoresTheKey(t *testing.T) {
	c := NewSingleCache[int](echocache.NeverExpire)
	want(t, c, "a", 0, false)
	set(t, c, "a", 1)
	want(t, c, "b", 1, true)
	set(t, c, "c", 2)
	want(t, c, "a", 2, true)
	never := NewSingleCache[int](0)
	set(t, never, "a", 1)
	want(t, never, "a", 0, false)
}

func TestASizeMustBeGiven(t *testing.T) {
	for _, size := range []int{0, -1} {
		func() {
			defer func() {
				var e *docache.ArgumentError
				if err, _ := recover().(error); !errors.As(err, &e) || e.Name != "size" {
					t.Error(size, err)
				}
			}()
			NewLRUCache[int](size)
		}()
	}
	c := NewLRUExpirableCache[int](-1, -1)
	for i := range 100 {
		set(t, c, fmt.Sprint(i), i)
	}
	want(t, c, "0", 0, true)
}

func TestLazyStoresAreWhatTheOthersAre(t *testing.T) {
	for name, c := range map[string]echocache.StaleWhileRevalidateCache[int]{
		"lru":      NewStaleWhileRevalidateLRUCache[int](2),
		"expiring": NewStaleWhileRevalidateExpiringLRUCache[int](2, time.Hour),
		"single":   NewStaleWhileRevalidateSingleCache[int](time.Hour),
	} {
		t.Run(name, func(t *testing.T) {
			v := echocache.StaleValue[int]{Value: 7, CreatedAt: time.Now()}
			set(t, c, "a", v)
			want(t, c, "a", v, true)
			for _, token := range []string{"x", "y"} { // held by both
				if ok, err := c.TryAcquireRefreshLock(ctx, "a", token, time.Minute); !ok || err != nil {
					t.Error(ok, err)
				}
			}
			if err := c.ReleaseRefreshLock(ctx, "a", "z"); err != nil {
				t.Error(err)
			}
		})
	}
}

// What has expired goes before what is alive, and without being asked for.
func TestWhatHasExpiredGoesFirst(t *testing.T) {
	c := newLRU[int](2, time.Hour)
	set(t, c, "old", 1)
	c.base = c.base.Add(-time.Minute)
	set(t, c, "new", 2)
	want(t, c, "old", 1, true) // used last
	c.base = c.base.Add(-59*time.Minute - time.Second)
	set(t, c, "newest", 3)
	want(t, c, "new", 2, true)
	want(t, c, "old", 0, false)
	c.base = c.base.Add(-2 * time.Hour)
	set(t, c, "last", 4)
	if len(c.entries) != 1 {
		t.Error(len(c.entries), "entries")
	}
}

func TestASteadyCacheAllocatesNothing(t *testing.T) {
	c := newLRU[int](2, time.Hour)
	keys := []string{"a", "b", "c"}
	i := 0
	n := testing.AllocsPerRun(1000, func() {
		i++
		_ = c.Set(ctx, keys[i%3], i)
		_, _, _ = c.Get(ctx, keys[i%3])
	})
	if n != 0 {
		t.Error(n)
	}
}

func BenchmarkLRUHit(b *testing.B) {
	c := NewLRUCache[int](1000)
	_ = c.Set(ctx, "key", 1)
	b.ReportAllocs()
	for b.Loop() {
		if _, ok, _ := c.Get(ctx, "key"); !ok {
			b.Fatal("gone")
		}
	}
}

// With a time to live too, what the cache has is what a model has.
func TestTheOrderIsThatOfUseAndOfTime(t *testing.T) {
	type entry struct{ value, age int } // in minutes
	for _, size := range []int{0, 1, 2, 5} {
		c := newLRU[int](size, time.Hour)
		model, uses := map[string]*entry{}, []string{} // the last is the most recently used
		forget := func(key string) {
			delete(model, key)
			uses = slices.DeleteFunc(uses, func(k string) bool { return k == key })
		}
		use := func(key string) {
			uses = append(slices.DeleteFunc(uses, func(k string) bool { return k == key }), key)
		}
		random := rand.New(rand.NewPCG(2, uint64(size)))
		for step := range 20_000 {
			key := fmt.Sprint(random.IntN(8))
			switch random.IntN(4) {
			case 0:
				minutes := random.IntN(20)
				c.base = c.base.Add(-time.Duration(minutes) * time.Minute)
				for _, e := range model {
					e.age += minutes
				}
			case 1:
				v, ok, _ := c.Get(ctx, key)
				e := model[key]
				alive := e != nil && e.age < 60
				if ok != alive || ok && v != e.value {
					t.Fatalf("size %d, step %d, %s: %v, %v", size, step, key, v, ok)
				}
				if alive {
					use(key)
				} else {
					forget(key)
				}
			default:
				set(t, c, key, step)
				for k, e := range model {
					if e.age >= 60 {
						forget(k)
					}
				}
				if model[key] == nil && size > 0 && len(model) == size {
					forget(uses[0])
				}
				model[key] = &entry{value: step}
				use(key)
			}
			if len(c.entries) != len(model) {
				t.Fatalf("size %d, step %d: %d entries instead of %d", size, step, len(c.entries), len(model))
			}
		}
	}
}
