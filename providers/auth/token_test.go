package auth

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"
)

// A token is kept, renewed before it expires, and still used after a failed renewal while it
// is valid.
func TestTokenIsKeptRenewedInTimeAndOutlivesAFailedRenewal(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	away := errors.New("away")
	asked := 0
	var fail error
	f := &keeper{now: func() time.Time { return now }, fetch: func(context.Context) (token, error) {
		asked++
		return token{text: string(rune('a' + asked - 1)), expires: now.Add(time.Hour)}, fail
	}}
	want := func(text string, calls int, err error) {
		t.Helper()
		r := &http.Request{Header: make(http.Header)}
		if got := f.Sign(t.Context(), r); !errors.Is(got, err) || asked != calls {
			t.Errorf("%v after %d calls, want %v after %d", got, asked, err, calls)
		}
		if got := r.Header.Get("Authorization"); err == nil && got != "Bearer "+text {
			t.Errorf("%q, want %q", got, text)
		}
	}
	want("a", 1, nil)
	now = now.Add(54 * time.Minute)
	want("a", 1, nil)
	now = now.Add(2 * time.Minute)
	fail = away
	want("a", 2, nil)
	want("a", 2, nil) // no immediate retry
	now = now.Add(time.Minute)
	want("a", 3, nil)
	now = now.Add(3 * time.Minute)
	want("", 4, away)
	fail = nil
	want("e", 5, nil)
}
