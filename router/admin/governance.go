package admin

import (
	"net/http"
	"net/netip"
	"strconv"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/governance"
	"tallyroute/billing/manage"
	"tallyroute/billing/rbac"
	"tallyroute/router/admin/wire"
)

// governanceOperations are about the organisation's rules for keys, and reviews of access.
func governanceOperations() []operation {
	return []operation{
		does("getRules", get, "/governance", "The organisation's rules for keys that are in force.", getRules),
		does("setRules", put, "/governance", "Put rules in force as a new version, and tell everybody who answers for keys.", setRules).
			slowly().afresh(),
		does("listRuleVersions", get, "/governance/versions", "Every version of the rules, newest first.", listRuleVersions),
		does("getGovernanceReport", get, "/governance/report", "Everything that breaks the rules, with a fix for each.",
			getGovernanceReport).slowly(),
		does("getGovernanceDocument", get, "/governance/document", "The key-management policy, as Markdown.",
			getGovernanceDocument).slowly(),
		does("listAcknowledgements", get, "/governance/acknowledgements", "Who has taken note of the rules in force, and who has not.",
			listAcknowledgements),
		does("acknowledgeRules", post, "/governance/acknowledgements", "Record that somebody has taken note of the rules.",
			acknowledgeRules),
		does("listReviews", get, "/reviews", "List reviews of access, newest first.", listReviews),
		does("beginReview", post, "/reviews", "Begin a review of all keys and grants now.", beginReview).creates().slowly(),
		does("getReview", get, "/reviews/:id", "A review with its items: what each may do, and how it was used.", getReview),
		does("decideReview", post, "/reviews/:id/decide", "Keep, narrow or revoke one item of a review.", decideReview).afresh(),
	}
}

func governanceRules() map[string]rule {
	return map[string]rule{
		"getRules":              {rbac.GovernanceRead, organisation},
		"setRules":              {rbac.GovernanceWrite, organisation},
		"listRuleVersions":      {rbac.GovernanceRead, organisation},
		"getGovernanceReport":   {rbac.GovernanceRead, organisation},
		"getGovernanceDocument": {rbac.GovernanceRead, organisation},
		"listAcknowledgements":  {rbac.GovernanceRead, organisation},
		"acknowledgeRules":      {rbac.Any, nil},
		"listReviews":           {rbac.GovernanceRead, organisation},
		"beginReview":           {rbac.GovernanceWrite, organisation},
		"getReview":             {rbac.GovernanceRead, organisation},
		"decideReview":          {rbac.GovernanceWrite, organisation},
	}
}

func getRules(x *exchange, _ none) (manage.RulesView, error) { return x.Actions.Rules(x.ctx()) }

// rulesChange is the body of setRules.
type rulesChange struct {
	Rules    governance.Rules `json:"rules" required:"true" doc:"They replace those in force. Anything left out is not a rule."`
	Replaces int64            `json:"replaces" doc:"The version that these are based on; any other is a conflict."`
	DryRun   bool             `json:"dry_run" doc:"Only report what would break the rules."`
	Reason   string           `json:"reason" required:"true"`
}

// setRules is PUT /governance.
func setRules(x *exchange, in rulesChange) (manage.RulesSet, error) {
	c := manage.RulesChange{Rules: in.Rules, Replaces: in.Replaces, DryRun: in.DryRun}
	set, err := x.Actions.SetRules(x.ctx(), c, x.by(in.Reason))
	x.subject = "rules/" + strconv.FormatInt(set.Version, 10)
	return set, err
}

// listRuleVersions is GET /governance/versions.
func listRuleVersions(x *exchange, _ none) (wire.Page[manage.RulesView], error) {
	all, err := x.Actions.RuleVersions(x.ctx())
	return wire.ListOf(all, itself[manage.RulesView]), err
}

// itself is the view of a value that already is a view.
func itself[V any](v V) V { return v }

func getGovernanceReport(x *exchange, _ none) (manage.GovernanceReport, error) {
	return x.Actions.GovernanceReport(x.ctx())
}

// Document is a text for human readers.
type Document struct {
	Markdown string `json:"markdown"`
}

