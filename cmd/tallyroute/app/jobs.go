package app

import (
	"cmp"
	"context"
	"errors"
	"math"
	"os"
	"runtime/debug"
	stats "runtime/metrics"
	"slices"
	"time"

	"go.uber.org/zap"

	"tallyroute/billing"
	"tallyroute/billing/access"
	"tallyroute/billing/governance"
	"tallyroute/cmd/tallyroute/metrics"
)

// sweepEvery is how often we look for what dead processes left behind.
const sweepEvery = 30 * time.Second

// sweep settles the holds of dead processes and removes answers and events past their
// retention, until ctx ends.
func (s *Service) sweep(ctx context.Context) error {
	for Wait(ctx, sweepEvery) {
		if !s.ready.up() {
			continue
		}
		n, err := s.store.Sweep(ctx, time.Now())
		if err != nil {
			s.Log.Warn("sweep", zap.Error(err))
		}
		if n > 0 {
			s.metrics.Swept(n)
			s.Log.Warn("holds swept whose process never reported back", zap.Int("holds", n))
		}
		ended, err := s.store.EndQuietSecrets(ctx, time.Now())
		if err != nil {
			s.Log.Warn("ending secrets that are not used any more", zap.Error(err))
		}
		for _, id := range ended {
			s.Log.Info("the old secret of a key was not used for long enough and has ended", zap.String("key_id", string(id)))
		}
		if _, err := s.store.ExpireClaims(ctx, time.Now()); err != nil {
			s.Log.Warn("removing old answers", zap.Error(err))
		}
		if _, err := s.store.ExpireResponses(ctx, time.Now()); err != nil {
			s.Log.Warn("removing responses that have expired", zap.Error(err))
		}
		if _, err := s.store.EndAllotments(ctx, time.Now()); err != nil {
			s.Log.Warn("removing what ended temporary keys could use", zap.Error(err))
		}
		if keep := time.Duration(s.now().cfg.EventsKeep); keep > 0 {
			if _, err := s.store.PruneEvents(ctx, time.Now().Add(-keep)); err != nil {
				s.Log.Warn("removing old events", zap.Error(err))
			}
			if _, err := s.store.PruneAlerts(ctx, time.Now().Add(-keep)); err != nil {
				s.Log.Warn("removing old alerts", zap.Error(err))
			}
		}
		if err := s.store.PruneAccess(ctx, time.Now().Add(-time.Duration(s.now().cfg.AccessKeep))); err != nil {
			s.Log.Warn("removing the old record of access", zap.Error(err))
		}
	}
	return nil
}

// writeAccess writes the access record (who used which key) until ctx ends, and once more
// at the end. Entries that the database rejects because of their content are dropped, so
// that they don't block the rest.
func (s *Service) writeAccess(ctx context.Context) error {
	write := func(ctx context.Context, entries []access.Entry) error {
		err := s.store.AppendAccess(ctx, entries)
		if err != nil && !errors.Is(err, billing.ErrUnavailable) {
			s.access.Drop(len(entries))
			s.Log.Error("the record of access is not what the database takes", zap.Error(err))
			return nil
		}
		return err
	}
	s.access.Run(ctx, settleGrace, write, func(err error) { s.Log.Warn("writing the record of access", zap.Error(err)) })
	return nil
}

// flushTouched stores when keys were last used, until ctx ends and once more at the end.
func (s *Service) flushTouched(ctx context.Context) error {
	return flushing(ctx, s.touch)
}

func (s *Service) touch(ctx context.Context) {
	used := s.verifier.Touched(time.Now())
	if err := s.store.TouchKeys(ctx, used); err != nil {
		s.Log.Warn("storing when keys were last used", zap.Error(err))
	}
	if err := s.store.NoteSecretUse(ctx, s.inUse.Uses()); err != nil {
		s.Log.Warn("storing how the secrets of keys were used", zap.Error(err))
	}
}

// warm loads the vocabularies in advance, so that no request waits for them.
func (s *Service) warm(ctx context.Context) error {
	if err := s.Tokens.Warm(ctx); err != nil && ctx.Err() == nil {
		return err
	}
	return nil
}

// Intervals of the jobs that maintain the ledger.
const (
	upkeepEvery = time.Hour
	// integrityLook is how often we check whether an integrity check is due. The first one
	// is due at once, so that even a router that keeps restarting is checked.
	integrityLook = time.Minute
)

// upkeep prepares the database for the months to come, until ctx ends.
func (s *Service) upkeep(ctx context.Context) error {
	for Wait(ctx, upkeepEvery) {
		if err := s.store.Upkeep(ctx); err != nil && ctx.Err() == nil {
			s.Log.Error("preparing the coming months", zap.Error(err))
		}
	}
	return nil
}

