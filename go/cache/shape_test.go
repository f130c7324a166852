package cache_test

import (
	"errors"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	lockotron "docache/cache"
	"docache/internal/testkit"
	"docache/internal/testkit/loops"
)

// besides runs many loops beside the tests, from the first that asks on.
var besides = sync.OnceFunc(func() { loops.Run(50) })

// A program in the shape of github.com/sdzyba/lockotron, with nothing changed but the import path:
// that it compiles is the first half of the test.

type user struct{ name string }

type directory struct {
	users *lockotron.Cache
	load  func(name string) (interface{}, error)
}

func newDirectory() *directory {
	config := lockotron.NewConfig()
	config.DefaultTTL = 1 * time.Hour
	config.CleanupInterval = 30 * time.Minute
	d := &directory{users: lockotron.NewCache(config)}
	d.load = func(name string) (interface{}, error) {
		if name == "" {
			return nil, errors.New("no name")
		}
		return &user{name}, nil
	}
	return d
}

func (d *directory) find(name string) (*user, error) {
	v, err := d.users.Fetch(name, d.load)
	if err != nil {
		return nil, err
	}
	return v.(*user), nil
}

func TestProgramsInTheShapeOfLockotron(t *testing.T) {
	besides()
	d := newDirectory()
	var wg sync.WaitGroup
	for range 10 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			if u, err := d.find("ann"); err != nil || u.name != "ann" {
				t.Error(u, err)
			}
			if u, err := d.find(""); err == nil || u != nil {
				t.Error(u, err)
			}
		}()
	}
	wg.Wait()
	ann, _ := d.find("ann")
	if again, err := d.users.Get("ann"); err != nil || again.(*user) != ann {
		t.Error("not the same pointer")
	}
	if v, err := d.users.Get("bob"); v != nil || err != lockotron.ErrNotFound || !lockotron.IsNotFoundErr(err) {
		t.Error(v, err)
	}
	d.users.Set("bob", &user{"bob"})
	d.users.SetEx("cy", lockotron.NoTTL, &user{"cy"})
	d.users.SetList(map[string]interface{}{"dee": &user{"dee"}, "eve": &user{"eve"}})
	if _, err := d.users.FetchEx("fay", time.Minute, d.load); err != nil {
		t.Error(err)
	}
	d.users.Delete("bob")
	d.users.DeleteList([]string{"dee", "nobody"})
	var names []string
	for _, v := range d.users.GetList([]string{"ann", "bob", "cy", "dee", "eve", "fay"}) {
		names = append(names, v.(*user).name)
	}
	if got := strings.Join(names, " "); got != "ann cy eve fay" {
		t.Error(got)
	}
	d.users.DeleteExpired()
	d.users.DeleteAll()
	if left := d.users.GetList([]string{"ann", "cy"}); left == nil || len(left) != 0 {
		t.Error(left)
	}
	if err := d.users.Close(); err != nil {
		t.Error(err)
	}
	none := lockotron.NewCache(&lockotron.Config{DefaultTTL: lockotron.NoTTL, CleanupInterval: lockotron.NoCleanup})
	none.Set("nil", nil)
	if v, err := none.Get("nil"); v != nil || err != nil {
		t.Error(v, err)
	}
}

func uncleaned(ttl time.Duration) *lockotron.Cache {
	config := lockotron.NewConfig()
	config.DefaultTTL = ttl
	config.CleanupInterval = lockotron.NoCleanup
	return lockotron.NewCache(config)
}

func missing(t *testing.T, cache *lockotron.Cache, keys ...string) {
	t.Helper()
	for _, key := range keys {
		if v, err := cache.Get(key); v != nil || err != lockotron.ErrNotFound {
			t.Errorf("%s: %v, %v", key, v, err)
		}
	}
}

func present(t *testing.T, cache *lockotron.Cache, values map[string]interface{}) {
	t.Helper()
	for key, value := range values {
		if v, err := cache.Get(key); !reflect.DeepEqual(v, value) || err != nil {
			t.Errorf("%s: %v, %v", key, v, err)
		}
	}
}

