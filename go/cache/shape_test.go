package cache_test

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	lockotron "docache/cache"
)

// A program in the shape of github.com/sdzyba/lockotron, with nothing changed but the import path: that it compiles is the
// first half of the test.

type user struct{ name string }

type directory struct {
	users *lockotron.Cache
	load  func(name string) (interface{}, error)
}

func newDirectory() *directory {
	config := lockotron.NewConfig()
	config.DefaultTTL = 1 * time.Hour
	config.CleanupInterval = 30 * time.Minute
	d := &directory{users: lockotron.NewCache(config)}
	d.load = func(name string) (interface{}, error) {
		if name == "" {
			return nil, errors.New("no name")
		}
		return &user{name}, nil
	}
	return d
}

func (d *directory) find(name string) (*user, error) {
	v, err := d.users.Fetch(name, d.load)
	if err != nil {
		return nil, err
	}
	return v.(*user), nil
}

func TestProgramsInTheShapeOfLockotron(t *testing.T) {
	d := newDirectory()
	var wg sync.WaitGroup
	for range 10 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			if u, err := d.find("ann"); err != nil || u.name != "ann" {
				t.Error(u, err)
			}
			if u, err := d.find(""); err == nil || u != nil {
				t.Error(u, err)
			}
		}()
	}
	wg.Wait()
	ann, _ := d.find("ann")
	if again, err := d.users.Get("ann"); err != nil || again.(*user) != ann {
		t.Error("not the same pointer")
	}
	if v, err := d.users.Get("bob"); v != nil || err != lockotron.ErrNotFound || !lockotron.IsNotFoundErr(err) {
		t.Error(v, err)
	}
	d.users.Set("bob", &user{"bob"})
	d.users.SetEx("cy", lockotron.NoTTL, &user{"cy"})
	d.users.SetList(map[string]interface{}{"dee": &user{"dee"}, "eve": &user{"eve"}})
	if _, err := d.users.FetchEx("fay", time.Minute, d.load); err != nil {
		t.Error(err)
	}
	d.users.Delete("bob")
	d.users.DeleteList([]string{"dee", "nobody"})
	var names []string
	for _, v := range d.users.GetList([]string{"ann", "bob", "cy", "dee", "eve", "fay"}) {
		names = append(names, v.(*user).name)
	}
	if got := strings.Join(names, " "); got != "ann cy eve fay" {
		t.Error(got)
	}
	d.users.DeleteExpired()
	d.users.DeleteAll()
	if left := d.users.GetList([]string{"ann", "cy"}); left == nil || len(left) != 0 {
		t.Error(left)
	}
	if err := d.users.Close(); err != nil {
		t.Error(err)
	}
	none := lockotron.NewCache(&lockotron.Config{DefaultTTL: lockotron.NoTTL, CleanupInterval: lockotron.NoCleanup})
	none.Set("nil", nil)
	if v, err := none.Get("nil"); v != nil || err != nil {
		t.Error(v, err)
	}
}
