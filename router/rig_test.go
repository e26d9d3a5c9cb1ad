package router

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"sync"
	"testing"
	"time"

	"tallyroute/billing"
	"tallyroute/providers"
	"tallyroute/providers/chat"
	"tallyroute/providers/openai"
	"tallyroute/router/health"
	"tallyroute/router/tokens"
)

var epoch = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// rig is a router with scripted in-memory parts.
type rig struct {
	*Router
	ledger  *ledger
	key     *billing.Key
	sender  *sender
	records *records
	targets map[string][]providers.Target
	prices  *billing.PriceBook
	counter *counter
}

func newRig(t testing.TB, key *billing.Key, targets ...providers.Target) *rig {
	t.Helper()
	g := &rig{
		ledger: newLedger(), key: key, sender: &sender{}, records: &records{}, counter: &counter{},
		targets: map[string][]providers.Target{},
	}
	var prices []billing.Price
	for _, target := range targets {
		g.targets[target.Model] = append(g.targets[target.Model], target)
		g.targets[target.Name()] = []providers.Target{target}
		prices = append(prices, pricesOf(target)...)
	}
	g.prices = billing.NewPriceBook(prices)
	g.Router = New(Parts{
		Verifier: verifier{key: key}, Ledger: g.ledger, Events: g.ledger, Prices: g.prices, Catalogue: catalogue{g},
		Sender: g.sender, Tokens: g.counter, Health: health.New(health.Options{}), Observer: g.records,
	}, Options{Linger: linger})
	return g
}

// linger is how long the rig continues to read a stream that nobody is listening to.
const linger = 200 * time.Millisecond

// target returns a target whose prices are in its header, in dollars per million tokens: the
// tests read them where they are used.
func target(name, prompt, completion string) providers.Target {
	t := providers.Target{
		Adapter:  openai.New(),
		Provider: name, Model: "m", Upstream: "up-" + name, Weight: 1, Context: 100_000, MaxOutput: 1000,
		Can: providers.Abilities{Stream: true, Tools: true},
	}
	if prompt != "" {
		t.Header = map[string][]string{"Prices": {prompt, completion}}
	}
	return t
}

func pricesOf(t providers.Target) []billing.Price {
	list := t.Header["Prices"]
	if list == nil {
		return nil
	}
	in, _ := billing.ParseMoney(list[0])
	out, _ := billing.ParseMoney(list[1])
	return []billing.Price{{
		ID: "price_" + t.Provider, Provider: t.Provider, Model: t.Model, Since: epoch.AddDate(-1, 0, 0),
		Input: in, CacheRead: in, CacheWrite: in, Output: out,
	}}
}

func keyWith(budgets ...billing.Budget) *billing.Key {
	return &billing.Key{
		ID: "key_1", TeamID: "team_1", ProjectID: "proj_1", CostCenter: "cc", Environment: "dev", Budgets: budgets,
		Version: 1,
	}
}

func tokenBudget(n int64) billing.Budget {
	return billing.Budget{ID: "bud_t", Scope: billing.ScopeKey, ScopeID: "key_1", Period: billing.PeriodMonth, Tokens: &n}
}

func moneyBudget(dollars string) billing.Budget {
	m, err := billing.ParseMoney(dollars)
	if err != nil {
		panic(err)
	}
	return billing.Budget{ID: "bud_m", Scope: billing.ScopeKey, ScopeID: "key_1", Period: billing.PeriodMonth, Money: &m}
}

func (g *rig) ask(ctx context.Context, body string) (*Answer, error) {
	n := g.ledger.next()
	result, err := g.Complete(ctx, Inbound{
		Caller:    Caller{From: netip.MustParseAddr("127.0.0.1"), At: epoch},
		RequestID: fmt.Sprintf("req_%d", n),
		Read:      func() ([]byte, error) { return []byte(body), nil },
	})
	return result.Answer, err
}

