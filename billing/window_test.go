package billing

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"
	_ "time/tzdata"
)

func parse(t *testing.T, s string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func TestWindow(t *testing.T) {
	tests := map[string]struct {
		period         Period
		zone           string
		at, start, end string
	}{
		"day":                 {PeriodDay, "", "2026-03-04T05:06:07Z", "2026-03-04T00:00:00Z", "2026-03-05T00:00:00Z"},
		"the start is inside": {PeriodDay, "UTC", "2026-03-04T00:00:00Z", "2026-03-04T00:00:00Z", "2026-03-05T00:00:00Z"},
		"the end is outside": {
			PeriodDay, "UTC", "2026-03-04T23:59:59.999999999Z", "2026-03-04T00:00:00Z",
			"2026-03-05T00:00:00Z",
		},
		"half-hour zone": {
			PeriodDay, "Asia/Kolkata", "2026-03-04T18:30:00Z", "2026-03-04T18:30:00Z",
			"2026-03-05T18:30:00Z",
		},
		"23 hours": {
			PeriodDay, "Europe/Berlin", "2026-03-29T12:00:00Z", "2026-03-28T23:00:00Z",
			"2026-03-29T22:00:00Z",
		},
		"25 hours": {
			PeriodDay, "America/New_York", "2026-11-01T12:00:00Z", "2026-11-01T04:00:00Z",
			"2026-11-02T05:00:00Z",
		},
		"no midnight in Sao Paulo": {
			PeriodDay, "America/Sao_Paulo", "2018-11-04T12:00:00Z", "2018-11-04T03:00:00Z",
			"2018-11-05T02:00:00Z",
		},
		"before no midnight in Sao Paulo": {
			PeriodDay, "America/Sao_Paulo", "2018-11-04T02:59:59Z", "2018-11-03T03:00:00Z",
			"2018-11-04T03:00:00Z",
		},
		"no midnight in Beirut": {
			PeriodDay, "Asia/Beirut", "2026-03-29T08:00:00Z", "2026-03-28T22:00:00Z",
			"2026-03-29T21:00:00Z",
		},
		"23:00 twice in Sao Paulo": {
			PeriodDay, "America/Sao_Paulo", "2019-02-17T02:30:00Z", "2019-02-16T02:00:00Z",
			"2019-02-17T03:00:00Z",
		},
		"midnight twice in St John's": {
			PeriodDay, "America/St_Johns", "2010-11-07T02:45:00Z", "2010-11-07T02:30:00Z",
			"2010-11-08T03:30:00Z",
		},
		"a date that never was": {
			PeriodDay, "Pacific/Apia", "2011-12-30T09:59:59Z", "2011-12-29T10:00:00Z",
			"2011-12-30T10:00:00Z",
		},
		"after a date that never was": {
			PeriodDay, "Pacific/Apia", "2011-12-30T10:00:00Z", "2011-12-30T10:00:00Z",
			"2011-12-31T10:00:00Z",
		},
		"leap day": {PeriodDay, "", "2028-02-29T12:00:00Z", "2028-02-29T00:00:00Z", "2028-03-01T00:00:00Z"},
		"end of a far leap year": {
			PeriodDay, "Europe/Berlin", "2040-12-31T12:00:00Z", "2040-12-30T23:00:00Z",
			"2040-12-31T23:00:00Z",
		},
		"week on Sunday":       {PeriodWeek, "", "2026-03-01T23:59:59Z", "2026-02-23T00:00:00Z", "2026-03-02T00:00:00Z"},
		"week on Monday":       {PeriodWeek, "", "2026-03-02T00:00:00Z", "2026-03-02T00:00:00Z", "2026-03-09T00:00:00Z"},
		"week over a new year": {PeriodWeek, "", "2027-01-01T00:00:00Z", "2026-12-28T00:00:00Z", "2027-01-04T00:00:00Z"},
		"week with 167 hours": {
			PeriodWeek, "Europe/Berlin", "2026-03-25T00:00:00Z", "2026-03-22T23:00:00Z",
			"2026-03-29T22:00:00Z",
		},
		"month":         {PeriodMonth, "", "2026-01-31T12:00:00Z", "2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z"},
		"leap February": {PeriodMonth, "", "2028-02-29T12:00:00Z", "2028-02-01T00:00:00Z", "2028-03-01T00:00:00Z"},
		"next month already in Auckland": {
			PeriodMonth, "Pacific/Auckland", "2026-03-31T11:00:00Z", "2026-03-31T11:00:00Z",
			"2026-04-30T12:00:00Z",
		},
		"last month still in Los Angeles": {
			PeriodMonth, "America/Los_Angeles", "2026-03-01T07:59:59Z", "2026-02-01T08:00:00Z",
			"2026-03-01T08:00:00Z",
		},
		"quarter":      {PeriodQuarter, "", "2026-05-31T12:00:00Z", "2026-04-01T00:00:00Z", "2026-07-01T00:00:00Z"},
		"last quarter": {PeriodQuarter, "", "2026-12-31T12:00:00Z", "2026-10-01T00:00:00Z", "2027-01-01T00:00:00Z"},
		"year":         {PeriodYear, "", "2026-05-31T12:00:00Z", "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z"},
		"year in Tokyo": {
			PeriodYear, "Asia/Tokyo", "2025-12-31T15:00:00Z", "2025-12-31T15:00:00Z",
			"2026-12-31T15:00:00Z",
		},
		"the machine's zone plays no role": {PeriodDay, "", "2026-03-04T01:00:00+05:00", "2026-03-03T00:00:00Z", "2026-03-04T00:00:00Z"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w, err := (&Budget{Period: tt.period, Zone: tt.zone}).Window(parse(t, tt.at))
			if err != nil {
				t.Fatal(err)
			}
			if w.Start != parse(t, tt.start) || w.End != parse(t, tt.end) {
				t.Errorf("got %v to %v, want %s to %s", w.Start, w.End, tt.start, tt.end)
			}
			if !w.Contains(parse(t, tt.at)) {
				t.Error("the window does not contain its instant")
			}
		})
	}
}

