package sqlite

import (
	"context"
	"errors"
	"testing"
	"time"

	"tallyroute/billing"
)

// TestOnlyTheDataOfARowRejectIt checks that a failed posting blames a row only if the row's data
// break a rule of the ledger's own table.
func TestOnlyTheDataOfARowRejectIt(t *testing.T) {
	for name, tt := range map[string]struct {
		begin, end string
		ofRow      bool
	}{
		"a rule of the ledger": {
			"CREATE TRIGGER no_small BEFORE INSERT ON spend_events WHEN NEW.model = 'small' BEGIN SELECT RAISE(ABORT, 'no small " +
				"ones'); END", "DROP TRIGGER no_small", true,
		},
		"a rule of the counters": {
			"CREATE TRIGGER no_used BEFORE UPDATE ON budget_counters BEGIN SELECT RAISE(ABORT, 'no more'); END",
			"DROP TRIGGER no_used", false,
		},
		"a table that is gone": {
			"CREATE TRIGGER elsewhere AFTER INSERT ON spend_events BEGIN INSERT INTO elsewhere VALUES (1); END",
			"DROP TRIGGER elsewhere", false,
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := openNew(t, Options{})
			p, err := s.EnsureProject(t.Context(), billing.Project{Team: "web", Name: "shop", CostCenter: "cc", Environment: "prod"})
			if err != nil {
				t.Fatal(err)
			}
			limit := int64(1000)
			k := billing.Key{
				ID: "key_1", Name: "k", ProjectID: p.ID,
				Budgets: []billing.Budget{{ID: "bud_1", Scope: billing.ScopeKey, Period: billing.PeriodOnce, Tokens: &limit}},
			}
			if err := s.CreateKey(t.Context(), k, [32]byte{1}); err != nil {
				t.Fatal(err)
			}
			k, err = s.KeyByHash(t.Context(), [32]byte{1})
			if err != nil {
				t.Fatal(err)
			}
			row := billing.Spend{
				OccurredAt: time.Now(), Kind: billing.KindUsage, RequestID: "req_1", Attempt: 1, Final: true, Owner: k.Owner(),
				RequestedModel: "chat", Provider: "demo", Model: "small", RouteReason: billing.RouteOnly, Status: billing.StatusOK,
				UsageSource: billing.Reported, Tokens: billing.Tokens{Output: 10}, Pricing: billing.Free,
			}
			h := billing.Hold{
				ID: "req_0", KeyID: k.ID, KeyVersion: k.Version, Lines: []billing.HoldLine{{Budget: k.Budgets[0]}},
				ExpiresAt: time.Now(), IfLost: row,
			}
			if _, err := s.Reserve(t.Context(), h, time.Now()); err != nil { // creates the counter
				t.Fatal(err)
			}
			script := func(sql string) {
				t.Helper()
				if err := s.write.do(t.Context(), func(ctx context.Context, tx *session) error { return tx.script(ctx, sql) }); err != nil {
					t.Fatal(err)
				}
			}
			script(tt.begin)
			_, err = s.Post(t.Context(), billing.Posting{Rows: []billing.Spend{row}})
			if ofRow := errors.As(err, new(*billing.RowError)); err == nil || ofRow != tt.ofRow {
				t.Fatalf("the row's fault: %t, want %t: %v", ofRow, tt.ofRow, err)
			}
			if !tt.ofRow {
				script(tt.end)
				if _, err := s.Post(t.Context(), billing.Posting{Rows: []billing.Spend{row}}); err != nil {
					t.Errorf("after the fault: %v", err)
				}
				return
			}
			if _, err := s.Post(t.Context(), billing.Posting{Rejects: []billing.Reject{{Row: row, Reason: err.Error()}}}); err != nil {
				t.Fatal(err)
			}
			if _, err := s.BookRejects(t.Context(), "req_1", "ann"); !errors.As(err, new(*billing.RowError)) {
				t.Errorf("booked although it is still refused: %v", err)
			}
			script(tt.end)
			if n, err := s.BookRejects(t.Context(), "req_1", "ann"); n != 1 || err != nil {
				t.Errorf("booked %d, %v", n, err)
			}
		})
	}
}
