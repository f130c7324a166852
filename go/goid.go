package docache

import (
	"bytes"
	"runtime"
	"strconv"
)

// goid returns the number of the calling goroutine, which the runtime gives out once per process, or 0 if the runtime
// no longer prints it where it has since Go 1.0.
//
// Go has no interface for this, and on purpose: state should not hang on a goroutine. Here it answers one question
// that nothing else can: is this Stop called by the very Do it would wait for? A wrong "no" means a deadlock, as it
// would without asking; a wrong "yes" is impossible, since numbers are not reused. It costs about a microsecond, once
// per call of a Doer, and once per Stop that finds a Doer at work; readers never pay it.
func goid() uint64 {
	var buf [40]byte
	line, ok := bytes.CutPrefix(buf[:runtime.Stack(buf[:], false)], []byte("goroutine "))
	if !ok {
		return 0
	}
	digits, _, _ := bytes.Cut(line, []byte(" "))
	id, err := strconv.ParseUint(string(digits), 10, 64)
	if err != nil {
		return 0
	}
	return id
}
