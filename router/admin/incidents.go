package admin

import (
	"net/http"
	"net/netip"

	"tallyroute/billing"
	"tallyroute/billing/manage"
	"tallyroute/billing/rbac"
)

// incidentOperations are about keys in wrong hands.
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
	Networks []string      `json:"networks" doc:"From where a key that is narrowed may still be used."`
	Since    *instant      `json:"since" doc:"From when on its use is in doubt; a week ago by default."`
	Reason   string        `json:"reason" required:"true"`
}

// openIncident is POST /incidents.
func openIncident(x *exchange, in opening) (manage.IncidentView, error) {
	x.subject = shorten(string(in.KeyID))
	r := manage.IncidentRequest{KeyID: in.KeyID, Action: billing.IncidentAction(in.Action)}
	for _, text := range in.Networks {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return manage.IncidentView{}, invalid("networks", "must be address ranges such as 10.0.0.0/8")
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
func listIncidents(x *exchange, _ none) (page[manage.IncidentView], error) {
	all, err := x.Actions.Incidents(x.ctx())
	for i := range all {
		all[i].Bundle = ""
	}
	return listOf(all, manage.ViewIncident), err
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
