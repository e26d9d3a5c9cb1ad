package finance

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"tallyroute/billing"
	"tallyroute/billing/manage"
	"tallyroute/cmd/tallyroute/adminapi"
	"tallyroute/cmd/tallyroute/cli"
)

// reportUsage is "tallyroute report usage": how the router was used, hour by hour.
type reportUsage struct {
	cli.Format
	By   string `arg:"" optional:"" default:"key" help:"One line for each hour and each key, project, model or provider." placeholder:"BY"`
	From string `help:"First day, in the reporting time zone, or an instant. Default: a day before the end." placeholder:"YYYY-MM-DD"`
	To   string `help:"The first day or instant that is not included. Default: now." placeholder:"YYYY-MM-DD"`
	Top  int    `help:"Only this many of the first lines." placeholder:"N"`
}

// Run prints the report.
func (c reportUsage) Run(a *cli.Context) error {
	by := billing.ReadUsageBy(c.By)
	ask := adminapi.Query("by", c.By, "from", c.From, "to", c.To, "top", count(c.Top))
	return a.Ask(cli.Needs{}, func(r adminapi.API) error {
		v, err := adminapi.Do[manage.UsageReport](a.Ctx, r, adminapi.Get("/usage", ask))
		if err != nil {
			return err
		}
		return usageTable(by.Words(), v).Write(a.Stdout, c.Output)
	})
}

func usageTable(words []string, v manage.UsageReport) *cli.Table {
	t := &cli.Table{Records: v, Header: []string{"HOUR"}}
	for _, w := range words {
		t.Header = append(t.Header, strings.ToUpper(strings.ReplaceAll(w, "_", " ")))
	}
	t.Header = append(t.Header, "REQUESTS", "ATTEMPTS", "ERRORS", "ERROR RATE", "REFUSED", "TOOK P50 MS", "P95 MS",
		"FIRST P50 MS", "P95 MS",
		"BYTES IN", "BYTES OUT", "PEAK REQUESTS/MIN", "PEAK TOKENS/MIN")
	for _, l := range v.Data {
		cells := []cli.Cell{cli.Text(l.Hour)}
		for _, w := range words {
			cells = append(cells, cli.Text(l.Group[w]))
		}
		t.Add(append(cells, cli.Number(l.Requests), cli.Number(l.Attempts), cli.Number(l.Errors), cli.Figure(l.ErrorRate),
			cli.Text(refusalsText(l.Refusals)),
			measured(l.TookMS.P50), measured(l.TookMS.P95), measured(l.FirstToken.P50), measured(l.FirstToken.P95),
			cli.Number(l.BytesIn), cli.Number(l.BytesOut), ofLimit(l.PeakRequests, l.LimitRequests),
			ofLimit(l.PeakTokens, l.LimitTokens))...)
	}
	return t
}

// refusalsText formats refusals by code: "insufficient_quota 3, rate_limit_exceeded 1".
func refusalsText(byCode map[string]int64) string {
	var words []string
	for _, code := range slices.SortedFunc(maps.Keys(byCode), func(a, b string) int {
		return cmp.Or(cmp.Compare(byCode[b], byCode[a]), cmp.Compare(a, b))
	}) {
		words = append(words, fmt.Sprintf("%s %d", code, byCode[code]))
	}
	return cmp.Or(strings.Join(words, ", "), "0")
}

func measured(ms *int64) cli.Cell {
	if ms == nil {
		return cli.Text("")
	}
	return cli.Number(*ms)
}

func ofLimit(peak int64, limit *int64) cli.Cell {
	if limit == nil {
		return cli.Number(peak)
	}
	return cli.Text(strconv.FormatInt(peak, 10) + " of " + strconv.FormatInt(*limit, 10))
}

// reportPrices is "tallyroute report prices": which prices have changed.
type reportPrices struct {
	cli.Format
	spanFlags
	Provider string `help:"Only this provider." placeholder:"NAME"`
	Model    string `help:"Only this model, under its name in reports." placeholder:"NAME"`
}

// Run prints the report.
func (c reportPrices) Run(a *cli.Context) error {
	if _, err := c.query(); err != nil {
		return err
	}
	ask := adminapi.Query("month", c.Month, "from", c.From, "to", c.To, "provider", c.Provider, "model", c.Model)
	return a.Ask(cli.Needs{}, func(r adminapi.API) error {
		v, err := adminapi.Do[manage.PriceReport](a.Ctx, r, adminapi.Get("/prices", ask))
		if err != nil {
			return err
		}
		t := &cli.Table{Records: v, Header: []string{
			"SINCE", "PROVIDER", "MODEL", "TIER", "FROM TOKENS", "OLD INPUT", "NEW INPUT", "OLD OUTPUT", "NEW OUTPUT",
			"ATTEMPTS", "BOOKED USD", "AT OLD USD", "AT NEW USD", "DIFFERENCE USD",
		}}
		for _, p := range v.Data {
			old := manage.RateView{}
			if p.Old != nil {
				old = *p.Old
			}
			t.Add(cli.Text(p.Since), cli.Text(p.Provider), cli.Text(p.Model), cli.Text(p.ServiceTier), cli.Number(p.MinInput),
				cli.Figure(old.Input),
				cli.Figure(p.New.Input), cli.Figure(old.Output), cli.Figure(p.New.Output), cli.Number(p.Attempts), amount(p.BookedUSD),
				known(p.OldUSD), amount(p.NewUSD), known(p.DifferenceUSD))
		}
		return t.Write(a.Stdout, c.Output)
	})
}

// known returns a cell with an amount, or an empty cell for nil.
func known(usd *string) cli.Cell {
	if usd == nil {
		return cli.Text("")
	}
	return amount(*usd)
}
