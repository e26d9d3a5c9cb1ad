package nearest

import (
	"strings"
	"testing"
)

func TestHintNamesWhatWasMeant(t *testing.T) {
	known := []string{"listen", "limits", "max_body_bytes", "TALLYROUTE_DATABASE", "timeouts"}
	for name, want := range map[string]string{
		"listn": "listen", "LISTEN": "listen", "max_body": "max_body_bytes", "TALLYROUTE_DATABSE": "TALLYROUTE_DATABASE",
		"": "", "providers": "", "x": "", strings.Repeat("l", 200): "",
	} {
		if want != "" {
			want = "; did you mean " + want + "?"
		}
		if got := Hint(name, known); got != want {
			t.Errorf("%q: %q; want %q", name, got, want)
		}
	}
}

func TestDistance(t *testing.T) {
	for _, tt := range []struct {
		name, known string
		limit, want int
		ok          bool
	}{
		{"abc", "abc", 0, 0, true},
		{"abc", "abd", 1, 1, true},
		{"abc", "abd", 0, 0, false},
		{"kitten", "sitting", 3, 3, true},
		{"kitten", "sitting", 2, 3, false},
		{"a", "abcdef", 2, 0, false},
		{"gpt-4o", "gpt-4o-mini", 3, 1, true},
		{"abc", "ab", -1, 0, false},
	} {
		if got, ok := Distance(tt.name, tt.known, tt.limit); ok != tt.ok || ok && got != tt.want {
			t.Errorf("%s %s within %d: %d %v", tt.name, tt.known, tt.limit, got, ok)
		}
	}
}
