package manage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/access"
	"tallyroute/billing/governance"
)

// ReviewFacts are what the subject of a review item could do, and how it was used, when the
// review began.
type ReviewFacts struct {
	Name       string   `json:"name" doc:"The name of the key or principal."`
	Owner      string   `json:"owner" doc:"The address of the owner."`
	May        []string `json:"may" doc:"The models of a key, or the role and scope of a grant."`
	Since      *string  `json:"since" doc:"When counting of its use began."`
	LastUsedAt *string  `json:"last_used_at"`
	Used       []string `json:"used" doc:"The endpoints that a key called, or what a principal did, and how often."`
	ExpiresAt  *string  `json:"expires_at"`
}

// ReviewView is an access review in JSON.
type ReviewView struct {
	Number    int64   `json:"number"`
	Status    string  `json:"status" enum:"open,overdue,completed"`
	StartedAt *string `json:"started_at"`
	StartedBy string  `json:"started_by"`
	DueAt     *string `json:"due_at"`
	Items     int     `json:"items"`
	Open      int     `json:"open" doc:"The number of items without a decision."`
}

// ReviewItemView is an item of a review in JSON.
type ReviewItemView struct {
	Kind      billing.ReviewKind `json:"kind" enum:"key,grant"`
	Object    string             `json:"object"`
	Holder    string             `json:"holder" doc:"The key, or the principal."`
	Facts     ReviewFacts        `json:"facts"`
	Decision  *string            `json:"decision"`
	DecidedAt *string            `json:"decided_at"`
	DecidedBy *string            `json:"decided_by"`
	Reason    *string            `json:"reason"`
}

// ReviewWithItems is a review with its items.
type ReviewWithItems struct {
	ReviewView
	Data []ReviewItemView `json:"data"`
}

func viewReview(r billing.Review, now time.Time) ReviewView {
	v := ReviewView{
		Number: r.Number, Status: "open", StartedAt: Instant(r.StartedAt), StartedBy: r.StartedBy, DueAt: Instant(r.DueAt), Items: r.Items,
		Open: r.Open,
	}
	switch {
	case r.Open == 0:
		v.Status = "completed"
	case now.After(r.DueAt):
		v.Status = "overdue"
	}
	return v
}

func viewReviewItem(i billing.ReviewItem) ReviewItemView {
	v := ReviewItemView{
		Kind: i.Kind, Object: i.Object, Holder: i.Holder, Decision: TextOrNull(string(i.Decision)), DecidedAt: Instant(i.DecidedAt),
		DecidedBy: TextOrNull(i.DecidedBy), Reason: TextOrNull(i.Reason), Facts: ReviewFacts{May: []string{}, Used: []string{}},
	}
	_ = json.Unmarshal([]byte(i.Facts), &v.Facts) // as written by BeginReview
	return v
}

// ReviewList lists access reviews, newest first.
func (a Actions) ReviewList(ctx context.Context) ([]ReviewView, error) {
	all, err := a.Store.ListReviews(ctx)
	views := make([]ReviewView, len(all))
	for i, r := range all {
		views[i] = viewReview(r, a.now())
	}
	return views, err
}

// Review returns a review with its items.
func (a Actions) Review(ctx context.Context, number int64) (ReviewWithItems, error) {
	v := ReviewWithItems{Data: []ReviewItemView{}}
	all, err := a.Store.ListReviews(ctx)
	if err != nil {
		return v, err
	}
	i := slices.IndexFunc(all, func(r billing.Review) bool { return r.Number == number })
	if i < 0 {
		return v, &billing.NotFoundError{What: "review", ID: strconv.FormatInt(number, 10)}
	}
	v.ReviewView = viewReview(all[i], a.now())
	items, err := a.Store.ListReviewItems(ctx, number)
	for _, item := range items {
		v.Data = append(v.Data, viewReviewItem(item))
	}
	return v, err
}

// Defaults for reviews where no rule says otherwise.
const (
	reviewTakes = 14 * 24 * time.Hour
	reviewSees  = 90 * 24 * time.Hour // how far back the use of keys and grants is shown
)

// errReviewOpen refuses to start a review while another is open.
var errReviewOpen = &billing.ConflictError{Detail: "a review is open: complete it first"}

// BeginReview starts a review of all keys and grants in force.
func (a Actions) BeginReview(ctx context.Context, by By) (ReviewWithItems, error) {
	rules, _, err := a.rules(ctx)
	if err := errors.Join(err, by.check()); err != nil {
		return ReviewWithItems{}, err
	}
	all, err := a.Store.ListReviews(ctx)
	if err != nil {
		return ReviewWithItems{}, err
	}
	next := int64(1)
	if len(all) > 0 {
		if next = all[0].Number + 1; all[0].Open > 0 {
			return ReviewWithItems{}, errReviewOpen
		}
	}
	if err := a.beginReview(ctx, rules, next, by); err != nil {
		if errors.Is(err, billing.ErrDuplicate) {
			err = errReviewOpen
		}
		return ReviewWithItems{}, err
	}
	return a.Review(ctx, next)
}