// ok asks and closes, and returns the outcome.
func (g *rig) ok(t *testing.T, body string) Outcome {
	t.Helper()
	a, err := g.ask(t.Context(), body)
	if err != nil {
		t.Fatalf("Complete: %v", err)
	}
	for a.Response == nil {
		if _, err := a.Next(); err != nil {
			break
		}
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	return a.Outcome()
}

// counted counts price lookups.
type counted struct {
	Prices
	lookups int
}

func (c *counted) At(provider, model string, at time.Time) *billing.PriceSheet {
	c.lookups++
	return c.Prices.At(provider, model, at)
}

type verifier struct {
	key   *billing.Key
	fresh *billing.Key // what Refresh finds; nil means key
}

func (v verifier) Verify(context.Context, billing.Secret, time.Time) (*billing.Key, error) {
	k := *v.key
	return &k, nil
}

func (verifier) Recall(billing.Secret, time.Time) (*billing.Key, bool, error) { return nil, true, nil }

func (v verifier) Refresh(ctx context.Context, s billing.Secret, now time.Time) (*billing.Key, error) {
	if v.fresh != nil {
		return v.fresh, nil
	}
	return v.Verify(ctx, s, now)
}

type catalogue struct{ g *rig }

func (c catalogue) Resolve(name string) ([]providers.Target, bool, bool) {
	list, ok := c.g.targets[name]
	return list, name != "m", ok
}

func (c catalogue) Nearest(string, func(string) bool) string { return "m" }

func (c catalogue) Models() []providers.Listing {
	list := []providers.Listing{{ID: "m", Providers: []string{"a"}}}
	for name := range c.g.targets {
		if name != "m" {
			list = append(list, providers.Listing{ID: name})
		}
	}
	return list
}

// counter assumes one token per ten bytes when it counts exactly.
type counter struct {
	mu      sync.Mutex
	counted int
}

func (c *counter) Bound(r *chat.Request, _ tokens.Tokenizer) int64 { return int64(len(r.Body())) }

func (c *counter) Prompt(_ context.Context, r *chat.Request, _ tokens.Tokenizer) (tokens.Estimate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.counted++
	return tokens.Estimate{Tokens: int64(len(r.Body()) / 10), Exact: true}, nil
}

func (c *counter) Text(_ context.Context, text string, _ tokens.Tokenizer) (tokens.Estimate, error) {
	return tokens.Estimate{Tokens: int64(len(text)), Exact: true}, nil
}

// sender plays one step per call.
type sender struct {
	mu    sync.Mutex
	steps []step
	seen  []providers.Exchange
}

type step func(ctx context.Context, x providers.Exchange) (*providers.Answer, error)

func (s *sender) then(steps ...step) { s.steps = append(s.steps, steps...) }

func (s *sender) Do(ctx context.Context, x providers.Exchange) (*providers.Answer, error) {
	s.mu.Lock()
	s.seen = append(s.seen, x)
	var f step
	if len(s.steps) > 0 {
		f, s.steps = s.steps[0], s.steps[1:]
	}
	s.mu.Unlock()
	if f == nil {
		f = plain(&chat.Usage{Input: 5, Output: 7})
	}
	return f(ctx, x)
}

func plain(u *chat.Usage) step {
	return func(context.Context, providers.Exchange) (*providers.Answer, error) {
		return &providers.Answer{Response: &chat.Response{Body: []byte(`{}`), Usage: u, Text: "seven.."}}, nil
	}
}

func fails(kind providers.Kind, status int) step {
	return func(_ context.Context, x providers.Exchange) (*providers.Answer, error) {
		return nil, &providers.Error{Provider: x.Target.Provider, Model: x.Target.Model, Kind: kind, Status: status}
	}
}

// sentAndFails returns a failure that the provider may bill.
func sentAndFails(kind providers.Kind, status int) step {
	return func(ctx context.Context, x providers.Exchange) (*providers.Answer, error) {
		_, err := fails(kind, status)(ctx, x)
		pe := providerError(&x.Target, err)
		pe.Sent = true
		return nil, pe
	}
}

func streams(end error, chunks ...chat.Chunk) step {
	return func(ctx context.Context, _ providers.Exchange) (*providers.Answer, error) {
		return &providers.Answer{Stream: &scripted{ctx: ctx, chunks: chunks, end: end}}, nil
	}
}

// scripted is a stream; if end is nil, it never ends by itself.
type scripted struct {
	ctx    context.Context
	chunks []chat.Chunk
	end    error
	told   chat.Told
}

func (s *scripted) Next() (chat.Chunk, error) {
	if len(s.chunks) > 0 {
		c := s.chunks[0]
		s.chunks = s.chunks[1:]
		s.told.Note(&c)
		return c, nil
	}
	if s.end != nil {
		return chat.Chunk{}, s.end
	}
	<-s.ctx.Done()
	return chat.Chunk{}, s.ctx.Err()
}

func (s *scripted) Told() chat.Told { return s.told }

func (s *scripted) Close() error { return nil }

func words(list ...string) []chat.Chunk {
	var chunks []chat.Chunk
	for _, w := range list {
		chunks = append(chunks, chat.Chunk{Data: []byte(w), Content: true, Text: w})
	}
	return chunks
}

type records struct {
	mu   sync.Mutex
	list []Record
}

func (r *records) Observe(rec Record) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.list = append(r.list, rec)
}

// ledger keeps one counter per budget in memory.
type ledger struct {
	mu       sync.Mutex
	ids      int
	balances map[string]*billing.Balance
	holds    map[string]billing.Hold
	rows     []billing.Spend
	down     bool
	stale    int // refuse this many holds as made with an outdated key
	reserves int
	denied   bool              // a hold was refused with finality
	retries  [][]billing.Spend // what was declared about attempts after the first
}

