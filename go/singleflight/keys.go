package singleflight

import (
	"encoding/binary"
	"math"
	"reflect"
	"sync/atomic"
	"unsafe"
)

// The library compares keys as bytes. This file makes bytes of keys so that two keys have the same
// bytes exactly if == says that they are equal.

// form is how the keys of a type become bytes.
type form int

const (
	// plain keys are their own bytes: integers, booleans, pointers and channels, and arrays and
	// structs of them that have no gaps.
	plain form = iota
	// text keys are strings, without their length.
	text
	// written keys are written out, part by part. Each part is as long as its type or its first
	// byte says, so that no two keys of a type run together.
	written
)

func formOf[Key comparable]() form {
	t := reflect.TypeFor[Key]()
	switch {
	case t.Kind() == reflect.String:
		return text
	case isPlain(t):
		return plain
	default:
		return written
	}
}

func isPlain(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Bool, reflect.Pointer, reflect.Chan, reflect.UnsafePointer,
		reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return true
	case reflect.Array:
		return isPlain(t.Elem())
	case reflect.Struct:
		var size uintptr
		for i := range t.NumField() {
			field := t.Field(i)
			if field.Name == "_" || !isPlain(field.Type) {
				return false
			}
			size += field.Type.Size()
		}
		return size == t.Size()
	default:
		return false
	}
}

// checkKey panics for a key that cannot be hashed, with the words of a map.
func checkKey[Key comparable](f form, key Key) {
	if f == written {
		_ = map[Key]struct{}(nil)[key]
	}
}

// keyBytes are valid for as long as the seat keeps its key.
func (p *place[Key, Res]) keyBytes(f form) (unsafe.Pointer, int) {
	switch f {
	case plain:
		return unsafe.Pointer(&p.key), int(unsafe.Sizeof(p.key))
	case text:
		s := *(*string)(unsafe.Pointer(&p.key)) // the kind of Key is string
		return unsafe.Pointer(unsafe.StringData(s)), len(s)
	default:
		checkKey(f, p.key)
		p.bytes = write(p.bytes[:0], reflect.ValueOf(&p.key).Elem())
		return unsafe.Pointer(unsafe.SliceData(p.bytes)), len(p.bytes)
	}
}

// write appends a value of a type that can be compared.
func write(b []byte, v reflect.Value) []byte {
	switch v.Kind() {
	case reflect.Bool:
		if v.Bool() {
			return append(b, 1)
		}
		return append(b, 0)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return binary.NativeEndian.AppendUint64(b, uint64(v.Int()))
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return binary.NativeEndian.AppendUint64(b, v.Uint())
	case reflect.Float32, reflect.Float64:
		return writeFloat(b, v.Float())
	case reflect.Complex64, reflect.Complex128:
		c := v.Complex()
		return writeFloat(writeFloat(b, real(c)), imag(c))
	case reflect.String:
		s := v.String()
		return append(binary.AppendUvarint(b, uint64(len(s))), s...)
	case reflect.Array:
		for i := range v.Len() {
			b = write(b, v.Index(i))
		}
		return b
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).Name != "_" { // == does not look at those
				b = write(b, v.Field(i))
			}
		}
		return b
	case reflect.Interface:
		if v.IsNil() {
			return writeAddress(b, nil)
		}
		// A type is one if the runtime's description of it is.
		e := v.Elem()
		return write(writeAddress(b, reflect.ValueOf(e.Type()).UnsafePointer()), e)
	default: // reflect.Pointer, reflect.Chan, reflect.UnsafePointer
		return writeAddress(b, v.UnsafePointer())
	}
}

func writeAddress(b []byte, p unsafe.Pointer) []byte {
	return binary.NativeEndian.AppendUint64(b, uint64(uintptr(p)))
}

// nans counts the keys with a part that equals nothing.
var nans atomic.Uint64

func writeFloat(b []byte, f float64) []byte {
	switch {
	case f != f:
		return binary.NativeEndian.AppendUint64(append(b, 1), nans.Add(1))
	case f == 0:
		f = 0 // not -0
	}
	return binary.NativeEndian.AppendUint64(append(b, 0), math.Float64bits(f))
}
