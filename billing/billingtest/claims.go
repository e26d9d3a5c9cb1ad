package billingtest

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"tallyroute/billing"
)

func replayCases() map[string]func(w *world) {
	return map[string]func(w *world){
		"ClaimedOnce":    replayOnce,
		"ManyAtOnce":     replayMany,
		"KeysApart":      replayKeys,
		"PastItsTime":    replayExpires,
		"GivenUp":        replayForgotten,
		"TooLarge":       replayTooLarge,
		"TakenOver":      replayTakenOver,
		"ExpiredIsSwept": replaySwept,
		"MarkedByChange": replayMarked,
	}
}

// claimOf returns the claim of a request for a name.
func claimOf(key, name, request string) billing.Claim {
	return billing.Claim{KeyID: billing.KeyID(key), Name: hashOf(name), Fingerprint: hashOf("asked by " + request), RequestID: request}
}

func (w *world) claim(c billing.Claim, now time.Time) *billing.Claimed {
	w.Helper()
	found, err := w.Claim(w.Context(), c, now, now.Add(time.Minute))
	w.must(err)
	return found
}

func (w *world) wantClaimed(c billing.Claim, now time.Time) {
	w.Helper()
	if found := w.claim(c, now); found != nil {
		w.Fatalf("%s is refused for %+v", c.RequestID, found)
	}
}

// wantFound expects to be told which request has the name.
func (w *world) wantFound(c billing.Claim, now time.Time, request string, state billing.ClaimState, answer string) {
	w.Helper()
	found := w.claim(c, now)
	if found == nil || found.RequestID != request || found.State != state || !bytes.Equal(found.Answer, []byte(answer)) ||
		found.Fingerprint != hashOf("asked by "+request) {
		w.Fatalf("found %+v, want %s of %s with %q", found, state, request, answer)
	}
}

func replayOnce(w *world) {
	first, second := claimOf("key_1", "order", "req_1"), claimOf("key_1", "order", "req_2")
	w.wantClaimed(first, w.now)
	w.wantClaimed(first, w.now) // the answer to the first call may have been lost
	w.wantFound(second, w.now, "req_1", billing.ClaimRunning, "")
	answer := "\x00 any bytes \xff"
	w.must(w.Keep(w.Context(), first, []byte(answer), w.now.Add(24*time.Hour)))
	for range 2 {
		w.wantFound(second, w.now.Add(23*time.Hour), "req_1", billing.ClaimAnswered, answer)
	}
}

func replayMany(w *world) {
	var granted atomic.Int64
	each(w.Context(), 100, func(ctx context.Context, i int) {
		found, err := w.Claim(ctx, claimOf("key_1", "order", w.id("req")), w.now, w.now.Add(time.Minute))
		if err != nil {
			w.Errorf("claim %d: %v", i, err)
		} else if found == nil {
			granted.Add(1)
		} else if found.State != billing.ClaimRunning {
			w.Errorf("claim %d found %+v", i, found)
		}
	})
	if n := granted.Load(); n != 1 {
		w.Errorf("%d of 100 claims were granted", n)
	}
}

func replayKeys(w *world) {
	w.wantClaimed(claimOf("key_1", "order", "req_1"), w.now)
	w.wantClaimed(claimOf("key_2", "order", "req_2"), w.now)
	w.wantClaimed(claimOf("key_1", "another", "req_3"), w.now)
}

func replayExpires(w *world) {
	first, second := claimOf("key_1", "order", "req_1"), claimOf("key_1", "order", "req_2")
	w.wantClaimed(first, w.now)
	w.must(w.Keep(w.Context(), first, []byte("x"), w.now.Add(time.Hour)))
	w.wantFound(second, w.now.Add(time.Hour-time.Millisecond), "req_1", billing.ClaimAnswered, "x")
	w.wantClaimed(second, w.now.Add(time.Hour))
	w.wantFound(first, w.now.Add(time.Hour), "req_2", billing.ClaimRunning, "")
}

func replayForgotten(w *world) {
	first, second := claimOf("key_1", "order", "req_1"), claimOf("key_1", "order", "req_2")
	w.wantClaimed(first, w.now)
	w.must(w.Forget(w.Context(), second)) // which has no claim
	w.wantFound(second, w.now, "req_1", billing.ClaimRunning, "")
	w.must(w.Forget(w.Context(), first))
	w.must(w.Forget(w.Context(), first))
	w.wantClaimed(second, w.now)
	w.must(w.Keep(w.Context(), second, []byte("x"), w.now.Add(time.Hour)))
	w.must(w.Forget(w.Context(), second)) // too late
	w.wantFound(first, w.now, "req_2", billing.ClaimAnswered, "x")
}

