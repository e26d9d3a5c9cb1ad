package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"tallyroute/billing"
	"tallyroute/router/tokens"
)

// once sends two requests through a router in a temporary folder and holds what
// the answers, the ledger, the quota and the providers' bills say against each other.
func (c demoCommand) once(a *app) error {
	dir, err := os.MkdirTemp("", "tallyroute-demo-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	c.Listen, c.AdminListen, c.Database = "127.0.0.1:0", "127.0.0.1:0", dsn("sqlite:"+filepath.Join(dir, "tallyroute.db"))
	cfg := c.config()
	s, err := newService(a.ctx, cfg, newLogger(a.stderr, cfg.Log), tokens.New(tokens.Options{}))
	if err != nil {
		return err
	}
	return s.demonstrate(a.ctx, func(ctx context.Context) error { return s.rehearse(ctx, a.stdout) })
}

// act is one request of the demonstration: what was answered and what was booked.
type act struct {
	told
	rows []billing.Spend // of its attempts, in order
}

// rehearse plays both requests and checks them.
func (s *service) rehearse(ctx context.Context, w io.Writer) error {
	key, secret, err := s.demoKey(ctx)
	if err != nil {
		return err
	}
	client := newChatClient("http://"+s.public.address()+"/v1", secret.Reveal())
	fmt.Fprint(w, "1  plain     ")
	first, err := s.play(ctx, func(out io.Writer) (told, error) { return client.plain(ctx, "auto", "hello, finance", out) }, w)
	if err != nil {
		return err
	}
	fmt.Fprint(w, "2  streamed  ")
	second, err := s.play(ctx, func(out io.Writer) (told, error) { return client.stream(ctx, "auto", "hello again", out) }, w)
	if err != nil {
		return err
	}
	if err := printSpend(w, append(first.rows, second.rows...)); err != nil {
		return err
	}
	balances, err := s.books.Balances(ctx, &key, first.rows[0].OccurredAt)
	if err != nil {
		return err
	}
	var c checks
	c.answer("the first request", first, told{
		Text: "You said: hello, finance", Provider: "demo-a", Attempts: "1",
		Reason: string(billing.RouteCheapest),
	})
	c.answer("the second request", second, told{
		Text: "You said: hello again", Provider: "demo-b", Attempts: "2",
		Reason: string(billing.RouteFailover),
	})
	c.ledger(s, append(first.rows, second.rows...), balances)
	if err := c.err(); err != nil {
		return err
	}
	_, err = fmt.Fprintln(w, "ok: answers, headers, prices, spend rows, quota and the providers' bills agree")
	return err
}

// play sends one request and reads what was booked for it.
func (s *service) play(ctx context.Context, send func(io.Writer) (told, error), w io.Writer) (act, error) {
	t, err := send(w)
	if err != nil {
		fmt.Fprintln(w)
		return act{}, chatError(err)
	}
	fmt.Fprintf(w, "\n             %s\n", t)
	rows, err := s.books.Events(ctx, billing.EventQuery{RequestID: t.RequestID})
	if err != nil {
		return act{}, err
	}
	if len(rows) == 0 {
		return act{}, fmt.Errorf("demo: no spend row for %s", t.RequestID)
	}
	ordered := make([]billing.Spend, len(rows))
	for _, r := range rows {
		if r.Attempt < 1 || r.Attempt > len(rows) {
			return act{}, fmt.Errorf("demo: attempt %d of %d rows", r.Attempt, len(rows))
		}
		ordered[r.Attempt-1] = r
	}
	return act{t, ordered}, nil
}

// printSpend prints rows of the ledger.
func printSpend(w io.Writer, rows []billing.Spend) error {
	t := table{header: []string{"REQUEST", "TRY", "PROVIDER", "MODEL", "STATUS", "WHY", "PROMPT", "COMPLETION", "USAGE", "COST USD"}}
	for _, r := range rows {
		t.add(text("…"+r.RequestID[max(0, len(r.RequestID)-6):]), number(int64(r.Attempt)), text(r.Provider), text(r.Model),
			text(strings.TrimSpace(string(r.Status)+" "+r.ErrorKind)), text(string(r.RouteReason)),
			number(r.Tokens.Prompt()), number(r.Tokens.Output), text(string(r.UsageSource)), money(r.Cost.Total))
	}
	fmt.Fprintln(w)
	err := t.printTable(w)
	fmt.Fprintln(w)
	return err
}

// checks collects sentences about what differs from what it should be.
type checks struct{ wrong []error }

func (c *checks) err() error { return errors.Join(c.wrong...) }

func (c *checks) failf(format string, args ...any) {
	c.wrong = append(c.wrong, fmt.Errorf("demo: "+format, args...))
}

// same wants two things to be equal.
func same[T comparable](c *checks, what string, got, want T) {
	if got != want {
		c.failf("%s is %v; it should be %v", what, got, want)
	}
}

// answer compares what the client was told with what it should be told and
// with what was booked.
func (c *checks) answer(name string, got act, want told) {
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
	same(c, name+": the cost that the client was told", got.Cost, booked.Short())
}

// ledger compares the rows with the price list, the quota and the bills.
func (c *checks) ledger(s *service, rows []billing.Spend, balances []billing.Balance) {
	booked := make(map[string]demoBill)
	var tokens int64
	var cost billing.Money
	for _, r := range rows {
		tokens += r.Tokens.Total()
		cost = cost.Add(r.Cost.Total)
		b := booked[r.Provider]
		b.Requests++
		b.PromptTokens += r.Tokens.Prompt()
		b.CompletionTokens += r.Tokens.Output
		if r.Status != billing.StatusOK {
			b.Failures++
		}
		booked[r.Provider] = b
		price, _ := s.prices.At(r.Provider, r.Model, r.OccurredAt).Listed(r.ServiceTier, r.Tokens.Prompt())
		same(c, "the cost of a row", r.Cost, price.Cost(r.Tokens))
	}
	for _, u := range s.demo.upstreams {
		same(c, "what the ledger has of "+u.name+", which bills as much,", booked[u.name], u.owed())
	}
	same(c, "the number of budgets", len(balances), 1)
	for _, b := range balances {
		same(c, "the quota's used tokens", b.UsedTokens, tokens)
		same(c, "the budget's used dollars", b.UsedMoney, cost)
		same(c, "what the quota still holds", b.HeldTokens+int64(b.HeldMoney), 0)
	}
}
