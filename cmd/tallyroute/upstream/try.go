package upstream

import (
	"context"
	"errors"
	"regexp"
	"slices"
	"strings"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/manage"
	"tallyroute/providers"
	"tallyroute/providers/catalogue"
	"tallyroute/providers/chat"
)

// tryTimeout is how long a provider may take to answer a trial.
const tryTimeout = 12 * time.Second

// trialRequest asks for as little as possible.
const trialRequest = `{"model":"trial","messages":[{"role":"user","content":"1"}],"max_tokens":1}`

// Try implements manage.Upstreams by requesting one token from the provider's cheapest
// model. Even a disabled credential is tried.
func (d *Desk) Try(ctx context.Context, provider, name string) (manage.Trial, error) {
	target, err := d.target(ctx, provider, name)
	if err != nil {
		return manage.Trial{}, err
	}
	request, err := chat.ParseRequest([]byte(trialRequest))
	if err != nil {
		return manage.Trial{}, err
	}
	client, err := d.Client(ctx)
	if err != nil {
		return manage.Trial{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, tryTimeout)
	defer cancel()
	began := d.Clock()
	answer, err := client.Do(ctx, providers.Exchange{
		Operation: providers.Chat, Target: target, Request: request, MaxOutput: max(1, target.LeastOutput()),
	})
	t := trial{manage.Trial{
		Provider: provider, Credential: name, Model: target.Model, OK: err == nil,
		TookMS: d.Clock().Sub(began).Milliseconds(),
	}}
	if err != nil {
		t.failed(err)
		return t.Trial, nil
	}
	if u := answer.Response.Usage; u != nil {
		t.Tokens = u.Input + u.Output
	}
	return t.Trial, answer.Close()
}

// target returns the target to try a credential with.
func (d *Desk) target(ctx context.Context, provider, name string) (providers.Target, error) {
	all, err := d.Store.ListCredentials(ctx)
	if err != nil {
		return providers.Target{}, err
	}
	ring, err := d.Ring(ctx)
	if err != nil {
		return providers.Target{}, err
	}
	var one []billing.Credential
	for _, c := range all {
		ours := slices.ContainsFunc(c.Versions, func(v billing.CredentialVersion) bool { return manage.NameInLedger(c, v) == name })
		if c.Provider == provider && ours {
			c.DisabledAt, c.ExpiresAt, c.Weight = time.Time{}, time.Time{}, max(1, c.Weight)
			one = append(one, c)
		}
	}
	alone := opened(one, ring, nil, d.Clock())
	if err := alone.Unreadable[provider+"/"+name]; err != nil {
		return providers.Target{}, &billing.ConflictError{Detail: strings.TrimPrefix(err.Error(), "envelope: ")}
	}
	c, _, err := d.build(ctx, func(l *Loaded) { l.credentials, l.secrets = alone.credentials, alone.secrets })
	if err != nil {
		return providers.Target{}, err
	}
	t, ok := c.Cheapest(provider)
	if !ok {
		return t, &billing.ConflictError{Detail: "the provider does not take part, or has no model that chats: " + whyNot(c, provider)}
	}
	return with(t, name)
}

func whyNot(c *catalogue.Catalogue, provider string) string {
	for _, s := range c.Providers() {
		if s.Name == provider && s.Why != "" {
			return s.Why
		}
	}
	return "there is no model to try it with"
}

// with returns t using the credential with the given name. A credential without a name is
// called "1" if there are others.
func with(t providers.Target, name string) (providers.Target, error) {
	for _, c := range t.Credentials {
		if c.Name == name || name == "" && c.Name == "1" {
			return *t.With(c), nil
		}
	}
	if len(t.Credentials) == 0 && (name == "" || name == "1") {
		return t, nil
	}
	return t, &billing.NotFoundError{What: "credential", ID: t.Provider + "/" + name}
}

// trial is a trial being filled in.
type trial struct{ manage.Trial }

// masked matches credentials that a provider partly repeats.
var masked = regexp.MustCompile(`\S*(\*{3,}|\.{3}|…)\S*|\b(sk|pk|key|AKIA|ASIA|Bearer)[-_A-Za-z0-9]{12,}`)

// mostMessage is how much of a provider's message is passed on.
const mostMessage = 500

func (t *trial) failed(err error) {
	t.Kind = string(providers.KindUnknown)
	var pe *providers.Error
	if errors.As(err, &pe) {
		t.Kind, t.Status = string(pe.Kind), pe.Status
		said := masked.ReplaceAllString(pe.Detail.Message, "[redacted]")
		t.Message = billing.CleanText(strings.ToValidUTF8(said[:min(len(said), mostMessage)], ""))
	}
}
