package store_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"docache"
	"docache/echocache"
	"docache/echocache/store"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/redis/go-redis/v9"
)

var background = context.Background()

// remote is a kind of server, with the prefix of a test on it.
type remote struct {
	name   string
	prefix string
	db     *redis.Client      // one of these
	kv     jetstream.KeyValue // is nil
}

// remotes runs the test for each kind of server.
func remotes(t *testing.T, test func(t *testing.T, r remote)) {
	t.Run("redis", func(t *testing.T) {
		test(t, remote{name: "redis", prefix: fmt.Sprintf("p%x", rand.Uint64()), db: redisClient(t)})
	})
	t.Run("nats", func(t *testing.T) {
		test(t, remote{name: "nats", prefix: fmt.Sprintf("p%x..", rand.Uint64()), kv: bucket(t)})
	})
}

func plainStore[T any](r remote) store.Cacher[T] {
	if r.db != nil {
		return store.NewRedisCache[T](r.db, r.prefix, time.Minute)
	}
	return store.NewNatsCache[T](r.kv, r.prefix)
}

func lazyStore[T any](r remote) store.StaleWhileRevalidateCache[T] {
	if r.db != nil {
		return store.NewStaleWhileRevalidateRedisCache[T](r.db, r.prefix, time.Minute)
	}
	return store.NewStaleWhileRevalidateNatsCache[T](r.kv, r.prefix)
}

// raw reads what the server has there, "" for nothing.
func (r remote) raw(t *testing.T, at string) string {
	t.Helper()
	if r.db != nil {
		raw, err := r.db.Get(background, at).Result()
		if err != nil && !errors.Is(err, redis.Nil) {
			t.Fatal(err)
		}
		return raw
	}
	entry, err := r.kv.Get(background, at)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return ""
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(entry.Value())
}

// putRaw puts it there.
func (r remote) putRaw(t *testing.T, at, raw string) {
	t.Helper()
	var err error
	if r.db != nil {
		err = r.db.Set(background, at, raw, 0).Err()
	} else {
		_, err = r.kv.Put(background, at, []byte(raw))
	}
	if err != nil {
		t.Fatal(err)
	}
}

func want[T any](t *testing.T, c store.Cacher[T], key string, value T, there bool) {
	t.Helper()
	v, ok, err := c.Get(background, key)
	if !reflect.DeepEqual(v, value) || ok != there || err != nil {
		t.Errorf("%q: %v, %v, %v instead of %v, %v", key, v, ok, err, value, there)
	}
}

func set[T any](t *testing.T, c store.Cacher[T], key string, value T) {
	t.Helper()
	if err := c.Set(background, key, value); err != nil {
		t.Error(key, err)
	}
}

func lock[T any](t *testing.T, c store.StaleWhileRevalidateCache[T], key, token string, ttl time.Duration, taken bool) {
	t.Helper()
	if ok, err := c.TryAcquireRefreshLock(background, key, token, ttl); ok != taken || err != nil {
		t.Errorf("%s locks %q: %v, %v", token, key, ok, err)
	}
}

func unlock[T any](t *testing.T, c store.StaleWhileRevalidateCache[T], key, token string) {
	t.Helper()
	if err := c.ReleaseRefreshLock(background, key, token); err != nil {
		t.Errorf("%s unlocks %q: %v", token, key, err)
	}
}

func TestValuesGoToTheServerAndBack(t *testing.T) {
	remotes(t, func(t *testing.T, r remote) {
		c := plainStore[map[string][]int](r)
		keys := []string{"", "a", "a.b.*.>", "sp ace/é\x00日本\xff", "lock:a"}
		for i, key := range keys {
			want(t, c, key, nil, false)
			set(t, c, key, map[string][]int{"v": {i}})
		}
		for i, key := range keys {
			want(t, c, key, map[string][]int{"v": {i}}, true)
		}
	})
}

func TestAServerThatIsNotThere(t *testing.T) {
	db := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1", MaxRetries: -1, DialerRetries: 1})
	defer db.Close()
	lazy := store.NewStaleWhileRevalidateRedisCache[int](db, "app", time.Minute)
	_, ok, err := lazy.Get(background, "a")
	if ok || err == nil {
		t.Error(ok, err)
	}
	if err := lazy.Set(background, "a", store.StaleValue[int]{}); err == nil {
		t.Error("no error")
	}
	if ok, err := lazy.TryAcquireRefreshLock(background, "a", "x", time.Second); ok || err == nil {
		t.Error(ok, err)
	}
	if err := lazy.ReleaseRefreshLock(background, "a", "x"); err == nil {
		t.Error("no error")
	}
	c := echocache.NewLazyEchoCache(lazy, time.Second)
	v, ok, err := c.FetchWithLazyRefresh(background, "a", func(context.Context) (int, error) { return 7, nil }, time.Minute)
	if v != 7 || !ok || err != nil {
		t.Error(v, ok, err)
	}
}

