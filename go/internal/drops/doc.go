// Package drops tells Go which of its values the library has dropped. The library keeps ids in
// their place; drops.h makes the values that carry them.
//
// This file is there for builds without cgo: they get as far as package clib, which says what to do.
package drops
