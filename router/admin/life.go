package admin

import (
	"context"
	"net/http"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/manage"
	"tallyroute/billing/rbac"
	"tallyroute/router/admin/wire"
)

// foundSecret is the body of findKey.
type foundSecret struct {
	Secret string `json:"secret" required:"true" doc:"The text of the key. It is never returned or logged."`
	Reason string `json:"reason"`
}

// leakedSecret is the body of revokeSecret.
type leakedSecret struct {
	foundSecret
	rehearsal
}

// findKey is POST /keys/find: it returns the key that a secret belongs to.
func findKey(x *exchange, in foundSecret) (manage.KeyView, error) {
	key, err := x.found(in.Secret, rbac.KeysRead)
	if err != nil {
		return manage.KeyView{}, err
	}
	return x.viewKey(key), nil
}

// found returns the key that a secret belongs to if the caller has the given permission for it.
func (x *exchange) found(secret string, p rbac.Permission) (billing.Key, error) {
	key, err := x.Actions.FindKey(x.ctx(), secret)
	if err != nil {
		return key, err
	}
	return key, x.needs(p, placeOf(key), &billing.NotFoundError{What: "key", ID: key.Display})
}

// revokeSecret is POST /keys/revoke: it revokes the key whose secret leaked.
func revokeSecret(x *exchange, in leakedSecret) (manage.KeyView, error) {
	key, err := x.found(in.Secret, rbac.KeysRevoke)
	if err != nil {
		return manage.KeyView{}, err
	}
	x.subject = string(key.ID)
	if key, err = x.Actions.RevokeKey(x.ctx(), key.ID, manage.Ending{}, x.by(in.Reason)); err != nil {
		return manage.KeyView{}, err
	}
	return x.viewKey(key), nil
}

// rotation is the body of rotateKey.
type rotation struct {
	rehearsal
	Overlap     *wire.Span     `json:"overlap" doc:"How long the old secret stays valid; 24h by default; 0s ends it at once."`
	UntilUnused *wire.Duration `json:"until_unused" doc:"Alternatively, the old secret ends once it has not been used for this long."`
	Reason      string         `json:"reason"`
}

// RotatedKey is a key with its new secret.
type RotatedKey struct {
	manage.KeyView
	SecretVersion int     `json:"secret_version"`
	Secret        *string `json:"secret" doc:"Null if it was created too long ago to be shown again."`
}

// rotateKey is POST /keys/{id}/rotate. A repeat under the same Idempotency-Key changes nothing
// and shows the same secret.
func rotateKey(x *exchange, in rotation) (RotatedKey, error) {
	return x.rotateBy(in, manage.Actions.RotateKey)
}

func (x *exchange) rotateBy(
	in rotation, rotate func(manage.Actions, context.Context, billing.KeyID, manage.RotateRequest, manage.By) (manage.NewSecret, error),
) (RotatedKey, error) {
	if in.Overlap != nil && in.UntilUnused != nil {
		return RotatedKey{}, wire.Invalid("until_unused", "cannot be combined with overlap")
	}
	r := manage.RotateRequest{Overlap: manage.DefaultOverlap, Once: x.C.GetHeader("Idempotency-Key")}
	if in.Overlap != nil {
		r.Overlap = time.Duration(*in.Overlap)
	}
	if in.UntilUnused != nil {
		r.UntilUnused = time.Duration(*in.UntilUnused)
	}
	done, err := rotate(x.Actions, x.ctx(), billing.KeyID(x.param("id")), r, x.by(in.Reason))
	if err != nil {
		return RotatedKey{}, err
	}
	v := RotatedKey{KeyView: x.viewKey(done.Key), SecretVersion: done.Number}
	if secret := done.Secret.Reveal(); secret != "" {
		v.Secret = &secret
	}
	x.status = madeOrFound[done.Existed]
	return v, nil
}

// KeyVersions are the secrets that a key has had, newest first.
type KeyVersions struct {
	Data             []manage.VersionView `json:"data"`
	PendingHandovers int                  `json:"pending_handovers"`
}

