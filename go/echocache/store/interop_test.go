package store_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"reflect"
	"strconv"
	"sync"
	"testing"
	"time"

	"docache/echocache"
	"docache/echocache/store"
)

// The tests of this file run beside docache's stores for Rust, on the same servers. The Rust side
// is tests/echo_peer of the repository, which cargo builds, or the program that DOCACHE_ECHO_PEER
// names.

const repository = "../../.."

var builtPeer = sync.OnceValues(func() (string, error) {
	if said := os.Getenv("DOCACHE_ECHO_PEER"); said != "" {
		return said, nil
	}
	if _, err := os.Stat(repository + "/tests/echo_peer"); err != nil {
		return "", err
	}
	cargo := exec.Command("cargo", "build", "--example", "echo_peer", "--features", "redis,nats",
		"--message-format", "json-render-diagnostics")
	cargo.Dir, cargo.Stderr = repository, os.Stderr
	messages, err := cargo.Output()
	if err != nil {
		return "", fmt.Errorf("cargo build of tests/echo_peer: %w; or set DOCACHE_ECHO_PEER", err)
	}
	path := ""
	for line := range bytes.Lines(messages) {
		var m struct {
			Executable string
			Target     struct{ Name string }
		}
		if json.Unmarshal(line, &m) == nil && m.Target.Name == "echo_peer" && m.Executable != "" {
			path = m.Executable
		}
	}
	if path == "" {
		return "", errors.New("cargo built no echo_peer")
	}
	return path, nil
})

// peer is a running program of the other side.
type peer struct {
	t       *testing.T
	process *exec.Cmd
	in      io.WriteCloser
	out     *bufio.Reader
}

// with starts the other side on the store that r and form are.
func with(t *testing.T, r remote, form string) *peer {
	t.Helper()
	path, err := builtPeer()
	if errors.Is(err, fs.ErrNotExist) {
		t.Skip("the Rust side is only in the repository of docache: ", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"redis", "redis://" + redisServer.address(t) + "/", r.prefix, form}
	if r.kv != nil {
		args = []string{"nats", "nats://" + natsServer.address(t), r.kv.Bucket(), r.prefix, form}
	}
	p := &peer{t: t, process: exec.Command(path, args...)}
	p.process.Stderr = os.Stderr
	p.in, err = p.process.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := p.process.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.out = bufio.NewReader(out)
	if err := p.process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.kill)
	return p
}

func (p *peer) kill() {
	_ = p.process.Process.Kill()
	_ = p.process.Wait()
}

// ask has the other side do something, and fails if that does.
func (p *peer) ask(words ...any) json.RawMessage {
	p.t.Helper()
	line, err := json.Marshal(words)
	if err == nil {
		_, err = p.in.Write(append(line, '\n'))
	}
	var answer []byte
	if err == nil {
		answer, err = p.out.ReadBytes('\n')
	}
	if err != nil || bytes.HasPrefix(answer, []byte(`{"error"`)) {
		p.t.Fatalf("%s: %s, %v", line, answer, err)
	}
	return bytes.TrimSpace(answer)
}

func (p *peer) expect(answer string, words ...any) {
	p.t.Helper()
	if got := p.ask(words...); string(got) != answer {
		p.t.Errorf("%v: %s instead of %s", words, got, answer)
	}
}

// forms runs the test for each kind of server and each form of its entries.
func forms(t *testing.T, test func(t *testing.T, r remote, p *peer, form string)) {
	for _, form := range []string{"plain", "lazy"} {
		t.Run(form, func(t *testing.T) {
			remotes(t, func(t *testing.T, r remote) { test(t, r, with(t, r, form), form) })
		})
	}
}

var (
	someKeys   = []string{"", "user:42", "a.b.*.>", "sp ace/é日本\n", "lock:user:42", "null\x00"}
	someValues = []any{
		"hello <world> & \"you\"\n\u2028", "", json.Number("-9007199254740993"), json.Number("18446744073709551615"),
		json.Number("0.1"), true, nil, []any{}, map[string]any{"Name": "näme", "Tags": nil, "nested": []any{map[string]any{}}},
		"2026-11-21T10:00:00.123456789+05:30",
	}
)

// anyOf decodes numbers as they are written.
func anyOf(t *testing.T, raw []byte) (v any) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestRustReadsWhatGoWrites(t *testing.T) {
	forms(t, func(t *testing.T, r remote, p *peer, form string) {
		created := time.Now().Add(-time.Hour).In(time.FixedZone("", 3*3600))
		for i, value := range someValues {
			key := someKeys[i%len(someKeys)]
			if form == "plain" {
				set(t, plainStore[any](r), key, value)
			} else {
				set(t, lazyStore[any](r), key, store.StaleValue[any]{Value: value, CreatedAt: created})
			}
			var answer [2]json.RawMessage
			if err := json.Unmarshal(p.ask("get", key), &answer); err != nil {
				t.Fatal(err)
			}
			if got := anyOf(t, answer[0]); !reflect.DeepEqual(got, value) {
				t.Errorf("%q: %v instead of %v", key, got, value)
			}
			millis, err := strconv.ParseInt(string(answer[1]), 10, 64)
			late := time.Since(created) - time.Duration(millis)*time.Millisecond
			if form == "lazy" && (late < -time.Second || late > time.Minute || err != nil) {
				t.Error("its age is", string(answer[1]), "ms", err)
			}
		}
		p.expect("null", "get", "nothing")
	})
}