// ReviewDue starts a review if the rules say that it is time, and reports whether it did;
// if there are several routers, only one does. Overdue reviews are reported as events, once
// a day.
func (a Actions) ReviewDue(ctx context.Context) (begun bool, err error) {
	rules, _, err := a.rules(ctx)
	if err != nil {
		return false, err
	}
	late, err := a.overdue(ctx)
	if err != nil {
		return false, err
	}
	if err := a.tellOverdue(ctx, late); err != nil {
		return false, err
	}
	every, _, ruled := rules.ReviewsEvery()
	if !ruled {
		return false, nil
	}
	all, err := a.Store.ListReviews(ctx)
	if err != nil {
		return false, err
	}
	next := int64(1)
	if len(all) > 0 {
		if next = all[0].Number + 1; all[0].Open > 0 || a.now().Before(all[0].StartedAt.Add(every)) {
			return false, nil
		}
	}
	err = a.beginReview(ctx, rules, next, By{Actor: "schedule", Reason: "the rules ask for a review every " + rules.Reviews.Every})
	if errors.Is(err, billing.ErrDuplicate) {
		return false, nil // started by another router
	}
	return err == nil, err
}

func (a Actions) beginReview(ctx context.Context, rules *governance.Rules, number int64, by By) error {
	since := a.now().Add(-reviewSees)
	items, err := a.keyItems(ctx, since)
	if err != nil {
		return err
	}
	grants, err := a.grantItems(ctx, since)
	if err != nil {
		return err
	}
	note := a.note(by, "review.begin", "review/"+strconv.FormatInt(number, 10))
	takes := reviewTakes
	if _, within, ruled := rules.ReviewsEvery(); ruled {
		takes = within
	}
	at := note.At.Truncate(time.Microsecond)
	items = append(items, grants...)
	note.Detail = map[string]string{"items": strconv.Itoa(len(items))}
	r := billing.Review{Number: number, StartedAt: at, DueAt: at.Add(takes), StartedBy: note.Actor}
	if err := a.Store.AddReview(ctx, r, items, note); err != nil {
		return err
	}
	return a.Store.WriteEvents(ctx, billing.Event{
		Kind: billing.EventGovernance, Object: note.Object, Severity: billing.Warning, At: at,
		Text: fmt.Sprintf("Review %d of access is open: %d keys and grants are to be kept, narrowed or revoked until %s.", number,
			len(items),
			r.DueAt.Format(time.RFC3339)),
		DedupID: "governance:" + note.Object, Data: map[string]string{"review": strconv.FormatInt(number, 10)},
	})
}

// keyItems returns the keys in force with their use.
func (a Actions) keyItems(ctx context.Context, since time.Time) (items []billing.ReviewItem, err error) {
	counts, err := a.Store.CountAccess(ctx, access.Query{Since: since}, access.ByKey, access.ByEndpoint)
	if err != nil {
		return nil, err
	}
	used := make(map[string][]string)
	for _, c := range counts {
		used[c.KeyID] = append(used[c.KeyID], fmt.Sprintf("%s %d×, %d refused", c.Endpoint, c.Requests, c.Refused))
	}
	err = a.eachKey(ctx, billing.KeyFilter{}, func(k *billing.Key) error {
		if !k.RevokedAt.IsZero() {
			return nil
		}
		f := ReviewFacts{
			Name: k.Name, Owner: k.Address, May: k.Models, Since: Instant(since), LastUsedAt: Instant(k.LastUsedAt),
			Used: used[string(k.ID)], ExpiresAt: Instant(k.ExpiresAt),
		}
		if len(f.May) == 0 {
			f.May = []string{"*"}
		}
		items = append(items, item(billing.ReviewKey, string(k.ID), string(k.ID), f))
		return nil
	})
	return items, err
}

func item(kind billing.ReviewKind, object, holder string, f ReviewFacts) billing.ReviewItem {
	if f.Used == nil {
		f.Used = []string{}
	}
	text, _ := json.Marshal(f) // contains only text
	return billing.ReviewItem{Kind: kind, Object: object, Holder: holder, Facts: string(text)}
}

// mostActs is how many audit log records are examined per principal.
const mostActs = 1000

