package billingtest

import (
	"fmt"
	"net/netip"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/access"
)

func accessCases() map[string]func(w *world) {
	return map[string]func(w *world){
		"AccessIsListedCountedAndErased": accessKept,
		"OldAccessIsRemoved":             accessPruned,
	}
}

// entry returns the nth request, in the nth minute after noon.
func (w *world) entry(n int, key, from, agent, decision string) access.Entry {
	e := access.Entry{
		At: w.now.Add(time.Duration(n) * time.Minute).Truncate(time.Microsecond), RequestID: fmt.Sprintf("req_%04d", n), KeyID: key,
		Version: 1, Agent: agent, Endpoint: "/v1/chat/completions", Decision: decision, Status: 200, BytesIn: 10, BytesOut: int64(n),
	}
	e.Address, _ = netip.ParseAddr(from)
	return e
}

func accessKept(w *world) {
	ctx := w.Context()
	all := []access.Entry{
		w.entry(0, "key_a", "10.0.0.1", "one/1", access.Allowed),
		w.entry(1, "key_a", "10.0.0.1", "one/1", access.Allowed),
		w.entry(2, "key_a", "2001:db8::2", "two/1", "invalid_api_key"),
		w.entry(3, "key_b", "10.0.0.1", "one/1", access.Allowed),
		w.entry(1000, "", "", "“three”", "invalid_api_key"), // on another day
	}
	w.must(w.AppendAccess(ctx, all))
	listed := func(q access.Query) (ids string) {
		w.Helper()
		entries, err := w.ListAccess(ctx, q)
		w.must(err)
		for _, e := range entries {
			ids += e.RequestID[len("req_"):] + " "
		}
		return ids
	}
	entries, err := w.ListAccess(ctx, access.Query{})
	w.must(err)
	for i, e := range entries {
		w.wantSame("entry", e, all[len(all)-1-i])
	}
	for _, tc := range []struct {
		q    access.Query
		want string
	}{
		{access.Query{}, "1000 0003 0002 0001 0000 "},
		{access.Query{KeyID: "key_a", Since: all[1].At}, "0002 0001 "},
		{access.Query{Until: all[1].At}, "0000 "},
		{access.Query{Address: netip.MustParseAddr("10.0.0.1"), Agent: "one/1", Limit: 2}, "0003 0001 "},
		{access.Query{Decision: access.Refused}, "1000 0002 "},
		{access.Query{Decision: access.Allowed, KeyID: "key_b"}, "0003 "},
		{access.Query{Before: access.Position{At: all[2].At, RequestID: all[2].RequestID}}, "0001 0000 "},
	} {
		if got := listed(tc.q); got != tc.want {
			w.Errorf("%+v lists %q, want %q", tc.q, got, tc.want)
		}
	}
	counts, err := w.CountAccess(ctx, access.Query{KeyID: "key_a"}, access.ByKey, access.ByAddress)
	w.must(err)
	w.wantSame("counts", counts, []access.Count{
		{KeyID: "key_a", Address: "10.0.0.1", Requests: 2, BytesIn: 20, BytesOut: 1, First: all[0].At, Last: all[1].At},
		{KeyID: "key_a", Address: "2001:db8::2", Requests: 1, Refused: 1, BytesIn: 10, BytesOut: 2, First: all[2].At, Last: all[2].At},
	})
	if counts, err = w.CountAccess(ctx, access.Query{}); err != nil || len(counts) != 1 || counts[0].Requests != 5 {
		w.Errorf("all: %+v, %v", counts, err)
	}
	n, err := w.EraseAccess(ctx, access.Query{Address: netip.MustParseAddr("10.0.0.1"), KeyID: "key_a"}, w.note("access.erase", "key_a"))
	if w.must(err); n != 2 || listed(access.Query{}) != "1000 0003 0002 " {
		w.Errorf("erased %d, left %s", n, listed(access.Query{}))
	}
	if noted, err := w.ListChanges(ctx, billing.ChangeFilter{Action: "access.erase"}); err != nil || len(noted) != 1 {
		w.Errorf("noted: %+v, %v", noted, err)
	}
}

func accessPruned(w *world) {
	ctx := w.Context()
	const day = 24 * 60
	w.must(w.AppendAccess(ctx, []access.Entry{
		w.entry(0, "key_a", "", "", access.Allowed), w.entry(2*day, "key_a", "", "", access.Allowed),
	}))
	w.must(w.PruneAccess(ctx, w.now.Add(2*24*time.Hour)))
	left, err := w.ListAccess(ctx, access.Query{})
	if w.must(err); len(left) != 1 || left[0].RequestID != "req_2880" {
		w.Errorf("left: %+v", left)
	}
	w.must(w.AppendAccess(ctx, []access.Entry{w.entry(1, "key_a", "", "", access.Allowed)})) // for a day that was dropped
}
