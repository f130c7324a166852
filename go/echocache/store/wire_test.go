package store_test

import (
	"bufio"
	"bytes"
	_ "embed"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"docache/echocache/store"
)

// Rows that github.com/logocomune/echocache wrote into a Redis 7.0 and a NATS 2.9. All of them are
// read if DOCACHE_ECHO_WIRE names their file.
//
//go:embed testdata/recorded.jsonl
var someRows []byte

type row struct {
	Store, Form, Prefix, Key string
	RawKey                   string `json:"raw_key"`
	Raw                      string
	TTL                      int64 `json:"ttl_ms"`
	What                     string
}

func rows(t *testing.T) (rows []row) {
	t.Helper()
	all := someRows
	if file := os.Getenv("DOCACHE_ECHO_WIRE"); file != "" {
		var err error
		if all, err = os.ReadFile(file); err != nil {
			t.Fatal("DOCACHE_ECHO_WIRE: ", err)
		}
	}
	for lines := bufio.NewScanner(bytes.NewReader(all)); lines.Scan(); {
		var r row
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			t.Fatal(err)
		}
		rows = append(rows, r)
	}
	if len(rows) < 30 {
		t.Fatal(len(rows), "rows")
	}
	return rows
}

// record is what was cached as "struct".
type record struct {
	Name  string
	Count int
	Price float64
	Tags  []string
	Raw   []byte
	At    time.Time
	Note  string `json:"note"`
}

var (
	recorded   = time.Date(2026, 11, 21, 9, 19, 2, 0, time.UTC)
	theRecord  = record{"näme <b>&", -3, 1e21, nil, []byte{0, 255, 16}, recordedAt, "<a href=\"x\">&\u2028</a>"}
	recordedAt = time.Date(2026, 11, 21, 10, 0, 0, 123456789, time.FixedZone("", 5*3600+1800))
)

func (r record) equal(o record) bool {
	return r.Name == o.Name && r.Count == o.Count && r.Price == o.Price && r.Tags == nil && o.Tags == nil &&
		bytes.Equal(r.Raw, o.Raw) && r.At.Equal(o.At) && r.Note == o.Note
}

// TestEntriesOfTheSeedAreOurs puts each row into a server, and reads it; and writes the same.
func TestEntriesOfTheSeedAreOurs(t *testing.T) {
	kv, db := bucket(t), redisClient(t)
	for _, row := range rows(t) {
		r := remote{name: row.Store, prefix: row.Prefix, kv: kv}
		if row.Store == "redis" {
			r = remote{name: row.Store, prefix: row.Prefix, db: db}
		}
		t.Run(row.Store+"/"+row.Form+"/"+row.What, func(t *testing.T) {
			if row.Form == "lock" {
				checkLock(t, r, row)
				return
			}
			switch row.What {
			case "string":
				check(t, r, row, func(v string) bool { return v == "hello <world> & \"you\"\n" })
			case "int":
				check(t, r, row, func(v int64) bool { return v == -9007199254740993 })
			case "float":
				check(t, r, row, func(v float64) bool { return v == 0.1 })
			case "null":
				check(t, r, row, func(v *string) bool { return v == nil })
			case "map":
				check(t, r, row, func(v map[string]int) bool { return len(v) == 2 && v["a"] == 1 && v["b"] == 2 })
			case "bytes":
				check(t, r, row, func(v []byte) bool { return string(v) == "raw \x00 bytes" })
			case "struct":
				check(t, r, row, theRecord.equal)
			default:
				t.Error("nobody knows what that is")
			}
		})
	}
}

func check[T any](t *testing.T, r remote, row row, right func(T) bool) {
	t.Helper()
	r.putRaw(t, row.RawKey, row.Raw)
	ttl := time.Duration(row.TTL) * time.Millisecond
	if row.Form == "plain" {
		if r.db != nil {
			checkAs(t, r, row, store.NewRedisCache[T](r.db, row.Prefix, ttl), right)
		} else {
			checkAs(t, r, row, store.NewNatsCache[T](r.kv, row.Prefix), right)
		}
		return
	}
	lazy := func(v store.StaleValue[T]) bool {
		age := v.CreatedAt.Sub(recorded)
		return right(v.Value) && age > -time.Minute && age < time.Minute
	}
	if r.db != nil {
		checkAs(t, r, row, store.NewStaleWhileRevalidateRedisCache[T](r.db, row.Prefix, ttl), lazy)
	} else {
		checkAs(t, r, row, store.NewStaleWhileRevalidateNatsCache[T](r.kv, row.Prefix), lazy)
	}
}

