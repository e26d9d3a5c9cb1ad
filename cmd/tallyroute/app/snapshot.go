package app

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/audit"
	"tallyroute/billing/governance"
	"tallyroute/billing/manage"
	"tallyroute/billing/policy"
	"tallyroute/cmd/tallyroute/config"
	"tallyroute/providers"
	"tallyroute/providers/catalogue"
	"tallyroute/providers/chat"
	"tallyroute/providers/secret"
	"tallyroute/providers/secret/envelope"
	"tallyroute/router"
	"tallyroute/router/admin"
	"tallyroute/router/federation"
	"tallyroute/router/health"
	"tallyroute/router/identity"
	"tallyroute/router/plan"
	"tallyroute/router/server"
	"tallyroute/router/tokens"
	"tallyroute/router/web"
)

// snapshot holds everything that can change while the router runs, made from one reading of
// the configuration. It is immutable: a reload replaces it, and requests in flight finish
// with the one that they started with.
type snapshot struct {
	cfg       *config.Config
	catalogue Catalogue
	broken    map[string]error // stored providers that were left out
	prices    *billing.PriceBook
	client    *providers.Client
	made      clientSettings // the settings that client was made with
	router    *router.Router
	platforms *federation.Exchange // accepts tokens in place of keys; nil accepts none
	sinks     map[string]manage.Sink
	notifiers map[string]manage.Notifier
	// forwarders receive the audit log.
	forwarders map[string]manage.Forwarder
	auditKey   *audit.SigningKey // signs checkpoints; nil signs none
	keys       *envelope.Ring    // that seal what is stored
	token      string            // of the admin API; "" if that is switched off
	people     *admin.Login      // logs people in; nil lets nobody log in
	identity   identity.Config   // of the identity provider in people
	public     http.Handler
	admin      http.Handler
	files      []string // that all of this was read from
}

// clientSettings are the settings of the client that calls providers.
type clientSettings struct {
	proxy    string
	limits   config.Limits
	timeouts config.Timeouts
}

func routerOptions(c *config.Config) router.Options {
	return router.Options{
		Groups:       c.Groups(),
		AllowMembers: c.Members.Allow, RefuseMembers: c.Members.Refuse == "all",
		MaxAttempts: c.Routing.MaxAttempts, MaxOutput: c.Defaults.MaxOutputTokens,
		RequestTimeout: time.Duration(c.Timeouts.Request), ReadTimeout: time.Duration(c.Timeouts.Read),
		IdempotencyTTL: time.Duration(c.Idempotency.TTL),
		Brake: router.Brake{
			Most: policy.Runaway{
				Repeats: c.Runaway.Repeats, SessionRequests: c.Runaway.SessionRequests, SessionCents: c.Runaway.SessionCents,
			},
			Within: time.Duration(c.Runaway.Within), Pause: time.Duration(c.Runaway.Pause),
		},
		Requests: chat.Limits{Messages: c.Limits.MaxMessages, Parts: c.Limits.MaxParts},
	}
}

func webLimits(c *config.Config) web.Limits {
	t, l := c.Timeouts, c.Limits
	return web.Limits{
		Body: l.MaxBodyBytes, HeaderBytes: l.MaxHeaderBytes, Connections: l.MaxConnections,
		ReadHeader: time.Duration(t.ReadHeader), ReadBody: time.Duration(t.ReadBody),
		Idle: time.Duration(t.Idle), Write: time.Duration(t.Write),
	}
}

// calls reports whether n may call the target or provider with this name.
func (n *snapshot) calls(name string) bool {
	if strings.Contains(name, "/") {
		_, _, ok := n.catalogue.Resolve(name)
		return ok
	}
	return slices.ContainsFunc(n.catalogue.Providers(), func(p catalogue.Status) bool { return p.Name == name && p.Configured })
}

// equip sets up actions from the configuration: where secrets are delivered and where
// alerts are sent.
func (n *snapshot) equip(a *manage.Actions) {
	a.SinkNames = n.cfg.SinkNames()
	a.SecretSources = secret.Sources()
	a.AuditKey = n.auditKey
	a.Setup = func() governance.Setup { return SetupOf(n.cfg, n.catalogue) }
	a.Notifiers = func(context.Context) (map[string]manage.Notifier, error) { return n.notifiers, nil }
}

