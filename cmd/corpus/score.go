package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
)

// result is what the player reports about one exchange.
type result struct {
	ID, API, Family string
	Features        []string
	Pass            bool
	Status          int
	Lost            []string `json:"request_parts_openai_cannot_say"` // of the recorded request
	Checks          []struct{ OK, Hard bool }
}

// tally counts exchanges, and the soft checks across all of them.
type tally struct {
	Cases int `json:"cases"`
	Pass  int `json:"pass"`

	soft, softPass int
}

func (t *tally) add(r result) {
	t.Cases++
	if r.Pass {
		t.Pass++
	}
	for _, c := range r.Checks {
		if !c.Hard {
			t.soft++
			if c.OK {
				t.softPass++
			}
		}
	}
}

func share(n, of int) float64 { return 100 * float64(n) / float64(max(1, of)) }

// score is the recorded outcome of a run.
type score struct {
	Total    *tally            `json:"total"`
	Ledger   *tally            `json:"ledger"` // exchanges whose rows are right
	APIs     map[string]*tally `json:"apis"`
	Features map[string]*tally `json:"features"`
}

func newScore() score {
	return score{Total: new(tally), Ledger: new(tally), APIs: make(map[string]*tally), Features: make(map[string]*tally)}
}

func (s score) add(r result) {
	s.Total.add(r)
	at(s.APIs, r.API).add(r)
	for _, f := range r.Features {
		at(s.Features, f).add(r)
	}
}

func at(m map[string]*tally, name string) *tally {
	if m[name] == nil {
		m[name] = new(tally)
	}
	return m[name]
}

func (s score) print(w io.Writer) {
	line := func(name string, t *tally) {
		_, _ = fmt.Fprintf(w, "%-28s %5d of %5d  %5.1f %%   soft checks %5.1f %%\n", name, t.Pass, t.Cases, share(t.Pass, t.Cases),
			share(t.softPass, t.soft))
	}
	for _, group := range []map[string]*tally{s.APIs, s.Features} {
		for _, name := range slices.Sorted(maps.Keys(group)) {
			line(name, group[name])
		}
		_, _ = fmt.Fprintln(w)
	}
	line("all", s.Total)
	_, _ = fmt.Fprintf(w, "%-28s %5d of %5d  %5.1f %%\n", "rows of the ledger", s.Ledger.Pass, s.Ledger.Cases,
		share(s.Ledger.Pass, s.Ledger.Cases))
}

// write records the score. Whatever was not replayed this time keeps its old score.
func (s *settings) write(got score) error {
	old, err := s.read()
	if err != nil {
		return err
	}
	maps.Copy(old.APIs, got.APIs)
	if s.apis == "" && s.families == "" {
		old.Features, old.Ledger = got.Features, got.Ledger
	}
	*old.Total = tally{}
	for _, t := range old.APIs {
		old.Total.Cases += t.Cases
		old.Total.Pass += t.Pass
	}
	text, err := json.MarshalIndent(old, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(s.record, append(text, '\n'), 0o644) //nolint:gosec // a file of the source tree
}

func (s *settings) read() (score, error) {
	old := newScore()
	text, err := os.ReadFile(s.record) //nolint:gosec // a file that the user names
	if errors.Is(err, os.ErrNotExist) {
		return old, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &old)
	}
	return old, err
}

// compare returns an error if the score is below the recorded one for any API.
func (s *settings) compare(got score) error {
	old, err := s.read()
	if err != nil {
		return err
	}
	var faults []error
	for _, name := range slices.Sorted(maps.Keys(got.APIs)) {
		now, before := got.APIs[name], old.APIs[name]
		if before != nil && now.Pass*before.Cases < before.Pass*now.Cases {
			faults = append(faults, fmt.Errorf("%s fell from %d of %d to %d of %d", name, before.Pass, before.Cases, now.Pass, now.Cases))
		}
	}
	if s.apis == "" && s.families == "" && got.Ledger.Pass*old.Ledger.Cases < old.Ledger.Pass*got.Ledger.Cases {
		faults = append(faults, fmt.Errorf("the rows fell from %d of %d to %d of %d", old.Ledger.Pass, old.Ledger.Cases, got.Ledger.Pass,
			got.Ledger.Cases))
	}
	return errors.Join(faults...)
}
