package run_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"docache/internal/testkit"
)

// The package, and its tests, build without cgo, which the others of the module do not.
func TestThePackageNeedsNoCgo(t *testing.T) {
	tool, err := exec.LookPath("go")
	if err != nil {
		t.Skip("there is no go command:", err)
	}
	output := func(args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(testkit.Soon(t), tool, args...)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=", "GOEXPERIMENT=")
		text, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %v\n%s", args, err, text)
		}
		return string(text)
	}
	output("vet", ".")
	const ofModules = "{{if not .Standard}}{{.ImportPath}} {{end}}"
	needed := strings.Fields(output("list", "-deps", "-f", ofModules, "."))
	if got := strings.Join(needed, " "); got != "docache/internal/goroutine docache/run" {
		t.Error(got)
	}
}
