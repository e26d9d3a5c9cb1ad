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

// recording is the part of a recorded exchange that rows are compared with.
type recording struct {
	Request struct {
		Body        json.RawMessage
		Synthesised bool // invented to fit the answer
	}
	Response struct{ Body json.RawMessage }
	Expected struct {
		Usage *expectation
		Error *struct{ Status int }
	}
}

// expectation is what an exchange used and cost, according to whoever recorded it.
type expectation struct {
	Prompt, Completion, Cached, Reasoning int64
	AcceptPrompt                          []int64  `json:"accept_prompt"`
	AcceptCompletion                      []int64  `json:"accept_completion"`
	BilledPrompt                          *int64   `json:"billed_prompt"`
	ProviderCost                          *float64 `json:"provider_cost"`
	Native                                json.RawMessage

	written int64 // to a cache
}

// native holds what a provider reports in members of its own, which the expectation lacks.
type native struct {
	Total         int64 `json:"total_tokens"`
	Cached        int64 `json:"num_cached_tokens"`        // Mistral
	CacheRead     int64 `json:"cacheReadInputTokenCount"` // Amazon's models
	Written       int64 `json:"cache_creation_input_tokens"`
	WriteTokens   int64 `json:"cacheWriteInputTokens"`     // Converse
	WriteCount    int64 `json:"cacheWriteInputTokenCount"` // Amazon's models
	PromptDetails struct {
		Audio   int64 `json:"audio_tokens"`
		Written int64 `json:"cache_write_tokens"`
	} `json:"prompt_tokens_details"`
	InputDetails struct {
		Written int64 `json:"cache_write_tokens"`
	} `json:"input_tokens_details"`
	Tokens struct {
		Reasoning int64 `json:"reasoning_tokens"` // Cohere
	}
}

// complete adds what only the provider's own members report.
func (u *expectation) complete() {
	var n native
	_ = json.Unmarshal(u.Native, &n) // some contain no more than a number
	u.Cached = max(u.Cached, n.Cached, n.CacheRead)
	u.Reasoning = max(u.Reasoning, n.Tokens.Reasoning)
	u.written = max(n.Written, n.WriteTokens, n.WriteCount, n.PromptDetails.Written, n.InputDetails.Written)
	u.AcceptPrompt = append(u.AcceptPrompt, u.Prompt)
	u.AcceptCompletion = append(u.AcceptCompletion, u.Completion)
	if u.Cached > u.Prompt { // it may be in addition to the prompt
		u.AcceptPrompt = append(u.AcceptPrompt, u.Prompt+u.Cached)
	}
	if beside := n.PromptDetails.Audio; beside > 0 && u.Prompt+beside+u.Completion == n.Total {
		u.AcceptPrompt = append(u.AcceptPrompt, u.Prompt+beside)
	}
	if u.Prompt == 0 && u.Completion == 0 {
		u.AcceptPrompt = append(u.AcceptPrompt, n.Total)
	}
}

// known reports whether the provider reported any usage.
func (u *expectation) known() bool {
	var members map[string]any
	_ = json.Unmarshal(u.Native, &members) // some contain no more than a number, which is known
	for _, v := range members {
		if v != nil {
			return true
		}
	}
	return members == nil
}

// cached returns how many tokens of a prompt were read from a cache. If less is billed than the
// model read, the cache accounts for none of it.
func (u *expectation) cached(prompt int64) int64 {
	if u.BilledPrompt != nil && *u.BilledPrompt == prompt && prompt < u.Prompt {
		return 0
	}
	return u.Cached
}

// several returns the usage of a stream with several responses, each of which is billed. If
// there is only one, it returns u.
func (r recording) several(u *expectation) *expectation {
	var body string
	_ = json.Unmarshal(r.Response.Body, &body) // other bodies aren't streams
	ended := make(map[string]bool)
	sum := &expectation{}
	for line := range strings.Lines(body) {
		var event struct {
			Type     string
			Response struct {
				ID    string
				Usage struct {
					Input  int64 `json:"input_tokens"`
					Output int64 `json:"output_tokens"`
				}
			}
		}
		data, ok := strings.CutPrefix(line, "data:")
		if !ok || json.Unmarshal([]byte(data), &event) != nil || event.Type != "response.completed" || ended[event.Response.ID] {
			continue
		}
		ended[event.Response.ID] = true
		sum.Prompt += event.Response.Usage.Input
		sum.Completion += event.Response.Usage.Output
	}
	if len(ended) < 2 {
		return u
	}
	return sum
}

