package cache

import (
	"context"
	"time"
	"unsafe"
)

// Typed is a cache whose values lie in the library's memory, as bytes, where the garbage collector
// does not see them. Each read returns a new value, which the caller may change.
//
// All methods may be called from any goroutine at any time, also after Close.
type Typed[K ~string | ~[]byte, V any] struct {
	table *table
	codec Codec[V]
	form  form
	ttl   time.Duration
}

// NewTyped makes a cache. A nil config means [NewConfig]. Without a codec, strings and byte slices
// are kept as [Bytes], types without pointers as [Image], and all others as [JSON].
//
// It returns a [docache.ArgumentError] for what the [Config] or the codec does not accept, for
// instance a type that encoding/json cannot write, if the codec is [JSON].
func NewTyped[K ~string | ~[]byte, V any](config *Config, codec ...Codec[V]) (*Typed[K, V], error) {
	filled, err := config.filled()
	if err != nil {
		return nil, err
	}
	c := &Typed[K, V]{ttl: filled.DefaultTTL}
	if c.codec, c.form, err = codecOf(codec); err != nil {
		return nil, err
	}
	if c.table, err = newTable(&filled); err != nil {
		return nil, err
	}
	return c, nil
}

// Get returns the key's value. Its errors are [ErrNotFound], [ErrClosed] and those of the [Codec].
//
// Strings and byte slices are allocated, types without pointers are not. [Typed.AppendTo] uses the
// caller's memory.
func (c *Typed[K, V]) Get(key K) (v V, err error) {
	switch c.form {
	case image:
		_, err = c.table.copy(stringOf(&key), unsafe.Pointer(&v), int(unsafe.Sizeof(v)))
		return v, err
	case coded:
		f, err := c.table.find(stringOf(&key))
		if err != nil {
			return v, err
		}
		return open[V](c, f)
	}
	var short [256]byte
	n, err := c.table.copy(stringOf(&key), unsafe.Pointer(&short), len(short))
	switch {
	case err != nil:
		return v, err
	case n > len(short):
		long, err := c.AppendTo(make([]byte, 0, n), key)
		if err == nil {
			v = c.own(long)
		}
		return v, err
	case c.form == text:
		s := string(short[:n])
		return *(*V)(unsafe.Pointer(&s)), nil
	default:
		return c.own(append(make([]byte, 0, n), short[:n]...)), nil
	}
}

// own makes a value of bytes that nobody else has, for a cache of strings or byte slices.
func (c *Typed[K, V]) own(b []byte) V {
	if c.form == text {
		s := unsafe.String(unsafe.SliceData(b), len(b))
		return *(*V)(unsafe.Pointer(&s))
	}
	return *(*V)(unsafe.Pointer(&b))
}

// AppendTo appends the bytes of the key's value to dst, as the [Codec] made them, and returns the
// longer slice. If dst has room for them nothing is allocated. On an error, dst is returned as it
// was.
func (c *Typed[K, V]) AppendTo(dst []byte, key K) ([]byte, error) {
	for {
		used, room := len(dst), cap(dst)-len(dst)
		n, err := c.table.copy(stringOf(&key), unsafe.Pointer(unsafe.SliceData(dst[used:cap(dst)])), room)
		switch {
		case err != nil:
			return dst, err
		case n <= room:
			return dst[:used+n], nil
		}
		// The value may have become another one, and longer still, when we look again.
		longer := make([]byte, used, used+n)
		copy(longer, dst)
		dst = longer
	}
}

// Has reports whether the key has a value. It does not count as a use of the key.
func (c *Typed[K, V]) Has(key K) bool { return c.table.has(stringOf(&key)) }

// Set keeps v for as long as the [Config] says. Its errors are [ErrClosed], those of the [Codec],
// and, if v is larger than what one shard may hold of MaxBytes, [ErrTooLarge]; then the key's
// earlier value is gone as well.
func (c *Typed[K, V]) Set(key K, v V) error { return c.set(key, byDefault, v) }

// SetEx is Set with its own time to live, or [NoTTL]. With a time of 0, or a negative one other
// than NoTTL, it acts as Delete, unless expired values are returned. (NoTTL is -1 ns: take care
// with time.Until.)
func (c *Typed[K, V]) SetEx(key K, ttl time.Duration, v V) error {
	if !c.table.isWorth(ttl) {
		c.Delete(key)
		return nil
	}
	return c.set(key, lifetimeOf(ttl), v)
}

