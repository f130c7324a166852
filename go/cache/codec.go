package cache

import (
	"encoding/json"
	"reflect"
	"sync"
	"unsafe"

	"docache"
)

// Codec turns the values of a [Typed] into bytes and back. It is called from many goroutines at
// once.
type Codec[V any] interface {
	// AppendTo appends the bytes of v to dst and returns the longer slice.
	AppendTo(dst []byte, v V) ([]byte, error)
	// Decode makes a value of bytes that AppendTo has appended. It must neither change data nor
	// keep it: the memory is the cache's.
	Decode(data []byte) (V, error)
}

// JSON is the [Codec] that uses encoding/json. Unexported fields are lost. [NewTyped] refuses types
// that encoding/json cannot write, such as channels, functions and structs with such a field;
// structs without an exported field, of which it would write nothing; and interfaces with methods,
// which it cannot read back. Types with their own MarshalJSON or MarshalText are accepted.
type JSON[V any] struct{}

// AppendTo appends what [json.Marshal] returns.
func (JSON[V]) AppendTo(dst []byte, v V) ([]byte, error) {
	b, err := json.Marshal(v)
	return append(dst, b...), err
}

// Decode calls [json.Unmarshal].
func (JSON[V]) Decode(data []byte) (v V, err error) {
	err = json.Unmarshal(data, &v)
	return v, err
}

// Bytes is the [Codec] of strings and byte slices, which are their own bytes: they are copied once
// into the cache, and once out of it. A nil slice comes back as an empty one.
type Bytes[V ~string | ~[]byte] struct{}

// AppendTo appends v.
func (Bytes[V]) AppendTo(dst []byte, v V) ([]byte, error) { return append(dst, v...), nil }

// Decode copies data.
func (Bytes[V]) Decode(data []byte) (V, error) { return V(data), nil }

func (Bytes[V]) native() (form, reflect.Type) { return formOf[V](), reflect.TypeFor[Bytes[V]]() }

// Image is the [Codec] of types without pointers, such as numbers, and structs and arrays of
// numbers, which are copied as they are in memory. [NewTyped] refuses types with strings, slices,
// maps, interfaces, functions, channels or pointers in them.
type Image[V any] struct{}

// AppendTo appends v's memory.
func (Image[V]) AppendTo(dst []byte, v V) ([]byte, error) {
	return append(dst, unsafe.Slice((*byte)(unsafe.Pointer(&v)), unsafe.Sizeof(v))...), nil
}

// Decode copies data.
func (Image[V]) Decode(data []byte) (v V, err error) {
	copy(unsafe.Slice((*byte)(unsafe.Pointer(&v)), unsafe.Sizeof(v)), data)
	return v, nil
}

func (Image[V]) native() (form, reflect.Type) { return image, reflect.TypeFor[Image[V]]() }

// form is how the values of a cache are kept.
type form int

const (
	coded form = iota // as a Codec says
	text              // strings, as they are
	bytes             // byte slices, as they are
	image             // as they lie in memory
)

// formOf is for the values whose codec the caller left to us.
func formOf[V any]() form {
	t := reflect.TypeFor[V]()
	switch {
	case t.Kind() == reflect.String:
		return text
	case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Uint8:
		return bytes
	case isImage(t):
		return image
	default:
		return coded
	}
}

func isImage(t reflect.Type) bool {
	switch k := t.Kind(); k {
	case reflect.Array:
		return isImage(t.Elem())
	case reflect.Struct:
		for i := range t.NumField() {
			if !isImage(t.Field(i).Type) {
				return false
			}
		}
		return true
	default: // uintptr is no pointer
		return reflect.Bool <= k && k <= reflect.Complex128
	}
}

// codecOf is the codec to use, and the form that it stands for.
func codecOf[V any](given []Codec[V]) (Codec[V], form, error) {
	switch {
	case len(given) > 1:
		return nil, 0, &docache.ArgumentError{Name: "codecs", Value: len(given), Accepted: "give one or none"}
	case len(given) == 0 || given[0] == nil:
		f := formOf[V]()
		if f == coded {
			return JSON[V]{}, f, jsonTakes(reflect.TypeFor[V]())
		}
		return JSON[V]{}, f, nil
	}
	t, f := reflect.TypeFor[V](), nativeForm(given[0])
	if f == image && !isImage(t) {
		return nil, 0, &docache.ArgumentError{
			Name: "codec", Value: "Image of " + t.String(), Accepted: "give a type without pointers",
		}
	}
	if _, ok := given[0].(JSON[V]); ok {
		return given[0], f, jsonTakes(t)
	}
	return given[0], f, nil
}

// nativeForm is the form that a codec of this package stands for. One that embeds such a codec has
// its methods too, but is another type, whose own methods are to be asked.
func nativeForm[V any](given Codec[V]) form {
	known, ok := given.(interface{ native() (form, reflect.Type) })
	if !ok {
		return coded
	}
	f, itself := known.native()
	if reflect.TypeOf(given) != itself {
		return coded
	}
	return f
}

// viewOf is the bytes of a value of that form, other than coded. They are valid, and must not
// change, while *v is there.
func viewOf[V any](f form, v *V) string {
	if f == image {
		return unsafe.String((*byte)(unsafe.Pointer(v)), unsafe.Sizeof(*v))
	}
	return stringOf(v)
}

// stringOf reads a string, or a slice of bytes as if it were one: both begin with where they start
// and how long they are.
func stringOf[T any](v *T) string { return *(*string)(unsafe.Pointer(v)) }

// scratch is a buffer for encoded values.
type scratch struct{ bytes []byte }

const (
	scratchSize  = 1 << 10
	scratchLimit = 1 << 16
)

var scratches = sync.Pool{New: func() any { return &scratch{make([]byte, 0, scratchSize)} }}

func takeScratch() *scratch { return scratches.Get().(*scratch) }

// put may be called on nil.
func (s *scratch) put() {
	if s != nil && cap(s.bytes) <= scratchLimit {
		s.bytes = s.bytes[:0]
		scratches.Put(s)
	}
}
