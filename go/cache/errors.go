package cache

import (
	"errors"

	"docache/singleflight"
)

var (
	// ErrNotFound is returned for a key that has no value, or only an expired one.
	ErrNotFound = errors.New("cached value not found")

	// ErrClosed is returned after Close by all methods that return an error. The others find
	// nothing and do nothing.
	ErrClosed = errors.New("docache: the cache is closed")

	// ErrTooLarge is returned, with a [*docache.LibraryError] that has the figures, for a value
	// that is larger than one shard's part of [Config].MaxBytes. Only a [Typed] returns it.
	ErrTooLarge = errors.New("docache: the value is too large for MaxBytes")

	// ErrReentrant is returned by a Fetch inside the load that it would wait for.
	ErrReentrant = singleflight.ErrReentrant

	// ErrGoexit is what callers that waited get if a load ended its goroutine with
	// [runtime.Goexit].
	ErrGoexit = singleflight.ErrGoexit
)

// PanicError is what callers that waited get if a load panicked. The panic itself continues in the
// call that loaded. It is returned as a value; [errors.As] also finds a pointer to one. Its text is
// the panic's value and the stack.
type PanicError = singleflight.PanicError

// IsNotFoundErr reports whether err is [ErrNotFound], itself or wrapped.
func IsNotFoundErr(err error) bool { return errors.Is(err, ErrNotFound) }
