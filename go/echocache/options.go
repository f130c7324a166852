package echocache

const (
	defaultQueueSize = 1000
	defaultWorkers   = 1
)

type lazyEchoCacheOptions struct {
	queueSize   int
	workerCount int
}

// LazyEchoCacheOption is an option of [NewLazyEchoCache].
type LazyEchoCacheOption func(*lazyEchoCacheOptions)

// WithQueueSize sets how many refreshes may wait, 1000 by default; those that run do not count. A
// size of 0 or less is ignored.
func WithQueueSize(n int) LazyEchoCacheOption {
	return func(o *lazyEchoCacheOptions) {
		if n > 0 {
			o.queueSize = n
		}
	}
}

// WithWorkerCount sets how many refreshes may run at the same time, 1 by default. A count of 0 or
// less is ignored.
func WithWorkerCount(n int) LazyEchoCacheOption {
	return func(o *lazyEchoCacheOptions) {
		if n > 0 {
			o.workerCount = n
		}
	}
}
