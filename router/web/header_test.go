package web

import (
	"fmt"
	"net/http"
	"slices"
	"testing"
)

// Values share memory; appending to one must not change another.
func TestFieldValuesAreApart(t *testing.T) {
	h := http.Header{}
	f := NewHeader(h)
	for i := range 3 * usualFields {
		f.Set(fmt.Sprintf("X-%d", i), fmt.Sprint(i))
	}
	h.Add("X-1", "more")
	h["X-2"][0] = "other"
	for i := range 3 * usualFields {
		want := []string{fmt.Sprint(i)}
		switch i {
		case 1:
			want = append(want, "more")
		case 2:
			want[0] = "other"
		}
		if got := h.Values(fmt.Sprintf("X-%d", i)); !slices.Equal(got, want) {
			t.Errorf("X-%d: %q, want %q", i, got, want)
		}
	}
}