func TestErrorsSayWhatTheyAre(t *testing.T) {
	remotes(t, func(t *testing.T, r remote) {
		ctx, cancel := context.WithCancel(background)
		cancel()
		if _, ok, err := plainStore[int](r).Get(ctx, "a"); ok || !errors.Is(err, context.Canceled) {
			t.Error(ok, err)
		}
		if err := plainStore[int](r).Set(ctx, "late", 1); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		want(t, plainStore[int](r), "late", 0, false)
		if err := plainStore[func()](r).Set(background, "a", nil); err == nil {
			t.Error("a function was written")
		}
		set(t, plainStore[string](r), "a", "text")
		if _, ok, err := plainStore[int](r).Get(background, "a"); ok || !errors.Is(err, store.ErrFormat) {
			t.Error(ok, err)
		}
		if _, ok, err := lazyStore[string](r).Get(background, "a"); ok || !errors.Is(err, store.ErrFormat) {
			t.Error(ok, err)
		}
		var refused *docache.ArgumentError
		if ok, err := lazyStore[int](r).TryAcquireRefreshLock(background, "a", "x", 0); ok || !errors.As(err, &refused) {
			t.Error(ok, err)
		}
		// A fetch computes the value anew.
		c := echocache.NewEchoCache(plainStore[int](r))
		for range 2 {
			v, ok, err := c.FetchWithCache(background, "a", func(context.Context) (int, error) { return 7, nil })
			if v != 7 || !ok || err != nil {
				t.Error(v, ok, err)
			}
		}
		if s := c.Stats(); s.Loads != 1 || s.Hits != 1 || s.StoreFailures != 1 {
			t.Errorf("%+v", s)
		}
	})
}

func TestANatsPrefixMustBeOne(t *testing.T) {
	c := store.NewNatsCache[int](bucket(t), "...")
	if err := c.Set(background, "a", 1); !errors.Is(err, jetstream.ErrInvalidKey) {
		t.Error(err)
	}
}

func TestStoresNeedAClient(t *testing.T) {
	for name, make := range map[string]func(){
		"db": func() { store.NewRedisCache[int](nil, "", 0) },
		"kv": func() { store.NewStaleWhileRevalidateNatsCache[int](nil, "") },
	} {
		func() {
			defer func() {
				var e *docache.ArgumentError
				if err, _ := recover().(error); !errors.As(err, &e) || e.Name != name {
					t.Error(err)
				}
			}()
			make()
		}()
	}
}

func TestRedisKeepsValuesForTheirTime(t *testing.T) {
	db, prefix := redisClient(t), fmt.Sprintf("p%x", rand.Uint64())
	for _, ttl := range []time.Duration{time.Hour, 1500 * time.Millisecond, 0, -1, echocache.NeverExpire} {
		set(t, store.NewRedisCache[int](db, prefix, ttl), "a", 1)
		left, err := db.PTTL(background, prefix+":a").Result()
		if good := left == -1 && ttl <= 0 || left <= ttl && left > ttl-time.Second; !good || err != nil {
			t.Error(ttl, left, err)
		}
	}
	lazy := store.NewStaleWhileRevalidateRedisCache[int](db, prefix, time.Minute)
	lock(t, lazy, "b", "x", time.Nanosecond, true) // lives for a millisecond
	lock(t, lazy, "a", "x", 10*time.Second, true)
	lock(t, lazy, "a", "x", time.Hour, true)
	if left, err := db.PTTL(background, prefix+":lock:a").Result(); left < 59*time.Minute || left > time.Hour || err != nil {
		t.Error(left, err)
	}
}

func TestOneHasTheLock(t *testing.T) {
	remotes(t, func(t *testing.T, r remote) {
		a, b := lazyStore[int](r), lazyStore[int](r)
		for range 3 {
			lock(t, a, "k", "x", time.Minute, true)
			lock(t, a, "k", "x", time.Minute, true) // anew
			lock(t, a, "k", "y", time.Minute, false)
			lock(t, b, "k", "y", time.Minute, false)
			lock(t, b, "other", "y", time.Minute, true)
			unlock(t, b, "k", "y") // which is another's
			lock(t, b, "k", "y", time.Minute, false)
			unlock(t, a, "k", "x")
			unlock(t, a, "k", "x")
			lock(t, b, "k", "y", time.Minute, true)
			unlock(t, b, "k", "y")
			unlock(t, b, "other", "y")
		}
		lock(t, a, "pipe", "x|y", time.Minute, true)
		lock(t, b, "pipe", "x", time.Minute, false)
		unlock(t, b, "pipe", "x")
		lock(t, b, "pipe", "z", time.Minute, false)
		unlock(t, a, "pipe", "x|y")
		lock(t, b, "pipe", "z", time.Minute, true)
	})
}

