package cache

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"docache"
)

type (
	name  string
	blob  []byte
	point struct {
		x, y float32
		on   bool
		tags [2]uint8
	}
	person struct {
		Name  string
		Tags  map[string]int
		Boss  *person
		Times []time.Duration
	}
)

// comesBack sets, gets, fetches and lists the values.
func comesBack[V any](t *testing.T, values []V, codec ...Codec[V]) {
	t.Helper()
	c := typed[string, V](t, nil, codec...)
	keys := keysOf(len(values))
	check := func(what string, i int, got V, err error) {
		t.Helper()
		if err != nil || !reflect.DeepEqual(got, values[i]) {
			t.Errorf("%s: %.80v, not %.80v: %v", what, got, values[i], err)
		}
	}
	for round := range 2 {
		for i, v := range values {
			got, err := c.Fetch(soon(t), keys[i], func(context.Context) (V, error) { return v, nil })
			check("Fetch", i, got, err)
			got, err = c.Get(keys[i])
			check("Get", i, got, err)
			c.Delete(keys[i])
			if err := c.Set(keys[i], v); err != nil {
				t.Error(err)
			}
			got, err = c.Get(keys[i])
			check("Set", i, got, err)
		}
		if round == 0 {
			c.Clear()
			if err := c.SetList(keys, values); err != nil {
				t.Error(err)
			}
		}
		got, found, err := c.GetList(append([]string{"none"}, keys...))
		if len(got) != len(values)+1 || found[0] {
			t.Fatal(got, found)
		}
		for i := range values {
			check("GetList", i, got[i+1], err)
			if !found[i+1] {
				t.Errorf("%d is not there", i)
			}
		}
	}
}

func TestTypedValuesComeBack(t *testing.T) {
	long := strings.Repeat("long", 1000)
	comesBack(t, []string{"", "a", long[:255], long[:256], long[:257], long})
	comesBack(t, []name{"", "a", name(long)})
	comesBack(t, [][]byte{{}, {0}, []byte(long)})
	comesBack(t, []blob{{}, {1, 2}, blob(long)}, Bytes[blob]{})
	comesBack(t, []int{0, 1, -1})
	comesBack(t, []struct{}{{}})
	comesBack(t, []point{{}, {1, 2, true, [2]uint8{3, 4}}})
	comesBack(t, [][500]uint64{{1}, {499: 2}}, Image[[500]uint64]{})
	comesBack(t, []person{{}, {"ann", map[string]int{"a": 1}, &person{Name: "bob"}, []time.Duration{1}}})
	comesBack(t, []*person{nil, {Name: long}})
	comesBack(t, []any{nil, 1.5, "a", []any{true}})
	comesBack(t, []int{1, 2}, JSON[int]{})
	comesBack(t, []int{1, 2}, nil)
	var many []string
	for i := range 3*batch + 1 {
		many = append(many, fmt.Sprint(i))
	}
	comesBack(t, many)
}

func TestKeysMayBeBytes(t *testing.T) {
	c := typed[blob, string](t, nil)
	key := blob("key")
	if err := c.Set(key, "value"); err != nil {
		t.Fatal(err)
	}
	key[0] = 'X' // the cache has its own
	if _, err := c.Get(key); err != ErrNotFound {
		t.Error(err)
	}
	if v, err := c.Get(blob("key")); v != "value" || err != nil {
		t.Error(v, err)
	}
	if v, err := c.Fetch(soon(t), nil, func(context.Context) (string, error) { return "none", nil }); v != "none" || err != nil {
		t.Error(v, err)
	}
	if v, err := c.Get(blob{}); v != "none" || err != nil {
		t.Error(v, err)
	}
	if n := c.DeleteList([]blob{nil, blob("key"), blob("other")}); n != 2 || c.Len() != 0 {
		t.Error(n, c.Len())
	}
}

