package admin

import (
	"context"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/manage"
	"tallyroute/billing/rbac"
	"tallyroute/router/admin/wire"
	"tallyroute/router/limit"
	"tallyroute/router/web"
)

// memberOperations are what team members do for themselves.
func memberOperations() []operation {
	return []operation{
		does("listOwnTeams", get, "/team", "The teams in which you may make keys, and what is left of their ceilings for you.",
			listOwnTeams),
		does("listOwnKeys", get, "/team/keys", "List your own keys.", listOwnKeys),
		does("createOwnKey", post, "/team/keys", "Make a key of your own. The secret is in this answer and nowhere else.", createOwnKey).
			createsOrFinds().byName(),
		does("getOwnKey", get, "/team/keys/:id", "A key of your own with every budget that binds it and what is used of it.", getOwnKey),
		does("narrowOwnKey", patch, "/team/keys/:id", "Restrict one of your own keys.", narrowOwnKey).versioned(),
		does("rotateOwnKey", post, "/team/keys/:id/rotate", "Give a key of your own a new secret; once under an Idempotency-Key.",
			rotateOwnKey).createsOrFinds().byName().afresh(),
		does("revokeOwnKey", post, "/team/keys/:id/revoke", "Revoke a key of your own for good. Doing it twice changes nothing.",
			endUse(manage.Actions.RevokeOwnKey)).versioned().urgently(),
		does("askRaise", post, "/team/keys/:id/raises", "Ask that the limits of a key of your own be higher for a time. It needs a reason.",
			askRaise).creates(),
		does("listOwnRaises", get, "/team/raises", "List what you have asked for, newest first.", listOwnRaises),
	}
}

// ceilingOperations are about what members may do.
func ceilingOperations() []operation {
	return []operation{
		does("getCeiling", get, "/teams/:id/ceiling", "How much each member of a team may make for himself.", getCeiling),
		does("setCeiling", put, "/teams/:id/ceiling", "Replace the ceiling of a team.", setCeiling),
		does("removeCeiling", remove, "/teams/:id/ceiling", "Have the members of a team make no more keys.", removeCeiling),
		does("listRaises", get, "/raises", "List raises that members ask for, newest first.", listRaises),
		does("approveRaise", post, "/raises/:id/approve", "Grant a raise that a member asks for.",
			decideRaise(manage.Actions.ApproveRaise)),
		does("declineRaise", post, "/raises/:id/decline", "Decline a raise that a member asks for.",
			decideRaise(manage.Actions.DeclineRaise)),
	}
}

func memberRules() map[string]rule {
	own, one := rule{rbac.KeysOwn, nil}, rule{rbac.KeysOwn, ofOwnKey}
	return map[string]rule{
		"listOwnTeams": own, "listOwnKeys": own, "createOwnKey": own, "listOwnRaises": own,
		"getOwnKey": one, "narrowOwnKey": one, "rotateOwnKey": one, "revokeOwnKey": one, "askRaise": one,
		"getCeiling":    {rbac.OwnersRead, ofTeam},
		"setCeiling":    {rbac.OwnersWrite, ofTeam},
		"removeCeiling": {rbac.OwnersWrite, ofTeam},
		"listRaises":    {rbac.BudgetsRead, nil},
		"approveRaise":  {rbac.BudgetsWrite, ofRaise},
		"declineRaise":  {rbac.BudgetsWrite, ofRaise},
	}
}

func ofOwnKey(x *exchange) (rbac.Place, error) {
	k, err := x.Actions.OwnKey(x.ctx(), billing.KeyID(x.C.Param("id")), x.by(""))
	return placeOf(k), err
}

func ofRaise(x *exchange) (rbac.Place, error) {
	return x.Actions.PlaceOfRaise(x.ctx(), x.C.Param("id"))
}

// OwnTeams are the teams of the caller.
type OwnTeams struct {
	Data []manage.OwnTeam `json:"data"`
}

func listOwnTeams(x *exchange, _ none) (OwnTeams, error) {
	list, err := x.Actions.OwnTeams(x.ctx(), x.by(""))
	return OwnTeams{list}, err
}

func listOwnKeys(x *exchange, in wire.Paging) (wire.Page[manage.KeyView], error) {
	all, err := x.Actions.OwnKeys(x.ctx(), x.by(""))
	if err != nil {
		return wire.Page[manage.KeyView]{}, err
	}
	return wire.Paged(in, all, x.viewKey, func(v manage.KeyView) string { return v.ID })
}

// ownAmounts are limits for each period of the ceiling.
type ownAmounts struct {
	USD      *wire.Amount `json:"usd" doc:"The most dollars per period of the ceiling."`
	Tokens   *int64       `json:"tokens" doc:"The same, in tokens."`
	Requests *int64       `json:"requests" doc:"The same, in requests."`
}

