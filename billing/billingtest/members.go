package billingtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/manage"
	"tallyroute/billing/rbac"
)

func memberCases() map[string]func(w *world) {
	return map[string]func(w *world){
		"CeilingIsKept":                      ceilingKept,
		"FiftyCreationsAtOnceKeepTheCeiling": ceilingRace,
		"RevokingGivesNothingUsedBack":       ceilingUsed,
		"OwnKeysOnlyNarrow":                  ownNarrow,
		"RaisesAreAskedForAndDecidedOnce":    raiseAsked,
		"KeysOfLeaversAreReviewedOnce":       leaverOnce,
		"KeysOfLeaversAreDisabledOnce":       leaverDisabled,
		"AuditIsForwardedInOrderByOne":       auditForwarded,
		"DestinationsAreClaimedByOne":        destinationClaimed,
		"GrantsKeepTheirConditions":          grantCondition,
	}
}

// member creates a person with a role in the team web, and returns what is needed to act as
// that person.
func (w *world) member(name, role string) (manage.Actions, manage.By) {
	w.Helper()
	a := manage.Actions{Store: w.Store, Clock: func() time.Time { return w.now }}
	p := w.project("web", "shop")
	id := w.id("user")
	w.must(w.CreatePrincipal(w.Context(), billing.Principal{
		ID: id, Kind: billing.PrincipalUser, Name: name, Email: name + "@example.com", CreatedAt: w.now, CreatedBy: "test",
		Grants: []billing.Grant{{
			ID: w.id("grant"), Role: role, Scope: billing.ScopeTeam, ScopeID: p.TeamID, CreatedAt: w.now, CreatedBy: "test",
		}},
	}))
	all, err := w.ListPrincipals(w.Context())
	w.must(err)
	i := slices.IndexFunc(all, func(p billing.Principal) bool { return p.ID == id })
	return a, manage.By{
		Actor: name, PrincipalID: id, Address: name + "@example.com", Access: rbac.BuiltIn().Of(all[i], w.now),
	}
}

func (w *world) ceiling(a manage.Actions, c billing.Ceiling) {
	w.Helper()
	w.project("web", "shop")
	_, err := a.SetCeiling(w.Context(), "web", c, manage.By{Actor: "lead", Access: rbac.Everything()})
	w.must(err)
}

func dollarsOf(n int64) *billing.Money {
	m := billing.Money(n) * 1_000_000_000
	return &m
}

func ceilingKept(w *world) {
	a, ann := w.member("ann", "member")
	_, err := a.CreateOwnKey(w.Context(), manage.OwnKeyRequest{Name: "early"}, ann)
	if !errors.As(err, new(*manage.NotAllowedError)) {
		w.Errorf("without a ceiling: %v", err)
	}
	w.ceiling(a, billing.Ceiling{Keys: 4, Money: dollarsOf(20), Life: time.Hour, Models: []string{"m1", "demo/*"}})
	made, err := a.CreateOwnKey(w.Context(), manage.OwnKeyRequest{Name: "first"}, ann)
	w.must(err)
	k := made.Key
	if len(k.Budgets) != 1 || *k.Budgets[0].Money != *dollarsOf(5) || !slices.Equal(k.Models, []string{"m1", "demo/*"}) ||
		!k.ExpiresAt.Equal(w.now.Add(time.Hour).Truncate(time.Second)) || k.OwnerID != ann.PrincipalID || k.Address != ann.Address {
		w.Errorf("made %s", text(k))
	}
	for name, r := range map[string]manage.OwnKeyRequest{
		"money":   {Amounts: manage.Amounts{Money: dollarsOf(16)}},
		"life":    {Life: 2 * time.Hour},
		"models":  {Models: []string{"m2"}},
		"pattern": {Models: []string{"*"}},
	} {
		r.Name = name
		if _, err := a.CreateOwnKey(w.Context(), r, ann); !errors.As(err, new(*billing.FieldError)) {
			w.Errorf("%s: %v", name, err)
		}
	}
	_, err = a.CreateOwnKey(w.Context(), manage.OwnKeyRequest{
		Name: "second", Models: []string{"demo/x"}, Life: time.Minute, Amounts: manage.Amounts{Money: dollarsOf(15)},
	}, ann)
	w.must(err)
	_, err = a.CreateOwnKey(w.Context(), manage.OwnKeyRequest{Name: "third"}, ann)
	w.wantConflict(err)
	_, bob := w.member("bob", "member")
	_, err = a.CreateOwnKey(w.Context(), manage.OwnKeyRequest{Name: "his", Team: "web"}, bob)
	w.must(err)
	if _, err := a.OwnKey(w.Context(), k.ID, bob); !errors.As(err, new(*billing.NotFoundError)) {
		w.Errorf("another member reads it: %v", err)
	}
	_, stranger := w.member("eve", "finance")
	if _, err := a.CreateOwnKey(w.Context(), manage.OwnKeyRequest{Name: "x", Team: "web"}, stranger); !errors.As(err,
		new(*billing.NotFoundError)) {
		w.Errorf("who is no member: %v", err)
	}
}