func newLedger() *ledger {
	return &ledger{balances: map[string]*billing.Balance{}, holds: map[string]billing.Hold{}}
}

func (l *ledger) next() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ids++
	return l.ids
}

var errDown = fmt.Errorf("%w: down", billing.ErrUnavailable)

func (l *ledger) Reserve(_ context.Context, h billing.Hold, _ time.Time) ([]billing.Balance, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.reserves++
	if l.down {
		return nil, errDown
	}
	if l.stale > 0 {
		l.stale--
		return nil, billing.ErrStaleKey
	}
	for _, line := range h.Lines {
		if l.balances[line.Budget.ID] == nil {
			l.balances[line.Budget.ID] = &billing.Balance{Budget: line.Budget, Window: line.Window}
		}
	}
	for _, line := range h.Lines {
		b := l.balances[line.Budget.ID]
		free, limited := b.FreeTokens()
		money, priced := b.FreeMoney()
		if (limited && free < h.Tokens+h.HeadroomTokens) || (priced && money < h.Money+h.HeadroomMoney) {
			l.denied = l.denied || !h.Provisional && h.HeadroomTokens == 0 && h.HeadroomMoney == 0
			return nil, &billing.QuotaError{Balance: *b, AskedTokens: h.Tokens, AskedMoney: h.Money, All: l.all()}
		}
	}
	for _, line := range h.Lines {
		l.balances[line.Budget.ID].HeldTokens += h.Tokens
		l.balances[line.Budget.ID].HeldMoney += h.Money
	}
	l.holds[h.ID] = h
	return l.all(), nil
}

func (l *ledger) all() []billing.Balance {
	var list []billing.Balance
	for _, b := range l.balances {
		list = append(list, *b)
	}
	return list
}

func (l *ledger) Retry(_ context.Context, holdID string, more billing.Amount, ifLost []billing.Spend) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	h, ok := l.holds[holdID]
	if !ok {
		return billing.ErrNoHold
	}
	for _, line := range h.Lines {
		b := l.balances[line.Budget.ID]
		free, limited := b.FreeTokens()
		money, priced := b.FreeMoney()
		if (limited && free < more.Tokens) || (priced && money < more.Money) {
			return &billing.QuotaError{Balance: *b, AskedTokens: more.Tokens, AskedMoney: more.Money, All: l.all()}
		}
	}
	for _, line := range h.Lines {
		l.balances[line.Budget.ID].HeldTokens += more.Tokens
		l.balances[line.Budget.ID].HeldMoney += more.Money
	}
	h.Tokens, h.Money = h.Tokens+more.Tokens, h.Money+more.Money
	l.holds[holdID] = h
	l.retries = append(l.retries, ifLost)
	return nil
}

func (l *ledger) Widen(context.Context, string, []billing.HoldLine) error { return nil }

func (l *ledger) Settle(_ context.Context, s billing.Settlement) ([]billing.Balance, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.down {
		return nil, errDown
	}
	l.free(s.HoldID)
	for _, row := range s.Attempts {
		l.rows = append(l.rows, row)
		for _, b := range l.balances {
			b.UsedTokens += row.Tokens.Total()
			b.UsedMoney += row.Cost.Total
		}
	}
	return l.all(), nil
}

func (l *ledger) Release(_ context.Context, id string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.down {
		return errDown
	}
	l.free(id)
	return nil
}

func (l *ledger) free(id string) {
	h := l.holds[id]
	delete(l.holds, id)
	for _, line := range h.Lines {
		l.balances[line.Budget.ID].HeldTokens -= h.Tokens
		l.balances[line.Budget.ID].HeldMoney -= h.Money
	}
}

func (l *ledger) Balances(context.Context, *billing.Key, time.Time) ([]billing.Balance, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all(), nil
}

func (l *ledger) ListRejects(context.Context, string) ([]billing.RejectedRow, error) { return nil, nil }

func (l *ledger) Events(_ context.Context, q billing.EventQuery) ([]billing.Spend, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var list []billing.Spend
	for _, row := range l.rows {
		if q.RequestID == "" || row.RequestID == q.RequestID {
			list = append(list, row)
		}
	}
	return list, nil
}

func (l *ledger) set(f func(*ledger)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f(l)
}

func (l *ledger) settled(t *testing.T) []billing.Spend {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.holds) != 0 {
		t.Errorf("%d holds are left: %v", len(l.holds), l.holds)
	}
	return append([]billing.Spend(nil), l.rows...)
}

func wantError[E error](t *testing.T, err error) E {
	t.Helper()
	var target E
	if !errors.As(err, &target) {
		t.Fatalf("error is %v (%T), want %T", err, err, target)
	}
	return target
}

var _ io.Closer = (*scripted)(nil)
