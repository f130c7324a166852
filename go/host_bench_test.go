package docache

import (
	"runtime"
	"testing"
	"time"
)

// What caches cost the program around them: the processor time of a call (Tick, with as many caches
// as the name says), and how late goroutines wake that have nothing to do with them (Lateness). The
// figure is the one in ns/call.

const (
	tickInterval = 2 * time.Millisecond
	tickSpan     = 150 * time.Millisecond
)

func benchmarkTick(b *testing.B, n int, interval, span time.Duration) {
	b.Run("docache", func(b *testing.B) {
		ours := func() loops { return startOurs(b, n, interval) }
		b.ReportMetric(tickCost(b, span, ours), "ns/call")
	})
	b.Run("by_hand", func(b *testing.B) {
		theirs := func() loops { return startPlains(n, interval) }
		b.ReportMetric(tickCost(b, span, theirs), "ns/call")
	})
}

func BenchmarkTick(b *testing.B)   { benchmarkTick(b, 1, tickInterval, tickSpan) }
func BenchmarkTick8(b *testing.B)  { benchmarkTick(b, 8, tickInterval, tickSpan) }
func BenchmarkTick60(b *testing.B) { benchmarkTick(b, 60, tickInterval, tickSpan) }

// Ten thousand: one goroutine and one timer of the runtime's each, in ours and in those by hand.
func BenchmarkTick10000(b *testing.B) {
	benchmarkTick(b, 10_000, 100*time.Millisecond, time.Second)
}

func benchmarkLateness(b *testing.B, n int) {
	b.Run("docache", func(b *testing.B) {
		ours := startOurs(b, n, 10*time.Millisecond)
		defer ours.stop()
		b.ReportMetric(float64(lateness()), "ns/call")
	})
	b.Run("without", func(b *testing.B) { b.ReportMetric(float64(lateness()), "ns/call") })
}

func BenchmarkLateness(b *testing.B)   { benchmarkLateness(b, runtime.GOMAXPROCS(0)) }
func BenchmarkLateness8(b *testing.B)  { benchmarkLateness(b, 8) }
func BenchmarkLateness60(b *testing.B) { benchmarkLateness(b, 60) }
