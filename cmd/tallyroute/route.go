package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"tallyroute/billing"
	"tallyroute/cmd/tallyroute/app"
	"tallyroute/providers/chat"
	"tallyroute/router"
	"tallyroute/router/plan"
)

// routeCommand is "tallyroute route".
type routeCommand struct {
	Explain routeExplain `cmd:"" help:"Print every candidate for a prompt, its price, and why it would or would not be taken."`
}

type routeExplain struct {
	plainFormat
	Model      string `help:"Model or alias. Default: the one in the prompt file, or auto."`
	PromptFile string `help:"A chat completion body in JSON, or plain text; - is standard input." required:"" placeholder:"FILE"`
}

// candidateView is a candidate as JSON shows it.
type candidateView struct {
	Target       string  `json:"target"`
	Chosen       bool    `json:"chosen"`
	PromptTokens int64   `json:"prompt_tokens"`
	Exact        bool    `json:"prompt_tokens_exact"`
	OutputTokens int64   `json:"assumed_completion_tokens"`
	CostUSD      *string `json:"cost_usd"` // null: no price is known
	InputUSD     *string `json:"usd_per_million_input_tokens"`
	OutputUSD    *string `json:"usd_per_million_output_tokens"`
	Health       string  `json:"health"`
	Excluded     string  `json:"excluded"`
}

// Run prints the plan for the request.
func (c routeExplain) Run(a *cli) error {
	req, err := c.request(a)
	if err != nil {
		return err
	}
	cfg, b, err := a.settings()
	if err != nil {
		return err
	}
	candidates, live, err := app.Explain(a.ctx, cfg, b, req)
	var unknown *router.ModelError
	if errors.As(err, &unknown) {
		hint := ""
		if unknown.Nearest != "" {
			hint = "; did you mean " + unknown.Nearest + "?"
		}
		return fmt.Errorf("%w%s", &billing.NotFoundError{What: "model", ID: unknown.Asked}, hint)
	}
	if err != nil {
		return err
	}
	if !live {
		for i := range candidates {
			candidates[i].Health = "not known"
		}
	}
	return explain(candidates).write(a.stdout, c.Output)
}

// request reads the prompt. What is not a JSON object is one message of the user.
func (c routeExplain) request(a *cli) (*chat.Request, error) {
	f, err := a.fileOrStdin(c.PromptFile)
	if err != nil {
		return nil, err
	}
	defer closing(f)
	body, err := io.ReadAll(io.LimitReader(f, 16<<20))
	if err != nil {
		return nil, err
	}
	model := c.Model
	if !json.Valid(body) || bytes.TrimSpace(body)[0] != '{' {
		body, err = json.Marshal(map[string]any{
			"model": orElse(model, "auto"), "messages": []map[string]string{{
				"role":    "user",
				"content": strings.TrimRight(string(body), "\r\n"),
			}},
		})
		if err != nil {
			return nil, err
		}
	}
	req, err := chat.ParseRequest(body)
	if err != nil {
		return nil, usage(err)
	}
	if model != "" {
		return req.With("model", model)
	}
	return req, nil
}

func usdText(m billing.Money) *string {
	s := m.String()
	return &s
}

// explain lays the candidates out, in the order in which they would be tried.
func explain(candidates []plan.Candidate) *table {
	t := &table{header: []string{"", "TARGET", "USD", "PROMPT", "OUTPUT", "USD/M IN", "USD/M OUT", "HEALTH", "WHY NOT"}}
	views := []candidateView{}
	for _, c := range candidates {
		v := candidateView{
			Target: c.Target.Name(), Chosen: c.Chosen, PromptTokens: c.Prompt, Exact: c.Exact, OutputTokens: c.Output,
			Health: c.Health, Excluded: c.Excluded,
		}
		cost, in, out := text("unpriced"), text("-"), text("-")
		if c.Priced {
			v.CostUSD, v.InputUSD, v.OutputUSD = usdText(c.Cost), usdText(c.Price.Input), usdText(c.Price.Output)
			cost, in, out = money(c.Cost), dollars(c.Price.Input), dollars(c.Price.Output)
		}
		mark, prompt := "", fmt.Sprint(c.Prompt)
		if c.Chosen {
			mark = "→"
		}
		if !c.Exact {
			prompt = "≤ " + prompt
		}
		t.add(text(mark), text(v.Target), cost, text(prompt), number(c.Output), in, out, text(c.Health), text(c.Excluded))
		views = append(views, v)
	}
	t.records = views
	return t
}