func TestADeadHoldersLockIsTakenOverByOne(t *testing.T) {
	remotes(t, func(t *testing.T, r remote) {
		const ttl = time.Second
		asked := ttl // in NATS it is the time that the taker asks for which counts
		if r.db != nil {
			asked = time.Minute
		}
		dead := lazyStore[int](r)
		lock(t, dead, "k", "dead", ttl, true)
		begun := time.Now()
		var wg sync.WaitGroup
		taken := make(chan time.Time, 8)
		stop := make(chan struct{})
		for i := range cap(taken) {
			wg.Add(1)
			go func() {
				defer wg.Done()
				c := lazyStore[int](r)
				for {
					ok, err := c.TryAcquireRefreshLock(background, "k", fmt.Sprint("taker", i), asked)
					if err != nil {
						t.Error(err)
					}
					if ok {
						taken <- time.Now()
						return
					}
					select {
					case <-stop:
						return
					case <-time.After(5 * time.Millisecond):
					}
				}
			}()
		}
		first := <-taken
		if after := first.Sub(begun); after < ttl*9/10 {
			t.Error("taken after", after)
		}
		time.Sleep(ttl / 5)
		close(stop)
		wg.Wait()
		if len(taken) != 0 {
			t.Error("taken by more than one")
		}
		unlock(t, dead, "k", "dead") // which it no longer has
		lock(t, lazyStore[int](r), "k", "late", time.Minute, false)
	})
}

// Whoever renews its lock is alive.
func TestAHolderThatRenewsKeepsTheLock(t *testing.T) {
	remotes(t, func(t *testing.T, r remote) {
		const ttl = 2 * time.Second
		a, b := lazyStore[int](r), lazyStore[int](r)
		for begun := time.Now(); time.Since(begun) < 2*ttl; time.Sleep(ttl / 10) {
			lock(t, a, "k", "x", ttl, true)
			lock(t, b, "k", "y", ttl, false)
		}
	})
}

func TestManyWantALock(t *testing.T) {
	remotes(t, func(t *testing.T, r remote) {
		for round := range 10 {
			var wg sync.WaitGroup
			takers := make(chan string, 16)
			begin := make(chan struct{})
			for i := range cap(takers) {
				wg.Add(1)
				go func() {
					defer wg.Done()
					c, token := lazyStore[int](r), fmt.Sprint(round, "-", i)
					<-begin
					ok, err := c.TryAcquireRefreshLock(background, "k", token, time.Minute)
					if err != nil {
						t.Error(err)
					}
					if ok {
						takers <- token
					}
				}()
			}
			close(begin)
			wg.Wait()
			if len(takers) != 1 {
				t.Fatal(len(takers), "takers")
			}
			unlock(t, lazyStore[int](r), "k", <-takers)
		}
	})
}

// A value that two processes refresh is computed by one of them, and served by both.
func TestTwoCachesShareARefresh(t *testing.T) {
	remotes(t, func(t *testing.T, r remote) {
		var loads atomic.Int32
		entered, leave := make(chan struct{}, 2), make(chan struct{})
		load := func(context.Context) (int, error) {
			loads.Add(1)
			entered <- struct{}{}
			<-leave
			return 2, nil
		}
		set(t, lazyStore[int](r), "k", store.StaleValue[int]{Value: 1, CreatedAt: time.Now().Add(-time.Hour)})
		a := echocache.NewLazyEchoCache(lazyStore[int](r), time.Minute)
		b := echocache.NewLazyEchoCache(lazyStore[int](r), time.Minute)
		fetch := func(c *echocache.EchoCacheLazy[int], want int) {
			t.Helper()
			if v, ok, err := c.FetchWithLazyRefresh(background, "k", load, time.Minute); v != want || !ok || err != nil {
				t.Error(v, ok, err)
			}
		}
		fetch(a, 1)
		<-entered
		fetch(b, 1)
		if _, err := b.Shutdown(background); err != nil {
			t.Error(err)
		}
		close(leave)
		if _, err := a.Shutdown(background); err != nil {
			t.Error(err)
		}
		fetch(b, 2)
		if s := b.Stats(); loads.Load() != 1 || s.RefreshesSpared != 1 {
			t.Errorf("%d loads, %+v", loads.Load(), s)
		}
		lock(t, lazyStore[int](r), "k", "after", time.Minute, true)
	})
}