func getGovernanceDocument(x *exchange, _ none) (Document, error) {
	text, err := x.Actions.GovernanceDocument(x.ctx())
	return Document{text}, err
}

func listAcknowledgements(x *exchange, _ none) (manage.AcknowledgementsView, error) {
	return x.Actions.Acknowledgements(x.ctx())
}

// acknowledgement is the body of acknowledgeRules.
type acknowledgement struct {
	Version int64  `json:"version" doc:"Default: the version in force."`
	Owner   string `json:"owner" doc:"The address of the person who acknowledges them. Default: your own."`
	Reason  string `json:"reason"`
}

// acknowledgeRules is POST /governance/acknowledgements: for oneself, or for somebody else if
// the caller may set rules.
func acknowledgeRules(x *exchange, in acknowledgement) (manage.AcknowledgementsView, error) {
	own, err := x.Actions.AddressOf(x.ctx(), x.principal.ID)
	if err != nil {
		return manage.AcknowledgementsView{}, err
	}
	if in.Owner == "" {
		in.Owner = own
	}
	if in.Owner != own || own == "" {
		if err := x.needs(rbac.GovernanceWrite, rbac.Place{}, nil); err != nil {
			return manage.AcknowledgementsView{}, err
		}
	}
	return x.Actions.Acknowledge(x.ctx(), in.Version, in.Owner, x.by(in.Reason))
}

// listReviews is GET /reviews.
func listReviews(x *exchange, in wire.Paging) (wire.Page[manage.ReviewView], error) {
	all, err := x.Actions.ReviewList(x.ctx())
	if err != nil {
		return wire.Page[manage.ReviewView]{}, err
	}
	return wire.PagedAsListed(in, all, itself[manage.ReviewView],
		func(r manage.ReviewView) string { return strconv.FormatInt(r.Number, 10) })
}

// beginReview is POST /reviews.
func beginReview(x *exchange, in reasoned) (manage.ReviewWithItems, error) {
	r, err := x.Actions.BeginReview(x.ctx(), x.by(in.Reason))
	x.subject, x.status = "review/"+strconv.FormatInt(r.Number, 10), http.StatusCreated
	return r, err
}

// getReview is GET /reviews/{id}.
func getReview(x *exchange, _ none) (manage.ReviewWithItems, error) {
	number, err := x.reviewNumber()
	if err == nil {
		err = x.maySeeUse()
	}
	if err != nil {
		return manage.ReviewWithItems{}, err
	}
	return x.Actions.Review(x.ctx(), number)
}

// maySeeUse requires the permissions for the data that the items of a review contain: the
// principals, what they did, and how keys were used. Those who sign off reviews see them.
func (x *exchange) maySeeUse() error {
	if x.access.May(rbac.GovernanceWrite, rbac.Place{}) {
		return nil
	}
	for _, p := range []rbac.Permission{rbac.PrincipalsRead, rbac.AuditRead, rbac.AccessRead} {
		if err := x.needs(p, rbac.Place{}, nil); err != nil {
			return err
		}
	}
	return nil
}

func (x *exchange) reviewNumber() (int64, error) {
	id := x.param("id")
	number, err := strconv.ParseInt(id, 10, 64)
	if err != nil {
		return 0, &billing.NotFoundError{What: "review", ID: id}
	}
	return number, nil
}

// decision is the body of decideReview.
type decision struct {
	Kind     string   `json:"kind" required:"true" enum:"key,grant"`
	Object   string   `json:"object" required:"true" doc:"The id of the key or of the grant."`
	Decision string   `json:"decision" required:"true" enum:"keep,narrow,revoke"`
	Reason   string   `json:"reason" required:"true"`
	Models   []string `json:"models" doc:"The models that a narrowed key may still request."`
	Networks []string `json:"networks" doc:"The networks from which a narrowed key may still be used."`
	Role     string   `json:"role" doc:"The role that a narrowed grant gives instead."`
}