// observers passes records on to several observers.
type observers []router.Observer

// Observe passes the record to each of them.
func (list observers) Observe(r router.Record) {
	for _, o := range list {
		o.Observe(r)
	}
}

// refusals counts the requests that we answered with an error of our own.
type refusals struct {
	billing.RefusalCount
	clock func() time.Time
}

// Observe counts a refused request. A request that was tried is in the ledger instead, and
// one whose client went away got no answer.
func (r *refusals) Observe(rec router.Record) {
	if rec.Event != router.EventRequest || rec.Refusal == "" || len(rec.Attempts) > 0 || errors.Is(rec.Err, router.ErrClientGone) {
		return
	}
	r.Add(billing.Refused{KeyID: rec.KeyID, Model: rec.RequestedModel, Code: server.ErrorCode(rec.Err)}, r.clock())
}

// Explain plans a request as the router would at this moment, without sending it. If a
// router is running and the admin token is at hand, it is asked for the state of the
// targets, and live is true. Otherwise all targets are assumed to be healthy.
func Explain(ctx context.Context, c *config.Config, b Catalogue, r *chat.Request) (list []plan.Candidate, live bool, err error) {
	now := time.Now()
	told, live := AskHealth(ctx, c)
	list, err = planner(c, b, trackerOf(told, now)).Explain(ctx, r, now)
	return list, live, err
}

// planner returns a router that can only plan.
func planner(c *config.Config, b Catalogue, t *health.Tracker) *router.Router {
	return router.New(router.Parts{
		Prices: billing.NewPriceBook(b.Prices()), Catalogue: b,
		Tokens: tokens.New(tokens.Options{}), Health: t,
	}, routerOptions(c))
}

func viewHealth(entries []health.Entry) admin.Health {
	h := admin.Health{Data: make([]admin.TargetHealth, len(entries))}
	for i, e := range entries {
		h.Data[i] = admin.TargetHealth{
			Name: e.Name, Status: e.State.Status.String(), Cause: e.State.Cause,
			RetryAfterMS: float64(e.State.RetryAfter) / float64(time.Millisecond),
		}
	}
	return h
}

// AskHealth asks the router running with this configuration for the state of its targets;
// ok is false if none is running or it doesn't answer.
func AskHealth(ctx context.Context, c *config.Config) (entries []admin.TargetHealth, ok bool) {
	from, err := once(c)
	if err != nil || c.AdminOff() {
		return nil, false
	}
	token, set, err := credential(ctx, from, c.AdminToken)
	if !set || err != nil {
		return nil, false
	}
	ctx, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, AdminURL(c)+"/admin/v1/health", nil)
	if err != nil {
		return nil, false
	}
	req.Header.Set("Authorization", "Bearer "+token.Reveal())
	resp, err := (&http.Client{Transport: OwnTransport(c.AdminTLS.CertFile)}).Do(req)
	if err != nil {
		return nil, false
	}
	defer func() { _ = resp.Body.Close() }()
	var answer struct{ Data []admin.TargetHealth }
	if resp.StatusCode != http.StatusOK || json.NewDecoder(resp.Body).Decode(&answer) != nil {
		return nil, false
	}
	return answer.Data, true
}

// trackerOf returns a tracker in which every target has the reported state.
func trackerOf(entries []admin.TargetHealth, now time.Time) *health.Tracker {
	t := health.New(health.Options{})
	for _, e := range entries {
		if e.Status != health.Open.String() {
			continue
		}
		if !strings.Contains(e.Name, "/") { // a whole provider
			t.Report(health.Call{Provider: e.Name}, health.Outcome{Class: health.Refused, Certain: true, Cause: e.Cause}, now)
			continue
		}
		wait := time.Duration(e.RetryAfterMS * float64(time.Millisecond))
		t.Report(health.Call{Target: e.Name}, health.Outcome{Class: health.Limited, Certain: true, Cause: e.Cause, RetryAfter: wait}, now)
	}
	return t
}
