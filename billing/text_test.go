package billing

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestCleanText(t *testing.T) {
	long := strings.Repeat("x", LongestText)
	for in, want := range map[string]string{
		"": "", "plain ünïcode 値": "plain ünïcode 値", "\x00": "\ufffd", "a\x00b\x00": "a\ufffdb\ufffd", "\xff\xfe\xfd": "\ufffd",
		long: long, long + "y": long, long[1:] + "é": long[1:], long[2:] + "é": long[2:] + "é", long[3:] + "€€": long[3:] + "€",
		long[1:] + "\x00":            long[1:],
		strings.Repeat("\x80", 1000): "\ufffd",
	} {
		if got := CleanText(in); got != want {
			t.Errorf("%.20q (%d bytes) became %.20q (%d), want %.20q", in, len(in), got, len(got), want)
		}
	}
}

func FuzzCleanText(f *testing.F) {
	for _, s := range []string{"", "a\x00b", "\xed\xa0\x80", strings.Repeat("€", 100), strings.Repeat("\x80", 300)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := CleanText(s)
		if len(got) > LongestText || !utf8.ValidString(got) || strings.Contains(got, "\x00") || CleanText(got) != got {
			t.Errorf("%q became %q", s, got)
		}
	})
}
