package billingtest

import (
	"encoding/json"
	"math"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"tallyroute/billing"
)

func rowCases() map[string]func(w *world) {
	return map[string]func(w *world){
		"KeepEverything":        rowKeepsEverything,
		"KeepEverythingIfSwept": rowSweptKeepsEverything,
		"EventIDs":              rowIDs,
		"Finding9_HostileText":  rowHostile,
		"HostileTextIfSwept":    rowHostileSwept,
		"HostileTextInKeys":     rowHostileKey,
		"NewestFirst":           rowOrder,
		"ByRequest":             rowByRequest,
		"Limit":                 rowLimit,
		"UnknownStaysUnknown":   rowUnknown,
		"ImpossibleFacts":       rowImpossible,
	}
}

// fullRow returns a row with a value in every column.
func (w *world) fullRow(k *billing.Key, request string) billing.Spend {
	price := billing.Price{
		ID: "price_9", Input: 150_000_000, CacheRead: 75_000_000, CacheWrite: 187_500_000, Output: 600_000_000,
		Request: 5,
	}
	none, some, instant, while, said := int64(0), int64(4096), time.Duration(0), 1234*time.Millisecond, billing.Money(123_456)
	used := billing.Tokens{
		Input: 1000, CacheRead: 200, CacheWrite: 30, Output: 400, Reasoning: 150, CacheWrite1h: 20, AudioInput: 7,
		AudioOutput: 9,
	}
	return billing.Spend{
		EventID: "01980a3c-7d1e-7c3a-8f00-000000000001", OccurredAt: w.now, Kind: billing.KindUsage, RequestID: request, Attempt: 1,
		Final: true, Owner: k.Owner(),
		EndUser: "user-7", Tags: map[string]string{"feature": "checkout", "ключ": "値"}, RequestedModel: "cheap", Provider: "demo-a",
		Model: "small", ServiceTier: "flex",
		RouteReason: billing.RouteFailover, Status: billing.StatusClientAborted, ErrorKind: "timeout", Streamed: true,
		UsageSource: billing.Counted,
		Tokens:      used, Pricing: billing.Priced, Price: price, Cost: price.Cost(used), Baseline: 999_999_999, OverrunTokens: 3,
		OverrunMoney: 4, ProviderRequestID: "chatcmpl-1",
		Disputed: true, Reported: &billing.Tokens{Input: -1, Output: math.MaxInt64}, ProviderCost: &said,
		Fees:   []billing.Fee{{Meter: "searches", Units: 3, Cost: 5}, {Meter: "images", Units: 1}},
		Region: "eu-central-1", Credential: "main", Endpoint: "https://api.example/v1/chat/completions", Session: "run-42",
		AnsweredModel: "openai/other-1", UnpricedMembers: []string{"speed", "plugins[].id"}, Limits: []string{"bud_x~", "bud_y~0a1b"},
		BytesIn: &some, BytesOut: &none, FirstToken: &instant, Took: &while,
		Fingerprint: []byte("\x00\x01sixteen bytes!"), Prefixes: []byte("6 byte" + "and 6." + "\xff\x00\xff\x00\xff\x00"),
	}
}

// wantRow compares a row of the ledger with what was settled. Of the price, a row
// keeps only the id and the four rates.
func (w *world) wantRow(got, want billing.Spend) {
	w.Helper()
	if d := time.Since(got.RecordedAt); d < -time.Minute || d > 10*time.Minute {
		w.Errorf("recorded at %v", got.RecordedAt)
	}
	got.RecordedAt = want.RecordedAt
	if want.EventID == "" {
		got.EventID = ""
	}
	for _, s := range []*billing.Spend{&got, &want} {
		s.Price = billing.Price{
			ID: s.Price.ID, Input: s.Price.Input, CacheRead: s.Price.CacheRead, CacheWrite: s.Price.CacheWrite,
			Output: s.Price.Output,
		}
	}
	w.wantSame("row", got, want)
}

func rowKeepsEverything(w *world) {
	k := w.key()
	h := w.hold(k, amount{2000, 2_000_000})
	w.reserve(h)
	row := w.fullRow(k, h.ID)
	_, err := w.Settle(w.Context(), billing.Settlement{HoldID: h.ID, Attempts: []billing.Spend{row}})
	w.must(err)
	row.ReportDay = "2026-03-14"
	w.wantRow(w.events(k)[0], row)
	CheckSums(w, w.Store, w.now)
}

// rowUnknown: unknown values stay unknown and don't become zero.
func rowUnknown(w *world) {
	k := w.key()
	w.use(k, tokens(5), w.now)
	row := w.events(k)[0]
	row.EventID, row.RequestID, row.Owner, row.Tags, row.RecordedAt = "", "", billing.Owner{}, nil, time.Time{}
	var facts map[string]any
	w.must(json.Unmarshal([]byte(text(row)), &facts))
	for _, name := range []string{
		"disputed", "reported", "provider_cost", "fees", "region", "credential", "endpoint", "session",
		"bytes_in", "bytes_out", "first_token", "took", "fingerprint", "prefixes", "answered_model", "unpriced_members", "limits",
	} {
		if v, there := facts[name]; there {
			w.Errorf("%s is %v", name, v)
		}
	}
}

