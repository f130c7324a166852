package store_test

import (
	"os/exec"
	"syscall"
)

func init() {
	dieWithUs = func(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
}