func (a ownAmounts) amounts() manage.Amounts {
	return manage.Amounts{Money: a.USD.Money(), Tokens: a.Tokens, Requests: a.Requests}
}

// newOwnKey is the body of createOwnKey.
type newOwnKey struct {
	ownAmounts
	Name         string           `json:"name" required:"true" doc:"Plain text of 1 to 100 bytes."`
	Team         string           `json:"team" doc:"Name or id; required for members of several teams."`
	Project      string           `json:"project" doc:"Name or id. Default: the default project."`
	Purpose      string           `json:"purpose" doc:"What it is for, in words."`
	Models       []string         `json:"models" doc:"The models that it may use; those of the ceiling by default."`
	AllowedCIDRs []wire.Addresses `json:"allowed_cidrs" doc:"The networks that it may be used from; all by default."`
	ExpiresIn    *wire.Duration   `json:"expires_in" doc:"How long it is valid. Default: as long as the ceiling allows."`
}

func prefixes(list []wire.Addresses) (ranges []netip.Prefix) {
	if list != nil {
		ranges = []netip.Prefix{} // an empty list differs from none
	}
	for _, a := range list {
		ranges = append(ranges, a.Prefix)
	}
	return ranges
}

// createOwnKey is POST /team/keys. A repeat under the same Idempotency-Key makes nothing new.
func createOwnKey(x *exchange, in newOwnKey) (CreatedKey, error) {
	r := manage.OwnKeyRequest{
		Name: in.Name, Team: in.Team, Project: in.Project, Purpose: in.Purpose, Models: in.Models, AllowedCIDRs: prefixes(in.AllowedCIDRs),
		Amounts: in.amounts(), Once: billing.Once{Name: x.C.GetHeader("Idempotency-Key"), Body: string(x.raw)},
	}
	if in.ExpiresIn != nil {
		r.Life = time.Duration(*in.ExpiresIn)
	}
	made, err := x.Actions.CreateOwnKey(x.ctx(), r, x.by(""))
	if err != nil {
		return CreatedKey{}, err
	}
	v := x.viewCreated(made.Key, madeOrFound[made.Existed])
	if secret := made.Secret.Reveal(); secret != "" {
		v.Secret, v.SecretShownOnce, v.Snippets = secret, true, snippets(x.BaseURL, &made.Key)
	}
	return v, nil
}

func getOwnKey(x *exchange, _ none) (manage.KeyView, error) {
	k, err := x.Actions.OwnKey(x.ctx(), billing.KeyID(x.param("id")), x.by(""))
	return x.viewBalanced(k, err)
}

// narrowing is the body of narrowOwnKey. Omitted members stay as they are.
type narrowing struct {
	ownAmounts
	Name         *string          `json:"name" doc:"Plain text of 1 to 100 bytes."`
	Purpose      *string          `json:"purpose"`
	Models       []string         `json:"models" doc:"The models to restrict it to, among those that it has."`
	AllowedCIDRs []wire.Addresses `json:"allowed_cidrs" doc:"The networks to restrict it to, within those that it has."`
	ExpiresIn    *wire.Duration   `json:"expires_in" doc:"Counted from now; it cannot be extended."`
	Reason       string           `json:"reason"`
}

func narrowOwnKey(x *exchange, in narrowing) (manage.KeyView, error) {
	n := manage.Narrowing{
		Name: in.Name, Purpose: in.Purpose, Models: in.Models, AllowedCIDRs: prefixes(in.AllowedCIDRs), Amounts: in.amounts(),
	}
	var err error
	if n.Version, err = x.seen(); err != nil {
		return manage.KeyView{}, err
	}
	if in.ExpiresIn != nil {
		n.ExpiresAt = x.Start.UTC().Add(time.Duration(*in.ExpiresIn)).Truncate(time.Second)
	}
	return viewed(x.viewTagged)(x.Actions.NarrowOwnKey(x.ctx(), billing.KeyID(x.param("id")), n, x.by(in.Reason)))
}

// rotateOwnKey is POST /team/keys/{id}/rotate.
func rotateOwnKey(x *exchange, in rotation) (RotatedKey, error) {
	return x.rotateBy(in, manage.Actions.RotateOwnKey)
}

// ask is the body of askRaise.
type ask struct {
	USD      *wire.Amount `json:"usd" doc:"The number of dollars to add."`
	Tokens   int64        `json:"tokens" doc:"The number of tokens to add."`
	Requests int64        `json:"requests" doc:"The number of requests to add."`
	Until    wire.Instant `json:"until" required:"true" doc:"When the limit is to return to its former value."`
	Reason   string       `json:"reason" required:"true"`
}