func replayTooLarge(w *world) {
	first := claimOf("key_1", "order", "req_1")
	w.wantClaimed(first, w.now)
	w.must(w.Keep(w.Context(), first, nil, w.now.Add(time.Hour)))
	w.wantFound(claimOf("key_1", "order", "req_2"), w.now, "req_1", billing.ClaimTooLarge, "")
}

// replayTakenOver: a request that returns after its time is up changes nothing.
func replayTakenOver(w *world) {
	first, second := claimOf("key_1", "order", "req_1"), claimOf("key_1", "order", "req_2")
	w.wantClaimed(first, w.now)
	w.wantClaimed(second, w.now.Add(2*time.Minute))
	w.must(w.Keep(w.Context(), first, []byte("old"), w.now.Add(time.Hour)))
	w.must(w.Forget(w.Context(), first))
	w.wantFound(first, w.now.Add(2*time.Minute), "req_2", billing.ClaimRunning, "")
}

func replaySwept(w *world) {
	for _, name := range []string{"a", "b", "c"} {
		w.wantClaimed(claimOf("key_1", name, "req_"+name), w.now)
	}
	w.must(w.Keep(w.Context(), claimOf("key_1", "c", "req_c"), []byte("x"), w.now.Add(time.Hour)))
	n, err := w.ExpireClaims(w.Context(), w.now.Add(time.Minute))
	w.must(err)
	if n != 2 {
		w.Errorf("%d were removed, want the two that nobody answered", n)
	}
	w.wantFound(claimOf("key_1", "c", "req_d"), w.now, "req_c", billing.ClaimAnswered, "x")
}

func allotmentCases() map[string]func(w *world) {
	return map[string]func(w *world){
		"TakenUntilUsedUp":  allotmentUsedUp,
		"ManyAtOnce":        allotmentMany,
		"OverdrawnIsShown":  allotmentOverdrawn,
		"EndedIsNobodys":    allotmentEnded,
		"HeadroomStaysFree": allotmentHeadroom,
	}
}

// allot creates an allotment of that many tokens, without a limit in money if usd is nil.
func (w *world) allot(tokens int64, usd *billing.Money) *billing.Allotment {
	w.Helper()
	a := &billing.Allotment{ID: "tok_1", KeyID: "key_1", Tokens: &tokens, Money: usd, Until: w.now.Add(time.Hour)}
	w.must(w.Allot(w.Context(), *a))
	w.must(w.Allot(w.Context(), *a)) // the answer to the first call may have been lost
	return a
}

func (w *world) takeAllotted(a *billing.Allotment, tokens int64, usd billing.Money) error {
	_, err := w.TakeAllotted(w.Context(), a, billing.Amount{Tokens: tokens, Money: usd}, billing.Amount{})
	return err
}

// wantTooMuch expects a refusal that says how much has been used.
func (w *world) wantTooMuch(err error, used billing.Amount) {
	w.Helper()
	var quota *billing.QuotaError
	if !errors.As(err, &quota) {
		w.Fatalf("got %v, want a *billing.QuotaError", err)
	}
	if got := (billing.Amount{Tokens: quota.Balance.UsedTokens, Money: quota.Balance.UsedMoney}); got != used || len(quota.All) != 1 {
		w.Fatalf("the refusal shows %+v as used, want %+v", got, used)
	}
}

func allotmentUsedUp(w *world) {
	usd := billing.Money(100)
	a := w.allot(50, &usd)
	w.must(w.takeAllotted(a, 30, 10))
	w.wantTooMuch(w.takeAllotted(a, 21, 10), billing.Amount{Tokens: 30, Money: 10})
	w.wantTooMuch(w.takeAllotted(a, 1, 91), billing.Amount{Tokens: 30, Money: 10})
	used, err := w.GiveAllotted(w.Context(), a.ID, billing.Amount{Tokens: 25, Money: 3})
	if w.must(err); used != (billing.Amount{Tokens: 5, Money: 7}) {
		w.Fatalf("%+v is used", used)
	}
	if used, err := w.Allotted(w.Context(), a.ID); err != nil || used != (billing.Amount{Tokens: 5, Money: 7}) {
		w.Fatalf("%+v is used, %v", used, err)
	}
	w.must(w.takeAllotted(a, 45, 93))
	w.wantTooMuch(w.takeAllotted(a, 1, 0), billing.Amount{Tokens: 50, Money: 100})
}

