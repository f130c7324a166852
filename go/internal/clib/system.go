//go:build cgo && docache_system

package clib

/*
#cgo LDFLAGS: -ldocache
*/
import "C"
