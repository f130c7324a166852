// Package park blocks goroutines that wait for a call of the library.
package park

import "context"

// Wait blocks the goroutine, and no thread. It returns true once there was something to receive
// from ready, false if ctx is done first. cancel takes back what would send to ready, and returns
// false if that has happened or is about to. Either way nobody sends any more.
func Wait(ctx context.Context, ready <-chan struct{}, cancel func() bool) bool {
	select {
	case <-ready:
		return true
	case <-ctx.Done():
		if !cancel() {
			<-ready
		}
		return false
	}
}
