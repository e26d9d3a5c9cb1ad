package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"tallyroute/billing"
	"tallyroute/billing/sqlite"
)

// expectation is what a recorded exchange used and cost, by the one who recorded it.
type expectation struct {
	Usage *struct {
		Prompt, Completion, Cached, Reasoning int64
		AcceptPrompt                          []int64  `json:"accept_prompt"`
		AcceptCompletion                      []int64  `json:"accept_completion"`
		ProviderCost                          *float64 `json:"provider_cost"`
	}
	Error *struct{ Status int }
}

// compareLedger compares the rows of a router that has ended with what was recorded, and
// notes the exchanges whose rows are right.
func (s *settings) compareLedger(ctx context.Context, database string, results []result, w io.Writer) (*tally, error) {
	store, err := sqlite.Open(ctx, database, sqlite.Options{})
	if err != nil {
		return nil, err
	}
	rows, err := store.Events(ctx, billing.EventQuery{Limit: 1000})
	prices, failed := store.ListPrices(ctx, "", "")
	if err = errors.Join(err, failed, store.Close()); err != nil {
		return nil, err
	}
	priced := make(map[string]billing.Price)
	for _, p := range prices {
		priced[p.ID] = p
	}
	of := make(map[string][]billing.Spend)
	for _, row := range rows {
		row.Price = priced[row.Price.ID] // whole: a row has only the rates that all prices have
		of[row.Model] = append(of[row.Model], row)
	}
	total := new(tally)
	for _, r := range results {
		text, err := os.ReadFile(filepath.Join(s.cases, r.API, r.ID+".json")) //nolint:gosec // a folder that the user names
		if err != nil {
			return nil, err
		}
		var recorded struct{ Expected expectation }
		if err := json.Unmarshal(text, &recorded); err != nil {
			return nil, err
		}
		faults := r.faults(recorded.Expected, of[strings.ToLower(r.ID)])
		total.Cases++
		if len(faults) == 0 {
			total.Pass++
		} else if s.verbose {
			_, _ = fmt.Fprintf(w, "LEDGER %s: %s\n", r.ID, strings.Join(faults, "; "))
		}
	}
	return total, nil
}

// faults are what is wrong with the rows of one exchange.
func (r result) faults(want expectation, rows []billing.Spend) (list []string) {
	fault := func(format string, args ...any) { list = append(list, fmt.Sprintf(format, args...)) }
	slices.SortFunc(rows, func(a, b billing.Spend) int { return a.Attempt - b.Attempt })
	for i, row := range rows {
		if row.Attempt != i+1 || row.Final != (i == len(rows)-1) {
			fault("row %d is attempt %d, final %t", i+1, row.Attempt, row.Final)
		}
		cost := row.Price.Cost(row.Tokens)
		for _, fee := range row.Fees {
			cost.Fee, cost.Total = cost.Fee.Add(fee.Cost), cost.Total.Add(fee.Cost)
		}
		if row.Cost != cost && row.Tokens.Total() > 0 {
			fault("the cost is not price x usage: %+v", row.Cost)
		}
	}
	if want.Usage == nil || want.Error != nil || r.Status != 200 {
		return list
	}
	if len(rows) == 0 {
		return append(list, "no row")
	}
	row, u := rows[len(rows)-1], want.Usage
	prompts := append(u.AcceptPrompt, u.Prompt)
	if u.Cached > u.Prompt { // which may stand beside it
		prompts = append(prompts, u.Prompt+u.Cached)
	}
	completions := append(u.AcceptCompletion, u.Completion)
	raised := row.Disputed && row.Reported != nil && *row.Reported != row.Tokens
	if got := row.Tokens.Prompt(); !slices.Contains(prompts, got) && (!raised || got < u.Prompt) {
		fault("%d tokens of prompt, want %d", got, u.Prompt)
	}
	if got := row.Tokens.Output; !slices.Contains(completions, got) && (!raised || got < u.Completion) {
		fault("%d tokens of output, want %d", got, u.Completion)
	}
	if row.Tokens.CacheRead != u.Cached {
		fault("%d tokens read from a cache, want %d", row.Tokens.CacheRead, u.Cached)
	}
	if row.Tokens.Reasoning != min(u.Reasoning, row.Tokens.Output) {
		fault("%d tokens of reasoning, want %d", row.Tokens.Reasoning, u.Reasoning)
	}
	if u.ProviderCost != nil && (row.ProviderCost == nil || int64(*row.ProviderCost) != int64(math.Round(*u.ProviderCost*1e9))) {
		fault("the provider's own cost is %v, want %v", row.ProviderCost, *u.ProviderCost)
	}
	complete := len(r.Lost) == 0 && !slices.Contains(r.Features, "server_tools") // which the replay leaves out
	if row.Disputed && !raised && complete {
		fault("disputed, although the request is complete: %+v", row.Tokens)
	}
	return list
}