func ceilingRace(w *world) {
	a, ann := w.member("ann", "member")
	w.ceiling(a, billing.Ceiling{Keys: 5, Money: dollarsOf(20), Tokens: new(int64(1000))})
	var made, refused atomic.Int64
	each(w.Context(), 50, func(ctx context.Context, i int) {
		r := manage.OwnKeyRequest{Name: w.id("key")}
		if i%3 == 0 {
			r.Amounts.Money = dollarsOf(7)
		}
		_, err := a.CreateOwnKey(ctx, r, ann)
		switch {
		case err == nil:
			made.Add(1)
		case errors.As(err, new(*billing.ConflictError)), errors.As(err, new(*billing.FieldError)):
			refused.Add(1)
		default:
			w.Errorf("got %v", err)
		}
	})
	keys, err := a.OwnKeys(w.Context(), ann)
	w.must(err)
	var sum billing.Money
	var tokens int64
	for _, k := range keys {
		sum, tokens = sum+*k.Budgets[0].Money, tokens+*k.Budgets[0].Tokens
	}
	for _, k := range keys {
		if k.Models != nil { // a list without a name is of no models, not of all
			w.Errorf("under a ceiling of all models: %q", k.Models)
		}
	}
	if made.Load()+refused.Load() != 50 || int(made.Load()) != len(keys) || len(keys) < 2 || len(keys) > 5 || sum > *dollarsOf(20) ||
		tokens > 1000 {
		w.Errorf("made %d, refused %d: %d keys with %s and %d tokens", made.Load(), refused.Load(), len(keys), sum.Short(), tokens)
	}
}

func ceilingUsed(w *world) {
	a, ann := w.member("ann", "member")
	w.ceiling(a, billing.Ceiling{Keys: 2, Tokens: new(int64(100))})
	made, err := a.CreateOwnKey(w.Context(), manage.OwnKeyRequest{Name: "first", Amounts: manage.Amounts{Tokens: new(int64(100))}}, ann)
	w.must(err)
	h := w.hold(&made.Key, amount{tokens: 60})
	_, err = w.Reserve(w.Context(), h, w.now)
	w.must(err)
	_, err = a.RevokeOwnKey(w.Context(), made.Key.ID, manage.Ending{}, ann)
	w.must(err)
	_, err = a.CreateOwnKey(w.Context(), manage.OwnKeyRequest{Name: "second", Amounts: manage.Amounts{Tokens: new(int64(41))}}, ann)
	if !errors.As(err, new(*billing.FieldError)) {
		w.Errorf("more than is left: %v", err)
	}
	_, err = a.CreateOwnKey(w.Context(), manage.OwnKeyRequest{Name: "second", Amounts: manage.Amounts{Tokens: new(int64(40))}}, ann)
	w.must(err)
}