func askRaise(x *exchange, in ask) (manage.RaiseView, error) {
	by := billing.Amount{Tokens: in.Tokens, Requests: in.Requests}
	if money := in.USD.Money(); money != nil {
		by.Money = *money
	}
	r, err := x.Actions.AskRaise(x.ctx(), billing.KeyID(x.param("id")), by, in.Until.Time, x.by(in.Reason))
	x.status = http.StatusCreated
	return viewed(manage.ViewRaise)(r, err)
}

func listOwnRaises(x *exchange, in wire.Paging) (wire.Page[manage.RaiseView], error) {
	all, err := x.Actions.OwnRaises(x.ctx(), x.by(""))
	if err != nil {
		return wire.Page[manage.RaiseView]{}, err
	}
	return wire.PagedAsListed(in, all, manage.ViewRaise, raiseID)
}

func raiseID(r manage.RaiseView) string { return r.ID }

func getCeiling(x *exchange, _ none) (manage.CeilingView, error) {
	return viewed(manage.ViewCeiling)(x.Actions.Ceiling(x.ctx(), x.C.Param("id")))
}

// newCeiling is the body of setCeiling. Omitted members are not limited.
type newCeiling struct {
	rehearsal
	Keys      int64          `json:"keys" required:"true" doc:"The most keys in force that a member may have."`
	Period    string         `json:"period" enum:"minute,day,week,month,quarter,year,once" doc:"Period of the amounts; month by default."`
	Zone      string         `json:"zone" doc:"The time zone of its days, such as Europe/Berlin; UTC by default."`
	USD       *wire.Amount   `json:"usd" doc:"For all keys of one member together; null means no limit."`
	Tokens    *int64         `json:"tokens" doc:"The same, in tokens."`
	Requests  *int64         `json:"requests" doc:"The same, in requests."`
	ExpiresIn *wire.Duration `json:"expires_in" doc:"The longest life of a key; null means no bound."`
	Models    []string       `json:"models" doc:"Names, aliases, provider/* or @groups; null means all."`
	Reason    string         `json:"reason"`
}

func setCeiling(x *exchange, in newCeiling) (manage.CeilingView, error) {
	c := billing.Ceiling{
		Keys: in.Keys, Period: billing.Period(in.Period), Zone: in.Zone, Money: in.USD.Money(), Tokens: in.Tokens, Requests: in.Requests,
		Models: in.Models,
	}
	if in.ExpiresIn != nil {
		c.Life = time.Duration(*in.ExpiresIn)
	}
	return viewed(manage.ViewCeiling)(x.Actions.SetCeiling(x.ctx(), x.param("id"), c, x.by(in.Reason)))
}

func removeCeiling(x *exchange, in rehearsable) (Removed, error) {
	id := x.param("id")
	return Removed{id, true}, x.Actions.RemoveCeiling(x.ctx(), id, x.by(in.Reason))
}

// raiseFilter holds the parameters of listRaises.
type raiseFilter struct {
	wire.Paging
	Outcome string `json:"outcome" enum:"pending,approved,declined"`
}

func listRaises(x *exchange, in raiseFilter) (wire.Page[manage.RaiseView], error) {
	limit, err := in.Most()
	if err != nil {
		return wire.Page[manage.RaiseView]{}, err
	}
	all, err := x.Actions.Raises(x.ctx(), billing.RaiseFilter{
		Outcome: billing.RaiseOutcome(in.Outcome), Within: x.within(rbac.BudgetsRead), Before: in.Cursor, Limit: limit + 1,
	})
	return wire.Continued(all, limit, manage.ViewRaise, raiseID), err
}

// decideRaise runs the decision on a request, for callers who may change budgets in the key's
// place.
func decideRaise(
	do func(manage.Actions, context.Context, string, manage.By) (billing.RaiseRequest, error),
) func(*exchange, reasoned) (manage.RaiseView, error) {
	return func(x *exchange, in reasoned) (manage.RaiseView, error) {
		return viewed(manage.ViewRaise)(do(x.Actions, x.ctx(), x.param("id"), x.by(in.Reason)))
	}
}