// checkAs reads what is there, and writes it back over something else.
func checkAs[V any](t *testing.T, r remote, row row, c store.Cacher[V], right func(V) bool) {
	t.Helper()
	v, ok, err := c.Get(background, row.Key)
	if !right(v) || !ok || err != nil {
		t.Errorf("%+v: %v, %v, %v", row, v, ok, err)
	}
	r.putRaw(t, row.RawKey, "overwritten")
	set(t, c, row.Key, v)
	if raw := r.raw(t, row.RawKey); raw != row.Raw {
		t.Errorf("%q instead of %q", raw, row.Raw)
	}
	if r.db != nil {
		left, err := r.db.PTTL(background, row.RawKey).Result()
		if left.Milliseconds() > row.TTL || left.Milliseconds() < row.TTL-30_000 || err != nil {
			t.Error(left, err)
		}
	}
}

// checkLock finds the seed's lock in its way, takes it with its token, and writes the same.
func checkLock(t *testing.T, r remote, row row) {
	t.Helper()
	const token = "tOkEn12345"
	r.putRaw(t, row.RawKey, row.Raw)
	c := lazyStore[int](r)
	ttl := 30 * time.Second
	lock(t, c, row.Key, "other", ttl, false)
	unlock(t, c, row.Key, "other")
	lock(t, c, row.Key, "other", ttl, false)
	unlock(t, c, row.Key, token)
	if raw := r.raw(t, row.RawKey); raw != "" {
		t.Error("it is still there:", raw)
	}
	lock(t, c, row.Key, token, ttl, true)
	raw := r.raw(t, row.RawKey)
	if r.db != nil {
		left, err := r.db.PTTL(background, row.RawKey).Result()
		if raw != row.Raw || left > ttl || left < ttl-20*time.Second || err != nil {
			t.Error(raw, left, err)
		}
	} else {
		holder, at, _ := strings.Cut(raw, "|")
		when, err := time.Parse("2006-01-02T15:04:05Z", at)
		if age := time.Since(when); holder != token || err != nil || age < 0 || age > 20*time.Second {
			t.Error(raw, err)
		}
	}
	unlock(t, c, row.Key, token)
}

// What other programs may write.
func TestEntriesOfOthers(t *testing.T) {
	remotes(t, func(t *testing.T, r remote) {
		at := r.prefix + ":k"
		if r.kv != nil {
			// The MD5 of "k".
			at = strings.TrimRight(r.prefix, ".") + ".8ce4b16b22b58894aa86c421e8759df3"
		}
		created := time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)
		for raw, want := range map[string]store.StaleValue[int]{
			`{"Value":7,"CreatedAt":"2026-11-21T10:00:00+01:00"}`:                                 {Value: 7, CreatedAt: created},
			` { "createdat" : "2026-11-21T09:00:00.000Z", "Other": [], "VALUE": 1, "value": 8 } `: {Value: 8, CreatedAt: created},
			`{"Value":9}`:                     {Value: 9},
			`{"Value":null,"CreatedAt":null}`: {},
		} {
			r.putRaw(t, at, raw)
			v, ok, err := lazyStore[int](r).Get(background, "k")
			if v.Value != want.Value || !v.CreatedAt.Equal(want.CreatedAt) || !ok || err != nil {
				t.Error(raw, v, ok, err)
			}
		}
		for _, raw := range []string{`null`, `{}`, `7`, `{"CreatedAt":"2026-11-21T09:00:00Z"}`, `{"Value":7`, "",
			`{"Value":7,"CreatedAt":"yesterday"}`, `{"Value":7,"CreatedAt":"2026-11-21T09:00:00Z"} x`} {
			r.putRaw(t, at, raw)
			if v, ok, err := lazyStore[int](r).Get(background, "k"); ok || v != (store.StaleValue[int]{}) || err == nil {
				t.Error(raw, v, ok, err)
			}
		}
	})
}
