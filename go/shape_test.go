package docache_test

import (
	"context"
	"io"
	"log"
	"sort"
	"sync"
	"testing"
	"time"

	"docache"
)

// A program in the shape of github.com/zibnix/docache, with nothing changed but the import path: that it compiles is
// the first half of the test.

type ticker struct{ ticks int }

type tick struct{ n int }

func (t *ticker) Do() (*tick, error) {
	t.ticks++
	return &tick{t.ticks}, nil
}

type service struct {
	caches []docache.Cache[*tick]
	doer   docache.Doer[*tick]
}

func newService(ctx context.Context, logger *log.Logger) *service {
	s := &service{doer: &ticker{}}
	s.caches = append(s.caches,
		docache.NewCache[*tick](ctx, time.Millisecond, 5, logger, s.doer),
		docache.NewCache[*tick](ctx, time.Millisecond, -1, logger, docache.DoerFunc[*tick]((&ticker{}).Do)),
		docache.NewCache(ctx, time.Millisecond, 0, nil, s.spare()),
	)
	return s
}

func (s *service) spare() docache.Doer[*tick] {
	return docache.DoerFunc[*tick](func() (*tick, error) { return new(tick), nil })
}

// mine shows that others may implement the interface too.
type mine[T any] struct{ docache.Cache[T] }

func (m mine[T]) Latest() docache.Data[T] { return docache.Data[T]{Timestamp: time.Unix(1, 0)} }

func TestProgramsInTheShapeOfZibnixDocache(t *testing.T) {
	s := newService(context.Background(), log.New(io.Discard, "service: ", log.Lshortfile))
	for round := range 2 {
		var loops sync.WaitGroup
		for _, cache := range s.caches {
			loops.Add(1)
			go func(cache docache.Cache[*tick]) {
				defer loops.Done()
				cache.Loop()
			}(cache)
		}
		for _, cache := range s.caches {
			for cache.Latest().Timestamp.IsZero() {
				time.Sleep(time.Millisecond)
			}
		}
		var stops sync.WaitGroup
		for _, cache := range s.caches {
			stops.Add(1)
			go func(cache docache.Cache[*tick]) {
				defer stops.Done()
				cache.Stop()
			}(cache)
		}
		// A Stop may have come before its Loop, in which case it had nothing to do; so wait and stop once more.
		stops.Wait()
		ended := make(chan struct{})
		go func() {
			loops.Wait()
			close(ended)
		}()
		for waiting := true; waiting; {
			select {
			case <-ended:
				waiting = false
			case <-time.After(time.Millisecond):
				for _, cache := range s.caches {
					cache.Stop()
				}
			}
		}
		data := s.caches[0].Data()
		if len(data) == 0 || len(data) > 5 || data[len(data)-1] != s.caches[0].Latest() {
			t.Errorf("round %d: %+v", round, data)
		}
		sort.Sort(sort.Reverse(docache.ByTime[*tick](data)))
		if data[0] != s.caches[0].Latest() {
			t.Errorf("round %d: the newest does not come first: %+v", round, data)
		}
	}
	var other docache.Cache[*tick] = mine[*tick]{s.caches[0]}
	if other.Latest().Timestamp.IsZero() || len(other.Data()) == 0 {
		t.Error("an implementation of one's own")
	}
}