func TestWindow_Once(t *testing.T) {
	now := time.Now()
	w, err := (&Budget{Period: PeriodOnce, Zone: "Europe/Berlin"}).Window(now)
	if err != nil || w != (Window{}) {
		t.Fatalf("got %v, %v; want no start and no end", w, err)
	}
	if !w.Contains(now) || !w.Contains(time.Unix(0, 0)) {
		t.Error("a window without ends must contain everything")
	}
}

func TestWindow_Unknown(t *testing.T) {
	for _, b := range []Budget{
		{Period: "fortnight"},
		{Period: ""},
		{Period: PeriodDay, Zone: "Mars/Olympus"},
		{Period: PeriodDay, Zone: "Local"},
		{Period: PeriodDay, Zone: "../../etc/passwd"},
	} {
		if w, err := b.Window(time.Now()); err == nil {
			t.Errorf("%+v: got %v, want an error", b, w)
		}
	}
}

// oddZones have had every kind of change of clocks there is.
var oddZones = []string{
	"UTC", "Europe/Berlin", "Europe/Dublin", "Europe/Lisbon", "America/New_York", "America/Los_Angeles", "America/Sao_Paulo",
	"America/St_Johns", "America/Havana", "America/Asuncion", "America/Santiago", "America/Scoresbysund", "America/Nuuk",
	"Asia/Beirut", "Asia/Gaza", "Asia/Tehran", "Asia/Amman", "Asia/Kolkata", "Asia/Kathmandu", "Asia/Tokyo", "Asia/Pyongyang",
	"Africa/Cairo", "Africa/Casablanca", "Africa/El_Aaiun", "Australia/Lord_Howe", "Australia/Eucla", "Antarctica/Troll",
	"Pacific/Apia", "Pacific/Kwajalein", "Pacific/Auckland", "Pacific/Chatham", "Pacific/Kiritimati", "Pacific/Fakaofo", "America/Juneau",
}

// Windows tile time: walking from one to the next neither skips nor repeats an
// instant, and each instant is in the window that is computed for it.
func TestWindow_Tiles(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for _, zone := range oddZones {
		for _, period := range []Period{PeriodDay, PeriodWeek, PeriodMonth, PeriodQuarter, PeriodYear} {
			b := Budget{Period: period, Zone: zone}
			at := time.Date(1990, 1, 1, 0, 0, 0, 0, time.UTC)
			for at.Year() < 2042 {
				w, err := b.Window(at)
				if err != nil {
					t.Fatal(err)
				}
				length := w.End.Sub(w.Start)
				if length <= 0 || length > 367*24*time.Hour || w.Start.Location() != time.UTC || w.End.Location() != time.UTC {
					t.Fatalf("%s %s at %v: %v", zone, period, at, w)
				}
				inside := w.Start.Add(time.Duration(rnd.Int64N(int64(length))))
				for _, probe := range []time.Time{w.Start, inside, w.End.Add(-1)} {
					if got, _ := b.Window(probe); got != w {
						t.Fatalf("%s %s: %v is in %v and in %v", zone, period, probe, w, got)
					}
				}
				after, _ := b.Window(w.End)
				if after.Start != w.End {
					t.Fatalf("%s %s: %v is followed by %v", zone, period, w, after)
				}
				at = w.End
				if period == PeriodDay {
					at = at.Add(time.Duration(rnd.Int64N(int64(15 * 24 * time.Hour)))) // to save time
				}
			}
		}
	}
}

