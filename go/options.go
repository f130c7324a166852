package docache

import (
	"log"
	"time"
)

// Option changes one of the defaults of [New].
type Option func(*settings)

type settings struct {
	interval   time.Duration
	firstDelay time.Duration
	jitter     time.Duration
	capacity   int
	name       string
	logger     *log.Logger
	fixedRate  bool
}

// WithCapacity keeps up to this many results, successes and errors alike, for Data; memory is
// allocated as they come. The default is 0: only Latest, and failures show in Stats alone.
func WithCapacity(results int) Option {
	return func(s *settings) { s.capacity = results }
}

// WithLogger writes a line for each result, such as "docache: the Doer failed after 3ms: no route
// to host". The default is to log nothing. A nil logger is the default too.
//
// The logger formats the value with %+v and runs on the Doer's goroutine, before the result is
// published.
func WithLogger(logger *log.Logger) Option {
	return func(s *settings) { s.logger = logger }
}

// WithName labels the loop's goroutine in profiles, under "docache" (see package runtime/pprof).
func WithName(name string) Option {
	return func(s *settings) { s.name = name }
}

// WithFirstDelay makes the first call wait this long after each start. The default is 0: the first
// call is at once.
func WithFirstDelay(delay time.Duration) Option {
	return func(s *settings) { s.firstDelay = delay }
}

// WithJitter lengthens each wait by a random time between 0 and limit, so that many caches do not
// call in step.
func WithJitter(limit time.Duration) Option {
	return func(s *settings) { s.jitter = limit }
}

// WithFixedRate calls the Doer on a grid of intervals that begins with each start. Of the turns
// that a slow call has missed, the last is made up for at once and the others are skipped. The
// default is a pause of one interval after each call has ended.
func WithFixedRate() Option {
	return func(s *settings) { s.fixedRate = true }
}

func (s *settings) check() error {
	switch {
	case s.interval <= 0:
		return &ArgumentError{"interval", s.interval, "give a duration greater than 0"}
	case s.capacity < 0:
		return &ArgumentError{"capacity", s.capacity, "give 0 (latest only) or more"}
	case s.firstDelay < 0:
		return &ArgumentError{"first delay", s.firstDelay, "give 0 (call at once) or more"}
	case s.jitter < 0:
		return &ArgumentError{"jitter", s.jitter, "give 0 (none) or more"}
	}
	return nil
}
