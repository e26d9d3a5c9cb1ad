package lease

import (
	"reflect"
	"testing"
	"time"

	"tallyroute/billing"
)

// full is a row of which every member says something.
func full() billing.Spend {
	var s billing.Spend
	n := int64(0)
	fill(reflect.ValueOf(&s).Elem(), &n)
	s.OccurredAt = time.Date(2026, 11, 25, 12, 0, 0, 123456000, time.UTC)
	// What the journal leaves to the database.
	s.RecordedAt = time.Time{}
	s.Price = billing.Price{ID: s.Price.ID, Input: 1, CacheRead: 2, CacheWrite: 3, Output: 4, Request: 5}
	return s
}

func fill(v reflect.Value, n *int64) {
	*n++
	switch v.Kind() {
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			return
		}
		for i := range v.NumField() {
			fill(v.Field(i), n)
		}
	case reflect.String:
		v.SetString("text " + string(rune('a'+*n%26)))
	case reflect.Int, reflect.Int64:
		v.SetInt(*n * 1_000_003)
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Map:
		v.Set(reflect.ValueOf(map[string]string{"feature": "checkout", "run": "42"}))
	default:
		panic("a member of a kind that the codec does not know: " + v.Kind().String())
	}
}

// TestRecordKeepsEverything fails for a member of a row that is not in the
// journal: it would be lost with the process.
func TestRecordKeepsEverything(t *testing.T) {
	rows := []billing.Spend{full(), {OccurredAt: time.UnixMicro(-1).UTC()}}
	for _, kind := range []byte{recordBegin, recordRetry, recordSettle} {
		got, err := readRecord(appendRecord(nil, kind, "req_1", rows))
		if err != nil {
			t.Fatal(err)
		}
		if want := (record{kind: kind, id: "req_1", rows: rows}); !reflect.DeepEqual(got, want) {
			t.Errorf("got  %+v\nwant %+v", got, want)
		}
	}
}

func TestRecordCutShort(t *testing.T) {
	whole := appendRecord(nil, recordSettle, "req_1", []billing.Spend{full()})
	for n := range whole {
		if r, err := readRecord(whole[:n]); err == nil {
			t.Fatalf("%d of %d bytes are read as %+v", n, len(whole), r)
		}
	}
	if _, err := readRecord(append(whole, 0)); err == nil {
		t.Error("a byte too many is accepted")
	}
}

func FuzzRecord(f *testing.F) {
	f.Add(appendRecord(nil, recordSettle, "req_1", []billing.Spend{full()}))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := readRecord(b)
		if err != nil {
			return
		}
		again, err := readRecord(appendRecord(nil, r.kind, r.id, r.rows))
		if err != nil || !reflect.DeepEqual(again, r) {
			t.Errorf("%+v becomes %+v, %v", r, again, err)
		}
	})
}