func TestEachReaderHasAValueOfItsOwn(t *testing.T) {
	c := typed[string, []byte](t, nil)
	v := []byte("value")
	if err := c.Set("key", v); err != nil {
		t.Fatal(err)
	}
	v[0] = 'X'
	first, _ := c.Get("key")
	first[1] = 'X'
	list, _, _ := c.GetList([]string{"key"})
	list[0][2] = 'X'
	if v, err := c.Get("key"); string(v) != "value" || err != nil {
		t.Errorf("%q, %v", v, err)
	}
	// Those who wait have too.
	people := typed[string, *person](t, nil)
	g := newGate()
	got := make(chan *person, 3)
	fetch := func() {
		p, _ := people.Fetch(soon(t), "key", func(context.Context) (*person, error) {
			g.Pass()
			return &person{Name: "ann"}, nil
		})
		got <- p
	}
	go fetch()
	within(t, g.Entered, "the load")
	go fetch()
	go fetch()
	eventually(t, "waiters", func() bool { return waiting(t) == 2 })
	close(g.Leave)
	a, b, c3 := <-got, <-got, <-got
	if a == b || b == c3 || a == c3 || a.Name != "ann" || b.Name != "ann" || c3.Name != "ann" {
		t.Error(a, b, c3)
	}
}

func TestAppendToUsesWhatItIsGiven(t *testing.T) {
	c := typed[string, string](t, nil)
	long := strings.Repeat("long", 100)
	c.Set("short", "value")
	c.Set("long", long)
	buf := append(make([]byte, 0, 64), "> "...)
	short, err := c.AppendTo(buf, "short")
	if string(short) != "> value" || err != nil || &short[0] != &buf[0] {
		t.Errorf("%q, %v", short, err)
	}
	if out, err := c.AppendTo(buf, "long"); string(out) != "> "+long || err != nil {
		t.Errorf("%q, %v", out, err)
	}
	if out, err := c.AppendTo(buf, "none"); string(out) != "> " || err != ErrNotFound {
		t.Errorf("%q, %v", out, err)
	}
	if out, err := c.AppendTo(nil, "short"); string(out) != "value" || err != nil {
		t.Errorf("%q, %v", out, err)
	}
	coded := typed[string, []int](t, nil)
	coded.Set("key", []int{1, 2})
	if out, err := coded.AppendTo(nil, "key"); string(out) != "[1,2]" || err != nil {
		t.Errorf("%q, %v", out, err)
	}
}

// picky is a codec that refuses what is negative, coming and going.
type picky struct{ panics bool }

func (p picky) AppendTo(dst []byte, v int) ([]byte, error) {
	if v < 0 && p.panics {
		panic(errTest)
	}
	if v < 0 {
		return append(dst, "half"...), errTest
	}
	return append(dst, byte(v)), nil
}

func (picky) Decode(data []byte) (int, error) {
	if data[0] > 100 {
		return 1, errTest
	}
	return int(data[0]), nil
}

func TestErrorsOfTheCodecAreReturned(t *testing.T) {
	c := typed[string, int](t, nil, Codec[int](picky{}))
	c.Set("key", 1)
	if err := c.Set("key", -1); err != errTest {
		t.Error(err)
	}
	if err := c.SetList([]string{"a", "b"}, []int{1, -1}); err != errTest {
		t.Error(err)
	}
	if v, err := c.Fetch(soon(t), "new", func(context.Context) (int, error) { return -1, nil }); v != 0 || err != errTest {
		t.Error(v, err)
	}
	if v, err := c.Get("key"); v != 1 || err != nil || c.Len() != 1 {
		t.Error(v, err, c.Len())
	}
	c.Set("bad", 101)
	if _, err := c.Get("bad"); err != errTest {
		t.Error(err)
	}
	if v, found, err := c.GetList([]string{"key", "bad"}); v != nil || found != nil || err != errTest {
		t.Error(v, found, err)
	}
	if _, err := c.Fetch(soon(t), "bad", func(context.Context) (int, error) { return 2, nil }); err != errTest {
		t.Error(err)
	}
}

func TestAPanicOfTheCodecEndsTheLoad(t *testing.T) {
	c := typed[string, int](t, nil, Codec[int](picky{panics: true}))
	func() {
		defer func() {
			if p := recover(); p != errTest {
				t.Error(p)
			}
		}()
		c.Fetch(soon(t), "key", func(context.Context) (int, error) { return -1, nil })
	}()
	if v, err := c.Fetch(soon(t), "key", func(context.Context) (int, error) { return 2, nil }); v != 2 || err != nil {
		t.Error(v, err)
	}
}

// These embed a codec of this package, and put a method of their own in the place of one of its.
type (
	upperBytes struct{ Bytes[string] }
	upperJSON  struct{ JSON[string] }
	plusOne    struct{ Image[int] }
	wrapped    struct{ Codec[string] }
)

