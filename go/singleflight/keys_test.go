package singleflight

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"unsafe"
)

type named string

type numbered int

type pair struct{ a, b string }

type gaps struct {
	small uint8
	large uint64
}

type blank struct {
	a int32
	_ int32
	b int32
}

type nested struct {
	p     pair
	f     float64
	inner [2]any
}

type withIface struct {
	s fmt.Stringer
	e error
}

// list enters a run of the key, and tells whether there was one already.
func (c *core[Key, Res]) list(key Key) bool {
	hash := c.hash(key)
	_, waits := c.shard(hash).enter(key, hash, 0, &c.seats)
	return waits != nil
}

// agree checks that each two keys share a run exactly if they are the same key of a map.
func agree[Key comparable](t *testing.T, keys ...Key) {
	t.Helper()
	for _, a := range keys {
		m := map[Key]bool{a: true}
		for _, b := range keys {
			c := newCore[Key, int](false)
			c.list(a)
			if shared := c.list(b); shared != m[b] {
				t.Errorf("%T: %#v and %#v: the same run: %v, the same key: %v", a, a, b, shared, m[b])
			}
		}
	}
}

func negativeZero() float64 { return math.Copysign(0, -1) }

func TestKeysAreOneIfTheyAreEqual(t *testing.T) {
	agree(t, "", "a", "b", "ab", "a\x00", strings.Repeat("a", 5000))
	agree(t, named(""), named("a"))
	agree(t, 0, 1, -1, math.MaxInt, math.MinInt)
	agree[int8](t, 0, 1, -1, 127, -128)
	agree[uint16](t, 0, 1, 256, 65535)
	agree[uintptr](t, 0, 1, math.MaxUint)
	agree(t, true, false)
	agree(t, 0.0, negativeZero(), 1, math.Inf(1), math.Inf(-1), math.NaN(), math.Float64frombits(0x7ff8000000000002))
	agree[float32](t, 0, float32(negativeZero()), 1.5, float32(math.NaN()))
	agree(t, complex(0, negativeZero()), complex(negativeZero(), 0), 1i, complex(math.NaN(), 0), complex(0, math.NaN()))
	agree(t, [2]string{"a", "bc"}, [2]string{"ab", "c"}, [2]string{"abc", ""}, [2]string{"", "abc"})
	agree(t, [2]bool{true, false}, [2]bool{false, true})
	agree(t, pair{"a", "bc"}, pair{"ab", "c"}, pair{"", ""})
	agree(t, [0]string{}, [0]string{})
	agree(t, struct{}{})
	x, y := new(int), new(int)
	agree(t, x, y, nil)
	agree(t, unsafe.Pointer(x), unsafe.Pointer(y), nil)
	agree(t, make(chan int), make(chan int), nil)
}

func TestWhatIsBetweenTheFieldsDoesNotCount(t *testing.T) {
	clean, dirty := gaps{1, 2}, gaps{1, 2}
	*(*byte)(unsafe.Add(unsafe.Pointer(&dirty), 1)) = 0xff
	agree(t, clean, dirty, gaps{2, 1})
	a, b := blank{a: 1, b: 2}, blank{a: 1, b: 2}
	*(*int32)(unsafe.Add(unsafe.Pointer(&b), 4)) = 7
	agree(t, a, b, blank{a: 2, b: 1})
}

