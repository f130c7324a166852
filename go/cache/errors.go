package cache

import (
	"errors"

	"docache/singleflight"
)

var (
	// ErrNotFound is returned for a key that the cache has no value of, or none that is still good.
	ErrNotFound = errors.New("cached value not found")

	// ErrClosed is returned after Close by all methods that return an error. The others find
	// nothing and do nothing.
	ErrClosed = errors.New("docache: the cache is closed")

	// ErrTooLarge is returned, with a [*docache.LibraryError] that has the figures, for a value
	// that is larger than one shard's part of [Config].MaxBytes. It can only be of a [Typed].
	ErrTooLarge = errors.New("docache: the value is too large for MaxBytes")

	// ErrReentrant is returned by a Fetch from inside the very load that it would wait for.
	ErrReentrant = singleflight.ErrReentrant

	// ErrGoexit is what those who waited get if a load ended its goroutine with [runtime.Goexit].
	ErrGoexit = singleflight.ErrGoexit
)

// PanicError is what those who waited get if a load panicked. The panic itself goes on in the call
// that loaded. It travels as a value; [errors.As] finds a pointer to one too. Its text is the
// panic's value and the stack.
type PanicError = singleflight.PanicError

// IsNotFoundErr tells whether err is [ErrNotFound], itself or wrapped.
func IsNotFoundErr(err error) bool { return errors.Is(err, ErrNotFound) }