func allotmentMany(w *world) {
	const clients, each, limit = 16, 20, 100
	a := w.allot(limit, nil)
	var taken atomic.Int64
	var all sync.WaitGroup
	for range clients {
		all.Go(func() {
			for range each {
				if w.takeAllotted(a, 1, 5) == nil {
					taken.Add(1)
				}
			}
		})
	}
	all.Wait()
	if taken.Load() != limit {
		w.Fatalf("%d of %d tokens were taken", taken.Load(), limit)
	}
}

func allotmentOverdrawn(w *world) {
	a := w.allot(10, nil)
	w.must(w.takeAllotted(a, 10, 0))
	_, err := w.GiveAllotted(w.Context(), a.ID, billing.Amount{Tokens: -5}) // an answer was longer than it could be
	w.must(err)
	w.wantTooMuch(w.takeAllotted(a, 0, 0), billing.Amount{Tokens: 15})
}

func allotmentHeadroom(w *world) {
	a := w.allot(10, nil)
	_, err := w.TakeAllotted(w.Context(), a, billing.Amount{Tokens: 5}, billing.Amount{Tokens: 6})
	w.wantTooMuch(err, billing.Amount{})
	used, err := w.TakeAllotted(w.Context(), a, billing.Amount{Tokens: 5}, billing.Amount{Tokens: 5})
	if w.must(err); used != (billing.Amount{Tokens: 5}) {
		w.Fatalf("%+v is used", used)
	}
}

func allotmentEnded(w *world) {
	a := w.allot(10, nil)
	n, err := w.EndAllotments(w.Context(), w.now.Add(30*time.Minute))
	w.must(err)
	if n != 0 {
		w.Fatalf("%d ended before their time", n)
	}
	n, err = w.EndAllotments(w.Context(), a.Until)
	w.must(err)
	if n != 1 {
		w.Fatalf("%d ended, want 1", n)
	}
	if err := w.takeAllotted(a, 1, 0); !errors.Is(err, billing.ErrExpired) {
		w.Fatalf("what has ended gives %v, want billing.ErrExpired", err)
	}
	_, err = w.GiveAllotted(w.Context(), a.ID, billing.Amount{Tokens: 5}) // of a request that outlived it
	w.must(err)
}

// replayMarked: a change is made under a claim or not at all, and the claim says so.
func replayMarked(w *world) {
	first, second := claimOf("key_1", "order", "req_1"), claimOf("key_1", "order", "req_2")
	under := func(c billing.Claim, object string) error {
		return w.Record(w.Context(), &billing.Change{
			At: w.now, Actor: "ann", Action: "made", Object: object, Claim: &billing.ChangeClaim{Claim: c, Until: w.now.Add(time.Hour)},
		})
	}
	if err := under(first, "obj_0"); !errors.Is(err, billing.ErrClaimLost) {
		w.Errorf("a change without its claim: %v", err)
	}
	w.wantClaimed(first, w.now)
	w.must(under(first, "obj_1"))
	w.must(under(first, "obj_2"))
	w.must(w.Forget(w.Context(), first)) // too late
	later := w.now.Add(time.Hour - time.Second)
	w.wantFound(second, later, "req_1", billing.ClaimDone, "")
	if found := w.claim(second, later); found.Object != "obj_1" {
		w.Errorf("the claim is of %q", found.Object)
	}
	w.must(w.Keep(w.Context(), first, []byte("x"), w.now.Add(time.Hour)))
	w.wantFound(second, later, "req_1", billing.ClaimAnswered, "x")
	w.wantClaimed(second, w.now.Add(time.Hour))
	if err := under(first, "obj_3"); !errors.Is(err, billing.ErrClaimLost) {
		w.Errorf("a change whose claim was taken over: %v", err)
	}
	changes, err := w.ListChanges(w.Context(), billing.ChangeFilter{Action: "made"})
	w.must(err)
	if len(changes) != 2 {
		w.Errorf("%d changes were recorded, want 2", len(changes))
	}
}
