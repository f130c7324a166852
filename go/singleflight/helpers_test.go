package singleflight

import (
	"testing"

	"docache/internal/testkit"
)

var (
	soon       = testkit.Soon
	within     = testkit.Within
	async      = testkit.Async
	eventually = testkit.Eventually
	collect    = testkit.Collect
	newGate    = testkit.NewGate
	fewThreads = testkit.FewThreads
)

// waiting is the number of goroutines that wait for another's run.
func waiting(t testing.TB) int {
	t.Helper()
	return testkit.Inside(t, "singleflight.(*seat[")
}
