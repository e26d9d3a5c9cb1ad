package router

import (
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"tallyroute/providers/chat"
	"tallyroute/router/tokens"
)

// A provider that reports more tokens than we estimated exceeds the hold once; from then on
// more is held.
func TestHoldsFollowReports(t *testing.T) {
	g := newRig(t, keyWith(tokenBudget(1_000_000)), target("a", "1", "2"))
	usage := &chat.Usage{Input: int64(len(hi)) * 3, Output: 5}
	g.sender.then(plain(usage), plain(usage))
	if row := g.ok(t, hi).Spend; row.OverrunTokens != usage.Input+usage.Output-int64(len(hi)+10) {
		t.Errorf("the first request: %d tokens of overrun", row.OverrunTokens)
	}
	if row := g.ok(t, hi).Spend; row.OverrunTokens != 0 {
		t.Errorf("the second request: %d tokens of overrun", row.OverrunTokens)
	}
}

// Reports that are not believed do not affect calibration.
func TestDisputedReportsTeachNothing(t *testing.T) {
	g := newRig(t, keyWith(tokenBudget(1_000_000)), target("a", "1", "2"))
	g.sender.then(plain(&chat.Usage{Input: 1e12, Output: 5}))
	for range 2 {
		a, err := g.ask(t.Context(), hi)
		if err != nil {
			t.Fatal(err)
		}
		if got := a.bill.sent.held.hold.Tokens; got != int64(len(hi)+10) {
			t.Errorf("%d tokens were held, want %d", got, len(hi)+10)
		}
		_ = a.Close()
	}
}

// What providers reported for requests that were really sent, in any order, over and over.
func TestRecordedPromptsFitTheirHolds(t *testing.T) {
	dir := os.Getenv("TALLYROUTE_CORPUS")
	if dir == "" {
		t.Skip("no recorded exchanges: TALLYROUTE_CORPUS says where they are")
	}
	files, err := filepath.Glob(filepath.Join(dir, "*", "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no recorded exchanges in %s: %v", dir, err)
	}
	type exchange struct {
		prompt   tokens.Sample
		reported int64
	}
	var all []exchange
	counter := tokens.New(tokens.Options{})
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var x struct {
			Provider, Family, Model string
			Request                 struct{ Body json.RawMessage }
			Expected                struct{ Usage *struct{ Prompt int64 } }
		}
		if json.Unmarshal(data, &x) != nil || x.Family != "openai-chat" || x.Expected.Usage == nil || x.Expected.Usage.Prompt == 0 {
			continue
		}
		r, err := chat.ParseRequest(x.Request.Body)
		if err != nil {
			continue // Azure's recordings have no model
		}
		needs := r.Needs()
		p := tokens.Sample{Provider: x.Provider, Model: x.Model, Media: needs.Vision || needs.Audio || needs.Documents}
		counted, err := counter.Prompt(t.Context(), r, tokens.Tokenizer{})
		if err != nil {
			t.Fatal(err)
		}
		bound, count := p, p
		bound.Basis, bound.Tokens = tokens.Bounded, counter.Bound(r, tokens.Tokenizer{})
		count.Basis, count.Tokens = tokens.Counted, counted.Tokens
		all = append(all, exchange{bound, x.Expected.Usage.Prompt}, exchange{count, x.Expected.Usage.Prompt})
	}
	if len(all) < 400 {
		t.Fatalf("only %d estimates", len(all))
	}
	f, random := tokens.NewCalibration(), rand.New(rand.NewPCG(5, 6))
	const warm, rounds = 1000, 1200 // by then, every length has been seen a thousand times for every model
	type sum struct{ short, requests, held, used int64 }
	sums := map[tokens.Basis]*sum{tokens.Bounded: {}, tokens.Counted: {}}
	for round := range rounds {
		random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		for _, x := range all {
			hold := f.Hold(x.prompt)
			f.Observe(x.prompt, x.reported)
			if round < warm || x.reported > x.prompt.Tokens*4+1000 { // beyond what is believed
				continue
			}
			s := sums[x.prompt.Basis]
			s.requests++
			if hold < x.reported {
				s.short++
			}
			if !x.prompt.Media { // images are assumed to be the most expensive possible
				s.held, s.used = s.held+hold, s.used+x.reported
			}
		}
	}
	for basis, most := range map[tokens.Basis]int64{tokens.Bounded: 4, tokens.Counted: 2} {
		s := sums[basis]
		t.Logf("basis %d: %d of %d holds fell short; %d tokens were held for %d used", basis, s.short, s.requests, s.held, s.used)
		if s.short > s.requests/1000 || s.held > s.used*most {
			t.Errorf("basis %d: want at most one hold in a thousand short, and at most %d tokens held for one used", basis, most)
		}
	}
}