// SelfService serves what team members do for themselves, and their logins, below /v1/team: it
// may be exposed to everyone. It accepts only a token or login sent as a bearer, never a
// cookie, so that no other site's page can act for a person whose browser opens it; and never
// the static token, which belongs to nobody.
func SelfService(o Options) http.Handler {
	o = o.withDefaults()
	if o.Login != nil {
		programs := *o.Login
		programs.URL = "" // browsers with cookies log in at the admin listener
		o.Login = &programs
	}
	listener := web.NewListener(web.Listener{
		Log: o.Log, Clock: o.Clock, Errors: errorTable, Limits: limits(),
	})
	s := &server{Options: o, listener: listener, wrong: limit.New(), rules: rules(), known: &seenTokens{}, members: true}
	engine := web.NewEngine()
	for _, op := range selfService() {
		engine.Handle(op.method, "/v1"+op.path, s.serve(operatorsOnly(op), op.takes))
	}
	engine.NoRoute(s.serve(func(*exchange) error { return web.ErrNoRoute }, requestTimeout))
	engine.NoMethod(s.serve(func(*exchange) error { return web.ErrNoMethod }, requestTimeout))
	return engine
}

// selfService returns the operations below /v1. Those for logins are at their usual paths, but
// below /team.
func selfService() []operation {
	list := memberOperations()
	for _, op := range append(loginOperations(), principalOperations()...) {
		if !strings.HasPrefix(op.path, "/login") && op.path != "/logout" && op.path != "/me" {
			continue
		}
		op.path = "/team" + op.path
		list = append(list, op)
	}
	return list
}

// leaverOperations are about keys whose owners have left.
func leaverOperations() []operation {
	return []operation{
		does("listLeavers", get, "/leavers", "List the keys of people who have left, and what was decided about them, newest first.",
			listLeavers),
		does("transferLeaverKey", post, "/leavers/:id/transfer", "Give the key to somebody else.", transferLeaverKey).afresh(),
		does("keepLeaverKey", post, "/leavers/:id/keep", "Let the key go on as it is. It needs a reason.",
			decideLeaver(manage.Actions.KeepLeaverKey)).afresh(),
		does("disableLeaverKey", post, "/leavers/:id/disable", "Disable the key before it is due.",
			decideLeaver(manage.Actions.DisableLeaverKey)).urgently(),
	}
}

func leaverRules() map[string]rule {
	return map[string]rule{
		"listLeavers":       {rbac.KeysRead, nil},
		"transferLeaverKey": {rbac.KeysWrite, ofLeaver},
		"keepLeaverKey":     {rbac.KeysWrite, ofLeaver},
		"disableLeaverKey":  {rbac.KeysRevoke, ofLeaver},
	}
}

func ofLeaver(x *exchange) (rbac.Place, error) {
	return x.Actions.PlaceOfLeaver(x.ctx(), x.C.Param("id"))
}

// leaverFilter holds the parameters of listLeavers.
type leaverFilter struct {
	wire.Paging
	Outcome string `json:"outcome" enum:"open,transferred,kept,disabled,returned,ended"`
}

func listLeavers(x *exchange, in leaverFilter) (wire.Page[manage.LeaverView], error) {
	limit, err := in.Most()
	if err != nil {
		return wire.Page[manage.LeaverView]{}, err
	}
	all, err := x.Actions.LeaverReviews(x.ctx(), billing.ReviewFilter{
		Outcome: billing.ReviewOutcome(in.Outcome), Within: x.within(rbac.KeysRead), Before: in.Cursor, Limit: limit + 1,
	})
	return wire.Continued(all, limit, manage.ViewLeaver, func(l manage.LeaverView) string { return l.ID }), err
}

// transfer is the body of transferLeaverKey.
type transfer struct {
	To      string     `json:"to" required:"true" doc:"The id, name or address of the new owner of the key."`
	Rotate  bool       `json:"rotate" doc:"Give the key a new secret, because the person who left knows the present one."`
	Overlap *wire.Span `json:"overlap" doc:"How long the old secret then stays valid; 0s by default, which ends it at once."`
	Reason  string     `json:"reason"`
}

// Transferred is the result of a review, with the new secret, if there is one.
type Transferred struct {
	manage.LeaverView
	Secret *string `json:"secret" doc:"Shown in this response only; null unless requested."`
}

func transferLeaverKey(x *exchange, in transfer) (Transferred, error) {
	t := manage.Transfer{To: in.To, Rotate: in.Rotate}
	if in.Overlap != nil {
		t.Overlap = time.Duration(*in.Overlap)
	}
	r, secret, err := x.Actions.TransferKey(x.ctx(), x.param("id"), t, x.by(in.Reason))
	v := Transferred{LeaverView: manage.ViewLeaver(r)}
	if text := secret.Secret.Reveal(); text != "" {
		v.Secret = &text
	}
	return v, err
}

func decideLeaver(
	do func(manage.Actions, context.Context, string, manage.By) (billing.LeaverReview, error),
) func(*exchange, reasoned) (manage.LeaverView, error) {
	return func(x *exchange, in reasoned) (manage.LeaverView, error) {
		return viewed(manage.ViewLeaver)(do(x.Actions, x.ctx(), x.param("id"), x.by(in.Reason)))
	}
}
