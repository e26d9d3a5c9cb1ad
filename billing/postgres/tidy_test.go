package postgres

import (
	"math"
	"strings"
	"testing"
	"unicode/utf8"

	"tallyroute/billing"
)

func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		"":                                "",
		"plain":                           "plain",
		"a\x00b":                          "a\uFFFDb",
		"\xff\xfe":                        "\uFFFD",
		strings.Repeat("x", 256):          strings.Repeat("x", 256),
		strings.Repeat("x", 257):          strings.Repeat("x", 256),
		strings.Repeat("x", 255) + "é":    strings.Repeat("x", 255),
		strings.Repeat("€", 1_000_000):    strings.Repeat("€", 85),
		strings.Repeat("\x00", 300):       strings.Repeat("\uFFFD", 85),
		strings.Repeat("x", 254) + "€uro": strings.Repeat("x", 254),
	} {
		if got := clean(in); got != want {
			t.Errorf("clean(%.20q, %d bytes) = %q", in, len(in), got)
		}
	}
}

func FuzzClean(f *testing.F) {
	for _, s := range []string{"", "\x00", "\xff", strings.Repeat("€", 100), "\xed\xa0\x80"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := clean(s)
		if len(got) > longest || !utf8.ValidString(got) || strings.ContainsRune(got, 0) {
			t.Errorf("clean(%q) = %q", s, got)
		}
		if clean(got) != got {
			t.Errorf("clean(%q) is cleaned again", got)
		}
	})
}

func TestBounded(t *testing.T) {
	plain := billing.Cost{Input: 1, CacheRead: 2, CacheWrite: 3, Output: 4, Fee: 5, Total: 15}
	if got := bounded(plain); got != plain {
		t.Errorf("got %+v", got)
	}
	wrong := billing.Cost{Input: 1, Total: 2}
	if got := bounded(wrong); got != wrong {
		t.Errorf("a sum that is wrong was put right: %+v", got)
	}
	got := bounded(billing.Cost{Input: math.MaxInt64, Output: 7, Total: math.MaxInt64})
	if want := (billing.Cost{Input: mostMoney, Output: 7, Total: mostMoney + 7}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	credit := billing.Cost{Total: -15}
	if got := bounded(credit); got != credit {
		t.Errorf("got %+v", got)
	}
}
