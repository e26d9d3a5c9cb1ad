package plan

import (
	"tallyroute/billing"
	"tallyroute/providers"
	"tallyroute/providers/chat"
	"tallyroute/providers/jsonraw"
)

// tierFor is the tier that a request asks of t, which may not have any.
func tierFor(req *chat.Request, t *providers.Target) string {
	if jsonraw.Text(req.Get("speed")) == billing.TierFast && t.Sends("speed") {
		return billing.TierFast
	}
	asked := req.Get("service_tier")
	if asked == nil || !t.Sends("service_tier") {
		return billing.TierStandard
	}
	return billing.TierOf(jsonraw.Text(asked))
}
