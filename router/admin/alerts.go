package admin

import (
	"time"

	"tallyroute/billing"
	"tallyroute/billing/manage"
	"tallyroute/billing/rbac"
)

// alertOperations are about what somebody is told.
func alertOperations() []operation {
	return []operation{
		does("listAlerts", get, "/alerts", "List what somebody was told and whether it arrived, newest first.", listAlerts),
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

// alertFilter are the parameters of listAlerts.
type alertFilter struct {
	Kind   string `json:"kind" doc:"Such as limit."`
	Object string `json:"object" doc:"The id or name of what they are about."`
	Status string `json:"status" enum:"pending,failing,delivered,dead" doc:"Of one of their notices."`
	Since  string `json:"since" doc:"An instant such as 2026-11-01T00:00:00Z."`
	Limit  *int   `json:"limit" doc:"How many at the most: 1 to 1000; 100 by default."`
}

// listAlerts is GET /alerts.
func listAlerts(x *exchange, in alertFilter) (page[manage.AlertView], error) {
	f := billing.AlertFilter{
		Kind: billing.AlertKind(in.Kind), Object: in.Object, Status: billing.NoticeStatus(in.Status),
	}
	if in.Limit != nil {
		if f.Limit = *in.Limit; f.Limit < 1 || f.Limit > mostEvents {
			return page[manage.AlertView]{}, invalid("limit", "must be between 1 and %d", mostEvents)
		}
	}
	if in.Since != "" {
		var err error
		if f.Since, err = time.Parse(time.RFC3339, in.Since); err != nil {
			return page[manage.AlertView]{}, invalid("since", "must be an instant such as 2026-11-01T00:00:00Z")
		}
	}
	all, err := x.Actions.Alerts(x.ctx(), f)
	return listOf(all, manage.ViewAlert), err
}

// replay is the body of replayAlert.
type replay struct {
	Channel string `json:"channel" doc:"All that it went to, if it is not named."`
	Reason  string `json:"reason"`
}

// replayAlert is POST /alerts/{id}/replay.
func replayAlert(x *exchange, in replay) (manage.AlertView, error) {
	r, err := x.Actions.ReplayAlert(x.ctx(), x.param("id"), in.Channel, x.by(in.Reason))
	return manage.ViewAlert(r), err
}

// channelTest is the body of testChannel.
type channelTest struct {
	Channel string `json:"channel" required:"true" doc:"The name of one in the configuration."`
	Reason  string `json:"reason"`
}

// testChannel is POST /alerts/test.
func testChannel(x *exchange, in channelTest) (manage.AlertView, error) {
	x.subject = shorten(in.Channel)
	sent, err := x.Actions.TestChannel(x.ctx(), in.Channel, x.by(in.Reason))
	return manage.ViewAlert(billing.AlertRecord{Alert: sent}), err
}
