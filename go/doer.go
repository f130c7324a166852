package docache

// Doer does the work whose result is cached.
//
// A cache never calls Do twice at the same time, but successive calls may come from different
// goroutines. Do should return in bounded time: Stop waits for it. Do may call any method of its
// own cache; the ones that would wait for Do itself return at once (see [LoopCache.Stop]) or with
// [ErrReentrant].
type Doer[T any] interface {
	Do() (T, error)
}

// DoerFunc lets a function be used as a [Doer].
type DoerFunc[T any] func() (T, error)

// Do calls the function.
func (f DoerFunc[T]) Do() (T, error) { return f() }
