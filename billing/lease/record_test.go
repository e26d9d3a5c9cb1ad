package lease

import (
	"encoding/hex"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/journal"
)

// full returns a row in which every member is set.
func full() billing.Spend {
	var s billing.Spend
	n := int64(0)
	fill(reflect.ValueOf(&s).Elem(), &n)
	s.OccurredAt = time.Date(2026, 11, 25, 12, 0, 0, 123456000, time.UTC)
	// What the journal leaves to the database.
	s.RecordedAt = time.Time{}
	s.CacheSavings = 0 // of adjustments, which are not in the journal
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
	case reflect.Uint8:
		v.SetUint(uint64(*n % 256))
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), n)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fill(v.Index(0), n)
		fill(v.Index(1), n)
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

// version1 is a settlement as it was written before rows had facts.
const version1 = "0103057265715f31012430313938306133632d376431652d376333612d386630302d303030303030303030303031" +
	"80c9869092c6b0060a323032362d31312d3235057573616765057265715f310402056b65795f310670726f6a5f31067465616d5f31026363" +
	"0470726f64000101610162016d0170016d087374616e64617264086368656170657374086469737075746564000007636f756e746564" +
	"0e00001200000000067072696365640770726963655f3106000008002a0000480072c6010204000000000178"

// TestRecordOfAnEarlierVersionIsRead: what a process left in its journal is booked by the next
// process, which may be a newer version.
func TestRecordOfAnEarlierVersionIsRead(t *testing.T) {
	raw, err := hex.DecodeString(version1)
	if err != nil {
		t.Fatal(err)
	}
	got, err := readRecord(raw)
	if err != nil {
		t.Fatal(err)
	}
	want := record{kind: recordSettle, id: "req_1", rows: []billing.Spend{{
		EventID: "01980a3c-7d1e-7c3a-8f00-000000000001", OccurredAt: time.Date(2026, 11, 25, 12, 0, 0, 123456000, time.UTC),
		ReportDay: "2026-11-25",
		Kind:      billing.KindUsage, RequestID: "req_1", Attempt: 2, Final: true,
		Owner:          billing.Owner{KeyID: "key_1", ProjectID: "proj_1", TeamID: "team_1", CostCenter: "cc", Environment: "prod"},
		Tags:           map[string]string{"a": "b"},
		RequestedModel: "m", Provider: "p", Model: "m", ServiceTier: "standard", RouteReason: billing.RouteCheapest,
		Status: billing.StatusDisputed, UsageSource: billing.Counted, Tokens: billing.Tokens{Input: 7, Output: 9},
		Pricing: billing.Priced, Price: billing.Price{ID: "price_1", Input: 3, Output: 4},
		Cost:     billing.Cost{Input: 21, Output: 36, Total: 57},
		Baseline: 99, OverrunTokens: 1, OverrunMoney: 2, Actor: "x",
	}}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
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

// TestRecordOfALaterVersionPinsNothing: the record is set aside, and the journal can shrink.
func TestRecordOfALaterVersionPinsNothing(t *testing.T) {
	alone(t, func(w *walk, _ *node, h *hooked) {
		dir := w.t.TempDir()
		o := journal.Options{Sync: journal.SyncOff, SegmentBytes: 4096}
		log, err := journal.Open(dir, o)
		w.must(err)
		_, err = log.Append([]byte{recordVersion + 1, recordSettle, 0})
		w.must(err)
		w.must(log.Close())
		log, err = journal.Open(dir, o)
		w.must(err)
		told := 0
		l, err := Open(h, log, Options{Replica: log.ID(), Report: func(error) { told++ }})
		w.must(err)
		n := &node{name: "older", log: log, Ledger: l}
		w.must(n.joins(w.t.Context()))
		for range 50 {
			w.use(n, 1)
		}
		for n.round(w.t.Context()) {
		}
		w.must(n.Close(w.t.Context()))
		if log.Size() > 5000 || told != 1 {
			t.Errorf("the journal has %d bytes, %d faults were told", log.Size(), told)
		}
		if kept, err := filepath.Glob(dir + "/quarantine/*.record"); err != nil || len(kept) != 1 {
			t.Errorf("%v are kept, %v", kept, err)
		}
		w.must(log.Close())
	})
}

// TestLeasesOfASuspendedMachineAreNotUsed: the monotonic clock stood still while the wall clock
// went on.
func TestLeasesOfASuspendedMachineAreNotUsed(t *testing.T) {
	alone(t, func(w *walk, n *node, _ *hooked) {
		w.use(n, 1)
		time.Sleep(2 * time.Second)
		if !n.usable() {
			t.Fatal("its leases cannot be used")
		}
		n.latest.Store(time.Now().Add(-time.Second).UnixNano()) // as if so much had passed
		if n.usable() {
			t.Error("its leases can be used")
		}
		time.Sleep(2 * time.Second)
		if !n.usable() {
			t.Error("it has not come back")
		}
	})
}