func TestGoReadsWhatRustWrites(t *testing.T) {
	forms(t, func(t *testing.T, r remote, p *peer, form string) {
		for i, value := range someValues {
			key := someKeys[i%len(someKeys)]
			p.expect("true", "put", key, value, nil)
			var raw json.RawMessage
			var ok bool
			var err error
			if form == "plain" {
				raw, ok, err = plainStore[json.RawMessage](r).Get(background, key)
			} else {
				var v store.StaleValue[json.RawMessage]
				v, ok, err = lazyStore[json.RawMessage](r).Get(background, key)
				if age := time.Since(v.CreatedAt); age < -time.Second || age > time.Minute {
					t.Error("it is", age, "old")
				}
				raw = v.Value
			}
			if !ok || err != nil {
				t.Fatal(ok, err)
			}
			if got := anyOf(t, raw); !reflect.DeepEqual(got, value) {
				t.Errorf("%q: %v instead of %v", key, got, value)
			}
		}
		if r.db != nil {
			p.expect("true", "put", "k", 1, 50_000)
			if left, err := r.db.PTTL(background, r.prefix+":k").Result(); left < 20*time.Second || left > 50*time.Second || err != nil {
				t.Error(left, err)
			}
		}
	})
}

func TestOneOfBothHasTheLock(t *testing.T) {
	remotes(t, func(t *testing.T, r remote) {
		p, c := with(t, r, "lazy"), lazyStore[int](r)
		const minute = 60_000
		for _, key := range someKeys[:4] {
			lock(t, c, key, "go's", time.Minute, true)
			p.expect("false", "lock", key, "its"+key, minute)
			p.expect("true", "unlock", key, "its"+key) // which does nothing
			p.expect("false", "lock", key, "its"+key, minute)
			lock(t, c, key, "go's", time.Minute, true)
			unlock(t, c, key, "go's")
			p.expect("true", "lock", key, "its"+key, minute)
			lock(t, c, key, "go's", time.Minute, false)
			unlock(t, c, key, "go's")
			lock(t, c, key, "go's", time.Minute, false)
			p.expect("true", "renew", key, "its"+key)
			p.expect("true", "unlock", key, "its"+key)
			lock(t, c, key, "go's", time.Minute, true)
			unlock(t, c, key, "go's")
			p.expect("true", "lock", key, "its"+key, minute)
			p.expect("true", "finish", key, "its"+key, 7)
			lock(t, c, key, "go's", time.Minute, true)
			if v, ok, err := c.Get(background, key); v.Value != 7 || !ok || err != nil {
				t.Error(v, ok, err)
			}
			p.expect("false", "finish", key, "its"+key, 8)
			unlock(t, c, key, "go's")
		}
	})
}

// The other side was killed with the lock, or went on renewing it.
func TestGoTakesOverFromRust(t *testing.T) {
	remotes(t, func(t *testing.T, r remote) {
		const ttl = 2 * time.Second
		p, c := with(t, r, "lazy"), lazyStore[int](r)
		p.expect("true", "lock", "k", "its", ttl.Milliseconds())
		for begun := time.Now(); time.Since(begun) < 2*ttl; time.Sleep(ttl / 20) {
			lock(t, c, "k", "go's", ttl, false)
			p.expect("true", "renew", "k", "its")
		}
		lock(t, c, "k", "go's", ttl, false)
		p.kill()
		died := time.Now()
		for taken := false; !taken; time.Sleep(5 * time.Millisecond) {
			var err error
			if taken, err = c.TryAcquireRefreshLock(background, "k", "go's", ttl); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(died); took < ttl/2 || took > 3*ttl {
			t.Error("it took", took)
		}
	})
}

func TestRustTakesOverFromGo(t *testing.T) {
	remotes(t, func(t *testing.T, r remote) {
		const ttl = 2 * time.Second
		p, c := with(t, r, "lazy"), lazyStore[int](r)
		lock(t, c, "k", "go's", ttl, true)
		died := time.Now()
		for string(p.ask("lock", "k", "its", ttl.Milliseconds())) != "true" {
			time.Sleep(5 * time.Millisecond)
		}
		if took := time.Since(died); took < ttl*9/10 || took > 3*ttl {
			t.Error("it took", took)
		}
		unlock(t, c, "k", "go's") // which it no longer has
		lock(t, c, "k", "go's", time.Millisecond, false)
		p.expect("true", "finish", "k", "its", 1)
	})
}

// Both serve and refresh one entry.
func TestCachesOfBothShareAnEntry(t *testing.T) {
	remotes(t, func(t *testing.T, r remote) {
		p := with(t, r, "lazy")
		c := echocache.NewLazyEchoCache(lazyStore[int](r), time.Minute)
		fetch := func(want int, fn store.RefreshFunc[int]) {
			t.Helper()
			v, ok, err := c.FetchWithLazyRefresh(background, "k", fn, time.Millisecond)
			if v != want || !ok || err != nil {
				t.Error(v, ok, err)
			}
		}
		settled := func() {
			for s := c.Stats(); s.Queued+s.Running != 0; s = c.Stats() {
				time.Sleep(time.Millisecond)
			}
		}
		p.expect("true", "put", "k", 1, nil)
		p.expect("true", "lock", "k", "its", 60_000)
		time.Sleep(10 * time.Millisecond)
		fetch(1, func(context.Context) (int, error) { t.Error("ran"); return 0, nil })
		settled()
		if s := c.Stats(); s.RefreshesSpared != 1 {
			t.Errorf("%+v", s)
		}
		p.expect("true", "unlock", "k", "its")
		next := 2 + rand.IntN(100)
		fetch(1, func(context.Context) (int, error) {
			p.expect("false", "lock", "k", "its", 60_000)
			return next, nil
		})
		settled()
		var answer [2]any
		if err := json.Unmarshal(p.ask("get", "k"), &answer); err != nil || answer[0] != float64(next) {
			t.Error(answer, err)
		}
		p.expect("true", "lock", "k", "its", 60_000)
	})
}