func (upperBytes) AppendTo(dst []byte, v string) ([]byte, error) {
	return append(dst, strings.ToUpper(v)...), nil
}
func (upperJSON) Decode(data []byte) (string, error) { return strings.ToUpper(string(data)), nil }
func (plusOne) Decode(data []byte) (int, error) {
	v, err := Image[int]{}.Decode(data)
	return v + 1, err
}

func TestACodecThatEmbedsOneOfOursIsAsked(t *testing.T) {
	texts := typed[string, string](t, nil, Codec[string](upperBytes{}))
	texts.Set("key", "value")
	if v, err := texts.Get("key"); v != "VALUE" || err != nil {
		t.Error(v, err)
	}
	if err := texts.SetList([]string{"list"}, []string{"value"}); err != nil {
		t.Error(err)
	}
	if v, err := texts.AppendTo(nil, "list"); string(v) != "VALUE" || err != nil {
		t.Error(v, err)
	}
	if v, err := texts.Fetch(soon(t), "new", func(context.Context) (string, error) { return "value", nil }); v != "value" || err != nil {
		t.Error(v, err)
	}
	if v, err := texts.Get("new"); v != "VALUE" || err != nil {
		t.Error(v, err)
	}
	written := typed[string, string](t, nil, Codec[string](upperJSON{}))
	written.Set("key", "value")
	if v, err := written.Get("key"); v != `"VALUE"` || err != nil {
		t.Error(v, err)
	}
	numbers := typed[string, int](t, nil, Codec[int](plusOne{}))
	numbers.Set("key", 1)
	if v, err := numbers.Get("key"); v != 2 || err != nil {
		t.Error(v, err)
	}
	comesBack(t, []string{"a", "b"}, Codec[string](wrapped{Bytes[string]{}}))
	comesBack(t, []string{"a", "b"}, Codec[string](&Bytes[string]{}))
}

type (
	writesItself struct{ c chan int }
	linked       struct {
		Next *linked
		Call func() `json:"-"`
		Rare func() `json:",omitzero"`
		List []chan int
	}
	outer struct{ inner }
	inner struct{ A string }
)

func (writesItself) MarshalJSON() ([]byte, error) { return []byte("1"), nil }
func (writesItself) UnmarshalJSON([]byte) error   { return nil }

func TestTypesThatNoCodecHandlesAreRefused(t *testing.T) {
	refused := func(what string, err error) {
		t.Helper()
		var argument *docache.ArgumentError
		if !errors.As(err, &argument) || argument.Name != "V" || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: %v", what, err)
		}
	}
	refused("chan int", newTypedError[chan int]())
	refused("func()", newTypedError[func()]())
	refused("func()", newTypedError[func()](JSON[func()]{}))
	refused("[]func()", newTypedError[[]func()]())
	refused("chan int", newTypedError[map[string]*chan int]())
	refused("map[bool]string", newTypedError[map[bool]string]())
	refused("complex128", newTypedError[*complex128]())
	refused("error", newTypedError[error]())
	refused("fmt.Stringer", newTypedError[[]fmt.Stringer]())
	refused("the chan int in it", newTypedError[struct {
		Name string
		Wake chan int
	}]())
	refused("the func() in it", newTypedError[struct{ In [2]struct{ F func() } }]())
	refused("none is exported", newTypedError[struct{ name string }]())
	refused("none is exported", newTypedError[[]*struct{ next *int }]())
	for _, err := range []error{
		newTypedError[any](), newTypedError[person](), newTypedError[linked](), newTypedError[*linked](), newTypedError[outer](),
		newTypedError[writesItself](), newTypedError[map[int]time.Time](), newTypedError[struct{}](), newTypedError[complex64](),
		newTypedError[[]any](), newTypedError[*netip.Addr](), newTypedError[map[netip.Addr]string](), newTypedError[json.RawMessage](),
		newTypedError[error](Codec[error](errorCodec{})),
	} {
		if err != nil {
			t.Error(err)
		}
	}
	comesBack(t, []linked{{}, {Next: &linked{}}})
	comesBack(t, []outer{{}, {inner{"a"}}})
}

func newTypedError[V any](codec ...Codec[V]) error {
	c, err := NewTyped[string, V](nil, codec...)
	if err == nil {
		c.Close()
	}
	return err
}

type errorCodec struct{}

