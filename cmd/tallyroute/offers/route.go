package offers

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"tallyroute/billing"
	"tallyroute/cmd/tallyroute/app"
	"tallyroute/cmd/tallyroute/cli"
	"tallyroute/providers/chat"
	"tallyroute/router"
	"tallyroute/router/plan"
)

// Route is "tallyroute route".
type Route struct {
	Explain routeExplain `cmd:"" help:"Print every candidate for a prompt, its price, and why it would or would not be chosen."`
}

type routeExplain struct {
	cli.PlainFormat
	Model      string `help:"Model or alias. Default: the one in the prompt file, or auto."`
	PromptFile string `help:"A chat completion body in JSON, or plain text; - is standard input." required:"" placeholder:"FILE"`
}

// candidateView is a candidate in JSON.
type candidateView struct {
	Target       string  `json:"target"`
	Chosen       bool    `json:"chosen"`
	PromptTokens int64   `json:"prompt_tokens"`
	Exact        bool    `json:"prompt_tokens_exact"`
	OutputTokens int64   `json:"assumed_completion_tokens"`
	CostUSD      *string `json:"cost_usd"` // null: the price is unknown
	InputUSD     *string `json:"usd_per_million_input_tokens"`
	OutputUSD    *string `json:"usd_per_million_output_tokens"`
	Health       string  `json:"health"`
	Excluded     string  `json:"excluded"`
}

// Run prints the plan for the request.
func (c routeExplain) Run(a *cli.Context) error {
	req, err := c.request(a)
	if err != nil {
		return err
	}
	cfg, b, err := a.Settings()
	if err != nil {
		return err
	}
	if with, err := app.WithStored(a.Ctx, cfg, a.Source().Demo); err == nil {
		b = with // if the database is unreachable, go without what is stored there
	}
	candidates, live, err := app.Explain(a.Ctx, cfg, b, req)
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
	return explain(candidates).Write(a.Stdout, c.Output)
}

// request reads the prompt. Anything but a JSON object becomes a single user message.
func (c routeExplain) request(a *cli.Context) (*chat.Request, error) {
	f, err := a.FileOrStdin(c.PromptFile)
	if err != nil {
		return nil, err
	}
	defer cli.Closing(f)
	body, err := io.ReadAll(io.LimitReader(f, 16<<20))
	if err != nil {
		return nil, err
	}
	model := c.Model
	if !json.Valid(body) || bytes.TrimSpace(body)[0] != '{' {
		body, err = json.Marshal(map[string]any{
			"model": cli.OrElse(model, "auto"), "messages": []map[string]string{{
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
		return nil, cli.Usage(err)
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

// explain lays out the candidates in the order in which they would be tried.
func explain(candidates []plan.Candidate) *cli.Table {
	t := &cli.Table{Header: []string{"", "TARGET", "USD", "PROMPT", "OUTPUT", "USD/M IN", "USD/M OUT", "HEALTH", "WHY NOT"}}
	views := []candidateView{}
	for _, c := range candidates {
		v := candidateView{
			Target: c.Target.Name(), Chosen: c.Chosen, PromptTokens: c.Prompt, Exact: c.Exact, OutputTokens: c.Output,
			Health: c.Health, Excluded: c.Excluded,
		}
		cost, in, out := cli.Text("unpriced"), cli.Text("-"), cli.Text("-")
		if c.Priced {
			v.CostUSD, v.InputUSD, v.OutputUSD = usdText(c.Cost), usdText(c.Price.Input), usdText(c.Price.Output)
			cost, in, out = cli.Money(c.Cost), cli.Dollars(c.Price.Input), cli.Dollars(c.Price.Output)
		}
		mark, prompt := "", fmt.Sprint(c.Prompt)
		if c.Chosen {
			mark = "→"
		}
		if !c.Exact {
			prompt = "≤ " + prompt
		}
		t.Add(cli.Text(mark), cli.Text(v.Target), cost, cli.Text(prompt), cli.Number(c.Output), in, out, cli.Text(c.Health),
			cli.Text(c.Excluded))
		views = append(views, v)
	}
	t.Records = views
	return t
}