func TestTypesInInterfacesCount(t *testing.T) {
	x := new(int)
	agree[any](t,
		nil, 0, 1, int8(1), int64(1), uint(1), 1.0, float32(1), "1", named("1"), numbered(1), true, 'a',
		0.0, negativeZero(), math.NaN(), 1i, pair{"a", "b"}, pair{"", "ab"}, [2]string{"a", "b"}, [1]any{nil},
		[1]any{0}, [1]any{[1]any{0}}, [2]any{nil, 0}, [2]any{0, nil}, gaps{1, 2}, blank{a: 1}, struct{}{}, [0]int{},
		x, new(int), (*int)(nil), (*string)(nil), unsafe.Pointer(x), make(chan int), (chan int)(nil),
		nested{inner: [2]any{1, "1"}}, nested{inner: [2]any{"1", 1}}, nested{p: pair{"1", ""}},
		func() any { type pair struct{ a, b string }; return pair{"a", "b"} }(),
	)
	agree(t,
		withIface{}, withIface{e: fmt.Errorf("a")}, withIface{s: &strings.Builder{}}, withIface{s: (*strings.Builder)(nil)})
}

func randomKey(depth int) any {
	switch n := rand.IntN(10); {
	case n < 2:
		return rand.IntN(3)
	case n < 4:
		return strings.Repeat("a", rand.IntN(3))
	case n == 4:
		return []any{int8(0), uint64(1), nil, true, negativeZero(), 0.0}[rand.IntN(6)]
	case depth == 0:
		return named("")
	case n < 7:
		return [2]any{randomKey(depth - 1), randomKey(depth - 1)}
	case n < 9:
		return nested{p: pair{fmt.Sprint(randomKey(0)), ""}, inner: [2]any{randomKey(depth - 1), nil}}
	default:
		return [1]any{randomKey(depth - 1)}
	}
}

func TestRandomKeysAreOneIfTheyAreEqual(t *testing.T) {
	c, seen := newCore[any, int](false), map[any]bool{}
	for range 20_000 {
		key := randomKey(3)
		if shared := c.list(key); shared != seen[key] {
			t.Fatalf("%#v: shared: %v, seen: %v", key, shared, seen[key])
		}
		seen[key] = true
	}
	if n := c.inFlight(); n != len(seen) {
		t.Errorf("%d runs of %d keys", n, len(seen))
	}
}

func TestKeysThatCannotBeComparedPanicAsInAMap(t *testing.T) {
	panicOf := func(f func()) (value any) {
		defer func() { value = recover() }()
		f()
		return nil
	}
	var groups KeyedGroups[any, int]
	for _, key := range []any{[]int{1}, map[int]int{}, func() {}, [1]any{[]int{}}, struct{ f any }{func() {}}} {
		want := panicOf(func() { _ = map[any]int{}[key] })
		got := panicOf(func() { groups.Do(key, func() (int, error) { t.Error("ran"); return 0, nil }) })
		if want == nil || fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%T: %v, not %v", key, got, want)
		}
		if got := panicOf(func() { groups.Forget(key) }); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("Forget %T: %v, not %v", key, got, want)
		}
	}
}

func TestAKeyThatEqualsNothingIsAlone(t *testing.T) {
	var groups KeyedGroups[float64, int]
	v, err := groups.Do(math.NaN(), func() (int, error) {
		return groups.Do(math.NaN(), func() (int, error) { return groups.InFlight(), nil })
	})
	if v != 2 || err != nil || groups.Forget(math.NaN()) {
		t.Error(v, err)
	}
}

// The whole way, for one type of each form.
func TestEachFormOfKeyReachesItsRun(t *testing.T) {
	reaches(t, numbered(1), numbered(2))
	reaches(t, named("a"), named("b"))
	reaches(t, pair{"a", "b"}, pair{"a", "c"})
	reaches[any](t, 1, "1")
	reaches(t, new(int), new(int))
}

func reaches[Key comparable](t *testing.T, a, b Key) {
	t.Helper()
	var groups KeyedGroups[Key, int]
	v, err := groups.Do(a, func() (int, error) {
		if _, err := groups.Do(a, func() (int, error) { return 0, nil }); err != ErrReentrant {
			t.Errorf("%v: %v", a, err)
		}
		return groups.Do(b, func() (int, error) { return groups.InFlight(), nil })
	})
	if v != 2 || err != nil {
		t.Errorf("%v, %v: %d, %v", a, b, v, err)
	}
}