// listVersions is GET /keys/{id}/versions.
func listVersions(x *exchange, _ none) (KeyVersions, error) {
	key, err := x.Actions.Key(x.ctx(), billing.KeyID(x.C.Param("id")))
	if err != nil {
		return KeyVersions{}, err
	}
	versions, pending, err := x.Actions.Versions(x.ctx(), key.ID)
	return KeyVersions{manage.ViewVersions(versions, x.Start), len(pending)}, err
}

// handover is the body of handOverKey.
type handover struct {
	For     *wire.Duration `json:"for" doc:"How long the link is valid; 24h by default."`
	Overlap *wire.Span     `json:"overlap" doc:"How long the old secret stays valid once the link was opened; 24h by default."`
	Reason  string         `json:"reason"`
}

// Handover is a link that shows a new secret once.
type Handover struct {
	Path      string  `json:"path" doc:"The path on the public listener to which the token is sent with POST, in a JSON object."`
	Token     string  `json:"token"`
	ExpiresAt *string `json:"expires_at"`
}

func viewHandover(t manage.HandoverToken) Handover {
	return Handover{"/handover", t.Token, manage.Instant(t.ExpiresAt)}
}

// handOverKey is POST /keys/{id}/hand-over.
func handOverKey(x *exchange, in handover) (Handover, error) {
	life, overlap := manage.DefaultHandover, manage.DefaultOverlap
	if in.For != nil {
		life = time.Duration(*in.For)
	}
	if in.Overlap != nil {
		overlap = time.Duration(*in.Overlap)
	}
	token, err := x.Actions.HandOver(x.ctx(), billing.KeyID(x.param("id")), life, overlap, x.by(in.Reason))
	x.status = http.StatusCreated
	return viewHandover(token), err
}

// deliver is the body of deliverKey.
type deliver struct {
	Sink    string     `json:"sink" required:"true" doc:"Its name in the configuration of the router."`
	Place   string     `json:"place" doc:"The place in the sink: a file, a Secret and its member, or a text for a webhook."`
	Overlap *wire.Span `json:"overlap" doc:"How long the old secret stays valid after a new one was delivered; 24h by default."`
	Reason  string     `json:"reason"`
}

// deliverKey is PUT /keys/{id}/sink: a new secret is delivered soon, and whenever one is due.
func deliverKey(x *exchange, in deliver) (manage.DeliveryView, error) {
	r := manage.DeliverRequest{Sink: in.Sink, Place: in.Place, Overlap: manage.DefaultOverlap}
	if in.Overlap != nil {
		r.Overlap = time.Duration(*in.Overlap)
	}
	k, err := x.Actions.DeliverKey(x.ctx(), billing.KeyID(x.param("id")), r, x.by(in.Reason))
	return manage.ViewDelivery(billing.Delivery{KeyID: k.ID, Sink: r.Sink, Place: r.Place, Overlap: r.Overlap}), err
}

// undeliverKey is DELETE /keys/{id}/sink: the copy is deleted soon.
func undeliverKey(x *exchange, in rehearsable) (Removed, error) {
	id := x.param("id")
	return Removed{id, true}, x.Actions.UndeliverKey(x.ctx(), billing.KeyID(id), x.by(in.Reason))
}

// listSinks is GET /sinks: where the secrets of keys are delivered, and what has failed.
func listSinks(x *exchange, in wire.Paging) (wire.Page[manage.DeliveryView], error) {
	all, err := x.Actions.Deliveries(x.ctx(), "")
	if err != nil {
		return wire.Page[manage.DeliveryView]{}, err
	}
	return wire.Paged(in, all, manage.ViewDelivery, func(v manage.DeliveryView) string { return v.KeyID })
}

// topUp is the body of topUpKey.
type topUp struct {
	rehearsal
	USD       wire.Amount `json:"usd" required:"true"`
	Reference string      `json:"reference" required:"true" doc:"The reference of the order or payment. Repeating one changes nothing."`
	Reason    string      `json:"reason"`
}

// topUpKey is POST /keys/{id}/top-up.
func topUpKey(x *exchange, in topUp) (manage.BudgetView, error) {
	return x.named(viewed(x.viewBalance)(x.Actions.TopUp(x.ctx(), billing.KeyID(x.param("id")), billing.Money(in.USD), in.Reference,
		x.by(in.Reason))))
}

