package billingtest

import (
	"context"
	"sync"
	"time"

	"tallyroute/billing"
)

func storeCases() map[string]func(w *world) {
	return map[string]func(w *world){
		"Ready":                        ready,
		"MigrateAgainDoesNothing":      migrateAgain,
		"SettingIsSetOnce":             settingOnce,
		"PricesNeverChange":            pricesNeverChange,
		"Unavailable":                  unavailable,
		"UnavailableAfterClose":        unavailableAfterClose,
		"CloseTwice":                   closeTwice,
		"NothingThereYet":              nothingThereYet,
		"MigrateBySeveralAtOnce":       migrateBySeveral,
		"SettingBySeveralAtOnce":       settingBySeveral,
		"RecordPricesBySeveralAtOnce":  pricesBySeveral,
		"EnsureProjectBySeveralAtOnce": projectBySeveral,
	}
}

func ready(w *world) { w.must(w.Ready(w.Context())) }

func migrateAgain(w *world) {
	applied, err := w.Migrate(w.Context())
	w.must(err)
	if len(applied) != 0 {
		w.Errorf("applied %v, want nothing", applied)
	}
}

func migrateBySeveral(w *world) {
	each(w.Context(), 8, func(ctx context.Context, _ int) {
		if applied, err := w.Migrate(ctx); err != nil || len(applied) != 0 {
			w.Errorf("got %v, %v", applied, err)
		}
	})
	w.must(w.Ready(w.Context()))
}

func settingOnce(w *world) {
	for _, initial := range []string{"first", "second"} {
		got, err := w.Setting(w.Context(), "pepper", initial)
		w.must(err)
		if got != "first" {
			w.Errorf("got %q, want what was stored first", got)
		}
	}
	other, err := w.Setting(w.Context(), "other", "")
	w.must(err)
	if other != "" {
		w.Errorf("got %q", other)
	}
}

func settingBySeveral(w *world) {
	var mu sync.Mutex
	seen := make(map[string]int)
	each(w.Context(), 32, func(ctx context.Context, _ int) {
		got, err := w.Setting(ctx, "pepper", w.id("pepper"))
		if err != nil {
			w.Error(err)
		}
		mu.Lock()
		defer mu.Unlock()
		seen[got]++
	})
	if len(seen) != 1 {
		w.Errorf("several values: %v", seen)
	}
}

func samplePrices() []billing.Price {
	since := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	return []billing.Price{
		{
			ID: "price_1", Provider: "a", Model: "m", Since: since, Input: 100, CacheRead: 10, CacheWrite: 125, Output: 400, Request: 7,
			Source: "catalog",
		},
		{ID: "price_2", Provider: "a", Model: "m", Since: since.AddDate(0, 1, 0), Input: 90, Output: 400, Source: "contract"},
		{ID: "price_3", Provider: "b", Model: "m", Since: since, Input: 80, Output: 300, Source: "manual"},
		{
			ID: "price_6", Provider: "a", Model: "m", Since: since, Input: 50, Output: 200, Source: "catalog",
			ServiceTier:  billing.TierBatch,
			CacheWrite1h: 1, Reasoning: 2, AudioInput: 3, AudioOutput: 4,
		},
		{ID: "price_7", Provider: "a", Model: "m", Since: since, Input: 200, Output: 800, Source: "catalog", MinInput: 200_001},
	}
}

func pricesNeverChange(w *world) {
	prices := samplePrices()
	w.must(w.RecordPrices(w.Context(), prices[:2]))
	w.must(w.RecordPrices(w.Context(), prices))
	w.must(w.RecordPrices(w.Context(), nil))

	other := prices[0]
	other.ID, other.Input = "price_4", 1
	fresh := prices[2]
	fresh.ID, fresh.Model = "price_5", "n"
	w.wantConflict(w.RecordPrices(w.Context(), []billing.Price{other, fresh}))
	step := prices[4] // a price step by input length never changes either
	step.ID, step.Reasoning = "price_8", 1
	w.wantConflict(w.RecordPrices(w.Context(), []billing.Price{step}))
	w.must(w.RecordPrices(w.Context(), prices)) // the stored prices are unchanged
}