// checkIntegrity checks the ledger at intervals until ctx ends. If several routers share a
// database, one does the check and all report its result.
func (s *Service) checkIntegrity(ctx context.Context) error {
	var last time.Time
	for Wait(ctx, integrityLook) {
		every := time.Duration(s.now().cfg.IntegrityEvery)
		if every == 0 || time.Since(last) < every || !s.ready.up() {
			continue
		}
		now := time.Now()
		last = now
		r, err := s.store.CheckIntegrity(ctx, billing.IntegrityOptions{Now: now, Since: now.Add(-every + every/10)})
		switch {
		case err != nil && ctx.Err() == nil:
			s.Log.Warn("integrity check", zap.Error(err))
		case err == nil && r.Breaches > 0:
			s.Log.Error("the ledger breaks its laws: run tallyroute integrity", zap.Int64("breaches", r.Breaches),
				zap.String("first", r.First))
		}
		if err == nil {
			s.metrics.Checked(r)
		}
	}
	return nil
}

// How often the budgets are read for the metrics. If there are so many that reading them is
// slow, it takes up at most a hundredth of the time.
const (
	budgetsEvery = 15 * time.Second
	budgetsShare = 100
)

// watchBudgets keeps the budget metrics up to date until ctx ends.
func (s *Service) watchBudgets(ctx context.Context) error {
	if s.admin == nil {
		return nil // without an admin listener nobody can ask
	}
	for pause := lastTry; Wait(ctx, pause); {
		if !s.ready.up() {
			continue
		}
		began := time.Now()
		if err := s.tellBudgets(ctx); err != nil && ctx.Err() == nil {
			s.Log.Warn("looking at budgets for the metrics", zap.Error(err))
		}
		pause = max(budgetsEvery, budgetsShare*time.Since(began))
	}
	return nil
}

func (s *Service) tellBudgets(ctx context.Context) error {
	all, err := s.store.ListBudgets(ctx, billing.BudgetFilter{Above: true})
	if err != nil {
		return err
	}
	few, err := s.store.ListBudgets(ctx, billing.BudgetFilter{Limit: metrics.MostBudgets}) // of keys, who are the many
	if err != nil {
		return err
	}
	all = append(all, slices.DeleteFunc(few, func(b billing.Budget) bool { return b.Scope != billing.ScopeKey })...)
	n, err := s.store.CountBudgets(ctx)
	if err != nil {
		return err
	}
	all = slices.DeleteFunc(all, func(b billing.Budget) bool { return b.Part != "" }) // which stand name by name
	balances, err := s.store.Balances(ctx, &billing.Key{Budgets: all[:min(len(all), metrics.MostBudgets)]}, s.ledger.now())
	if err != nil {
		return err
	}
	ids, shown := make([]string, len(balances)), make([]metrics.Budget, len(balances))
	for i, b := range balances {
		ids[i] = b.Budget.ScopeID
	}
	names, err := s.Actions().Names(ctx, ids...)
	for i, b := range balances {
		shown[i] = metrics.Budget{Balance: b, Of: cmp.Or(names[b.Budget.ScopeID], b.Budget.ScopeID)}
	}
	s.metrics.Budgets(int(n), shown)
	return err
}

// Pauses between attempts to bring the database up. The longest is short enough for readyz
// to recover within two seconds.
const (
	firstTry = 50 * time.Millisecond
	lastTry  = time.Second
)

// bringUp brings the database up to date, however long it is unreachable. It returns only
// errors that waiting can't cure.
func (s *Service) bringUp(ctx context.Context) error {
	last := ""
	for gap := firstTry; ; gap = min(2*gap, lastTry) {
		began := s.now()
		err := s.prepare(ctx, began)
		if err == nil {
			s.verifier.Open()
			s.ready.set(nil)
			if err := s.recordPrices(ctx, began, s.now()); err != nil { // of a reload that happened in the meantime
				s.Log.Error("recording prices", zap.Error(err))
			}
			s.Log.Info("ready", zap.Stringer("database", s.now().cfg.Database))
			s.tellPooler()
			s.tellOthers(ctx)
			return nil
		}
		if errors.As(err, new(*wrongPepperError)) || errors.As(err, new(*wrongJournalError)) ||
			errors.As(err, new(*governance.BrokenError)) {
			return err
		}
		if ctx.Err() != nil {
			return nil
		}
		not := because(err)
		s.ready.set(not)
		if not.reason != last {
			s.Log.Warn("waiting for the database", zap.Error(err))
			last = not.reason
		}
		if !Wait(ctx, gap) {
			return nil
		}
	}
}