// tagged is viewed with an ETag that If-Match can refer to.
func tagged[T, V any](x *exchange, show func(T) V) func(T, error) (V, error) {
	return viewed(func(t T) V {
		v := show(t)
		x.C.Header("ETag", `"`+manage.Tag(v)+`"`)
		return v
	})
}

// getTeam is GET /teams/{id}, by id or name.
func getTeam(x *exchange, _ none) (manage.TeamView, error) {
	return tagged(x, manage.ViewTeam)(x.Actions.Team(x.ctx(), x.C.Param("id")))
}

// getProject is GET /projects/{id}.
func getProject(x *exchange, _ none) (manage.ProjectView, error) {
	return tagged(x, manage.ViewProject)(x.Actions.Project(x.ctx(), x.C.Param("id")))
}

// getBudget is GET /budgets/{id}: the budget as it was set, and its usage.
func getBudget(x *exchange, _ none) (manage.BudgetView, error) {
	b, err := x.Actions.Budget(x.ctx(), x.C.Param("id"))
	v, err := x.named(tagged(x, manage.ViewBudget)(b, err))
	if err != nil {
		return v, err
	}
	balances, err := x.Actions.BalancesOf(x.ctx(), []billing.Budget{b})
	for _, now := range balances {
		v.Standing = x.viewBalance(now).Standing
	}
	return v, err
}

// teamChange is the body of changeTeam.
type teamChange struct {
	rehearsal
	Name       *string `json:"name"`
	CostCenter *string `json:"cost_center" doc:"Rows that are already booked keep theirs."`
	OwnerEmail *string `json:"owner_email"`
	Reason     string  `json:"reason"`
}

// changeTeam is PATCH /teams/{id}, by id or name.
func changeTeam(x *exchange, in teamChange) (manage.TeamView, error) {
	return tagged(x, manage.ViewTeam)(x.Actions.ChangeTeam(x.ctx(), x.param("id"), manage.OwnerChange{
		Name: in.Name, CostCenter: in.CostCenter, Address: in.OwnerEmail,
	}, x.by(in.Reason)))
}

// archiveTeam is POST /teams/{id}/archive.
func archiveTeam(x *exchange, in rehearsable) (manage.TeamView, error) {
	return tagged(x, manage.ViewTeam)(x.Actions.ArchiveTeam(x.ctx(), x.param("id"), x.by(in.Reason)))
}

// projectChange is the body of changeProject.
type projectChange struct {
	rehearsal
	Name      *string `json:"name"`
	Team      *string `json:"team" doc:"The name or id of the team that it moves to. Rows that are already booked stay with the old one."`
	DataClass *string `json:"data_class" doc:"The class of the data in its requests, such as confidential; empty means unknown."`
	Reason    string  `json:"reason"`
}

// changeProject is PATCH /projects/{id}.
func changeProject(x *exchange, in projectChange) (manage.ProjectView, error) {
	if in.Team != nil {
		if err := x.needsScope(rbac.OwnersWrite, *in.Team, ""); err != nil {
			return manage.ProjectView{}, err
		}
	}
	if in.DataClass != nil { // which providers may be asked depends on it: no team decides that alone
		if err := x.needs(rbac.OwnersWrite, rbac.Place{}, nil); err != nil {
			return manage.ProjectView{}, err
		}
	}
	change := manage.OwnerChange{Name: in.Name, Team: in.Team, DataClass: in.DataClass}
	return tagged(x, manage.ViewProject)(x.Actions.ChangeProject(x.ctx(), x.param("id"), change, x.by(in.Reason)))
}

// archiveProject is POST /projects/{id}/archive.
func archiveProject(x *exchange, in rehearsable) (manage.ProjectView, error) {
	return tagged(x, manage.ViewProject)(x.Actions.ArchiveProject(x.ctx(), x.param("id"), x.by(in.Reason)))
}