func (errorCodec) AppendTo(dst []byte, v error) ([]byte, error) {
	return append(dst, v.Error()...), nil
}
func (errorCodec) Decode(data []byte) (error, error) { return errors.New(string(data)), nil }

func TestCodecsAreChecked(t *testing.T) {
	var argument *docache.ArgumentError
	if _, err := NewTyped[string, *int](nil, Codec[*int](Image[*int]{})); !errors.As(err, &argument) {
		t.Error(err)
	}
	if _, err := NewTyped[string, int](nil, Codec[int](JSON[int]{}), Codec[int](Image[int]{})); !errors.As(err, &argument) {
		t.Error(err)
	}
	for _, v := range []any{"", []int{}, map[int]int{}, any(nil), new(int), func() {}, make(chan int)} {
		type s struct{ v any }
		if isImage(reflect.TypeOf(struct{ a any }{v})) || v != nil && isImage(reflect.TypeOf(v)) {
			t.Errorf("%T is no image", v)
		}
	}
	c := typed[string, int](t, nil)
	if err := c.SetList([]string{"a"}, nil); !errors.As(err, &argument) {
		t.Error(err)
	}
}

func TestTypedValuesExpire(t *testing.T) {
	const short = time.Millisecond
	c := typed[string, int](t, &Config{DefaultTTL: short, CleanupInterval: rarely, CountReads: true})
	two := func(context.Context) (int, error) { return 2, nil }
	c.Set("a", 1)
	c.SetEx("b", NoTTL, 1)
	c.SetEx("c", short, 1)
	c.SetListEx([]string{"d"}, NoTTL, []int{1})
	c.SetList([]string{"e"}, []int{1})
	c.Fetch(soon(t), "f", two)
	c.FetchEx(soon(t), "g", NoTTL, two)
	c.FetchEx(soon(t), "h", 0, two)
	c.SetEx("d2", NoTTL, 1)
	c.SetEx("d2", -7, 1)
	c.SetListEx([]string{"d2"}, 0, []int{1})
	gone(t, short)
	var there string
	for _, key := range []string{"a", "b", "c", "d", "d2", "e", "f", "g", "h"} {
		if _, err := c.Get(key); err == nil {
			there += key
		}
		if _, err := c.Get(key); c.Has(key) != (err == nil) {
			t.Error(key, err)
		}
	}
	if there != "bdg" {
		t.Error(there)
	}
	if n := c.Purge(); n != 5 || c.Len() != 3 {
		t.Error(n, c.Len())
	}
	if s := c.Stats(); s.Hits == 0 || s.Misses == 0 || s.Expired != 5 || s.Loads != 3 || s.LoadTime < 0 {
		t.Errorf("%+v", s)
	}
}

// Nothing is removed in the background, but reads do not return what has expired.
func TestTypedValuesExpireWithNoCleanup(t *testing.T) {
	c := typed[string, int](t, &Config{DefaultTTL: time.Microsecond, CleanupInterval: NoCleanup})
	c.Set("a", 1)
	c.SetListEx([]string{"b"}, time.Microsecond, []int{1})
	c.SetEx("c", 0, 1)
	c.SetEx("stays", NoTTL, 1)
	gone(t, time.Microsecond)
	if v, err := c.Get("a"); err != ErrNotFound || c.Has("b") || c.Has("c") {
		t.Error(v, err)
	}
	if v, err := c.Fetch(soon(t), "b", func(context.Context) (int, error) { return 2, nil }); v != 2 || err != nil {
		t.Error(v, err)
	}
	if v, err := c.Get("stays"); v != 1 || err != nil {
		t.Error(v, err)
	}
	gone(t, time.Microsecond)
	if n := c.Len(); n != 3 {
		t.Error("removed before Purge:", n)
	}
	if n := c.Purge(); n != 2 || c.Len() != 1 {
		t.Error(n, c.Len())
	}
}

func TestExpiredTypedValuesStayWithExpireOnCleanupOnly(t *testing.T) {
	c := typed[string, int](t, &Config{
		DefaultTTL: time.Microsecond, CleanupInterval: NoCleanup, ExpireOnCleanupOnly: true,
	})
	c.Set("a", 1)
	c.SetEx("b", 0, 1)
	c.SetListEx([]string{"c"}, -2, []int{1})
	gone(t, time.Microsecond)
	values, found, err := c.GetList([]string{"a", "b", "c"})
	if fmt.Sprint(values, found, err) != "[1 1 1] [true true true] <nil>" || !c.Has("b") {
		t.Error(values, found, err)
	}
	if v, err := c.Get("c"); v != 1 || err != nil {
		t.Error(v, err)
	}
	if n := c.Purge(); n != 3 || c.Has("a") || c.Len() != 0 {
		t.Error(n, c.Len())
	}
}

