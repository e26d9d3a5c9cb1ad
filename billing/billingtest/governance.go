package billingtest

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"time"

	"tallyroute/billing"
)

func governanceCases() map[string]func(w *world) {
	return map[string]func(w *world){
		"AVersionIsOfOneOfManyAtOnce":        rulesOnce,
		"AVersionStaysAndIsTold":             rulesStay,
		"AnOwnerAcknowledgesOnce":            rulesAcknowledged,
		"AReviewIsBegunByOneOfManyAtOnce":    reviewOnce,
		"AnItemOfAReviewIsDecidedAboutOnce":  reviewDecided,
		"AReviewOfNothingHasNoItems":         reviewEmpty,
		"NoAcknowledgementOfAnUnknownChange": rulesUnknown,
	}
}

func (w *world) rules(version int64) billing.RuleSet {
	return billing.RuleSet{
		Version: version, Rules: `{"a":1}`, SHA256: strings.Repeat("a", 64), Author: "cli:ann", Reason: "first", MadeAt: noon(),
	}
}

func rulesOnce(w *world) {
	var stored, taken atomic.Int64
	each(w.Context(), 8, func(ctx context.Context, _ int) {
		switch err := w.AddRules(ctx, w.rules(1), nil); {
		case err == nil:
			stored.Add(1)
		case errors.Is(err, billing.ErrDuplicate):
			taken.Add(1)
		default:
			w.Error(err)
		}
	})
	if stored.Load() != 1 || taken.Load() != 7 {
		w.Fatalf("%d stored, %d told that it is taken", stored.Load(), taken.Load())
	}
}

func rulesStay(w *world) {
	told := billing.Event{
		Kind: billing.EventGovernance, Object: "rules", Severity: billing.Warning, Text: "changed", DedupID: "governance:1", At: noon(),
		Data: map[string]string{"version": "1"},
	}
	w.must(w.AddRules(w.Context(), w.rules(1), []billing.Event{told}, w.note("governance.set", "1")))
	w.must(w.AddRules(w.Context(), w.rules(2), nil))
	list, err := w.ListRules(w.Context(), 0)
	w.must(err)
	w.wantSame("versions", list, []billing.RuleSet{w.rules(2), w.rules(1)})
	list, err = w.ListRules(w.Context(), 1)
	w.must(err)
	w.wantSame("the newest", list, []billing.RuleSet{w.rules(2)})
	events, err := w.ListEvents(w.Context(), billing.EventFilter{Kind: billing.EventGovernance})
	w.must(err)
	w.wantSame("events", events, []billing.Event{told})
	changes, err := w.ListChanges(w.Context(), billing.ChangeFilter{Action: "governance.set"})
	w.must(err)
	if len(changes) != 1 {
		w.Fatalf("recorded as %+v", changes)
	}
}

func rulesAcknowledged(w *world) {
	w.must(w.AddRules(w.Context(), w.rules(1), nil))
	first := billing.Acknowledgement{Version: 1, Owner: "ann@example.com", Actor: "ann", At: noon()}
	again := billing.Acknowledgement{Version: 1, Owner: "ann@example.com", Actor: "bob", At: noon().Add(time.Hour)}
	w.must(w.Acknowledge(w.Context(), first, w.note("governance.acknowledge", "1")))
	w.must(w.Acknowledge(w.Context(), again, w.note("governance.acknowledge", "1")))
	list, err := w.ListAcknowledgements(w.Context(), 1)
	w.must(err)
	w.wantSame("acknowledgements", list, []billing.Acknowledgement{first})
	changes, err := w.ListChanges(w.Context(), billing.ChangeFilter{Action: "governance.acknowledge"})
	w.must(err)
	if len(changes) != 1 {
		w.Fatalf("recorded as %+v", changes)
	}
}

func rulesUnknown(w *world) {
	w.wantNotFound(w.Acknowledge(w.Context(), billing.Acknowledgement{Version: 7, Owner: "ann@example.com", At: noon()}), "version")
}

func (w *world) review(number int64) (billing.Review, []billing.ReviewItem) {
	return billing.Review{Number: number, StartedAt: noon(), DueAt: noon().Add(time.Hour), StartedBy: "schedule", Items: 2, Open: 2},
		[]billing.ReviewItem{
			{Number: number, Kind: billing.ReviewGrant, Object: "grant_1", Holder: "user_1", Facts: `{"role":"owner"}`},
			{Number: number, Kind: billing.ReviewKey, Object: "key_1", Holder: "key_1", Facts: `{}`},
		}
}

func reviewOnce(w *world) {
	var begun atomic.Int64
	each(w.Context(), 8, func(ctx context.Context, _ int) {
		r, items := w.review(1)
		switch err := w.AddReview(ctx, r, items, w.note("review.begin", "1")); {
		case err == nil:
			begun.Add(1)
		case !errors.Is(err, billing.ErrDuplicate):
			w.Error(err)
		}
	})
	changes, err := w.ListChanges(w.Context(), billing.ChangeFilter{Action: "review.begin"})
	w.must(err)
	if begun.Load() != 1 || len(changes) != 1 {
		w.Fatalf("begun %d times, recorded as %+v", begun.Load(), changes)
	}
}

func reviewDecided(w *world) {
	r, items := w.review(1)
	w.must(w.AddReview(w.Context(), r, items))
	done := items[1]
	done.Decision, done.DecidedAt, done.DecidedBy, done.Reason = billing.DecisionKeep, noon(), "ann", "used daily"
	w.must(w.DecideReview(w.Context(), done, w.note("review.decide", "key_1")))
	w.wantConflict(w.DecideReview(w.Context(), done))
	none := done
	none.Object = "key_none"
	w.wantNotFound(w.DecideReview(w.Context(), none), "review")
	list, err := w.ListReviewItems(w.Context(), 1)
	w.must(err)
	w.wantSame("items", list, []billing.ReviewItem{items[0], done})
	r.Open = 1
	all, err := w.ListReviews(w.Context())
	w.must(err)
	w.wantSame("reviews", all, []billing.Review{r})
}

func reviewEmpty(w *world) {
	r, _ := w.review(1)
	r.Items, r.Open = 0, 0
	w.must(w.AddReview(w.Context(), r, nil))
	all, err := w.ListReviews(w.Context())
	w.must(err)
	w.wantSame("reviews", all, []billing.Review{r})
}
