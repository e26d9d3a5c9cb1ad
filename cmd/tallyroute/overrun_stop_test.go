package main

import (
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/billingtest/prove"
	"tallyroute/billing/manage"
	pt "tallyroute/providers/providertest"
)

// TestKeyWhoseProviderGeneratesTenfoldIsStopped: many clients of one key ask a
// provider that generates and bills ten times what it was allowed. The key is
// stopped, its budget is passed by no more than the overruns of the answers that
// were in flight when the overrun that stops it was seen, and it goes on once it
// is enabled.
func TestKeyWhoseProviderGeneratesTenfoldIsStopped(t *testing.T) {
	const clients = 8
	tenfold := strings.Replace(attackAnswer, `"completion_tokens":2,"total_tokens":10`, `"completion_tokens":500,"total_tokens":508`, 1)
	for name, more := range map[string]string{"journal": "", "no journal": "journal: off\n"} {
		t.Run(name, func(t *testing.T) {
			limit := billing.Money(billing.NanoPerUSD / 10)
			g := attacked(t, more, pt.JSON(200, tenfold))
			g.key, g.secret = g.issue(billing.Budget{Period: billing.PeriodDay, Money: &limit})
			var answered atomic.Int64
			var all sync.WaitGroup
			for range clients {
				all.Go(func() {
					for range 100 {
						r := g.complete(attackPlain)
						if r.status != http.StatusOK {
							if code := r.code(t); code != "key_overrun_stopped" || r.status != http.StatusForbidden {
								t.Errorf("%d %s", r.status, r.body)
							}
							return
						}
						answered.Add(1)
					}
					t.Error("a client was never refused")
				})
			}
			all.Wait()
			rows := g.rows(int(answered.Load()))
			var used, overrun, most billing.Money
			for _, row := range rows {
				used, overrun, most = used+row.Cost.Total, overrun+row.OverrunMoney, max(most, row.OverrunMoney)
			}
			allowed := limit / 20
			if overrun <= allowed || overrun > allowed+clients*most || used > limit+clients*most {
				t.Errorf("%d answers used $%s of $%s, $%s of it overrun, at most $%s each", len(rows), used.Short(), limit.Short(),
					overrun.Short(), most.Short())
			}
			key, err := g.Actions().Key(t.Context(), g.key.ID)
			if err != nil || key.StoppedAt.IsZero() || key.Overrun.Money != overrun {
				t.Errorf("the key is %+v, %v; its overrun was $%s", key, err, overrun.Short())
			}
			events, err := g.Actions().Store.ListEvents(t.Context(), billing.EventFilter{Limit: 1000})
			stopped := func(e billing.Event) bool { return e.Object == string(g.key.ID) && e.Data["stopped"] == "true" }
			if err != nil || !slices.ContainsFunc(events, stopped) || len(events) != len(rows)+1 {
				t.Errorf("%d events of %d rows, %v: %+v", len(events), len(rows), err, events)
			}
			if _, err := g.Actions().EnableKey(t.Context(), g.key.ID, manage.Ending{},
				manage.By{Actor: "ann", Reason: "fixed"}); err != nil {
				t.Fatal(err)
			}
			prove.Eventually(t, "the key goes on", func() bool { return g.complete(attackPlain).status == http.StatusOK })
		})
	}
}

// TestEnablingAKeyEndsTheStopOfWhatRanAway: enabling a key ends the stop, even if the key is active, and
// every time.
func TestEnablingAKeyEndsTheStopOfWhatRanAway(t *testing.T) {
	g := attacked(t, "runaway: {session_requests: 2, pause: 24h}\n", pt.JSON(200, attackAnswer))
	for range 3 {
		prove.Eventually(t, "the session is stopped", func() bool {
			return g.complete(attackPlain, "X-Tallyroute-Session", "s").status != http.StatusOK
		})
		if r := g.complete(attackPlain, "X-Tallyroute-Session", "s"); r.status != http.StatusForbidden || r.code(t) != "runaway_stopped" {
			t.Fatalf("%d %s", r.status, r.body)
		}
		if _, err := g.Actions().EnableKey(t.Context(), g.key.ID, manage.Ending{},
			manage.By{Actor: "ann", Reason: "they are meant"}); err != nil {
			t.Fatal(err)
		}
		prove.Eventually(t, "the session goes on", func() bool {
			return g.complete(attackPlain, "X-Tallyroute-Session", "s").status == http.StatusOK
		})
	}
}

// TestRowsSayWhereTheyWentAndWhatCameOfIt: rows have everything that the router knows, and nothing
// that it doesn't.
func TestRowsSayWhereTheyWentAndWhatCameOfIt(t *testing.T) {
	g := attacked(t, "", pt.JSON(503, `{"error":{"message":"no"}}`), pt.JSON(200, attackAnswer))
	if r := g.complete(attackPlain, "X-Tallyroute-Session", "run-42"); r.status != http.StatusOK {
		t.Fatalf("%d %s", r.status, r.body)
	}
	rows := g.rows(2)
	slices.SortFunc(rows, func(a, b billing.Spend) int { return a.Attempt - b.Attempt })
	failed, row := rows[0], rows[1]
	if failed.Took == nil || failed.BytesOut != nil || failed.FirstToken != nil || failed.Endpoint != g.ups[0].URL()+"/v1" ||
		failed.Session != "run-42" {
		t.Errorf("the attempt that failed is %+v", failed)
	}
	if row.Took == nil || *row.Took > time.Minute || row.FirstToken != nil || row.BytesIn == nil ||
		*row.BytesIn != int64(len(attackPlain)) ||
		row.BytesOut == nil || *row.BytesOut != int64(len(attackAnswer)) || row.Endpoint != g.ups[1].URL()+"/v1" || row.Credential != "" ||
		row.Region != "" {
		t.Errorf("the answer is %+v", row)
	}
	if len(row.Fingerprint) != 12 || len(row.Prefixes) != billing.PrefixSize || string(row.Fingerprint) != string(failed.Fingerprint) {
		t.Errorf("fingerprint %x, prefixes %x", row.Fingerprint, row.Prefixes)
	}
	if r := g.complete(strings.Replace(attackPlain, `"max_tokens"`, `"metadata":{"session_id":"run-43"},"max_tokens"`,
		1)); r.status != http.StatusOK {
		t.Fatalf("%d %s", r.status, r.body)
	}
	if again := g.rows(2)[1]; again.Session != "run-43" || string(again.Fingerprint) != string(row.Fingerprint) {
		t.Errorf("the same request again is %+v", again)
	}
	if r := g.complete(attackPlain, "X-Tallyroute-Session", "two words"); r.status != http.StatusBadRequest ||
		r.code(t) != "invalid_value" {
		t.Errorf("%d %s", r.status, r.body)
	}
}

func TestStreamedRowsSayWhenTheirFirstContentCame(t *testing.T) {
	g := attacked(t, "fingerprints: false\n", pt.Stream(attackWord, attackFinish, attackUsage))
	if r := g.complete(attackStream); r.status != http.StatusOK {
		t.Fatalf("%d %s", r.status, r.body)
	}
	row := g.rows(1)[0]
	if row.FirstToken == nil || row.Took == nil || *row.FirstToken > *row.Took || row.BytesOut == nil ||
		*row.BytesOut < int64(len(attackWord)) {
		t.Errorf("%+v", row)
	}
	if row.Fingerprint != nil || row.Prefixes != nil || row.Session != "" {
		t.Errorf("what is off is on the row: %+v", row)
	}
}