func ownNarrow(w *world) {
	a, ann := w.member("ann", "member")
	w.ceiling(a, billing.Ceiling{Keys: 2, Tokens: new(int64(100)), Models: []string{"m1", "m2"}, Life: time.Hour})
	made, err := a.CreateOwnKey(w.Context(), manage.OwnKeyRequest{Name: "first"}, ann)
	w.must(err)
	for name, n := range map[string]manage.Narrowing{
		"tokens": {Amounts: manage.Amounts{Tokens: new(int64(51))}},
		"models": {Models: []string{"m1", "m3"}},
		"life":   {ExpiresAt: w.now.Add(2 * time.Hour)},
	} {
		if _, err := a.NarrowOwnKey(w.Context(), made.Key.ID, n, ann); !errors.As(err, new(*billing.FieldError)) {
			w.Errorf("%s: %v", name, err)
		}
	}
	k, err := a.NarrowOwnKey(w.Context(), made.Key.ID, manage.Narrowing{
		Amounts: manage.Amounts{Tokens: new(int64(10)), Money: dollarsOf(1)}, Models: []string{"m2"}, ExpiresAt: w.now.Add(time.Minute),
	}, ann)
	w.must(err)
	if *k.Budgets[0].Tokens != 10 || *k.Budgets[0].Money != *dollarsOf(1) || !slices.Equal(k.Models, []string{"m2"}) ||
		!k.ExpiresAt.Equal(w.now.Add(time.Minute)) {
		w.Errorf("narrowed to %s", text(k))
	}
}

func raiseAsked(w *world) {
	a, ann := w.member("ann", "member")
	_, lead := w.member("lead", "team-lead")
	w.ceiling(a, billing.Ceiling{Keys: 2, Tokens: new(int64(100))})
	made, err := a.CreateOwnKey(w.Context(), manage.OwnKeyRequest{Name: "first"}, ann)
	w.must(err)
	because := ann
	because.Reason = "a week of tests"
	until := w.now.Add(time.Hour)
	ask := func() (billing.RaiseRequest, error) {
		return a.AskRaise(w.Context(), made.Key.ID, billing.Amount{Tokens: 900}, until, because)
	}
	r, err := ask()
	w.must(err)
	_, err = ask()
	w.wantConflict(err)
	if _, err := a.ApproveRaise(w.Context(), r.ID, ann); !errors.As(err, new(*manage.NotAllowedError)) {
		w.Errorf("one's own: %v", err)
	}
	var approved atomic.Int64
	each(w.Context(), 8, func(ctx context.Context, _ int) {
		if _, err := a.ApproveRaise(ctx, r.ID, lead); err == nil {
			approved.Add(1)
		}
	})
	if approved.Load() != 1 {
		w.Errorf("approved %d times", approved.Load())
	}
	list, err := a.OwnRaises(w.Context(), ann)
	w.must(err)
	if len(list) != 1 || list[0].Outcome != billing.RaiseApproved || list[0].DecidedBy != "lead" || list[0].TeamID != made.Key.TeamID {
		w.Errorf("there is %s", text(list))
	}
	found, err := w.ListRaises(w.Context(), billing.RaiseFilter{Within: &billing.Within{Teams: []string{"team_other"}}})
	w.must(err)
	if len(found) != 0 {
		w.Errorf("another team sees %s", text(found))
	}
	r, err = ask()
	w.must(err)
	_, err = a.DeclineRaise(w.Context(), r.ID, lead)
	w.must(err)
	_, err = a.ApproveRaise(w.Context(), r.ID, lead)
	w.wantConflict(err)
	w.wantNotFound(func() error { _, err := a.ApproveRaise(w.Context(), "ask_none", lead); return err }(), "raise")
}