// leans reports whether a request relies on something that the provider stores, or that it
// processes several times, which a chat completion cannot express: its prompt is longer than
// what is replayed.
func (r recording) leans() bool {
	var body struct {
		CachedContent string
		Prompt        struct{ ID string }
		Reasoning     struct{ Mode string }
	}
	_ = json.Unmarshal(r.Request.Body, &body) // in other formats, members of these names have other types
	return body.CachedContent != "" || body.Prompt.ID != "" || body.Reasoning.Mode == "pro"
}

// compareLedger compares the rows of a router that has stopped with what was recorded, and
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
		row.Price = priced[row.Price.ID] // complete: a row has only the rates that all prices have
		of[row.Model] = append(of[row.Model], row)
	}
	total := new(tally)
	for _, r := range results {
		text, err := os.ReadFile(filepath.Join(s.cases, r.API, r.ID+".json")) //nolint:gosec // a folder that the user names
		if err != nil {
			return nil, err
		}
		var recorded recording
		if err := json.Unmarshal(text, &recorded); err != nil {
			return nil, err
		}
		faults := r.faults(recorded, of[strings.ToLower(r.ID)])
		total.Cases++
		if len(faults) == 0 {
			total.Pass++
		} else if s.verbose {
			_, _ = fmt.Fprintf(w, "LEDGER %s: %s\n", r.ID, strings.Join(faults, "; "))
		}
	}
	return total, nil
}

// faults returns what is wrong with the rows of one exchange.
func (r result) faults(want recording, rows []billing.Spend) (list []string) {
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
	if len(rows) == 0 && (r.Status == 200 || want.Expected.Error != nil) {
		return append(list, "no row")
	}
	if want.Expected.Usage == nil || want.Expected.Error != nil || r.Status != 200 || !want.Expected.Usage.known() {
		return list
	}
	row, u := rows[len(rows)-1], want.several(want.Expected.Usage)
	u.complete()
	if row.Status != billing.StatusOK && row.Tokens.Prompt() >= u.Prompt && row.Tokens.Output >= u.Completion {
		return list // it broke off before the figures came, or was of several that contradict each other
	}
	told := row.Tokens
	raised := row.Disputed && row.Reported != nil && *row.Reported != row.Tokens
	if raised { // the report gave way to the evidence, and is kept beside what is booked
		told = *row.Reported
		if row.Tokens.Prompt() < u.Prompt || row.Tokens.Output < u.Completion {
			fault("%+v is booked, less than was reported", row.Tokens)
		}
	}
	prompt := told.Prompt()
	if !slices.Contains(u.AcceptPrompt, prompt) {
		fault("%d tokens of prompt, want %d", prompt, u.Prompt)
	}
	if !slices.Contains(u.AcceptCompletion, told.Output) {
		fault("%d tokens of output, want %d", told.Output, u.Completion)
	}
	if cached := u.cached(prompt); told.CacheRead != cached {
		fault("%d tokens read from a cache, want %d", told.CacheRead, cached)
	}
	if told.CacheWrite != u.written {
		fault("%d tokens written to a cache, want %d", told.CacheWrite, u.written)
	}
	if told.Reasoning != min(u.Reasoning, told.Output) {
		fault("%d tokens of reasoning, want %d", told.Reasoning, u.Reasoning)
	}
	if u.ProviderCost != nil && (row.ProviderCost == nil || int64(*row.ProviderCost) != int64(math.Round(*u.ProviderCost*1e9))) {
		fault("the provider's own cost is %v, want %v", row.ProviderCost, *u.ProviderCost)
	}
	complete := len(r.Lost) == 0 && !slices.Contains(r.Features, "server_tools") && !want.leans() && // the replay leaves these out
		!want.Request.Synthesised
	if row.Disputed && !raised && complete {
		fault("disputed, although the request is complete: %+v", row.Tokens)
	}
	return list
}
