package router

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/policy"
	"tallyroute/providers"
)

// holds takes holds from the ledger and ends them. A client waits only briefly for its
// settlement: what the ledger does not take in time is retried in the background until it does.
// That happens when the ledger is the database itself, with the journal off; a ledger with a
// journal takes a settlement at once. If the process dies in the meantime, the hold is still in
// the database and gets swept.
type holds struct {
	ledger   Ledger
	allotted Allotments // nil: no temporary key has one
	observer Observer
	patience time.Duration
	pending  sync.WaitGroup
	closing  chan struct{}
	once     sync.Once

	count, tokens, money atomic.Int64 // see Held
}

// The delays between attempts to settle.
const (
	firstPause = 50 * time.Millisecond
	lastPause  = 5 * time.Second
	// refusals is how often a reachable database may refuse a settlement. After that the row
	// itself is at fault; its hold is left to be swept.
	refusals = 5
)

func newHolds(p Parts, opts Options) *holds {
	return &holds{
		ledger: p.Ledger, allotted: p.Allotments, observer: p.Observer, patience: opts.SettleTimeout,
		closing: make(chan struct{}),
	}
}

// Held is the total held for requests in progress.
type Held struct {
	Holds, Tokens int64
	Money         billing.Money
}

func (h *holds) held() Held {
	return Held{Holds: h.count.Load(), Tokens: h.tokens.Load(), Money: billing.Money(h.money.Load())}
}

func (h *holds) add(n, tokens int64, money billing.Money) {
	h.count.Add(n)
	h.tokens.Add(n * tokens)
	h.money.Add(n * int64(money))
}

// take takes a hold.
func (h *holds) take(ctx context.Context, hold *billing.Hold, now time.Time) ([]billing.Balance, error) {
	var used billing.Amount
	if hold.Allotment != nil {
		var err error
		used, err = h.allotted.TakeAllotted(ctx, hold.Allotment, hold.Amount(), hold.Asked().Minus(hold.Amount()))
		if err != nil {
			return nil, err
		}
	}
	balances, err := h.ledger.Reserve(ctx, *hold, now)
	if err != nil {
		h.giveBack(ctx, hold, billing.Amount{})
		return nil, err
	}
	h.add(1, hold.Tokens, hold.Money)
	if hold.Allotment != nil {
		balances = append(slices.Clip(balances), hold.Allotment.Balance(used))
	}
	return balances, nil
}

// giveBack corrects the amount taken from the allotment of a hold's temporary key, if it has one,
// once the actual usage is known. If the database does not accept the correction, the temporary
// key has that much less until it expires.
func (h *holds) giveBack(ctx context.Context, hold *billing.Hold, was billing.Amount) (used billing.Amount, told bool) {
	if hold.Allotment == nil {
		return used, false
	}
	err := h.within(context.WithoutCancel(ctx), func(ctx context.Context) (err error) {
		used, err = h.allotted.GiveAllotted(ctx, hold.Allotment.ID, hold.Amount().Minus(was))
		return err
	})
	return used, err == nil
}

// grow enlarges a hold before another attempt, and says what to book if nothing more is heard
// of the request.
func (h *holds) grow(ctx context.Context, hold *billing.Hold, more billing.Amount, lost []billing.Spend) error {
	if hold.Allotment != nil {
		if _, err := h.allotted.TakeAllotted(ctx, hold.Allotment, more, billing.Amount{}); err != nil {
			return err
		}
	}
	if err := h.ledger.Retry(ctx, hold.ID, more, lost); err != nil {
		h.giveBack(ctx, &billing.Hold{Allotment: hold.Allotment, Tokens: more.Tokens, Money: more.Money}, billing.Amount{})
		return err
	}
	h.tokens.Add(more.Tokens)
	h.money.Add(int64(more.Money))
	hold.Tokens, hold.Money = billing.SatAdd(hold.Tokens, more.Tokens), billing.SatAdd(hold.Money, more.Money)
	return nil
}

// settle ends a hold with rows, now or later. The balances are nil if later. It does not stop
// with ctx: a client that hangs up still pays.
func (h *holds) settle(ctx context.Context, hold *billing.Hold, rows []billing.Spend) []billing.Balance {
	used, told := h.giveBack(ctx, hold, billing.Sum(rows))
	st := billing.Settlement{HoldID: hold.ID, Attempts: rows}
	var balances []billing.Balance
	settled := h.end(ctx, hold, func(ctx context.Context) error {
		now, err := h.ledger.Settle(ctx, st)
		if err != nil {
			return err
		}
		balances = now
		h.observer.Observe(Record{Event: EventBooked, RequestID: hold.ID, KeyID: hold.KeyID, Rows: rows})
		return nil
	})
	if settled && told {
		balances = append(slices.Clip(balances), hold.Allotment.Balance(used))
	}
	return balances
}