// decideReview is POST /reviews/{id}/decide.
func decideReview(x *exchange, in decision) (manage.ReviewItemView, error) {
	number, err := x.reviewNumber()
	if err != nil {
		return manage.ReviewItemView{}, err
	}
	d := manage.Decision{
		Number: number, Kind: billing.ReviewKind(in.Kind), Object: in.Object, Decision: billing.Decision(in.Decision), Models: in.Models,
		Role: in.Role,
	}
	for _, text := range in.Networks {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return manage.ReviewItemView{}, wire.Invalid("networks", "must be address ranges such as 10.0.0.0/8")
		}
		d.Networks = append(d.Networks, p.Masked())
	}
	if err := x.mayDecide(d); err != nil {
		return manage.ReviewItemView{}, err
	}
	x.subject = wire.Shorten(in.Object)
	return x.Actions.Decide(x.ctx(), d, x.by(in.Reason))
}

// mayDecide requires the permission for what the decision does: signing off reviews does not
// let anyone do more than they could do otherwise.
func (x *exchange) mayDecide(d manage.Decision) error {
	switch {
	case d.Decision == billing.DecisionKeep:
		return nil
	case d.Kind == billing.ReviewGrant:
		return x.needs(rbac.PrincipalsWrite, rbac.Place{}, nil)
	case d.Decision == billing.DecisionRevoke:
		return x.needs(rbac.KeysRevoke, rbac.Place{}, nil)
	}
	// To narrow a key is to end some of its use; anyone who may end all of it may do that, too.
	if x.access.May(rbac.KeysRevoke, rbac.Place{}) {
		return nil
	}
	return x.needs(rbac.KeysWrite, rbac.Place{}, nil)
}

// alertOperations are about the alerts that are sent.
func alertOperations() []operation {
	return []operation{
		does("listAlerts", get, "/alerts", "List alerts and whether they arrived, newest first.", listAlerts),
		does("replayAlert", post, "/alerts/:id/replay", "Send an alert again, to one channel or to all that it went to.",
			replayAlert).afresh(),
		does("testChannel", post, "/alerts/test", "Send a test to a channel, at once.", testChannel).afresh(),
	}
}

func alertRules() map[string]rule {
	return map[string]rule{
		"listAlerts":  {rbac.EventsRead, organisation},
		"replayAlert": {rbac.AlertsWrite, organisation},
		"testChannel": {rbac.AlertsWrite, organisation},
	}
}

// alertFilter holds the parameters of listAlerts.
type alertFilter struct {
	Kind   string `json:"kind" doc:"Such as limit."`
	Object string `json:"object" doc:"The id or name of what they are about."`
	Status string `json:"status" enum:"pending,failing,delivered,dead" doc:"The status of one of their notices."`
	Since  string `json:"since" doc:"An instant such as 2026-11-01T00:00:00Z."`
	Limit  *int   `json:"limit" doc:"The maximum number returned: 1 to 1000; 100 by default."`
	Cursor string `json:"cursor" doc:"The next_cursor of the previous page."`
}

// mostAlerts is the default length of a page.
const mostAlerts = 100

// listAlerts is GET /alerts.
func listAlerts(x *exchange, in alertFilter) (wire.Page[manage.AlertView], error) {
	f := billing.AlertFilter{
		Kind: billing.AlertKind(in.Kind), Object: in.Object, Status: billing.NoticeStatus(in.Status),
	}
	limit := mostAlerts
	if in.Limit != nil {
		if limit = *in.Limit; limit < 1 || limit > mostEvents {
			return wire.Page[manage.AlertView]{}, wire.Invalid("limit", "must be between 1 and %d", mostEvents)
		}
	}
	f.Before, f.Limit = in.Cursor, limit+1
	if in.Since != "" {
		var err error
		if f.Since, err = time.Parse(time.RFC3339, in.Since); err != nil {
			return wire.Page[manage.AlertView]{}, wire.Invalid("since", "must be an instant such as 2026-11-01T00:00:00Z")
		}
	}
	all, err := x.Actions.Alerts(x.ctx(), f)
	return wire.Continued(all, limit, manage.ViewAlert, func(a manage.AlertView) string { return a.ID }), err
}