func pricesBySeveral(w *world) {
	each(w.Context(), 8, func(ctx context.Context, _ int) {
		if err := w.RecordPrices(ctx, samplePrices()); err != nil {
			w.Error(err)
		}
	})
}

// unavailable makes every call with a cancelled context, which looks like a timeout.
func unavailable(w *world) {
	k := w.key(tokens(10).budget("bud_1"))
	ctx, cancel := context.WithCancel(w.Context())
	cancel()
	w.wantAllUnavailable(ctx, k)
	w.must(w.Ready(w.Context()))
	CheckSums(w, w.Store, w.now)
}

func unavailableAfterClose(w *world) {
	k := w.key(tokens(10).budget("bud_1"))
	w.must(w.Close())
	w.wantAllUnavailable(w.Context(), k)
}

func (w *world) wantAllUnavailable(ctx context.Context, k *billing.Key) {
	w.Helper()
	h := w.hold(k, tokens(1))
	calls := map[string]func() error{
		"Ready":     func() error { return w.Ready(ctx) },
		"KeyByHash": func() error { _, err := w.KeyByHash(ctx, hashOf(string(k.ID))); return err },
		"ListKeys":  func() error { _, err := w.ListKeys(ctx, billing.KeyFilter{}); return err },
		"UpdateKey": func() error {
			_, err := w.UpdateKey(ctx, k.ID, func(*billing.Key) error { return nil })
			return err
		},
		"Reserve": func() error { _, err := w.Reserve(ctx, h, w.now); return err },
		"Settle": func() error {
			_, err := w.Settle(ctx, billing.Settlement{HoldID: h.ID, Attempts: []billing.Spend{h.IfLost}})
			return err
		},
		"Release":   func() error { return w.Release(ctx, h.ID) },
		"Sweep":     func() error { _, err := w.Sweep(ctx, w.now); return err },
		"Balances":  func() error { _, err := w.Balances(ctx, k, w.now); return err },
		"Spend":     func() error { _, err := w.Spend(ctx, billing.SpendQuery{Month: "2026-03"}); return err },
		"Events":    func() error { _, err := w.Events(ctx, billing.EventQuery{}); return err },
		"Setting":   func() error { _, err := w.Setting(ctx, "a", "b"); return err },
		"SetBudget": func() error { return w.SetBudget(ctx, k.Budgets[0], w.now) },
	}
	for name, call := range calls {
		if err := call(); err == nil {
			w.Errorf("%s works", name)
		} else {
			w.wantErr(err, billing.ErrUnavailable)
		}
	}
}

func closeTwice(w *world) {
	w.must(w.Close())
	w.must(w.Close())
}

func nothingThereYet(w *world) {
	keys, err := w.ListKeys(w.Context(), billing.KeyFilter{})
	w.must(err)
	teams, err := w.ListTeams(w.Context())
	w.must(err)
	projects, err := w.ListProjects(w.Context())
	w.must(err)
	budgets, err := w.ListBudgets(w.Context(), billing.BudgetFilter{})
	w.must(err)
	rows, err := w.Events(w.Context(), billing.EventQuery{})
	w.must(err)
	found, err := w.Spend(w.Context(), billing.SpendQuery{GroupBy: []billing.Dimension{"day"}, Month: "2026-03"})
	w.must(err)
	swept, err := w.Sweep(w.Context(), w.now)
	w.must(err)
	if n := len(keys) + len(teams) + len(projects) + len(budgets) + len(rows) + len(found.Rows) + int(found.Lines) + swept; n != 0 {
		w.Errorf("an empty store has %d things", n)
	}
}

func projectBySeveral(w *world) {
	var mu sync.Mutex
	ids := make(map[string]int)
	each(w.Context(), 32, func(ctx context.Context, _ int) {
		p, err := w.EnsureProject(ctx, billing.Project{Team: "web", Name: "shop", Environment: "prod"})
		if err != nil {
			w.Error(err)
		}
		mu.Lock()
		defer mu.Unlock()
		ids[p.TeamID+" "+p.ID]++
	})
	if len(ids) != 1 {
		w.Errorf("several projects: %v", ids)
	}
}
