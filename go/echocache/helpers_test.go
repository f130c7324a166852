package echocache_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"docache/echocache"
	"docache/echocache/memory"
	"docache/internal/testkit"
)

var (
	background = context.Background()
	errPurpose = errors.New("on purpose")

	async      = testkit.Async
	eventually = testkit.Eventually
	within     = testkit.Within
)

// waiting is the number of goroutines that wait for another's run.
func waiting(t testing.TB) int {
	t.Helper()
	return testkit.Inside(t, "singleflight.(*seat[")
}

// always is a function that returns v.
func always[T any](v T) echocache.RefreshFunc[T] {
	return func(context.Context) (T, error) { return v, nil }
}

// never is a function that must not run.
func never(t *testing.T) echocache.RefreshFunc[int] {
	return func(context.Context) (int, error) {
		t.Error("ran")
		return 0, nil
	}
}

// spy is a store for tests, which does what they say before it does what a store does.
type spy struct {
	echocache.StaleWhileRevalidateCache[int]
	get  func(ctx context.Context, key string) error // may be nil, like the others
	set  func(ctx context.Context, key string) error
	lock func(key string) (bool, error)

	mu    sync.Mutex
	held  map[string]string // the token, by key
	locks int               // that were granted
}

func newSpy() *spy {
	return &spy{
		StaleWhileRevalidateCache: memory.NewStaleWhileRevalidateLRUCache[int](100),
		held:                      map[string]string{},
	}
}

func (s *spy) Get(ctx context.Context, key string) (v echocache.StaleValue[int], ok bool, err error) {
	v, ok, err = s.StaleWhileRevalidateCache.Get(ctx, key)
	if s.get != nil {
		if err := s.get(ctx, key); err != nil {
			return v, ok, err
		}
	}
	return v, ok, err
}

func (s *spy) Set(ctx context.Context, key string, v echocache.StaleValue[int]) error {
	if s.set != nil {
		if err := s.set(ctx, key); err != nil {
			return err
		}
	}
	return s.StaleWhileRevalidateCache.Set(ctx, key, v)
}

func (s *spy) TryAcquireRefreshLock(_ context.Context, key, token string, ttl time.Duration) (bool, error) {
	if s.lock != nil {
		if ok, err := s.lock(key); !ok || err != nil {
			return ok, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if ttl <= 0 || len(token) < 16 || s.held[key] != "" {
		return false, errors.New("a lock that is asked for badly")
	}
	s.held[key] = token
	s.locks++
	return true, nil
}

func (s *spy) ReleaseRefreshLock(ctx context.Context, key, token string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if s.held[key] == token {
		delete(s.held, key)
	}
	return nil
}

// locked returns how many locks were granted, and how many are held.
func (s *spy) locked() (granted, held int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.locks, len(s.held)
}

// old puts a value into the store that was computed an hour ago.
func (s *spy) old(t *testing.T, key string, v int) {
	t.Helper()
	kept := echocache.StaleValue[int]{Value: v, CreatedAt: time.Now().Add(-time.Hour)}
	if err := s.StaleWhileRevalidateCache.Set(background, key, kept); err != nil {
		t.Error(err)
	}
}

// plain is the spy as a store without times.
type plain struct{ *spy }

func (p plain) Get(ctx context.Context, key string) (int, bool, error) {
	v, ok, err := p.spy.Get(ctx, key)
	return v.Value, ok, err
}

func (p plain) Set(ctx context.Context, key string, v int) error {
	return p.spy.Set(ctx, key, echocache.StaleValue[int]{Value: v, CreatedAt: time.Now()})
}

// expect fails unless a fetch returned v and no error.
func expect(t *testing.T, v int) func(got int, ok bool, err error) {
	t.Helper()
	return func(got int, ok bool, err error) {
		t.Helper()
		if got != v || !ok || err != nil {
			t.Errorf("%v, %v, %v instead of %v", got, ok, err, v)
		}
	}
}

// expectError fails unless a fetch returned an error that is all of these.
func expectError(t *testing.T, all ...error) func(got int, ok bool, err error) {
	t.Helper()
	return func(got int, ok bool, err error) {
		t.Helper()
		if got != 0 || ok || err == nil {
			t.Errorf("%v, %v, %v", got, ok, err)
		}
		for _, e := range all {
			if !errors.Is(err, e) {
				t.Errorf("%v is not %v", err, e)
			}
		}
	}
}
