package manage

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/rbac"
)

// left says why a user counts as gone: disabled, or had roles and none of them is still in
// force. It returns "" if neither applies.
func left(p billing.Principal, now time.Time) string {
	switch {
	case p.Kind != billing.PrincipalUser:
		return ""
	case !p.DisabledAt.IsZero():
		return "disabled"
	case len(p.Grants) > 0 && !slices.ContainsFunc(p.Grants, func(g billing.Grant) bool { return g.InForce(now) }):
		return "has no role any more"
	}
	return ""
}

// SweepLeavers opens a review for each key of people who have left, closes reviews that
// have been settled in another way, and disables keys on which nobody has decided within
// the given time. Any number of routers may run it concurrently.
func (a Actions) SweepLeavers(ctx context.Context, after time.Duration) error {
	people, err := a.Store.ListPrincipals(ctx)
	if err != nil {
		return err
	}
	gone := make(map[string]string)
	for _, p := range people {
		if why := left(p, a.now()); why != "" {
			gone[p.ID] = why
			if err := a.openReviews(ctx, p, why, after); err != nil {
				return err
			}
		}
	}
	open, err := a.Store.ListLeaverReviews(ctx, billing.ReviewFilter{Outcome: billing.ReviewOpen})
	if err != nil {
		return err
	}
	var faults []error
	for _, r := range open {
		faults = append(faults, a.settle(ctx, r, gone[r.PrincipalID]))
	}
	return errors.Join(faults...)
}

// openReviews opens the missing reviews for keys on which nobody has decided.
func (a Actions) openReviews(ctx context.Context, p billing.Principal, why string, after time.Duration) error {
	before, err := a.Store.ListLeaverReviews(ctx, billing.ReviewFilter{PrincipalID: p.ID}) // newest first
	if err != nil {
		return err
	}
	return a.eachKey(ctx, billing.KeyFilter{Owner: p.ID, Address: p.Email}, func(k *billing.Key) error {
		i := slices.IndexFunc(before, func(r billing.LeaverReview) bool { return r.KeyID == k.ID })
		if k.InForce(a.now()) != nil || i >= 0 && before[i].Outcome != billing.ReviewReturned {
			return nil
		}
		return a.openReview(ctx, p, *k, why, after)
	})
}

func (a Actions) openReview(ctx context.Context, p billing.Principal, k billing.Key, why string, after time.Duration) error {
	note := a.note(By{Actor: "tallyroute"}, "leaver.open", string(k.ID))
	r := billing.LeaverReview{
		ID: billing.NewID("review_"), KeyID: k.ID, PrincipalID: p.ID, Cause: why, OpenedAt: note.At, DueAt: note.At.Add(after),
	}
	t, err := a.Team(ctx, k.TeamID)
	if err != nil {
		return err
	}
	note.Detail = map[string]string{
		"review": r.ID, "principal": Actor(p), "cause": why, "due": r.DueAt.Format(time.RFC3339), "team_owner": t.OwnerEmail,
	}
	_, err = a.Store.OpenLeaverReview(ctx, r, note)
	return err
}

// settle closes a review that has been settled or whose time is up. gone is why the owner
// has left; "" means that the owner hasn't.
func (a Actions) settle(ctx context.Context, r billing.LeaverReview, gone string) error {
	k, err := a.Key(ctx, r.KeyID)
	if err != nil {
		return err
	}
	by := By{Actor: "tallyroute", Reason: "its owner has left"}
	switch {
	case k.InForce(a.now()) != nil:
		return a.closeReview(ctx, r, billing.ReviewEnded, by)
	case gone == "":
		return a.closeReview(ctx, r, billing.ReviewReturned, by)
	case k.OwnerID != "" && k.OwnerID != r.PrincipalID:
		return a.closeReview(ctx, r, billing.ReviewTransferred, by)
	case a.now().Before(r.DueAt):
		return nil
	}
	if _, err := a.DisableKey(ctx, r.KeyID, Ending{}, by); err != nil {
		return err
	}
	return a.closeReview(ctx, r, billing.ReviewDisabled, by)
}

// closeReview closes a review. A review that somebody else has closed stays as it is.
func (a Actions) closeReview(ctx context.Context, r billing.LeaverReview, outcome billing.ReviewOutcome, by By) error {
	note := a.note(by, "leaver."+string(outcome), string(r.KeyID))
	note.Detail = map[string]string{"review": r.ID}
	_, err := a.Store.CloseLeaverReview(ctx, r.ID, outcome, note.At, note.Actor, note)
	return err
}

// LeaverReviews returns the reviews of keys whose owners have left, newest first.
func (a Actions) LeaverReviews(ctx context.Context, f billing.ReviewFilter) ([]billing.LeaverReview, error) {
	return a.Store.ListLeaverReviews(ctx, f)
}

// leaverReview returns the review with the given id if it is still open.
func (a Actions) leaverReview(ctx context.Context, id string) (billing.LeaverReview, error) {
	list, err := a.Store.ListLeaverReviews(ctx, billing.ReviewFilter{ID: id})
	switch {
	case err != nil:
		return billing.LeaverReview{}, err
	case len(list) == 0 || id == "":
		return billing.LeaverReview{}, &billing.NotFoundError{What: "review", ID: id}
	case list[0].Outcome != billing.ReviewOpen:
		return list[0], &billing.ConflictError{Detail: "review " + id + " is closed already: " + string(list[0].Outcome)}
	}
	return list[0], nil
}