// grantItems returns the grants in force with what their holders did.
func (a Actions) grantItems(ctx context.Context, since time.Time) (items []billing.ReviewItem, err error) {
	all, err := a.Store.ListPrincipals(ctx)
	if err != nil {
		return nil, err
	}
	for _, p := range all {
		if !p.DisabledAt.IsZero() || !slices.ContainsFunc(p.Grants, func(g billing.Grant) bool { return g.InForce(a.now()) }) {
			continue
		}
		did, err := a.did(ctx, p, since)
		if err != nil {
			return nil, err
		}
		last := p.LastSeenAt
		for _, t := range p.Tokens {
			if t.LastUsedAt.After(last) {
				last = t.LastUsedAt
			}
		}
		for _, g := range p.Grants {
			if !g.InForce(a.now()) {
				continue
			}
			may := g.Role + " of " + string(g.Scope)
			if g.Scope != billing.ScopeOrg {
				may += " " + g.ScopeID
			}
			items = append(items, item(billing.ReviewGrant, g.ID, p.ID, ReviewFacts{
				Name: p.Name, Owner: p.Email, May: []string{may}, Since: Instant(since), LastUsedAt: Instant(last), Used: did,
				ExpiresAt: Instant(g.ExpiresAt),
			}))
		}
	}
	return items, nil
}

// did returns what a principal did, according to the audit log.
func (a Actions) did(ctx context.Context, p billing.Principal, since time.Time) ([]string, error) {
	list, err := a.Store.ListChanges(ctx, billing.ChangeFilter{Actor: Actor(p), Since: since, Limit: mostActs})
	if err != nil {
		return nil, err
	}
	counts := make(map[string]int)
	denied := 0
	for _, c := range list {
		if strings.HasPrefix(c.Action, "deny.") {
			denied++
			continue
		}
		counts[c.Action]++
	}
	var did []string
	for _, action := range slices.Sorted(maps.Keys(counts)) {
		did = append(did, fmt.Sprintf("%s %d×", action, counts[action]))
	}
	if denied > 0 {
		did = append(did, fmt.Sprintf("%d refused", denied))
	}
	return did, nil
}

// overdue returns the reviews that should be complete by now.
func (a Actions) overdue(ctx context.Context) (late []billing.Review, err error) {
	if a.Store.Reviews == nil {
		return nil, nil
	}
	all, err := a.Store.ListReviews(ctx)
	for _, r := range all {
		if r.Open > 0 && a.now().After(r.DueAt) {
			late = append(late, r)
		}
	}
	return late, err
}

func (a Actions) tellOverdue(ctx context.Context, late []billing.Review) error {
	var events []billing.Event
	for _, r := range late {
		number := strconv.FormatInt(r.Number, 10)
		events = append(events, billing.Event{
			Kind: billing.EventGovernance, Object: "review/" + number, Severity: billing.Critical, At: a.now(),
			Text: fmt.Sprintf("Review %s of access was to be complete on %s, and %d items are open.", number,
				r.DueAt.Format(time.DateOnly), r.Open),
			DedupID: "governance:review/" + number + ":overdue:" + a.now().Format(time.DateOnly),
			Data:    map[string]string{"review": number, "open": strconv.Itoa(r.Open)},
		})
	}
	if len(events) == 0 {
		return nil
	}
	return a.Store.WriteEvents(ctx, events...)
}

func overdueFinding(r billing.Review) governance.Finding {
	object := "review/" + strconv.FormatInt(r.Number, 10)
	return governance.Finding{
		Rule: "reviews", Object: object, Field: object,
		Detail: fmt.Sprintf("it was to be complete on %s, and %d items are open", r.DueAt.Format(time.DateOnly), r.Open),
		Fix:    fmt.Sprintf("tallyroute reviews show %d, then tallyroute reviews decide %d …", r.Number, r.Number),
	}
}

// Decision is somebody's decision on an item of a review.
type Decision struct {
	Number   int64
	Kind     billing.ReviewKind
	Object   string
	Decision billing.Decision
	// What a narrowed key may still use; nil leaves it as it is.
	Models   []string
	Networks []netip.Prefix
	// Role is what a narrowed grant becomes, within the same scope.
	Role string
}

func (d Decision) check() error {
	narrows := len(d.Models) > 0 || len(d.Networks) > 0 || d.Role != ""
	switch {
	case d.Decision == billing.DecisionNarrow && d.Kind == billing.ReviewKey && len(d.Models) == 0 && len(d.Networks) == 0:
		return invalid("decision", "narrow needs models or networks that the key may still use")
	case d.Decision == billing.DecisionNarrow && d.Kind == billing.ReviewGrant && d.Role == "":
		return invalid("decision", "narrow needs the role that takes the place of the one that is granted")
	case d.Decision != billing.DecisionNarrow && narrows:
		return invalid("decision", "must be narrow where models, networks or a role are said")
	case !slices.Contains([]billing.Decision{billing.DecisionKeep, billing.DecisionNarrow, billing.DecisionRevoke}, d.Decision):
		return invalid("decision", "must be keep, narrow or revoke")
	}
	return nil
}