// tellOthers warns that other routers use the same SQLite file: each then waits for the
// others' writes, and doesn't see at once what the others have changed.
func (s *Service) tellOthers(ctx context.Context) {
	if _, err := s.now().cfg.Database.SQLitePath(); err != nil || s.ledger.log == nil {
		return
	}
	all, err := s.store.ListReplicas(ctx)
	if err != nil {
		return
	}
	for _, r := range all {
		if r.Live && r.ID != s.ledger.log.ID() {
			s.Log.Warn("another router uses this file of SQLite, which is for one: end it, or give both PostgreSQL",
				zap.String("router", r.Name), zap.Time("seen", r.SeenAt))
		}
	}
}

// prepare creates the tables, confirms the pepper and records the prices.
func (s *Service) prepare(ctx context.Context, n *snapshot) error {
	applied, err := s.store.Migrate(ctx)
	if err != nil {
		return err
	}
	if len(applied) > 0 {
		s.Log.Info("migrated", zap.Strings("applied", applied))
	}
	if err := s.pepper.Confirm(ctx, s.store); err != nil {
		return err
	}
	if err := s.ledger.confirm(ctx); err != nil {
		return err
	}
	if err := s.lawful(ctx, n); err != nil {
		return err
	}
	if err := s.loadStored(ctx); errors.Is(err, billing.ErrUnavailable) {
		return err
	} else if err != nil {
		s.Log.Error("what administrators have stored is not taken up", zap.Error(err))
	}
	return s.store.RecordPrices(ctx, n.prices.All())
}

// tellPooler logs what is different when the database is reached through a connection
// pooler.
func (s *Service) tellPooler() {
	store, ok := s.store.Database.(interface{ Pooled() (pooled, direct bool) })
	if !ok {
		return
	}
	switch pooled, direct := store.Pooled(); {
	case pooled && !direct:
		s.Log.Info("the database is reached through a pooler: statements are not prepared, time-outs of the server are those " +
			"of its role, " +
			"and routers look every 250 ms for budgets that others want; database_direct, an address past the pooler, lets them be told")
	case pooled:
		s.Log.Info("the database is reached through a pooler: statements are not prepared, and time-outs of the server are those " +
			"of its role")
	}
}

// forgetEvery is how often we look for replicas that won't come back.
const forgetEvery = time.Minute

// forgetLost gives back what lost replicas had leased, until ctx ends.
func (s *Service) forgetLost(ctx context.Context) error {
	for Wait(ctx, forgetEvery) {
		after := time.Duration(s.now().cfg.ReplicaLostAfter)
		if after == 0 || !s.ready.up() {
			continue
		}
		lost, err := s.store.ForgetLost(ctx, after)
		if err != nil {
			s.Log.Warn("looking for lost replicas", zap.Error(err))
		}
		for _, id := range lost {
			s.Log.Warn("a replica did not come back: what it had leased was given back; its journal may still hold spend",
				zap.String("replica", id))
		}
	}
	return nil
}

// Usage implements billing.Reports.
func (b *ledger) Usage(ctx context.Context, q billing.UsageQuery) ([]billing.UsageRow, error) {
	if err := b.flush(ctx); err != nil {
		return nil, err
	}
	return b.store.Usage(ctx, q)
}

// ListPrices implements billing.Reports.
func (b *ledger) ListPrices(ctx context.Context, provider, model string) ([]billing.Price, error) {
	return b.store.ListPrices(ctx, provider, model)
}

// PricedUsage implements billing.Reports.
func (b *ledger) PricedUsage(ctx context.Context, q billing.SpendQuery, provider, model string) ([]billing.PricedUsage, error) {
	if err := b.flush(ctx); err != nil {
		return nil, err
	}
	return b.store.PricedUsage(ctx, q, provider, model)
}

// closeLedger stores what has been settled. Whatever the database no longer accepts waits
// in the journal for the next start.
func (s *Service) closeLedger() {
	if s.ledger.fast == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), settleGrace)
	defer cancel()
	select {
	case <-s.ledger.confirmed:
		if err := s.ledger.fast.Close(ctx); err != nil {
			s.Log.Warn("the next start takes up what is left in the journal", zap.Error(err))
		}
	default:
	}
	if err := s.ledger.log.Close(); err != nil {
		s.Log.Error("closing the journal", zap.Error(err))
	}
}

// flushRefused writes down refused requests until ctx ends, and once more at the end.
func (s *Service) flushRefused(ctx context.Context) error {
	defer s.writeDenials(context.WithoutCancel(ctx), time.Time{})
	return flushing(ctx, func(ctx context.Context) {
		s.writeRefused(ctx)
		s.writeDenials(ctx, time.Now())
	})
}

