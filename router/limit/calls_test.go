package limit

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// As many calls are finished as there is room for, per key and in total; places that are given
// back are used again.
func TestRoomForEachKeyAndInAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := NewCalls(2, 3)
		leave := func(key string) (*Call, *atomic.Bool) {
			ctx, gone := context.WithCancel(t.Context())
			ended := new(atomic.Bool)
			call := calls.Follow(ctx, key, func() { ended.Store(true) })
			call.Finish()
			gone()
			synctest.Wait()
			return call, ended
		}
		first, _ := leave("a")
		var all []*Call
		for i, c := range []struct {
			key  string
			goes bool
		}{{"a", true}, {"a", false}, {"b", true}, {"b", false}} {
			call, ended := leave(c.key)
			all = append(all, call)
			if ended.Load() == c.goes {
				t.Errorf("call %d of %s: ended %v", i, c.key, ended.Load())
			}
		}
		first.Done()
		first.Done()
		if call, ended := leave("a"); ended.Load() {
			t.Error("a place that was given back is not taken again")
		} else {
			call.Done()
		}
		for _, call := range all {
			call.Done()
		}
		if n := calls.Running(); n != 0 {
			t.Errorf("%d are running", n)
		}
	})
}

// A call that is over before its client leaves takes no place, whichever happens first.
func TestNoPlaceIsLost(t *testing.T) {
	calls := NewCalls(1000, 1000)
	var wg sync.WaitGroup
	for range 1000 {
		wg.Go(func() {
			ctx, leave := context.WithCancel(context.Background())
			call := calls.Follow(ctx, "a", func() {})
			call.Finish()
			go leave()
			call.Done()
		})
	}
	wg.Wait()
	if n := calls.Running(); n != 0 {
		t.Errorf("%d are running", n)
	}
}