// release gives back a hold, now or later.
func (h *holds) release(ctx context.Context, hold *billing.Hold) {
	h.giveBack(ctx, hold, billing.Amount{})
	h.end(ctx, hold, func(ctx context.Context) error { return h.ledger.Release(ctx, hold.ID) })
}

// end ends a hold with f, and reports whether that succeeded at once.
func (h *holds) end(ctx context.Context, hold *billing.Hold, f func(context.Context) error) bool {
	ctx = context.WithoutCancel(ctx)
	if err := h.within(ctx, f); err != nil {
		h.later(ctx, hold, err, f)
		return false
	}
	h.add(-1, hold.Tokens, hold.Money)
	return true
}

// within runs f for no longer than a client may be kept waiting.
func (h *holds) within(ctx context.Context, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, h.patience)
	defer cancel()
	return f(ctx)
}

// later retries f until it succeeds, is refused for good, or the process ends.
func (h *holds) later(ctx context.Context, hold *billing.Hold, cause error, f func(context.Context) error) {
	h.observer.Observe(Record{RequestID: hold.ID, Event: EventSettleDelayed, Err: cause})
	h.pending.Go(func() {
		refused := 0
		for pause := firstPause; ; pause = min(2*pause, lastPause) {
			last := h.pause(pause)
			err := h.within(ctx, f)
			if err == nil {
				break
			}
			if !errors.Is(err, billing.ErrUnavailable) && !errors.Is(err, context.DeadlineExceeded) {
				refused++
			}
			if refused == refusals || last {
				h.observer.Observe(Record{RequestID: hold.ID, Event: EventSettleLost, Err: err})
				break
			}
		}
		h.add(-1, hold.Tokens, hold.Money)
	})
}

// pause waits, or reports that the process is stopping and this try is the last.
func (h *holds) pause(d time.Duration) (last bool) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return false
	case <-h.closing:
		return true
	}
}

// close waits for pending settlements until ctx ends. Each gets one more try at once.
func (h *holds) close(ctx context.Context) error {
	h.once.Do(func() { close(h.closing) })
	done := make(chan struct{})
	go func() { h.pending.Wait(); close(done) }()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// near remembers which budgets are so close to their limit that the cheapest model should
// answer, as far as this router knows.
type near struct {
	mu      sync.Mutex
	windows map[string]billing.Window // by the id of the budget
}

// mostNear bounds how many budgets are remembered; beyond it, they are learned again with the
// next hold.
const mostNear = 10_000

// note records the balances of budgets.
func (n *near) note(balances []billing.Balance) {
	for i := range balances {
		b := &balances[i]
		if b.Budget.Action != billing.ActionDowngrade {
			continue
		}
		reached := b.Downgrades()
		n.mu.Lock()
		switch {
		case !reached:
			delete(n.windows, b.Budget.ID)
		case n.windows == nil || len(n.windows) >= mostNear:
			n.windows = make(map[string]billing.Window)
			fallthrough
		default:
			n.windows[b.Budget.ID] = b.Window
		}
		n.mu.Unlock()
	}
}

// reached reports whether a budget of the key currently requires the cheapest model.
func (n *near) reached(key *billing.Key, at time.Time) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	for i := range key.Budgets {
		b := &key.Budgets[i]
		if w, known := n.windows[b.ID]; known && b.Action == billing.ActionDowngrade && w.Contains(at) {
			return true
		}
	}
	return false
}

// crowd remembers names for which there is no room for a limit of their own. They share one,
// and are tried again after a while.
type crowd struct {
	mu    sync.Mutex
	until map[string]time.Time // by the id of the budget that the name would have
}

const (
	crowdedFor  = time.Minute
	mostCrowded = 10_000
)

func (c *crowd) has(id string, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return now.Before(c.until[id])
}

func (c *crowd) note(id string, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.until == nil || len(c.until) >= mostCrowded {
		c.until = make(map[string]time.Time)
	}
	c.until[id] = now.Add(crowdedFor)
}

// partLimits are the part budgets that one request counts against: those of the model and the
// credential that serve it, and of the user that it is for. They apply in addition to those of its
// key and the key's owners.
type partLimits struct {
	key     *billing.Key
	at      time.Time
	groups  policy.Groups
	crowd   *crowd
	decided map[string]billing.Budget // by the id of the name's own budget
	calls   []callLimits              // of the targets that were asked about
}