// What is larger than a shard's part of MaxBytes is refused, and takes the earlier value with it.
func TestValuesBeyondAShardsPartAreRefused(t *testing.T) {
	c := typed[string, string](t, &Config{MaxBytes: 80_000})
	fits, beyond := strings.Repeat("x", 9_000), strings.Repeat("x", 11_000)
	if err := c.Set("key", fits); err != nil || !c.Has("key") {
		t.Error(err)
	}
	var refused *docache.LibraryError
	err := c.Set("key", beyond)
	if !errors.As(err, &refused) || !errors.Is(err, ErrTooLarge) || !strings.Contains(err.Error(), "10000") || c.Has("key") {
		t.Error(err, c.Has("key"))
	}
	keys, values := keysOf(100), make([]string, 100)
	values[3] = beyond
	if err := c.SetList(keys, values); !errors.As(err, &refused) || !errors.Is(err, ErrTooLarge) || !strings.Contains(err.Error(), "10000") {
		t.Error(err)
	}
	if c.Has(keys[3]) || !c.Has(keys[2]) || !c.Has(keys[4]) || c.Has(keys[99]) {
		t.Error("not the others of the same 64")
	}
	v, err := c.Fetch(soon(t), "key", func(context.Context) (string, error) { return beyond, nil })
	if v != beyond || err != nil || c.Has("key") {
		t.Error(len(v), err)
	}
	if s := c.Stats(); s.Refused != 3 {
		t.Errorf("%+v", s)
	}
}

func TestMaxBytesLimitsKeysAndValues(t *testing.T) {
	c := typed[string, string](t, &Config{MaxBytes: 100_000})
	v := strings.Repeat("x", 990)
	for _, key := range keysOf(1000) {
		if err := c.Set(key, v); err != nil {
			t.Fatal(err)
		}
	}
	if s := c.Stats(); s.Weight > 100_000 || s.Weight < 50_000 || s.Evicted == 0 {
		t.Errorf("%+v", s)
	}
	var refused *docache.LibraryError
	if err := c.Set("key", strings.Repeat("x", 100_001)); !errors.As(err, &refused) {
		t.Error(err)
	}
	big, err := c.Fetch(soon(t), "key", func(context.Context) (string, error) { return strings.Repeat("x", 100_001), nil })
	if len(big) != 100_001 || err != nil || c.Has("key") {
		t.Error(len(big), err)
	}
}

func TestAClosedTypedCacheSaysSo(t *testing.T) {
	c := typed[string, string](t, nil)
	c.Set("key", "value")
	for range 2 {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
	_, get := c.Get("key")
	_, appendTo := c.AppendTo(nil, "key")
	_, _, list := c.GetList([]string{"key"})
	_, fetch := c.Fetch(soon(t), "key", func(context.Context) (string, error) { t.Error("ran"); return "", nil })
	for _, err := range []error{
		get, appendTo, list, fetch, c.Set("key", "a"), c.SetEx("key", time.Hour, "a"), c.SetList([]string{"a"}, []string{"a"}),
	} {
		if err != ErrClosed {
			t.Error(err)
		}
	}
	c.Clear()
	if c.Has("key") || c.Delete("key") || c.DeleteList([]string{"key"}) != 0 || c.Len() != 0 || c.Purge() != 0 {
		t.Error("something is there")
	}
}

// Values grow and shrink while they are read: what is read is one that was set, whole.
func TestValuesAreReadWhole(t *testing.T) {
	c := typed[string, string](t, &Config{Capacity: 8})
	var wg sync.WaitGroup
	for range 8 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for range 2000 {
				key := string(rune('a' + rand.IntN(10)))
				if rand.IntN(2) == 0 {
					if err := c.Set(key, strings.Repeat(key, rand.IntN(2000))); err != nil {
						t.Error(err)
					}
				}
				v, err := c.Get(key)
				if err != nil && err != ErrNotFound || strings.Trim(v, key) != "" {
					t.Errorf("%q: %.20q, %v", key, v, err)
				}
			}
		}()
	}
	wg.Wait()
}