// PlaceOfLeaver returns the place of the key under review.
func (a Actions) PlaceOfLeaver(ctx context.Context, id string) (rbac.Place, error) {
	list, err := a.Store.ListLeaverReviews(ctx, billing.ReviewFilter{ID: id})
	if err == nil && (len(list) == 0 || id == "") {
		err = &billing.NotFoundError{What: "review", ID: id}
	}
	if err != nil {
		return rbac.Place{}, err
	}
	return rbac.Place{TeamID: list[0].TeamID, ProjectID: list[0].ProjectID}, nil
}

// Transfer says who gets the key of somebody who has left.
type Transfer struct {
	To      string // id, name or address
	Rotate  bool   // renew the secret, which the former owner still knows
	Overlap time.Duration
}

// TransferKey transfers the key of somebody who has left to somebody else, with a new
// secret on request.
func (a Actions) TransferKey(ctx context.Context, id string, t Transfer, by By) (billing.LeaverReview, NewSecret, error) {
	if !t.Rotate {
		r, err := a.transferKey(ctx, id, t.To, by)
		return r, NewSecret{}, err
	}
	if err := (RotateRequest{Overlap: t.Overlap}).check(); err != nil {
		return billing.LeaverReview{}, NewSecret{}, err
	}
	r, err := a.leaverReview(ctx, id)
	if err != nil {
		return r, NewSecret{}, err
	}
	k, err := a.Key(ctx, r.KeyID)
	if err == nil {
		err = a.shown(ctx, &k) // before anything is changed
	}
	if err != nil {
		return r, NewSecret{}, err
	}
	if r, err = a.transferKey(ctx, id, t.To, by); err != nil {
		return r, NewSecret{}, err
	}
	secret, err := a.RotateKey(ctx, r.KeyID, RotateRequest{Overlap: t.Overlap}, by)
	return r, secret, err
}

func (a Actions) transferKey(ctx context.Context, id, to string, by By) (billing.LeaverReview, error) {
	r, err := a.leaverReview(ctx, id)
	if err := errors.Join(err, by.check()); err != nil {
		return r, err
	}
	people, err := a.Store.ListPrincipals(ctx)
	if err != nil {
		return r, err
	}
	i := slices.IndexFunc(people, func(p billing.Principal) bool {
		return to != "" && (p.ID == to || p.Name == to || strings.EqualFold(p.Email, to))
	})
	if i < 0 {
		return r, &billing.NotFoundError{What: "principal", ID: to}
	}
	heir := people[i]
	if why := left(heir, a.now()); why != "" || !heir.DisabledAt.IsZero() || heir.ID == r.PrincipalID {
		return r, invalid("to", "must be somebody who has not left: %s", cmp.Or(why, "is disabled, or the owner himself"))
	}
	note := a.note(by.step(), "key.transfer", string(r.KeyID))
	_, err = a.changeKey(ctx, r.KeyID, KeyChange{}, note, func(k *billing.Key) error {
		if err := notRevoked(k); err != nil {
			return err
		}
		k.OwnerID, k.Address = heir.ID, cmp.Or(heir.Email, k.Address)
		k.Purpose = strings.TrimSpace(k.Purpose)
		return nil
	})
	if err != nil {
		return r, err
	}
	return a.decided(ctx, r, billing.ReviewTransferred, by)
}

// KeepLeaverKey keeps a key going although its owner has left.
func (a Actions) KeepLeaverKey(ctx context.Context, id string, by By) (billing.LeaverReview, error) {
	r, err := a.leaverReview(ctx, id)
	if err := errors.Join(err, by.needsReason()); err != nil {
		return r, err
	}
	return a.decided(ctx, r, billing.ReviewKept, by)
}

// DisableLeaverKey disables a key whose owner has left before it is due.
func (a Actions) DisableLeaverKey(ctx context.Context, id string, by By) (billing.LeaverReview, error) {
	r, err := a.leaverReview(ctx, id)
	if err == nil {
		by.Reason = cmp.Or(by.Reason, "its owner has left")
		_, err = a.DisableKey(ctx, r.KeyID, Ending{}, by.step())
	}
	if err != nil {
		return r, err
	}
	return a.decided(ctx, r, billing.ReviewDisabled, by)
}

func (a Actions) decided(ctx context.Context, r billing.LeaverReview, outcome billing.ReviewOutcome, by By) (billing.LeaverReview, error) {
	if err := a.closeReview(ctx, r, outcome, by); err != nil {
		return r, err
	}
	list, err := a.Store.ListLeaverReviews(ctx, billing.ReviewFilter{ID: r.ID})
	if err != nil || len(list) == 0 {
		return r, fmt.Errorf("the review that was closed: %w", err)
	}
	return list[0], nil
}

// LeaverView is a review in JSON.
type LeaverView struct {
	ID        string  `json:"id"`
	Key       Named   `json:"key"`
	Team      Named   `json:"team"`
	Principal Named   `json:"principal"`
	Cause     string  `json:"cause"`
	OpenedAt  *string `json:"opened_at"`
	DueAt     *string `json:"due_at" doc:"When the key is disabled, unless somebody decides sooner."`
	Outcome   string  `json:"outcome" enum:"open,transferred,kept,disabled,returned,ended"`
	ClosedAt  *string `json:"closed_at"`
	ClosedBy  string  `json:"closed_by"`
}

// ViewLeaver converts a review to JSON form.
func ViewLeaver(r billing.LeaverReview) LeaverView {
	return LeaverView{
		ID: r.ID, Key: Named{string(r.KeyID), r.KeyName}, Team: Named{r.TeamID, r.Team}, Principal: Named{r.PrincipalID, r.Principal},
		Cause: r.Cause, OpenedAt: Instant(r.OpenedAt), DueAt: Instant(r.DueAt), Outcome: string(r.Outcome), ClosedAt: Instant(r.ClosedAt),
		ClosedBy: r.ClosedBy,
	}
}