// Every longer window is made of whole days.
func TestWindow_Nests(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	for range 20_000 {
		zone := oddZones[rnd.IntN(len(oddZones))]
		at := time.Unix(rnd.Int64N(2_000_000_000), 0)
		day, err := (&Budget{Period: PeriodDay, Zone: zone}).Window(at)
		if err != nil {
			t.Fatal(err)
		}
		for _, period := range []Period{PeriodWeek, PeriodMonth, PeriodQuarter, PeriodYear} {
			w, err := (&Budget{Period: period, Zone: zone}).Window(at)
			if err != nil {
				t.Fatal(err)
			}
			if day.Start.Before(w.Start) || day.End.After(w.End) {
				t.Fatalf("%s at %v: day %v is not inside %s %v", zone, at, day, period, w)
			}
		}
	}
}

func TestBudget_Validate(t *testing.T) {
	limit := func(n int64) *int64 { return &n }
	money := func(m Money) *Money { return &m }
	good := Budget{Scope: ScopeKey, ScopeID: "key_1", Period: PeriodDay, Zone: "Europe/Berlin", Tokens: limit(0)}
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		change func(*Budget)
		want   string
	}{
		"scope":          {func(b *Budget) { b.Scope = "planet" }, "unknown scope"},
		"organisation":   {func(b *Budget) { b.Scope = ScopeOrg }, "scope org"},
		"period":         {func(b *Budget) { b.Period = "30d" }, "unknown period"},
		"zone":           {func(b *Budget) { b.Zone = "Europe/Atlantis" }, "Atlantis"},
		"no limit":       {func(b *Budget) { b.Tokens = nil }, "none of them"},
		"negative":       {func(b *Budget) { b.Tokens = limit(-1) }, "-1 tokens"},
		"large":          {func(b *Budget) { b.Tokens = limit(maxLimit + 1) }, "tokens is not between"},
		"negative money": {func(b *Budget) { b.Money = money(-1) }, "$-0.000000001"},
		"large money":    {func(b *Budget) { b.Money = money(maxMoneyLimit + 1) }, "$1000000000"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			b := good
			tt.change(&b)
			if err := b.Validate(); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want something about %q", err, tt.want)
			}
		})
	}
	err := Budget{Scope: "x", Period: "y", Zone: "z/z"}.Validate()
	if n := strings.Count(err.Error(), "\n") + 1; n != 4 {
		t.Errorf("got %d faults, want all 4: %v", n, err)
	}
}

func BenchmarkWindow(b *testing.B) {
	budget := Budget{Period: PeriodMonth, Zone: "Europe/Berlin"}
	now := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := budget.Window(now); err != nil {
			b.Fatal(err)
		}
	}
}

func TestFiscalWindows(t *testing.T) {
	for _, tt := range []struct {
		period      Period
		starts, at  string
		begins, end string
	}{
		{PeriodYear, "04-06", "2026-04-05T23:59:59Z", "2025-04-06", "2026-04-06"},
		{PeriodYear, "04-06", "2026-04-06T00:00:00Z", "2026-04-06", "2027-04-06"},
		{PeriodYear, "10-01", "2026-12-31T12:00:00Z", "2026-10-01", "2027-10-01"},
		{PeriodQuarter, "02-01", "2026-01-31T12:00:00Z", "2025-11-01", "2026-02-01"},
		{PeriodQuarter, "02-15", "2026-05-14T12:00:00Z", "2026-02-15", "2026-05-15"},
		{PeriodMonth, "07-28", "2026-02-28T00:00:00Z", "2026-02-28", "2026-03-28"},
		{PeriodMonth, "07-28", "2026-03-01T00:00:00Z", "2026-02-28", "2026-03-28"},
		{PeriodMonth, "", "2026-03-01T00:00:00Z", "2026-03-01", "2026-04-01"},
	} {
		at, err := time.Parse(time.RFC3339, tt.at)
		if err != nil {
			t.Fatal(err)
		}
		w, err := (&Budget{Period: tt.period, Starts: tt.starts}).Window(at)
		if err != nil || w.Start.Format(time.DateOnly) != tt.begins || w.End.Format(time.DateOnly) != tt.end {
			t.Errorf("%s from %q at %s: %v, %v; want %s to %s", tt.period, tt.starts, tt.at, w, err, tt.begins, tt.end)
		}
	}
	one := int64(1)
	for _, starts := range []string{"02-29", "13-01", "4-6", "x"} {
		b := Budget{Scope: ScopeOrg, ScopeID: "org", Period: PeriodYear, Tokens: &one, Starts: starts}
		if b.Validate() == nil {
			t.Errorf("a fiscal year may start on %q", starts)
		}
	}
}