func leaverOnce(w *world) {
	k := w.key()
	_, ann := w.member("ann", "member")
	var opened atomic.Int64
	each(w.Context(), 8, func(ctx context.Context, _ int) {
		is, err := w.OpenLeaverReview(ctx, billing.LeaverReview{
			ID: billing.NewID("review_"), KeyID: k.ID, PrincipalID: ann.PrincipalID, Cause: "disabled", OpenedAt: w.now,
			DueAt: w.now.Add(time.Hour),
		}, w.note("leaver.open", string(k.ID)))
		if err != nil {
			w.Error(err)
		}
		if is {
			opened.Add(1)
		}
	})
	list, err := w.ListLeaverReviews(w.Context(), billing.ReviewFilter{Outcome: billing.ReviewOpen})
	w.must(err)
	if opened.Load() != 1 || len(list) != 1 || list[0].KeyName != k.Name || list[0].Principal != "ann" || list[0].TeamID != k.TeamID {
		w.Fatalf("opened %d: %s", opened.Load(), text(list))
	}
	var closed atomic.Int64
	each(w.Context(), 8, func(ctx context.Context, _ int) {
		is, err := w.CloseLeaverReview(ctx, list[0].ID, billing.ReviewKept, w.now, "lead", w.note("leaver.keep", string(k.ID)))
		if err != nil {
			w.Error(err)
		}
		if is {
			closed.Add(1)
		}
	})
	notes, err := w.ListChanges(w.Context(), billing.ChangeFilter{Action: "leaver."})
	w.must(err)
	if closed.Load() != 1 || len(notes) != 2 {
		w.Errorf("closed %d times, with %d notes", closed.Load(), len(notes))
	}
	_, err = w.CloseLeaverReview(w.Context(), "review_none", billing.ReviewKept, w.now, "lead")
	w.wantNotFound(err, "review")
}

func leaverDisabled(w *world) {
	a, ann := w.member("ann", "member")
	w.ceiling(a, billing.Ceiling{Keys: 3})
	for _, name := range []string{"first", "second"} {
		_, err := a.CreateOwnKey(w.Context(), manage.OwnKeyRequest{Name: name}, ann)
		w.must(err)
	}
	sweep := func(actions ...string) {
		w.Helper()
		each(w.Context(), 6, func(ctx context.Context, _ int) {
			if err := a.SweepLeavers(ctx, time.Hour); err != nil {
				w.Error(err)
			}
		})
		notes, err := w.ListChanges(w.Context(), billing.ChangeFilter{Actor: "tallyroute"})
		w.must(err)
		var got []string
		for _, n := range notes {
			got = append(got, n.Action)
		}
		slices.Sort(got)
		if !slices.Equal(got, actions) {
			w.Fatalf("noted %v, want %v", got, actions)
		}
	}
	sweep()
	_, err := a.DisablePrincipal(w.Context(), ann.PrincipalID, manage.By{Actor: "boss", Access: rbac.Everything()})
	w.must(err)
	sweep("leaver.open", "leaver.open")
	open, err := a.LeaverReviews(w.Context(), billing.ReviewFilter{Outcome: billing.ReviewOpen})
	w.must(err)
	_, err = a.KeepLeaverKey(w.Context(), open[0].ID, manage.By{Actor: "boss", Reason: "of the build server"})
	w.must(err)
	w.now = w.now.Add(2 * time.Hour)
	sweep("key.disable", "leaver.disabled", "leaver.open", "leaver.open")
	for _, r := range open {
		k, err := a.Key(w.Context(), r.KeyID)
		w.must(err)
		if kept := r.ID == open[0].ID; kept == !k.DisabledAt.IsZero() {
			w.Errorf("key %s, kept %v, is disabled at %s", k.Name, kept, k.DisabledAt)
		}
	}
}

