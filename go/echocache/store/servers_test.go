package store_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/redis/go-redis/v9"
)

// The tests run against real servers, which they start on free ports of the loopback interface when
// the first test asks for them, and end by their process ids. DOCACHE_REDIS_SERVER and
// DOCACHE_NATS_SERVER name the programs if they are not where Debian has them.

// dieWithUs is set where the system can end a server when the tests end without doing so.
var dieWithUs = func(*exec.Cmd) {}

// server is a program that listens on a port.
type server struct {
	env, path string // where it is said to be, and where it is if nothing is said
	command   func(path, port, dir string) *exec.Cmd
	answers   func(ctx context.Context, port string) error

	once    sync.Once
	port    string
	failure string
	process *exec.Cmd
	dir     string
}

var redisServer = &server{
	env: "DOCACHE_REDIS_SERVER", path: "/usr/bin/redis-server",
	command: func(path, port, dir string) *exec.Cmd {
		return exec.Command(path, "--port", port, "--bind", "127.0.0.1", "--dir", dir,
			"--save", "", "--appendonly", "no", "--daemonize", "no")
	},
	answers: func(ctx context.Context, port string) error {
		db := redis.NewClient(&redis.Options{Addr: "127.0.0.1:" + port, MaxRetries: -1})
		defer db.Close()
		return db.Ping(ctx).Err()
	},
}

var natsServer = &server{
	env: "DOCACHE_NATS_SERVER", path: "/usr/sbin/nats-server",
	command: func(path, port, dir string) *exec.Cmd {
		return exec.Command(path, "-js", "-a", "127.0.0.1", "-p", port, "-sd", dir)
	},
	answers: func(_ context.Context, port string) error {
		nc, err := nats.Connect("nats://127.0.0.1:" + port)
		if err != nil {
			return err
		}
		defer nc.Close()
		js, err := jetstream.New(nc)
		if err != nil {
			return err
		}
		_, err = js.AccountInfo(context.Background())
		return err
	},
}

func TestMain(m *testing.M) {
	// A server ends with the thread that began it, if it must: see dieWithUs.
	go func() {
		runtime.LockOSThread()
		for s := range starts {
			s.start()
			close(s.started)
		}
	}()
	code := m.Run()
	redisServer.stop()
	natsServer.stop()
	os.Exit(code)
}

type starting struct {
	*server
	started chan struct{}
}

var starts = make(chan starting)

// address returns host and port of the server.
func (s *server) address(t testing.TB) string {
	t.Helper()
	s.once.Do(func() {
		begun := starting{s, make(chan struct{})}
		starts <- begun
		<-begun.started
	})
	if s.failure != "" {
		t.Fatal(s.failure)
	}
	return "127.0.0.1:" + s.port
}

func (s *server) start() {
	path := s.path
	if said := os.Getenv(s.env); said != "" {
		path = said
	}
	path, err := exec.LookPath(path)
	if err != nil {
		s.failure = fmt.Sprintf("%v: install it (apt-get install -y %s), or set %s to where it is",
			err, filepath.Base(s.path), s.env)
		return
	}
	if s.dir, err = os.MkdirTemp("", "echocache"); err != nil {
		s.failure = err.Error()
		return
	}
	for range 5 { // since another program may take the port first
		if s.failure = s.tryStart(path); s.failure == "" {
			return
		}
	}
}

func (s *server) tryStart(path string) (failure string) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err.Error()
	}
	s.port = strconv.Itoa(free.Addr().(*net.TCPAddr).Port)
	free.Close()
	s.process = s.command(path, s.port, s.dir)
	dieWithUs(s.process)
	if err := s.process.Start(); err != nil {
		s.process = nil
		return err.Error()
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	for ctx.Err() == nil {
		if err = s.answers(ctx, s.port); err == nil {
			return ""
		}
		time.Sleep(10 * time.Millisecond)
	}
	s.kill()
	return fmt.Sprintf("%s does not answer: %v", path, err)
}

func (s *server) kill() {
	if s.process != nil {
		_ = s.process.Process.Kill()
		_ = s.process.Wait()
		s.process = nil
	}
}

func (s *server) stop() {
	s.kill()
	if s.dir != "" {
		_ = os.RemoveAll(s.dir)
	}
}

// redisClient is a client of the server, whose prefix is to be the name of the test.
func redisClient(t testing.TB) *redis.Client {
	t.Helper()
	db := redis.NewClient(&redis.Options{Addr: redisServer.address(t), ContextTimeoutEnabled: true})
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// bucket is a bucket that no other test has.
func bucket(t testing.TB) jetstream.KeyValue {
	t.Helper()
	kv, _ := bucketOf(t)
	return kv
}

var buckets int

func bucketOf(t testing.TB) (kv jetstream.KeyValue, name string) {
	t.Helper()
	nc, err := nats.Connect("nats://" + natsServer.address(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	buckets++
	name = fmt.Sprintf("bucket%d", buckets)
	kv, err = js.CreateKeyValue(context.Background(), jetstream.KeyValueConfig{Bucket: name})
	if err != nil {
		t.Fatal(err)
	}
	return kv, name
}
