package singleflight_test

import (
	"errors"
	"sync"
	"testing"

	"docache/singleflight"
)

// A program in the shape of nikand.dev/go/singleflight, with nothing changed but the import path: that it compiles is
// the first half of the test.

type state struct{ n int }

type server struct {
	refresh singleflight.Group[*state]
	pages   singleflight.KeyedGroups[string, []byte]
	work    singleflight.Func[*state]
}

func (s *server) state() (*state, error) { return s.refresh.Do(s.work) }

func (s *server) page(path string) ([]byte, error) {
	page, err := s.pages.Do(path, func() ([]byte, error) {
		if path == "" {
			return nil, errors.New("no path")
		}
		return []byte(path), nil
	})
	if pe, ok := singleflight.AsPanicError(err); ok {
		panic(pe.Panic)
	}
	return page, err
}

func TestProgramsInTheShapeOfNikandSingleflight(t *testing.T) {
	s := &server{work: func() (*state, error) { return &state{1}, nil }}
	var wg sync.WaitGroup
	for range 10 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			if st, err := s.state(); err != nil || st.n != 1 {
				t.Error(st, err)
			}
			if page, err := s.page("/a"); err != nil || string(page) != "/a" {
				t.Error(page, err)
			}
			if page, err := s.page(""); err == nil || page != nil {
				t.Error(page, err)
			}
			var pe singleflight.PanicError
			if errors.As(error(singleflight.PanicError{Panic: 1}), &pe); pe.Panic != 1 {
				t.Error(pe)
			}
		}()
	}
	wg.Wait()
}
