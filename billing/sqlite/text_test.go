package sqlite

import (
	"math"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"tallyroute/billing"
)

// TestStamp: instants compare as text just as they do in time.
func TestStamp(t *testing.T) {
	times := []time.Time{
		{},
		time.Date(1, 1, 1, 0, 0, 0, 1, time.UTC), time.Date(999, 1, 1, 0, 0, 0, 0, time.UTC), time.Unix(0, 0), march, march.Add(1),
		march.Add(time.Second - 1), march.In(time.FixedZone("", -5*3600)).Add(time.Hour), time.Date(9999, 12, 31, 23, 59, 59, 999_999_998, time.UTC),
	}
	for i, a := range times {
		var back time.Time
		if err := (instant{&back}).Scan(stamp(a)); err != nil || !back.Equal(a) || back.Location() != time.UTC {
			t.Errorf("%v came back as %v, %v", a, back, err)
		}
		if len(stamp(a)) != len(always) || stamp(a) > never {
			t.Errorf("%s is not like the others", stamp(a))
		}
		for _, b := range times[i+1:] {
			if stamp(a) >= stamp(b) {
				t.Errorf("%s is not before %s", stamp(a), stamp(b))
			}
		}
	}
	if stamp(time.Time{}) != always || stampEnd(time.Time{}) != never || stampOrNull(time.Time{}) != nil {
		t.Error("the ends of time are elsewhere")
	}
}

func TestClean(t *testing.T) {
	long := strings.Repeat("x", longest)
	for in, want := range map[string]string{
		"": "", "plain ünïcode 値": "plain ünïcode 値", "\x00": "\ufffd", "a\x00b\x00": "a\ufffdb\ufffd", "\xff\xfe\xfd": "\ufffd",
		long: long, long + "y": long, long[1:] + "é": long[1:], long[2:] + "é": long[2:] + "é", long[3:] + "€€": long[3:] + "€", long[1:] + "\x00": long[1:],
		strings.Repeat("\x80", 1000): "\ufffd",
	} {
		if got := clean(in); got != want {
			t.Errorf("%.20q (%d bytes) became %.20q (%d), want %.20q", in, len(in), got, len(got), want)
		}
	}
}

func FuzzClean(f *testing.F) {
	for _, s := range []string{"", "a\x00b", "\xed\xa0\x80", strings.Repeat("€", 100), strings.Repeat("\x80", 300)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := clean(s)
		if len(got) > longest || !utf8.ValidString(got) || strings.Contains(got, "\x00") || clean(got) != got {
			t.Errorf("%q became %q", s, got)
		}
	})
}

func TestPlus(t *testing.T) {
	for _, c := range [][3]int64{{1, 2, 3}, {math.MaxInt64, 1, math.MaxInt64}, {1, math.MaxInt64, math.MaxInt64}, {math.MaxInt64, math.MaxInt64, math.MaxInt64}, {0, math.MaxInt64, math.MaxInt64}} {
		if got := plus(c[0], c[1]); got != c[2] {
			t.Errorf("%d + %d is %d", c[0], c[1], got)
		}
	}
}

// TestTidy_KeepsWhatFits: rows within bounds are booked as they are.
func TestTidy_KeepsWhatFits(t *testing.T) {
	for _, c := range []billing.Cost{
		{Input: 1, Output: 2, Total: 3},
		{Input: mostMeter, CacheRead: mostMeter, CacheWrite: mostMeter, Output: mostMeter, Fee: mostMeter, Total: 5 * mostMeter},
		{Total: -7},
	} {
		if got := bounded(c); got != c {
			t.Errorf("%+v became %+v", c, got)
		}
	}
	got := bounded(billing.Cost{Input: math.MaxInt64, Output: 3, Total: math.MaxInt64})
	if got != (billing.Cost{Input: mostMeter, Output: 3, Total: mostMeter + 3}) {
		t.Errorf("got %+v", got)
	}
}