// replay is the body of replayAlert.
type replay struct {
	Channel string `json:"channel" doc:"Default: every channel that it went to."`
	Reason  string `json:"reason"`
}

// replayAlert is POST /alerts/{id}/replay.
func replayAlert(x *exchange, in replay) (manage.AlertView, error) {
	r, err := x.Actions.ReplayAlert(x.ctx(), x.param("id"), in.Channel, x.by(in.Reason))
	return manage.ViewAlert(r), err
}

// channelTest is the body of testChannel.
type channelTest struct {
	Channel string `json:"channel" required:"true" doc:"The name of a channel in the configuration."`
	Reason  string `json:"reason"`
}

// testChannel is POST /alerts/test.
func testChannel(x *exchange, in channelTest) (manage.AlertView, error) {
	x.subject = wire.Shorten(in.Channel)
	sent, err := x.Actions.TestChannel(x.ctx(), in.Channel, x.by(in.Reason))
	return manage.ViewAlert(billing.AlertRecord{Alert: sent}), err
}

// incidentOperations are about keys that have leaked.
func incidentOperations() []operation {
	return []operation{
		does("openIncident", post, "/incidents", "End or narrow the use of a key in wrong hands, and seal what it did.", openIncident).
			creates().slowly(),
		does("listIncidents", get, "/incidents", "List incidents, newest first, without their bundles.", listIncidents),
		does("getIncident", get, "/incidents/:id", "An incident with what was sealed.", getIncident),
		does("closeIncident", post, "/incidents/:id/close", "Close an incident. The reason is its outcome.", closeIncident),
	}
}

func incidentRules() map[string]rule {
	return map[string]rule{
		"openIncident":  {rbac.KeysRevoke, organisation},
		"listIncidents": {rbac.AccessRead, organisation},
		"getIncident":   {rbac.AccessRead, organisation},
		"closeIncident": {rbac.KeysRevoke, organisation},
	}
}

// opening is the body of openIncident.
type opening struct {
	KeyID    billing.KeyID `json:"key_id" required:"true"`
	Action   string        `json:"action" required:"true" enum:"revoke,disable,narrow"`
	Networks []string      `json:"networks" doc:"The networks from which a narrowed key may still be used."`
	Since    *wire.Instant `json:"since" doc:"When its use became doubtful; a week ago by default."`
	Reason   string        `json:"reason" required:"true"`
}

// openIncident is POST /incidents.
func openIncident(x *exchange, in opening) (manage.IncidentView, error) {
	x.subject = wire.Shorten(string(in.KeyID))
	r := manage.IncidentRequest{KeyID: in.KeyID, Action: billing.IncidentAction(in.Action)}
	for _, text := range in.Networks {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return manage.IncidentView{}, wire.Invalid("networks", "must be address ranges such as 10.0.0.0/8")
		}
		r.Networks = append(r.Networks, p)
	}
	if in.Since != nil {
		r.Since = in.Since.Time
	}
	i, err := x.Actions.OpenIncident(x.ctx(), r, x.by(in.Reason))
	x.status = http.StatusCreated
	return manage.ViewIncident(i), err
}

// listIncidents is GET /incidents.
func listIncidents(x *exchange, in wire.Paging) (wire.Page[manage.IncidentView], error) {
	all, err := x.Actions.Incidents(x.ctx())
	for i := range all {
		all[i].Bundle = ""
	}
	if err != nil {
		return wire.Page[manage.IncidentView]{}, err
	}
	return wire.PagedAsListed(in, all, manage.ViewIncident, func(i manage.IncidentView) string { return i.ID })
}

// getIncident is GET /incidents/{id}.
func getIncident(x *exchange, _ none) (manage.IncidentView, error) {
	i, err := x.Actions.Incident(x.ctx(), x.param("id"))
	return manage.ViewIncident(i), err
}

// closeIncident is POST /incidents/{id}/close.
func closeIncident(x *exchange, in reasoned) (manage.IncidentView, error) {
	i, err := x.Actions.CloseIncident(x.ctx(), x.param("id"), x.by(in.Reason))
	return manage.ViewIncident(i), err
}
