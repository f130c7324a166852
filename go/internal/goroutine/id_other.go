//go:build !gc || !(amd64 || arm64)

package goroutine

// ID returns a number that no other goroutine has for as long as the calling one lives, or 0 if
// there is none to be had.
func ID() uintptr { return parsed() }