// writeDenials writes down policy denials from the minutes before the given instant, or all
// of them if it is zero.
func (s *Service) writeDenials(ctx context.Context, before time.Time) {
	ctx, cancel := context.WithTimeout(ctx, settleGrace)
	defer cancel()
	counted := s.denials.Take(before)
	if len(counted) == 0 {
		return
	}
	if err := s.store.WriteEvents(ctx, s.denials.Events(counted)...); err != nil {
		s.denials.Return(counted)
		s.Log.Warn("writing down what policies have refused", zap.Error(err))
	}
}

// writeRefused writes down refused requests; whatever the database doesn't take is kept for
// the next attempt.
func (s *Service) writeRefused(ctx context.Context) {
	list := s.refused.Take()
	if len(list) == 0 {
		return
	}
	if err := s.store.AddRefusals(ctx, list); err != nil {
		s.refused.Return(list)
		s.Log.Warn("writing down what was refused", zap.Error(err))
	}
}

// The vocabularies are many small, permanent objects, so each garbage collection costs much
// more than the small heap would suggest. The heap may therefore grow by heapRoom before
// the next one. Large heaps get Go's own default: they may double.
const (
	heapRoom      = 128 << 20
	mostGrowth    = 400 // per cent of live bytes
	goGrowth      = 100 // Go's own default; also the minimum
	tuneEvery     = 250 * time.Millisecond
	liveHeapBytes = "/gc/heap/live:bytes"
)

// heapGrowth returns the percentage by which a heap with that many live bytes may grow.
func heapGrowth(live uint64) int64 {
	if live == 0 {
		return goGrowth
	}
	return int64(min(max(heapRoom*100/live, goGrowth), mostGrowth))
}

// restBytes is what the heap may take in addition to what requests in flight hold:
// vocabularies, prices, caches, connections and garbage.
const restBytes = 192 << 20

// MemoryLimit returns the heap limit for requests that hold the given number of bytes. They
// count twice, because each body is written again for its provider.
func MemoryLimit(held int64) int64 { return restBytes + 2*held }

// tuneMemory keeps the room for garbage in step with the heap and with what requests
// hold, until ctx ends; what one key may hold may come at once. Who has set GOGC or GOMEMLIMIT has decided otherwise.
func tuneMemory(ctx context.Context, oneKey int64, held func() int64) error {
	growth := tuned{now: goGrowth, apply: func(percent int64) { debug.SetGCPercent(int(percent)) }, off: os.Getenv("GOGC") != ""}
	most := tuned{now: math.MaxInt64, apply: func(bytes int64) { debug.SetMemoryLimit(bytes) }, off: os.Getenv("GOMEMLIMIT") != ""}
	defer growth.to(growth.now)
	defer most.to(most.now)
	sample := []stats.Sample{{Name: liveHeapBytes}}
	for ok := true; ok; ok = Wait(ctx, tuneEvery) {
		stats.Read(sample)
		growth.to(heapGrowth(sample[0].Value.Uint64()))
		most.to(MemoryLimit(max(held(), oneKey)))
	}
	return nil
}

// tuned is a garbage collector setting. Changing it stops the world briefly, so small
// differences are ignored.
type tuned struct {
	now   int64
	apply func(int64)
	off   bool
}

func (t *tuned) to(want int64) {
	if !t.off && (want < t.now/10*9 || want > t.now/10*11) {
		t.apply(want)
		t.now = want
	}
}

// deliverEvery is how often we look for secrets that are due for delivery.
const deliverEvery = 2 * time.Second

// deliver writes new key secrets to the places they are read from, until ctx ends. If there
// are several routers, each secret is delivered by one.
func (s *Service) deliver(ctx context.Context) error {
	for Wait(ctx, deliverEvery) {
		for more := s.ready.up(); more && ctx.Err() == nil; {
			more = s.deliverOne(ctx)
		}
	}
	return nil
}

func (s *Service) deliverOne(ctx context.Context) (more bool) {
	d, found, err := s.Actions().DeliverDue(ctx, s.now().sinks)
	switch {
	case err != nil && ctx.Err() == nil:
		s.Log.Warn("delivering the secret of a key", zap.String("key_id", string(d.KeyID)), zap.String("sink", d.Sink), zap.Error(err))
	case found:
		s.Log.Info("the secret of a key was delivered", zap.String("key_id", string(d.KeyID)), zap.String("sink", d.Sink),
			zap.Bool("deleted", d.Removing))
	}
	return found && err == nil
}