// rowImpossible: impossible values are dropped or cut; the row is kept.
func rowImpossible(w *world) {
	k := w.key()
	h := w.hold(k, tokens(10))
	w.reserve(h)
	row := w.row(k, h.ID, tokens(9), w.now)
	less, money, before, long := int64(-1), billing.Money(math.MaxInt64), -time.Second, time.Duration(math.MaxInt64)
	row.BytesIn, row.BytesOut, row.ProviderCost, row.FirstToken, row.Took = &less, &less, &money, &before, &long
	row.Session, row.Fingerprint, row.Prefixes = strings.Repeat("x", billing.LongestSession+1), make([]byte, 100),
		make([]byte, billing.PrefixSize+1)
	row.UnpricedMembers = make([]string, 1000)
	for range 1000 {
		row.Fees = append(row.Fees, billing.Fee{Meter: "m", Units: -1, Cost: -1})
	}
	_, err := w.Settle(w.Context(), billing.Settlement{HoldID: h.ID, Attempts: []billing.Spend{row}})
	w.must(err)
	got := w.events(k)[0]
	if got.BytesIn != nil || got.BytesOut != nil || got.ProviderCost != nil || got.FirstToken != nil || got.Took != nil ||
		got.Session != "" || got.Fingerprint != nil || got.Prefixes != nil || len(got.Fees) != 16 || len(got.UnpricedMembers) != 16 ||
		got.Fees[0] != (billing.Fee{Meter: "m"}) {
		w.Errorf("%s", text(got))
	}
}

func rowSweptKeepsEverything(w *world) {
	k := w.key()
	h := w.hold(k, amount{2000, 2_000_000})
	h.IfLost = w.fullRow(k, h.ID)
	w.reserve(h)
	_, err := w.Sweep(w.Context(), w.now.Add(time.Hour))
	w.must(err)
	want := h.IfLost
	want.ReportDay = "2026-03-14"
	w.wantRow(w.events(k)[0], want)
}

func rowIDs(w *world) {
	k := w.key()
	for range 5 {
		w.use(k, tokens(1), w.now)
	}
	seen := make(map[string]bool)
	for _, r := range w.events(k) {
		id, err := uuid.Parse(r.EventID)
		if err != nil || id.Version() != 7 {
			w.Errorf("%q is no UUID of version 7: %v", r.EventID, err)
		}
		seen[r.EventID] = true
	}
	if len(seen) != 5 {
		w.Errorf("ids %v", seen)
	}
}

// hostile returns texts that databases refuse or change: NUL, unpaired surrogates,
// invalid UTF-8, SQL, and texts that are too long.
func hostile() []string {
	return []string{
		"\x00", "a\x00b", "\xff\xfe", "\xed\xa0\x80 half a pair", "cut \xe2\x82", "\xf5\x80\x80\x80", `\u0000 spelt out`, "\ufffe\uffff",
		"'; DROP TABLE teams; --", "{\"a\":\x00}", "\r\n\x1b[31mred", strings.Repeat("x", 100_000), strings.Repeat("€", 300),
		strings.Repeat("\x00", 300),
	}
}

// wantClean checks that a stored text is short, valid UTF-8 and free of NUL.
func (w *world) wantClean(what, got, sent string) {
	w.Helper()
	if len(got) > 256 || !utf8.ValidString(got) || strings.Contains(got, "\x00") {
		w.Errorf("%s: %.40q became %.80q (%d bytes)", what, sent, got, len(got))
	}
	if utf8.ValidString(sent) && !strings.Contains(sent, "\x00") {
		if want := sent[:min(len(sent), 256)]; !strings.HasPrefix(want, got) || len(got) < len(want)-3 {
			w.Errorf("%s: %.40q became %.80q", what, sent, got)
		}
		return
	}
	if !strings.Contains(got, "\ufffd") {
		w.Errorf("%s: %.40q became %.80q, without a mark where something was", what, sent, got)
	}
}

func hostileRow(row billing.Spend, s string) billing.Spend {
	row.EndUser, row.RequestedModel, row.Provider, row.Model, row.ServiceTier = s, s, s, s, s
	row.ErrorKind, row.ProviderRequestID, row.Reason, row.Actor = s, s, s, s
	row.Region, row.Credential, row.Endpoint, row.Session = s, s, s, s
	row.AnsweredModel, row.UnpricedMembers = s, []string{s}
	row.Fees = []billing.Fee{{Meter: s}}
	row.Tags = map[string]string{"k" + s: s}
	return row
}

func (w *world) wantCleanRow(r billing.Spend, s string) {
	w.Helper()
	for what, got := range map[string]string{
		"end user": r.EndUser, "requested": r.RequestedModel, "provider": r.Provider, "model": r.Model, "tier": r.ServiceTier,
		"error": r.ErrorKind, "provider's id": r.ProviderRequestID, "reason": r.Reason, "actor": r.Actor,
		"region": r.Region, "credential": r.Credential, "endpoint": r.Endpoint, "meter": r.Fees[0].Meter,
		"answered by": r.AnsweredModel, "member": r.UnpricedMembers[0],
	} {
		w.wantClean(what, got, s)
	}
	if len(r.Tags) != 1 {
		w.Errorf("tags %v", r.Tags)
	}
	for key, value := range r.Tags {
		w.wantClean("tag", key, "k"+s)
		w.wantClean("tag", value, s)
	}
}