func (c *Typed[K, V]) set(key K, life lifetime, v V) error {
	if c.form != coded {
		return c.table.set(stringOf(&key), viewOf(c.form, &v), life)
	}
	kept, err := c.seal(v)
	if err == nil {
		err = c.table.set(stringOf(&key), kept.bytes, life)
		kept.scratch.put()
	}
	return err
}

// Fetch returns the key's value. If there is none it runs fn and keeps what that returns; of the
// callers that want the same key at the same time only one does, on its own goroutine, and the
// others wait for it.
//
// The caller whose fn ran gets what fn returned; all others, now and later, get what the [Codec]
// makes of it, or the error. Errors are not kept: a call after a failed load begins a new one. If
// ctx is done already, a value that is there is still returned, but nothing is loaded.
//
// A caller that waits leaves with the cause of ctx (see [context.Cause]; it need not be
// context.Canceled or context.DeadlineExceeded where a cause was given) if ctx is done first; the
// others are not affected. The caller whose fn runs stays until that returns, and fn gets its ctx.
// If fn succeeds although ctx is done by then, its value is kept and shared. An error that fn
// returns once ctx is done goes to its caller only, since it may have come of that context: one of
// the others loads next, from the beginning, with its own function and context. If a load is to
// outlive the caller who began it, such as a request, have fn use [context.WithoutCancel] of ctx
// with a limit of its own.
//
// A panic in fn continues in the call that ran it; callers that waited get a [PanicError], or
// [ErrGoexit] after [runtime.Goexit]: recover inside fn if all are to get an error. If the key is
// set, deleted or cleared during the load, the result is not kept, though the load's callers get
// it. Inside the load that it would wait for, on the same goroutine, Fetch returns [ErrReentrant].
func (c *Typed[K, V]) Fetch(ctx context.Context, key K, fn func(ctx context.Context) (V, error)) (V, error) {
	return c.fetch(ctx, key, byDefault, fn)
}

// FetchEx is Fetch with its own time to live, or [NoTTL], for the value that fn returns. Of callers
// that want the same key at the same time, the one that loads decides. If that time is over
// already, the value is returned and not kept, unless expired values are returned.
func (c *Typed[K, V]) FetchEx(
	ctx context.Context, key K, ttl time.Duration, fn func(ctx context.Context) (V, error),
) (V, error) {
	return c.fetch(ctx, key, lifetimeOf(ttl), fn)
}

func (c *Typed[K, V]) fetch(
	ctx context.Context, key K, life lifetime, fn func(ctx context.Context) (V, error),
) (v V, err error) {
	if v, err = c.Get(key); err != ErrNotFound {
		return v, err
	}
	return load[V](ctx, c.table, c, stringOf(&key), life, func() (V, error) { return fn(ctx) })
}

// seal implements loader, and encodes values.
func (c *Typed[K, V]) seal(v V) (sealed, error) {
	if c.form != coded {
		return sealed{bytes: viewOf(c.form, &v)}, nil
	}
	s := takeScratch()
	b, err := c.codec.AppendTo(s.bytes[:0], v)
	if err != nil {
		s.put()
		return sealed{}, err
	}
	s.bytes = b
	return sealed{bytes: stringOf(&b), scratch: s}, nil
}

// open implements loader.
func (c *Typed[K, V]) open(f found) (v V, err error) {
	switch data := f.bytes(); c.form {
	case coded:
		return c.codec.Decode(data)
	case image:
		return Image[V]{}.Decode(data)
	default:
		return c.own(append(make([]byte, 0, len(data)), data...)), nil
	}
}

// Delete removes the key's value, and reports whether there was one.
func (c *Typed[K, V]) Delete(key K) bool { return c.table.remove(stringOf(&key)) }

// Clear removes everything.
func (c *Typed[K, V]) Clear() {
	if !c.table.closed.Load() {
		c.table.clear()
	}
}

// Purge removes expired entries, which also happens in the background, see [Config], and returns
// their number.
func (c *Typed[K, V]) Purge() int { return c.table.purge() }

// Len returns the number of entries, including expired ones that were not removed yet.
func (c *Typed[K, V]) Len() int { return c.table.len() }

// Stats returns the counters.
func (c *Typed[K, V]) Stats() Stats { return c.table.stats() }

// Close drops everything that is kept. From then on methods that return an error return
// [ErrClosed], and nothing is kept. Loads under way end as usual. A cache that is not closed is
// freed by the garbage collector.
func (c *Typed[K, V]) Close() error {
	c.table.close()
	return nil
}
