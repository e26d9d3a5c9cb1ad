package admin

import (
	"net/http"
	"time"

	"tallyroute/billing"
)

// groups are the words that name a line of a report, by what it is grouped by.
var groups = map[string][]string{
	"team":     {"team", "cost_center"},
	"project":  {"project"},
	"key":      {"team", "project", "key"},
	"model":    {"provider", "model"},
	"provider": {"provider"},
	"day":      {"day"},
}

type spendView struct {
	Group      map[string]string `json:"group"`
	Requests   int64             `json:"requests"`
	Attempts   int64             `json:"attempts"`
	Errors     int64             `json:"errors"`
	Tokens     tokensView        `json:"tokens"`
	CostUSD    string            `json:"cost_usd"`
	SavingsUSD string            `json:"routing_savings_usd"`
	Unpriced   int64             `json:"unpriced_attempts"` // which the cost does not include
	NotExact   int64             `json:"not_reported_attempts"`
	Overrun    int64             `json:"overrun_tokens"`
	OverrunUSD string            `json:"overrun_usd"`
}

type tokensView struct {
	Input      int64 `json:"input"`
	CacheRead  int64 `json:"cache_read"`
	CacheWrite int64 `json:"cache_write"`
	Output     int64 `json:"output"`
}

// spendList is a report: never more lines than a person reads, so it has no pages.
type spendList struct {
	page[spendView]
	GroupBy  string `json:"group_by"`
	Month    string `json:"month"`
	Currency string `json:"currency"`
}

// getSpend is GET /spend?group_by=team&month=2026-11: the totals of a month.
func getSpend(x *exchange) error {
	q, err := x.query("group_by", "month", "key_id")
	if err != nil {
		return err
	}
	by, month := q.Get("group_by"), q.Get("month")
	if by == "" {
		by = "team"
	}
	words, ok := groups[by]
	if !ok {
		return invalid("group_by", "must be team, project, key, model, provider or day")
	}
	if month == "" {
		month = x.start.UTC().Format("2006-01")
	}
	if _, err := time.Parse("2006-01", month); err != nil {
		return invalid("month", "must be a month such as 2026-11")
	}
	rows, err := x.Reports.Spend(x.ctx(), billing.SpendQuery{GroupBy: by, Month: month, KeyID: billing.KeyID(q.Get("key_id"))})
	if err != nil {
		return err
	}
	views := make([]spendView, len(rows))
	for i, r := range rows {
		views[i] = viewSpend(words, r)
	}
	return x.json(http.StatusOK, spendList{page: page[spendView]{Data: views}, GroupBy: by, Month: month, Currency: "USD"})
}

func viewSpend(words []string, r billing.SpendRow) spendView {
	v := spendView{
		Group: make(map[string]string, len(words)), Requests: r.Requests, Attempts: r.Attempts, Errors: r.Errors,
		Tokens:  tokensView{r.Tokens.Input, r.Tokens.CacheRead, r.Tokens.CacheWrite, r.Tokens.Output},
		CostUSD: r.Cost.Short(), SavingsUSD: r.Savings.Short(), Unpriced: r.Unpriced, NotExact: r.NotExact, Overrun: r.Overrun,
		OverrunUSD: r.OverrunMoney.Short(),
	}
	for i, w := range words {
		if i < len(r.Group) {
			v.Group[w] = r.Group[i]
		}
	}
	return v
}
