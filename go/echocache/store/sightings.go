package store

import (
	"sync"
	"time"
)

const (
	// crowd is how many locks are remembered before those that nobody asks for are forgotten.
	crowd = 1024
	// lapse is how long nobody has asked for those.
	lapse = 10 * time.Minute
)

// sightings remembers the locks of others that stood in the way, to tell which holders are dead:
// those whose lock has not changed for its time to live. The clock is this process's monotonic one.
type sightings struct {
	mu   sync.Mutex
	seen map[string]sighting
}

type sighting struct {
	revision    uint64
	first, last time.Time
}

// isDead notes that the lock had that revision now, and reports whether it has had it for ttl.
func (s *sightings) isDead(at string, revision uint64, ttl time.Duration, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	was, ok := s.seen[at]
	if !ok {
		s.makeRoom(now)
	}
	if !ok || was.revision != revision {
		was = sighting{revision: revision, first: now}
	}
	was.last = now
	s.seen[at] = was
	return now.Sub(was.first) >= ttl
}

// makeRoom looks for what can be forgotten each time that the number has doubled, so that it costs
// each lock little.
func (s *sightings) makeRoom(now time.Time) {
	if s.seen == nil {
		s.seen = make(map[string]sighting)
	}
	if len(s.seen) < crowd || len(s.seen)&(len(s.seen)-1) != 0 {
		return
	}
	for at, was := range s.seen {
		if now.Sub(was.last) >= lapse {
			delete(s.seen, at)
		}
	}
}

func (s *sightings) forget(at string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.seen, at)
}
