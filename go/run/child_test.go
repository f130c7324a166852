package run_test

import (
	"bufio"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"

	"docache/internal/testkit"
)

// children is what this binary does when it is started again by startChild.
var children = map[string]func(){}

const childName = "DOCACHE_RUN_CHILD"

func TestMain(m *testing.M) {
	if main, ok := children[os.Getenv(childName)]; ok {
		main()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// child is another process. It ends, at the latest, when the test does.
type child struct {
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stdout *bufio.Scanner
	stderr strings.Builder
}

func startChild(t *testing.T, name string) *child {
	t.Helper()
	c := &child{cmd: exec.CommandContext(testkit.Soon(t), os.Args[0])}
	c.cmd.Env = append(os.Environ(), childName+"="+name)
	c.cmd.Stderr = &c.stderr
	stdin, err1 := c.cmd.StdinPipe()
	stdout, err2 := c.cmd.StdoutPipe()
	if err := errors.Join(err1, err2, c.cmd.Start()); err != nil {
		t.Fatal(err)
	}
	c.stdin, c.stdout = stdin, bufio.NewScanner(stdout)
	return c
}

// says waits for the next line that the child prints.
func (c *child) says(t *testing.T, line string) {
	t.Helper()
	if !c.stdout.Scan() || c.stdout.Text() != line {
		t.Fatalf("%q instead of %q; %s", c.stdout.Text(), line, c.stderr.String())
	}
}

// wait returns the exit code, which is -1 if a signal ended the child.
func (c *child) wait(t *testing.T) int {
	t.Helper()
	var exit *exec.ExitError
	if err := c.cmd.Wait(); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return c.cmd.ProcessState.ExitCode()
}