func TestShapeConfig(t *testing.T) {
	besides()
	config := lockotron.NewConfig()
	if config.DefaultTTL != 15*time.Minute || config.CleanupInterval <= 0 {
		t.Errorf("%+v", config)
	}
	if lockotron.NoTTL != -1 || lockotron.NoCleanup != -1 {
		t.Error(lockotron.NoTTL, lockotron.NoCleanup)
	}
	for _, err := range []error{nil, errors.New("cached value not found")} {
		if lockotron.IsNotFoundErr(err) {
			t.Error(err)
		}
	}
	for _, config := range []*lockotron.Config{config, {DefaultTTL: time.Nanosecond, CleanupInterval: time.Nanosecond}} {
		cache := lockotron.NewCache(config)
		for range 2 {
			if err := cache.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestShapeSetAndDelete(t *testing.T) {
	besides()
	cache := lockotron.NewCache(lockotron.NewConfig())
	defer cache.Close()
	missing(t, cache, "a", "")
	cache.Set("a", 1)
	cache.Set("", "no key")
	cache.Set("nil", nil)
	cache.SetList(map[string]interface{}{"list": []int{1, 2}, "map": map[string]int{"a": 1}, "text": "text"})
	cache.SetList(nil)
	present(t, cache, map[string]interface{}{
		"a": 1, "": "no key", "nil": nil, "list": []int{1, 2}, "map": map[string]int{"a": 1}, "text": "text",
	})
	cache.Set("a", "another type")
	cache.SetList(map[string]interface{}{"text": 2})
	present(t, cache, map[string]interface{}{"a": "another type", "text": 2})
	got := cache.GetList([]string{"text", "none", "a", "text"})
	if !reflect.DeepEqual(got, []interface{}{2, "another type", 2}) {
		t.Error(got)
	}
	for _, keys := range [][]string{nil, {}, {"none", "neither"}} {
		if got := cache.GetList(keys); got == nil || len(got) != 0 {
			t.Error(got)
		}
	}
	cache.Delete("a")
	cache.Delete("none")
	cache.DeleteList([]string{"list", "none", "map"})
	cache.DeleteList(nil)
	missing(t, cache, "a", "list", "map")
	present(t, cache, map[string]interface{}{"text": 2, "nil": nil})
	cache.DeleteAll()
	missing(t, cache, "text", "nil", "")
	cache.DeleteAll()
	cache.Set("a", 3)
	present(t, cache, map[string]interface{}{"a": 3})
}

func TestShapeExpiredValuesStayWithNoCleanup(t *testing.T) {
	besides()
	cache := uncleaned(time.Nanosecond)
	cache.Set("set", 1)
	cache.SetList(map[string]interface{}{"list": 2})
	if v, err := cache.Fetch("fetch", func(string) (interface{}, error) { return 3, nil }); v != 3 || err != nil {
		t.Error(v, err)
	}
	cache.SetEx("short", time.Millisecond, 4)
	cache.SetEx("zero", 0, 5)
	cache.SetEx("long", time.Hour, 6)
	cache.SetEx("ever", lockotron.NoTTL, 7)
	time.Sleep(10 * time.Millisecond)
	present(t, cache, map[string]interface{}{"set": 1, "list": 2, "fetch": 3, "short": 4, "zero": 5, "long": 6, "ever": 7})
	if v, err := cache.Fetch("set", func(string) (interface{}, error) { return "again", nil }); v != 1 || err != nil {
		t.Error(v, err)
	}
	if got := cache.GetList([]string{"set", "list"}); len(got) != 2 {
		t.Error(got)
	}
	cache.Delete("list")
	missing(t, cache, "list")
	cache.DeleteExpired()
	missing(t, cache, "set", "fetch", "short", "zero")
	present(t, cache, map[string]interface{}{"long": 6, "ever": 7})
	if v, err := cache.Fetch("set", func(string) (interface{}, error) { return "again", nil }); v != "again" || err != nil {
		t.Error(v, err)
	}
}

func TestShapeCleanup(t *testing.T) {
	besides()
	config := lockotron.NewConfig()
	config.DefaultTTL = 5 * time.Millisecond
	config.CleanupInterval = 10 * time.Millisecond
	cache := lockotron.NewCache(config)
	defer cache.Close()
	cache.Set("short", 1)
	cache.SetEx("long", time.Hour, 2)
	cache.SetEx("ever", lockotron.NoTTL, 3)
	time.Sleep(50 * time.Millisecond)
	missing(t, cache, "short")
	present(t, cache, map[string]interface{}{"long": 2, "ever": 3})
	testkit.Eventually(t, "the cleanup", func() bool { return cache.Len() == 2 })
}

func TestShapeFetch(t *testing.T) {
	besides()
	cache := uncleaned(time.Hour)
	calls := 0
	load := func(key string) (interface{}, error) {
		calls++
		return "value of " + key, nil
	}
	for range 3 {
		if v, err := cache.Fetch("a", load); v != "value of a" || err != nil || calls != 1 {
			t.Error(v, err, calls)
		}
	}
	cache.Set("b", "set")
	if v, err := cache.FetchEx("b", time.Hour, load); v != "set" || err != nil || calls != 1 {
		t.Error(v, err, calls)
	}
	cache.Delete("a")
	if v, err := cache.FetchEx("a", lockotron.NoTTL, load); v != "value of a" || err != nil || calls != 2 {
		t.Error(v, err, calls)
	}
	failure := errors.New("on purpose")
	for range 3 {
		v, err := cache.Fetch("bad", func(string) (interface{}, error) { calls++; return "half", failure })
		if v != nil || err != failure {
			t.Error(v, err)
		}
	}
	if missing(t, cache, "bad"); calls != 5 {
		t.Error(calls)
	}
	if v, err := cache.Fetch("nil", func(string) (interface{}, error) { return nil, nil }); v != nil || err != nil {
		t.Error(v, err)
	}
	present(t, cache, map[string]interface{}{"nil": nil})
	// One inside another.
	v, err := cache.Fetch("outer", func(string) (interface{}, error) { return cache.Fetch("inner", load) })
	if v != "value of inner" || err != nil {
		t.Error(v, err)
	}
	// After a panic the next call loads.
	func() {
		defer func() {
			if recover() != "on purpose" {
				t.Error("no panic")
			}
		}()
		cache.Fetch("panic", func(string) (interface{}, error) { panic("on purpose") })
	}()
	if v, err := cache.Fetch("panic", load); v != "value of panic" || err != nil {
		t.Error(v, err)
	}
}

func TestShapeManyFetchOneKey(t *testing.T) {
	besides()
	cache := uncleaned(time.Hour)
	var calls atomic.Int32
	var all sync.WaitGroup
	start := make(chan struct{})
	for range 200 {
		all.Add(1)
		go func() {
			defer all.Done()
			<-start
			v, err := cache.Fetch("key", func(string) (interface{}, error) {
				calls.Add(1)
				time.Sleep(5 * time.Millisecond)
				return "value", nil
			})
			if v != "value" || err != nil {
				t.Error(v, err)
			}
		}()
	}
	close(start)
	if all.Wait(); calls.Load() != 1 {
		t.Error(calls.Load())
	}
}

// No load waits for another key's.
func TestShapeKeysAreLoadedSideBySide(t *testing.T) {
	besides()
	cache := uncleaned(time.Hour)
	const keys = 20
	var inside, all sync.WaitGroup
	inside.Add(keys)
	for i := range keys {
		all.Add(1)
		go func() {
			defer all.Done()
			v, err := cache.Fetch(strconv.Itoa(i), func(key string) (interface{}, error) {
				inside.Done()
				inside.Wait()
				return key, nil
			})
			if v != strconv.Itoa(i) || err != nil {
				t.Error(v, err)
			}
		}()
	}
	testkit.Within(t, testkit.Async(all.Wait), "the loads")
}

func TestShapeEverythingAtOnce(t *testing.T) {
	besides()
	config := lockotron.NewConfig()
	config.DefaultTTL, config.CleanupInterval = time.Millisecond, time.Millisecond
	cache := lockotron.NewCache(config)
	var all sync.WaitGroup
	for i := range 16 {
		all.Add(1)
		go func() {
			defer all.Done()
			for j := range 300 {
				key, other := strconv.Itoa(j%7), strconv.Itoa(i)
				switch (i + j) % 8 {
				case 0:
					cache.Set(key, j)
				case 1:
					cache.SetEx(key, time.Minute, j)
				case 2:
					cache.SetList(map[string]interface{}{key: j, other: i})
				case 3:
					cache.Delete(key)
				case 4:
					cache.GetList([]string{key, other})
				case 5:
					cache.DeleteExpired()
				case 6:
					if v, err := cache.Get(key); (v == nil) != (err != nil) || err != nil && err != lockotron.ErrNotFound {
						t.Error(v, err)
					}
				default:
					v, err := cache.FetchEx(key, time.Millisecond, func(string) (interface{}, error) { return j, nil })
					if _, ok := v.(int); !ok || err != nil {
						t.Error(v, err)
					}
				}
				if j == 150 {
					cache.DeleteAll()
					cache.DeleteList([]string{key, other})
				}
			}
		}()
	}
	all.Wait()
	cache.SetEx("last", time.Hour, "value")
	present(t, cache, map[string]interface{}{"last": "value"})
	if err := cache.Close(); err != nil {
		t.Error(err)
	}
}
