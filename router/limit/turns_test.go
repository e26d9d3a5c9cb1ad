package limit

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func TestKeysTakeTurnsWhateverEachHasWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := NewTurns(1)
		free, err := turns.Of("first").Take(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		served := make(chan string, 12)
		work := func(key string) {
			free, err := turns.Of(key).Take(t.Context())
			if err != nil {
				t.Error(err)
				return
			}
			time.Sleep(10 * time.Millisecond)
			served <- key
			free()
		}
		for range 6 {
			go work("greedy")
		}
		synctest.Wait()
		go work("modest")
		synctest.Wait()
		free()
		time.Sleep(time.Second)
		var order []string
		for len(served) > 0 {
			order = append(order, <-served)
		}
		if at := slices.Index(order, "modest"); len(order) != 7 || at > 1 {
			t.Errorf("served in the order %v", order)
		}
	})
}

func TestOneKeyHasHalfOfTheTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns, began := NewTurns(1), time.Now()
		for range 10 {
			free, err := turns.Of("greedy").Take(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(10 * time.Millisecond)
			free()
		}
		if took := time.Since(began); took != 190*time.Millisecond {
			t.Errorf("ten pieces of 10 ms took %s, want a rest of as long after each", took)
		}
		free, err := turns.Of("another").Take(t.Context())
		if err != nil || time.Since(began) != 190*time.Millisecond {
			t.Errorf("another key waited until %s: %v", time.Since(began), err)
		}
		free()
	})
}

func TestTurnsAreNotLostByThoseWhoLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := NewTurns(2)
		for range 100 {
			ctx, leave := context.WithCancel(t.Context())
			for _, key := range []string{"a", "a", "a", "b", "c"} {
				go func() {
					if free, err := turns.Of(key).Take(ctx); err == nil {
						time.Sleep(time.Millisecond)
						free()
					} else if !errors.Is(err, context.Canceled) {
						t.Error(err)
					}
				}()
			}
			leave()
			synctest.Wait()
		}
		time.Sleep(time.Second)
		turns.again()
		if turns.free != 2 || len(turns.keys) != 0 || len(turns.order) != 0 {
			t.Errorf("%d of 2 are free, %d keys and %v are remembered", turns.free, len(turns.keys), turns.order)
		}
	})
}

func TestNoTurnsAreNoBound(t *testing.T) {
	free, err := (*Turns)(nil).Of("a").Take(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	free()
}
