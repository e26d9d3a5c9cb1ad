package server

import (
	"bytes"
	"encoding/json"

	"tallyroute/billing/manage"
	"tallyroute/router"
)

// addMember is object with one more member at its end; object itself where it
// is none.
func addMember(object []byte, name string, v any) []byte {
	value, err := json.Marshal(v)
	head, isObject := bytes.CutSuffix(bytes.TrimRight(object, " \t\r\n"), []byte("}"))
	if err != nil || !isObject {
		return object
	}
	head = bytes.TrimRight(head, " \t\r\n")
	out := make([]byte, 0, len(head)+len(name)+len(value)+5)
	out = append(out, head...)
	if !bytes.HasSuffix(head, []byte("{")) {
		out = append(out, ',')
	}
	out = append(out, `"`+name+`":`...)
	return append(append(out, value...), '}')
}

// routing is how a request was routed, for the client that wants to know.
type routing struct {
	Requested  string          `json:"requested"`
	Chosen     string          `json:"chosen"`
	Why        string          `json:"why"`
	Candidates []planCandidate `json:"candidates"`
	Attempts   []planAttempt   `json:"attempts"`
}

type planCandidate struct {
	Provider     string  `json:"provider"`
	Model        string  `json:"model"`
	Chosen       bool    `json:"chosen"`
	USD          *string `json:"usd"` // of this request; null where no price is known
	PromptTokens int64   `json:"prompt_tokens"`
	Exact        bool    `json:"prompt_tokens_exact"`
	OutputTokens int64   `json:"output_tokens"`
	Health       string  `json:"health"`
	Excluded     *string `json:"excluded"`
}

type planAttempt struct {
	Provider     string `json:"provider"`
	Model        string `json:"model"`
	Status       int    `json:"status,omitempty"`
	Error        string `json:"error,omitempty"`
	Milliseconds int64  `json:"ms"`
}

func routingOf(way router.Route) routing {
	p := routing{
		Requested: way.Requested, Chosen: way.Target.Name(), Why: string(way.Reason),
		Candidates: []planCandidate{}, Attempts: attempts(way.Attempts),
	}
	for _, c := range way.Candidates {
		pc := planCandidate{
			Provider: c.Target.Provider, Model: c.Target.Model, Chosen: c.Chosen, PromptTokens: c.Prompt, Exact: c.Exact,
			OutputTokens: c.Output, Health: c.Health, Excluded: manage.TextOrNull(c.Excluded),
		}
		if c.Priced {
			pc.USD = manage.TextOrNull(c.Cost.Short())
		}
		p.Candidates = append(p.Candidates, pc)
	}
	return p
}

func attempts(list []router.Attempt) []planAttempt {
	out := make([]planAttempt, len(list))
	for i, a := range list {
		out[i] = planAttempt{a.Provider, a.Model, a.Status, string(a.Kind), a.Took.Milliseconds()}
	}
	return out
}
