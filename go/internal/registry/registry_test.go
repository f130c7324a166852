package registry

import "testing"

func TestIDsAreNeverUsedTwice(t *testing.T) {
	var r Registry[string]
	if _, ok := r.Get(0); ok || r.Len() != 0 {
		t.Error("the zero registry holds something")
	}
	a := r.Add("a")
	if v, ok := r.Take(a); !ok || v != "a" {
		t.Errorf("%q, %v", v, ok)
	}
	b := r.Add("b")
	if a == 0 || b == 0 || a == b {
		t.Errorf("%d, then %d", a, b)
	}
	if _, ok := r.Take(a); ok {
		t.Error("taken twice")
	}
	if v, ok := r.Get(b); !ok || v != "b" || r.Len() != 1 {
		t.Errorf("%q, %v, %d", v, ok, r.Len())
	}
}
