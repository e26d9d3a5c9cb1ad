package vault

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"

	"tallyroute/providers/secret"
	"tallyroute/providers/secret/manager"
)

// Source gives a credential whenever one is needed.
type Source func(ctx context.Context) (secret.Value, error)

// The ways to log in.
const (
	Token      = "token"
	AppRole    = "approle"
	Kubernetes = "kubernetes"
	JWT        = "jwt"
)

// Methods are the ways to log in.
func Methods() []string { return []string{Token, AppRole, Kubernetes, JWT} }

// Options are where a Vault is and how to log in.
type Options struct {
	Address   string // https://host:port
	Namespace string // "" for none
	Method    string // of Methods
	Mount     string // of the login; "" is its method
	Role      string // of kubernetes and jwt; of approle, its role id
	Secret    Source // the token, the secret id of an approle, or the JWT
	Client    *http.Client
	Clock     func() time.Time // nil is time.Now
	Pause     func(ctx context.Context, d time.Duration) error
}

// Vault is a client of one.
type Vault struct {
	Options
	caller manager.Caller

	mu     sync.Mutex
	login  login
	leases map[string]*lease
}

// New is a client; it calls nobody yet.
func New(o Options) *Vault {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Mount == "" {
		o.Mount = o.Method
	}
	o.Address = strings.TrimSuffix(o.Address, "/")
	return &Vault{
		Options: o, leases: map[string]*lease{},
		caller: manager.Caller{Name: "vault", Client: o.Client, Judge: judge, Pause: o.Pause},
	}
}

var _ manager.Manager = (*Vault)(nil)

// judge reads {"errors": […]}. What Vault says of a token that has expired is the same as
// of one that may not.
func judge(status int, body []byte) (manager.Kind, string) {
	var said struct {
		Errors []string `json:"errors"`
	}
	_ = json.Unmarshal(body, &said) // or it is none of Vault's, and the status is all there is
	text := strings.Join(said.Errors, "; ")
	switch {
	case status == http.StatusBadRequest && strings.Contains(text, "check-and-set"):
		return manager.Conflict, text
	case status == http.StatusForbidden && strings.Contains(text, "invalid token"):
		return manager.Expired, text
	case status == http.StatusPreconditionFailed, status == 472, status == 473:
		return manager.Unavailable, text // a standby that is behind
	case status == http.StatusServiceUnavailable && text == "":
		return manager.Unavailable, "it is sealed, or down"
	}
	return manager.ByStatus(status), text
}

// answer is what Vault answers with; which members are there depends on what was asked.
type answer struct {
	LeaseID       string          `json:"lease_id"`
	LeaseDuration int64           `json:"lease_duration"`
	Renewable     bool            `json:"renewable"`
	Data          json.RawMessage `json:"data"`
	Auth          *auth           `json:"auth"`
	Warnings      []string        `json:"warnings"`
}

type auth struct {
	ClientToken   string   `json:"client_token"`
	LeaseDuration int64    `json:"lease_duration"`
	Renewable     bool     `json:"renewable"`
	Policies      []string `json:"policies"`
}

// ask calls with a token, or without one where it is "".
func (v *Vault) ask(ctx context.Context, method, path, token string, body any) (answer, error) {
	var a answer
	header := http.Header{"X-Vault-Request": {"true"}}
	if v.Namespace != "" {
		header.Set("X-Vault-Namespace", v.Namespace)
	}
	if token != "" {
		header.Set("X-Vault-Token", token)
	}
	var raw []byte
	if body != nil {
		var err error
		if raw, err = json.Marshal(body); err != nil {
			return a, err
		}
		header.Set("Content-Type", "application/json")
	}
	text, err := v.caller.Do(ctx, manager.Call{Method: method, URL: v.Address + "/v1/" + path, Header: header, Body: raw})
	if err != nil {
		return a, err
	}
	if len(text) > 0 && json.Unmarshal(text, &a) != nil {
		return a, manager.Unreadable("vault")
	}
	return a, nil
}

// authorized is ask with our token. Where it is not taken any more, another one is
// fetched, once: it may have been revoked.
func (v *Vault) authorized(ctx context.Context, method, path string, body any) (answer, error) {
	token, err := v.token(ctx)
	if err != nil {
		return answer{}, err
	}
	a, err := v.ask(ctx, method, path, token, body)
	refused := (*manager.Error)(nil)
	if !errors.As(err, &refused) || refused.Status != http.StatusForbidden || v.tokenIsGood(ctx, token) {
		return a, err
	}
	v.forget(token)
	if token, err = v.token(ctx); err != nil {
		return answer{}, err
	}
	a, err = v.ask(ctx, method, path, token, body)
	if manager.Is(err, manager.Denied) && !v.tokenIsGood(ctx, token) {
		refused.Kind, refused.Detail = manager.Expired, "the token is not valid any more"
		return a, refused
	}
	return a, err
}
