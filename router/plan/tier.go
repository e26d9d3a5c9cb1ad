package plan

import (
	"tallyroute/billing"
	"tallyroute/providers"
	"tallyroute/providers/chat"
	"tallyroute/providers/jsonraw"
)

// tierFor returns the tier that a request asks of t, which may not have any.
func tierFor(req *chat.Request, t *providers.Target) string {
	fast := string(req.Get("speed")) == `"fast"` && t.Sends("speed")
	us := string(req.Get("inference_geo")) == `"us"` && t.Sends("inference_geo")
	switch {
	case fast && us:
		return billing.TierFastUS
	case fast:
		return billing.TierFast
	case us:
		return billing.TierUS
	}
	asked := req.Get("service_tier")
	if asked == nil || !t.Sends("service_tier") {
		return billing.TierStandard
	}
	return billing.TierOf(jsonraw.Text(asked))
}