// Decide carries out a decision on a review item and records it. It needs a reason. The
// decision is carried out first: if recording it fails, deciding again is the right thing
// to do.
func (a Actions) Decide(ctx context.Context, d Decision, by By) (ReviewItemView, error) {
	if err := errors.Join(d.check(), by.needsReason()); err != nil {
		return ReviewItemView{}, err
	}
	items, err := a.Store.ListReviewItems(ctx, d.Number)
	if err != nil {
		return ReviewItemView{}, err
	}
	i := slices.IndexFunc(items, func(i billing.ReviewItem) bool { return i.Kind == d.Kind && i.Object == d.Object })
	if i < 0 {
		return ReviewItemView{}, &billing.NotFoundError{What: "review", ID: fmt.Sprintf("%d: %s", d.Number, d.Object)}
	}
	one := items[i]
	if one.Decision != "" {
		return ReviewItemView{}, billing.ReviewDecided(one.Object)
	}
	if err := a.carryOut(ctx, d, one, by.step()); err != nil {
		return ReviewItemView{}, err
	}
	note := a.note(by, "review.decide", d.Object)
	note.Detail = map[string]string{"review": strconv.FormatInt(d.Number, 10), "decision": string(d.Decision), "kind": string(d.Kind)}
	one.Decision, one.DecidedAt, one.DecidedBy, one.Reason = d.Decision, note.At.Truncate(time.Microsecond), note.Actor, note.Reason
	return viewReviewItem(one), a.Store.DecideReview(ctx, one, note)
}

func (a Actions) carryOut(ctx context.Context, d Decision, one billing.ReviewItem, by By) (err error) {
	if d.Decision == billing.DecisionKeep {
		return nil
	}
	if d.Kind == billing.ReviewKey {
		if d.Decision == billing.DecisionRevoke {
			_, err = a.RevokeKey(ctx, billing.KeyID(d.Object), Ending{}, by)
			return err
		}
		return a.narrowKey(ctx, d, by)
	}
	g, err := a.grantOf(ctx, one.Holder, d.Object)
	if err != nil || !g.EndedAt.IsZero() {
		return err // nothing to do if it has ended in the meantime
	}
	if d.Role != "" && d.Role != g.Role {
		r := GrantRequest{Role: d.Role, Scope: g.Scope, Of: g.ScopeID, ExpiresAt: g.ExpiresAt}
		if g.Scope == billing.ScopeOrg {
			r.Of = ""
		}
		if a.moreThan(g.Role, d.Role) {
			return invalid("role", "must be able to do less than %s", g.Role)
		}
		if _, err = a.Grant(ctx, one.Holder, r, by); err != nil && !errors.As(err, new(*billing.ConflictError)) {
			return err
		}
	}
	_, err = a.Revoke(ctx, one.Holder, d.Object, by)
	return err
}

// moreThan reports whether a role allows something that another one doesn't.
func (a Actions) moreThan(role, other string) bool {
	has := a.AllRoles()[role]
	for _, p := range a.AllRoles()[other] {
		if !slices.Contains(has, p) {
			return true
		}
	}
	return false
}

// narrowKey limits a key to some of its models and addresses.
func (a Actions) narrowKey(ctx context.Context, d Decision, by By) error {
	k, err := a.Key(ctx, billing.KeyID(d.Object))
	if err != nil {
		return err
	}
	for _, m := range d.Models {
		if !k.AllowsModel(m, a.groups()) {
			return invalid("models", "%q is nothing that the key may use now", m)
		}
	}
	for _, p := range d.Networks {
		if !k.AllowsNetwork(p) {
			return invalid("networks", "%s is nothing that the key may be used from now", p)
		}
	}
	_, err = a.ChangeKey(ctx, k.ID, KeyChange{Edit: func(k *billing.Key) {
		if len(d.Models) > 0 {
			k.Models = d.Models
		}
		if len(d.Networks) > 0 {
			k.AllowedCIDRs = d.Networks
		}
	}}, by)
	return err
}

func (a Actions) grantOf(ctx context.Context, principal, id string) (billing.Grant, error) {
	all, err := a.Store.ListPrincipals(ctx)
	for _, p := range all {
		for _, g := range p.Grants {
			if p.ID == principal && g.ID == id {
				return g, nil
			}
		}
	}
	if err == nil {
		err = &billing.NotFoundError{What: "grant", ID: id}
	}
	return billing.Grant{}, err
}
