package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/manage"
	"tallyroute/cmd/tallyroute/app"
	"tallyroute/cmd/tallyroute/client"
)

// Key creates a new key in the demonstration's project.
func Key(ctx context.Context, s *app.Service) (billing.Key, billing.Secret, error) {
	tokens, money := int64(1_000_000), billing.Money(1*billing.NanoPerUSD)
	return s.Actions().CreateKey(ctx, manage.KeyRequest{
		Name: "demo " + time.Now().Format("2006-01-02 15:04"), Team: "demo", Project: "demo", CostCenter: "demo", Environment: "dev",
		Budgets: []billing.Budget{{Period: billing.PeriodDay, Tokens: &tokens, Money: &money}},
	}, manage.By{Actor: "demo"})
}

// Rehearsal is the demonstration in two requests. They are sent through a running router;
// then the answers, the ledger, the quota and the providers' bills are compared.
type Rehearsal struct {
	Service   *app.Service
	Providers *Providers
	Out       io.Writer
	Print     func([]billing.Spend) error // rows of the ledger, to Out
}

// act is one request of the demonstration: its answer and what was booked for it.
type act struct {
	client.Told
	rows []billing.Spend // of its attempts, in order
}

// Run sends both requests and checks the results.
func (r Rehearsal) Run(ctx context.Context) error {
	key, secret, err := Key(ctx, r.Service)
	if err != nil {
		return err
	}
	c := client.New("http://"+r.Service.Address("public")+"/v1", secret.Reveal(), nil)
	fmt.Fprint(r.Out, "1  plain     ")
	first, err := r.play(ctx, func() (client.Told, error) { return c.Plain(ctx, "auto", "hello, finance", r.Out) })
	if err != nil {
		return err
	}
	fmt.Fprint(r.Out, "2  streamed  ")
	second, err := r.play(ctx, func() (client.Told, error) { return c.Stream(ctx, "auto", "hello again", r.Out) })
	if err != nil {
		return err
	}
	if err := r.Print(append(first.rows, second.rows...)); err != nil {
		return err
	}
	balances, err := r.Service.Actions().Balances(ctx, &key)
	if err != nil {
		return err
	}
	var checked checks
	checked.answer("the first request", first, client.Told{
		Text: "You said: hello, finance", Provider: "demo-a", Attempts: "1",
		Reason: string(billing.RouteCheapest),
	})
	checked.answer("the second request", second, client.Told{
		Text: "You said: hello again", Provider: "demo-b", Attempts: "2",
		Reason: string(billing.RouteFailover),
	})
	checked.ledger(r, append(first.rows, second.rows...), balances)
	if err := checked.err(); err != nil {
		return err
	}
	_, err = fmt.Fprintln(r.Out, "ok: answers, headers, prices, spend rows, quota and the providers' bills agree")
	return err
}

// play sends one request and reads what was booked for it.
func (r Rehearsal) play(ctx context.Context, send func() (client.Told, error)) (act, error) {
	t, err := send()
	if err != nil {
		fmt.Fprintln(r.Out)
		return act{}, err
	}
	fmt.Fprintf(r.Out, "\n             %s\n", t)
	rows, err := r.Service.Reports().Events(ctx, billing.EventQuery{RequestID: t.RequestID})
	if err != nil {
		return act{}, err
	}
	if len(rows) == 0 {
		return act{}, fmt.Errorf("demo: no spend row for %s", t.RequestID)
	}
	ordered := make([]billing.Spend, len(rows))
	for _, row := range rows {
		if row.Attempt < 1 || row.Attempt > len(rows) {
			return act{}, fmt.Errorf("demo: attempt %d of %d rows", row.Attempt, len(rows))
		}
		ordered[row.Attempt-1] = row
	}
	return act{t, ordered}, nil
}

// checks collects descriptions of what differs from what was expected.
type checks struct{ wrong []error }

func (c *checks) err() error { return errors.Join(c.wrong...) }

func (c *checks) failf(format string, args ...any) {
	c.wrong = append(c.wrong, fmt.Errorf("demo: "+format, args...))
}

// same requires two values to be equal.
func same[T comparable](c *checks, what string, got, want T) {
	if got != want {
		c.failf("%s is %v; it should be %v", what, got, want)
	}
}

// answer compares what the client was told with what was expected and with what was booked.
func (c *checks) answer(name string, got act, want client.Told) {
	same(c, name+": the provider in the header", got.Provider, want.Provider)
	same(c, name+": the attempts in the header", got.Attempts, want.Attempts)
	same(c, name+": the reason in the header", got.Reason, want.Reason)
	same(c, name+": the number of rows in the ledger", strconv.Itoa(len(got.rows)), want.Attempts)
	same(c, name+": the answer", got.Text, want.Text)
	last := got.rows[len(got.rows)-1]
	same(c, name+": the provider in the ledger", last.Provider, want.Provider)
	same(c, name+": the status in the ledger", last.Status, billing.StatusOK)
	same(c, name+": the prompt in the ledger", last.Tokens.Prompt(), int64(got.Usage.PromptTokens))
	same(c, name+": the completion in the ledger", last.Tokens.Output, int64(got.Usage.CompletionTokens))
	if !last.Final {
		c.failf("%s: its last row is not marked as such", name)
	}
	var booked billing.Money
	for _, r := range got.rows {
		booked = booked.Add(r.Cost.Total)
	}
	same(c, name+": the cost that the client was client.Told", got.Cost, booked.Short())
}

// ledger compares the rows with the price list, the quota and the bills.
func (c *checks) ledger(r Rehearsal, rows []billing.Spend, balances []billing.Balance) {
	booked := make(map[string]Bill)
	var tokens int64
	var cost billing.Money
	for _, row := range rows {
		tokens += row.Tokens.Total()
		cost = cost.Add(row.Cost.Total)
		b := booked[row.Provider]
		b.Requests++
		b.PromptTokens += row.Tokens.Prompt()
		b.CompletionTokens += row.Tokens.Output
		if row.Status != billing.StatusOK {
			b.Failures++
		}
		booked[row.Provider] = b
		price, _ := r.Service.Prices().At(row.Provider, row.Model, row.OccurredAt).Listed(row.ServiceTier, row.Tokens.Prompt())
		same(c, "the cost of a row", row.Cost, price.Cost(row.Tokens))
	}
	for name, bill := range r.Providers.Bills() {
		same(c, "what the ledger has of "+name+", which bills as much,", booked[name], bill)
	}
	same(c, "the number of budgets", len(balances), 1)
	for _, b := range balances {
		same(c, "the quota's used tokens", b.UsedTokens, tokens)
		same(c, "the budget's used dollars", b.UsedMoney, cost)
		same(c, "what the quota still holds", b.HeldTokens+int64(b.HeldMoney), 0)
	}
}
