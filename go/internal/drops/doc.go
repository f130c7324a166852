// Package drops tells Go which of its values the library has dropped. The library keeps ids in
// their place; drops.h makes the values that carry them.
//
// This file is for builds without cgo, which get as far as package clib: that says what to do.
package drops