func destinationClaimed(w *world) {
	for range 3 {
		w.must(w.Record(w.Context(), w.note("test", "x")))
	}
	ctx, till := w.Context(), w.now.Add(time.Minute)
	_, claimed, err := w.ClaimDestination(ctx, "siem", "r1", w.now, till)
	w.must(err)
	if _, other, err := w.ClaimDestination(ctx, "siem", "r2", w.now, till); !claimed || other || err != nil {
		w.Fatalf("claimed by both: %v %v %v", claimed, other, err)
	}
	records, err := w.AuditAfter(ctx, 0, 2)
	w.must(err)
	if len(records) != 2 || records[0].Seq != 1 || records[1].Seq != 2 {
		w.Fatalf("the records after 0: %s", text(records))
	}
	kept, err := w.Delivered(ctx, "siem", "r1", 2, w.now)
	w.must(err)
	if list, err := w.ListDestinations(ctx); !kept || err != nil || len(list) != 1 || list[0].Seq != 2 || list[0].Waiting != 1 {
		w.Errorf("delivered: %v %s %v", kept, text(list), err)
	}
	_, claimed, err = w.ClaimDestination(ctx, "siem", "r2", w.now, till)
	w.must(err)
	if kept, err := w.Delivered(ctx, "siem", "r1", 3, w.now); !claimed || kept || err != nil {
		w.Errorf("who lost the claim goes on: %v %v %v", claimed, kept, err)
	}
	w.must(w.Undelivered(ctx, "siem", "r2", "refused", w.now.Add(time.Second)))
	if _, early, err := w.ClaimDestination(ctx, "siem", "r1", w.now, till); early || err != nil {
		w.Errorf("tried again before it is due: %v", err)
	}
	d, late, err := w.ClaimDestination(ctx, "siem", "r1", w.now.Add(time.Second), till)
	if !late || err != nil || d.Failures != 1 || d.Failure != "refused" || d.Seq != 2 {
		w.Errorf("when it is due: %v %s %v", late, text(d), err)
	}
}

func grantCondition(w *world) {
	_, ann := w.member("ann", "member")
	_, err := w.UpdatePrincipal(w.Context(), ann.PrincipalID, func(p *billing.Principal, _ []billing.Principal) error {
		p.Grants = append(p.Grants, billing.Grant{
			ID: "grant_x", Role: "auditor", Scope: billing.ScopeOrg, ScopeID: "org", CreatedAt: w.now, CreatedBy: "test", Must: `mfa`,
		})
		return nil
	})
	w.must(err)
	all, err := w.ListPrincipals(w.Context())
	w.must(err)
	for _, p := range all {
		if p.ID == ann.PrincipalID && p.Grants[len(p.Grants)-1].Must != "mfa" && p.Grants[0].Must != "mfa" {
			w.Errorf("there is %s", text(p.Grants))
		}
	}
}

// collector is a destination that fails now and then.
type collector struct {
	mu     sync.Mutex
	calls  int
	seqs   []int64
	faults []string
}

// Forward implements manage.Forwarder.
func (c *collector) Forward(_ context.Context, records []manage.AuditRecord) error {
	if !c.mu.TryLock() {
		return errors.New("two send at once")
	}
	defer c.mu.Unlock()
	if c.calls++; c.calls%3 == 1 {
		return errors.New("it is away")
	}
	for _, r := range records {
		if n := len(c.seqs); n > 0 && r.Seq != c.seqs[n-1]+1 || n == 0 && r.Seq != 1 {
			c.faults = append(c.faults, fmt.Sprintf("%d after %d records", r.Seq, n))
		}
		c.seqs = append(c.seqs, r.Seq)
	}
	return nil
}

func auditForwarded(w *world) {
	const records = 450 // more than two batches
	for range records {
		w.must(w.Record(w.Context(), w.note("test", "x")))
	}
	var clock atomic.Int64
	a := manage.Actions{Store: w.Store, Clock: func() time.Time { return w.now.Add(time.Duration(clock.Load())) }}
	to := &collector{}
	for round := 0; len(to.seqs) < records && round < 50; round++ {
		each(w.Context(), 3, func(ctx context.Context, i int) {
			_, _ = a.ForwardAudit(ctx, &manage.Forwarding{Name: "siem", Router: fmt.Sprint("r", i), To: to}) // sometimes unreachable
		})
		clock.Add(int64(10 * time.Second))
	}
	if len(to.seqs) != records || len(to.faults) > 0 {
		w.Errorf("%d records arrived of %d; %v", len(to.seqs), records, to.faults)
	}
	list, err := a.Destinations(w.Context())
	w.must(err)
	if len(list) != 1 || list[0].Seq != records || list[0].Waiting != 0 {
		w.Errorf("there is %s", text(list))
	}
}
