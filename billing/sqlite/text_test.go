package sqlite

import (
	"testing"
	"time"
)

// TestStamp checks that stamps sort as text in the order of their instants.
func TestStamp(t *testing.T) {
	times := []time.Time{
		{},
		time.Date(1, 1, 1, 0, 0, 0, 1, time.UTC), time.Date(999, 1, 1, 0, 0, 0, 0, time.UTC), time.Unix(0, 0), march, march.Add(1),
		march.Add(time.Second - 1), march.In(time.FixedZone("", -5*3600)).Add(time.Hour),
		time.Date(9999, 12, 31, 23, 59, 59, 999_999_998, time.UTC),
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
