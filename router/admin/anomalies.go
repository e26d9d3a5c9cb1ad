package admin

import (
	"tallyroute/billing"
	"tallyroute/billing/manage"
	"tallyroute/billing/rbac"
)

// anomalyOperations are about what is unusual of the use of keys.
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

// anomalyFilter are the parameters of listAnomalies.
type anomalyFilter struct {
	KeyID string   `json:"key_id"`
	Since *instant `json:"since"`
	Limit *int     `json:"limit" doc:"How many at the most: 1 to 1000; 200 by default."`
}

// listAnomalies is GET /anomalies.
func listAnomalies(x *exchange, in anomalyFilter) (page[manage.EventView], error) {
	return listEvents(x, eventFilter{Kind: billing.EventAnomaly, Object: in.KeyID, Since: in.Since, Limit: in.Limit})
}

// getKeyUsual is GET /keys/{id}/usual.
func getKeyUsual(x *exchange, _ none) (manage.UsualView, error) {
	u, err := x.Actions.Usual(x.ctx(), billing.KeyID(x.param("id")))
	return manage.ViewUsual(u), err
}