// callLimits are the part budgets that a call of one target counts against.
type callLimits struct {
	provider, model, account string
	budgets                  []billing.Budget
	ids                      []string
}

// partLimitsOf returns the part budgets that apply to a request of a key at a given time; nil if there
// are none. Budgets that name models may name groups of models.
func partLimitsOf(key *billing.Key, at time.Time, groups policy.Groups, crowd *crowd) *partLimits {
	if !key.Parted() {
		return nil
	}
	return &partLimits{key: key, at: at, groups: groups, crowd: crowd, decided: make(map[string]billing.Budget)}
}

// of returns the part budgets that a call to a target counts against. The result must not be
// modified.
func (l *partLimits) of(t *providers.Target) callLimits {
	if l == nil {
		return callLimits{}
	}
	for i := range l.calls {
		if c := &l.calls[i]; c.provider == t.Provider && c.model == t.Model && c.account == t.Account {
			return *c
		}
	}
	c := callLimits{provider: t.Provider, model: t.Model, account: t.Account}
	for i := range l.key.Budgets {
		b := &l.key.Budgets[i]
		if b.Part == "" {
			continue
		}
		name := l.name(b.Part, t)
		if name == "" || b.Named != "" && !l.means(b, name, t) {
			continue
		}
		below := l.below(b, name)
		c.budgets, c.ids = append(c.budgets, below), append(c.ids, below.ID)
	}
	l.calls = append(l.calls, c)
	return c
}

// name returns the name whose part budget a call of a target counts against; "" if nobody
// vouches for it.
func (l *partLimits) name(p billing.Part, t *providers.Target) string {
	if tag, ok := p.Tag(); ok {
		return l.key.Tags[tag]
	}
	switch p {
	case billing.PartModel:
		return t.Model
	case billing.PartCredential:
		return credential(t)
	case billing.PartEndUser:
		return l.key.EndUser
	case billing.PartUser:
		if subject := l.key.Tags[billing.TagSubject]; subject != "" {
			return l.key.Tags[billing.TagIssuer] + " " + subject
		}
		return l.key.OwnerID
	}
	return ""
}

// credential returns the name of a target's credential, including its provider, if it has one.
func credential(t *providers.Target) string {
	if t.Account == "" {
		return t.Provider
	}
	return t.Provider + "/" + t.Account
}

// means reports whether a part budget refers to this name: a provider stands for all its
// credentials, a model for the same model at every provider.
func (l *partLimits) means(b *billing.Budget, name string, t *providers.Target) bool {
	switch b.Part { //nolint:exhaustive // other parts are named as they are
	case billing.PartModel:
		return l.groups.In([]string{b.Named}, name) || l.groups.In([]string{b.Named}, t.Name())
	case billing.PartCredential:
		return policy.Match(b.Named, name) || policy.Match(b.Named, t.Provider)
	}
	return b.Named == name
}

// below returns the budget of a name: its own, or the one that it shares with other names.
func (l *partLimits) below(b *billing.Budget, name string) billing.Budget {
	own := b.Below(name)
	if is, ok := l.decided[own.ID]; ok {
		return is
	}
	is := own
	if l.crowd.has(own.ID, l.at) {
		is = b.Rest()
	}
	l.decided[own.ID] = is
	return is
}

// share makes the name whose budget has this id share a limit with other names from now on. It
// returns false if no name has a budget with this id here.
func (l *partLimits) share(id string) bool {
	if l == nil {
		return false
	}
	own, known := l.decided[id]
	if !known || own.IsRest() {
		return false
	}
	l.crowd.note(id, l.at)
	l.calls = nil
	i := slices.IndexFunc(l.key.Budgets, func(b billing.Budget) bool { return b.ID == own.Parent })
	l.decided[id] = l.key.Budgets[i].Rest()
	return true
}

// ids returns the names of a call's limits, as its row shows them.
func (l *partLimits) ids(t *providers.Target) []string { return l.of(t).ids }

// lines returns the budgets of a call of a target in their windows, except those already in the
// hold.
func (l *partLimits) lines(t *providers.Target, held []billing.HoldLine) (lines []billing.HoldLine, err error) {
	budgets := l.of(t).budgets
	for i := range budgets {
		b := &budgets[i]
		if slices.ContainsFunc(held, func(h billing.HoldLine) bool { return h.Budget.ID == b.ID }) {
			continue
		}
		line, err := b.Line(l.at)
		if err != nil {
			return nil, err
		}
		lines = append(lines, line)
	}
	return lines, nil
}