func rowHostile(w *world) {
	for _, s := range hostile() {
		k := w.key(tokens(100).budget(""))
		h := w.hold(k, tokens(10))
		w.reserve(h)
		row := hostileRow(w.row(k, h.ID, tokens(9), w.now), s)
		if _, err := w.Settle(w.Context(), billing.Settlement{HoldID: h.ID, Attempts: []billing.Spend{row}}); err != nil {
			w.Errorf("%.40q kills the row: %v", s, err)
			continue
		}
		w.wantCleanRow(w.events(k)[0], s)
		w.wantStanding(k, k.Budgets[0].ID, w.now, standing{used: amount{9, 0}})
	}
	CheckSums(w, w.Store, w.now)
}

func rowHostileSwept(w *world) {
	for _, s := range hostile() {
		k := w.key()
		h := w.hold(k, tokens(10))
		h.IfLost = hostileRow(h.IfLost, s)
		if _, err := w.Reserve(w.Context(), h, w.now); err != nil {
			w.Errorf("%.40q kills the hold: %v", s, err)
			continue
		}
		if n, err := w.Sweep(w.Context(), w.now.Add(time.Hour)); n != 1 || err != nil {
			w.Errorf("%.40q: swept %d, %v", s, n, err)
			continue
		}
		w.wantCleanRow(w.events(k)[0], s)
	}
	CheckSums(w, w.Store, w.now)
}

func rowHostileKey(w *world) {
	p := w.project("web", "shop")
	for _, s := range hostile() {
		k := billing.Key{
			ID: billing.KeyID(w.id("key")), Name: s, Display: s, ProjectID: p.ID, CreatedBy: s,
			Models: []string{s}, Tags: map[string]string{"k" + s: s},
		}
		if err := w.CreateKey(w.Context(), k, hashOf(string(k.ID))); err != nil {
			w.Errorf("%.40q: %v", s, err)
			continue
		}
		got := w.change(&k, func(k *billing.Key) { k.RevokedReason = s })
		w.wantClean("name", got.Name, s)
		w.wantClean("display", got.Display, s)
		w.wantClean("created by", got.CreatedBy, s)
		w.wantClean("model", got.Models[0], s)
		w.wantClean("revoked", got.RevokedReason, s)
		for key, value := range got.Tags {
			w.wantClean("tag", key, "k"+s)
			w.wantClean("tag", value, s)
		}
		if _, err := w.EnsureProject(w.Context(), billing.Project{Team: "t" + s, Name: "p" + s, CostCenter: s}); err != nil {
			w.Errorf("%.40q: %v", s, err)
		}
	}
}

func rowOrder(w *world) {
	k := w.key()
	for _, minutes := range []int{3, 1, 2} {
		w.use(k, tokens(int64(minutes)), w.now.Add(time.Duration(minutes)*time.Minute))
	}
	var got []int64
	for _, r := range w.events(k) {
		got = append(got, r.Tokens.Total())
	}
	w.wantSame("order", got, []int64{3, 2, 1})
}

func rowByRequest(w *world) {
	a, b := w.key(), w.key()
	h := w.hold(a, tokens(10))
	w.reserve(h)
	w.settle(a, h, tokens(5))
	w.use(a, tokens(1), w.now)
	w.use(b, tokens(1), w.now)
	for query, want := range map[billing.EventQuery]int{
		{RequestID: h.ID}:              1,
		{RequestID: h.ID, KeyID: a.ID}: 1,
		{RequestID: h.ID, KeyID: b.ID}: 0,
		{RequestID: "req_none"}:        0,
		{RequestID: "\x00\xff"}:        0,
		{KeyID: a.ID}:                  2,
		{}:                             3,
	} {
		got, err := w.Events(w.Context(), query)
		w.must(err)
		if len(got) != want {
			w.Errorf("%+v finds %d, want %d", query, len(got), want)
		}
	}
}

func rowLimit(w *world) {
	k := w.key()
	h := w.hold(k, tokens(10))
	w.reserve(h)
	var rows []billing.Spend
	for i := range 1005 {
		row := w.row(k, h.ID, tokens(1), w.now)
		row.Attempt, row.Final = i+1, i == 1004
		rows = append(rows, row)
	}
	_, err := w.Settle(w.Context(), billing.Settlement{HoldID: h.ID, Attempts: rows})
	w.must(err)
	for limit, want := range map[int]int{0: 100, 1: 1, 1000: 1000, 1001: 1000, -1: 100} {
		got, err := w.Events(w.Context(), billing.EventQuery{KeyID: k.ID, Limit: limit})
		w.must(err)
		if len(got) != want {
			w.Errorf("limit %d gives %d rows, want %d", limit, len(got), want)
		}
	}
}
