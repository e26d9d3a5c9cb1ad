package admin

import (
	"net/http"
	"net/netip"
	"strconv"

	"tallyroute/billing"
	"tallyroute/billing/governance"
	"tallyroute/billing/manage"
	"tallyroute/billing/rbac"
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
	Rules    governance.Rules `json:"rules" required:"true" doc:"Take the place of those in force. What is left out is no rule."`
	Replaces int64            `json:"replaces" doc:"The version that these were made from; another one is a conflict."`
	DryRun   bool             `json:"dry_run" doc:"Only say what would break the rules."`
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
func listRuleVersions(x *exchange, _ none) (page[manage.RulesView], error) {
	all, err := x.Actions.RuleVersions(x.ctx())
	return listOf(all, itself[manage.RulesView]), err
}

// itself is the view of what is one already.
func itself[V any](v V) V { return v }

func getGovernanceReport(x *exchange, _ none) (manage.GovernanceReport, error) {
	return x.Actions.GovernanceReport(x.ctx())
}

// Document is a text for people.
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
	Version int64  `json:"version" doc:"The one in force, if it is left out."`
	Owner   string `json:"owner" doc:"The address of who takes note; your own, if it is left out."`
	Reason  string `json:"reason"`
}

// acknowledgeRules is POST /governance/acknowledgements: for oneself, or for somebody else
// where one may set rules.
func acknowledgeRules(x *exchange, in acknowledgement) (manage.AcknowledgementsView, error) {
	own, err := x.Actions.AddressOf(x.ctx(), x.id)
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
func listReviews(x *exchange, _ none) (page[manage.ReviewView], error) {
	all, err := x.Actions.ReviewList(x.ctx())
	return listOf(all, itself[manage.ReviewView]), err
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

// maySeeUse asks for what the items of a review are made of: those who administer, what
// they did, and how keys were used. Who signs reviews off sees them.
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
	Models   []string `json:"models" doc:"What a key that is narrowed may still ask for."`
	Networks []string `json:"networks" doc:"From where a key that is narrowed may still be used."`
	Role     string   `json:"role" doc:"That takes the place of the one which a grant that is narrowed gives."`
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
			return manage.ReviewItemView{}, invalid("networks", "must be address ranges such as 10.0.0.0/8")
		}
		d.Networks = append(d.Networks, p.Masked())
	}
	if err := x.mayDecide(d); err != nil {
		return manage.ReviewItemView{}, err
	}
	x.subject = shorten(in.Object)
	return x.Actions.Decide(x.ctx(), d, x.by(in.Reason))
}

// mayDecide asks for what the decision does: who signs reviews off can do no more by that
// than he could without.
func (x *exchange) mayDecide(d manage.Decision) error {
	switch {
	case d.Decision == billing.DecisionKeep:
		return nil
	case d.Kind == billing.ReviewGrant:
		return x.needs(rbac.PrincipalsWrite, rbac.Place{}, nil)
	case d.Decision == billing.DecisionRevoke:
		return x.needs(rbac.KeysRevoke, rbac.Place{}, nil)
	}
	// To narrow a key is to end some of its use, which whoever may end all of it may, too.
	if x.access.May(rbac.KeysRevoke, rbac.Place{}) {
		return nil
	}
	return x.needs(rbac.KeysWrite, rbac.Place{}, nil)
}