// budgetChange is the body of changeBudget.
type budgetChange struct {
	rehearsal
	Period     wire.Member[string]       `json:"period"`
	Zone       wire.Member[string]       `json:"zone"`
	USD        wire.Member[*wire.Amount] `json:"usd" doc:"Null means no limit in money."`
	Tokens     wire.Member[*int64]       `json:"tokens" doc:"Null means no limit in tokens."`
	Requests   wire.Member[*int64]       `json:"requests" doc:"Null means no limit in requests."`
	Starts     string                    `json:"starts" doc:"The first day of the fiscal year as MM-DD; 01-01 for the calendar year."`
	Action     string                    `json:"action" enum:"block,downgrade,alert"`
	Thresholds thresholds                `json:"thresholds" doc:"The percentages that cause an alert; null means 50, 80 and 100."`
	Reason     string                    `json:"reason"`
}

// changeBudget is PATCH /budgets/{id}: only the members present are changed.
func changeBudget(x *exchange, in budgetChange) (manage.BudgetView, error) {
	for name, m := range map[string]wire.Member[string]{"period": in.Period, "zone": in.Zone} {
		if m.There && m.Value == "" {
			return manage.BudgetView{}, wire.Invalid(name, "must not be empty")
		}
	}
	return x.named(tagged(x, manage.ViewBudget)(x.Actions.ChangeBudget(x.ctx(), x.param("id"), manage.BudgetChange{
		Budget: billing.Budget{
			Period: billing.Period(in.Period.Value), Zone: in.Zone.Value, Tokens: in.Tokens.Value, Money: in.USD.Value.Money(),
			Requests: in.Requests.Value, Starts: in.Starts, Action: billing.Action(in.Action), Thresholds: in.Thresholds,
		},
		NoRequests: in.Requests.There && in.Requests.Value == nil,
		NoMoney:    in.USD.There && in.USD.Value == nil, NoTokens: in.Tokens.There && in.Tokens.Value == nil,
	}, x.by(in.Reason))))
}

// Removed names what was removed.
type Removed struct {
	ID      string `json:"id"`
	Removed bool   `json:"removed"`
}

// removeBudget is DELETE /budgets/{id}. The reason is in the query.
func removeBudget(x *exchange, in rehearsable) (Removed, error) {
	id := x.param("id")
	return Removed{id, true}, x.Actions.RemoveBudget(x.ctx(), id, x.by(in.Reason))
}

// resetBudget is POST /budgets/{id}/reset.
func resetBudget(x *exchange, in rehearsable) (manage.BudgetView, error) {
	return x.named(viewed(x.viewBalance)(x.Actions.ResetBudget(x.ctx(), x.param("id"), x.by(in.Reason))))
}

// anomalyOperations are about unusual use of keys.
func anomalyOperations() []operation {
	return []operation{
		does("listAnomalies", get, "/anomalies", "List what was unusual about the use of keys, newest first.", listAnomalies),
		does("getKeyUsual", get, "/keys/:id/usual", "What is usual of a key at this hour, and what it was seen with.", getKeyUsual),
	}
}

func anomalyRules() map[string]rule {
	return map[string]rule{
		"listAnomalies": {rbac.EventsRead, organisation},
		"getKeyUsual":   {rbac.KeysRead, ofKey},
	}
}

// anomalyFilter holds the parameters of listAnomalies.
type anomalyFilter struct {
	KeyID  string        `json:"key_id"`
	Since  *wire.Instant `json:"since"`
	Limit  *int          `json:"limit" doc:"The maximum number returned: 1 to 1000; 200 by default."`
	Cursor string        `json:"cursor" doc:"The next_cursor of the previous page."`
}

// listAnomalies is GET /anomalies.
func listAnomalies(x *exchange, in anomalyFilter) (wire.Page[manage.EventView], error) {
	return listEvents(x, eventFilter{Kind: billing.EventAnomaly, Object: in.KeyID, Since: in.Since, Limit: in.Limit, Cursor: in.Cursor})
}

// getKeyUsual is GET /keys/{id}/usual.
func getKeyUsual(x *exchange, _ none) (manage.UsualView, error) {
	u, err := x.Actions.Usual(x.ctx(), billing.KeyID(x.param("id")))
	return manage.ViewUsual(u), err
}
