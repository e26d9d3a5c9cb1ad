package admin

import (
	"net/netip"

	"tallyroute/billing"
	"tallyroute/billing/manage"
	"tallyroute/billing/policy"
)

// policyChange is the body of setTeamPolicy, setProjectPolicy and setKeyPolicy.
type policyChange struct {
	Policy   *policy.Policy `json:"policy" required:"true" doc:"Takes the place of the one that is there; null ends it."`
	Replaces string         `json:"replaces" doc:"The revision that this was made from; another one is a conflict."`
	Reason   string         `json:"reason"`
}

// getPolicy is GET /teams/{id}/policy, and likewise of projects and keys.
func getPolicy(level policy.Level) func(*exchange, none) (manage.PolicyView, error) {
	return func(x *exchange, _ none) (manage.PolicyView, error) {
		return x.Actions.Policy(x.ctx(), level, x.C.Param("id"))
	}
}

// setPolicy is PUT /teams/{id}/policy, and likewise of projects and keys.
func setPolicy(level policy.Level) func(*exchange, policyChange) (manage.PolicyView, error) {
	return func(x *exchange, in policyChange) (manage.PolicyView, error) {
		return x.Actions.SetPolicy(x.ctx(), level, x.param("id"), manage.PolicyChange{Policy: in.Policy, Replaces: in.Replaces},
			x.by(in.Reason))
	}
}

// policyTrial is the body of tryPolicy: a request as far as rules look at it.
type policyTrial struct {
	Endpoint  string            `json:"endpoint" required:"true" enum:"chat,embeddings,responses,messages,count_tokens,models,key"`
	Model     string            `json:"model" doc:"As a client would ask for it; any, if it is left out."`
	Provider  string            `json:"provider" doc:"That would serve it; any, if it is left out."`
	Features  []string          `json:"features" doc:"stream, tools, vision, audio, documents, reasoning, server_tools."`
	MaxOutput int64             `json:"max_output_tokens"`
	Prompt    int64             `json:"prompt_tokens"`
	Body      int64             `json:"body_bytes"`
	Tags      map[string]string `json:"tags"`
	EndUser   string            `json:"end_user"`
	Session   string            `json:"session"`
	From      string            `json:"from" doc:"The address of the client."`
	Origin    string            `json:"origin"`
	Referer   string            `json:"referer"`
	At        *instant          `json:"at" doc:"Now, if it is left out."`
	Draft     *policy.Policy    `json:"draft" doc:"Tried in the place of the key's own policy."`
}

// tryPolicy is POST /keys/{id}/policy/try.
func tryPolicy(x *exchange, in policyTrial) (manage.PolicyVerdict, error) {
	t := manage.PolicyTrial{Provider: in.Provider, Prompt: in.Prompt, Draft: in.Draft, Request: policy.Request{
		Model: in.Model, MaxOutput: in.MaxOutput, Choices: 1, BodyBytes: in.Body, Tags: in.Tags, EndUser: in.EndUser, Session: in.Session,
	}}
	t.Origin, t.Referer, t.At = in.Origin, in.Referer, x.Start
	if in.At != nil {
		t.At = in.At.Time
	}
	var err error
	if t.Endpoint, err = policy.ParseEndpoint(in.Endpoint); err != nil {
		return manage.PolicyVerdict{}, invalid("endpoint", "%s", err)
	}
	if t.Features, err = policy.ParseFeatures(in.Features); err != nil {
		return manage.PolicyVerdict{}, invalid("features", "%s", err)
	}
	if in.From != "" {
		if t.From, err = netip.ParseAddr(in.From); err != nil {
			return manage.PolicyVerdict{}, invalid("from", "must be an address")
		}
	}
	return x.Actions.TryPolicy(x.ctx(), billing.KeyID(x.param("id")), t)
}
