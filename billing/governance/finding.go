package governance

import (
	"fmt"
	"slices"
	"strings"
)

// Finding is a broken rule, and how to fix it.
type Finding struct {
	Rule   string `json:"rule" doc:"Its name in the rules: keys.owner, log_level, …"`
	Object string `json:"object" doc:"The id of the key, or the setting."`
	Name   string `json:"name" doc:"The name of the key; empty for settings."`
	Field  string `json:"field" doc:"The member or setting that would have to change."`
	Detail string `json:"detail" doc:"What the rule requires, and what was found."`
	Fix    string `json:"fix"`
}

// Text returns the finding in one sentence, with its fix.
func (f Finding) Text() string { return fmt.Sprintf("%s: %s; %s", f.Rule, f.Detail, f.Fix) }

// BrokenError refuses something that breaks rules.
type BrokenError struct{ Findings []Finding }

// Error names every broken rule and its fix.
func (e *BrokenError) Error() string {
	texts := make([]string, len(e.Findings))
	for i, f := range e.Findings {
		texts[i] = f.Text()
	}
	return "the organisation's rules do not allow it: " + strings.Join(texts, "; and ")
}

// Refusal returns the findings as a BrokenError; nil if there are none.
func Refusal(findings []Finding) error {
	if len(findings) == 0 {
		return nil
	}
	return &BrokenError{findings}
}

// New returns the findings that weren't there before: something already broken may stay so
// while something else is changed.
func New(before, after []Finding) []Finding {
	return slices.DeleteFunc(slices.Clone(after), func(f Finding) bool {
		return slices.ContainsFunc(before, func(o Finding) bool { return o.Rule == f.Rule && o.Field == f.Field && o.Detail == f.Detail })
	})
}
