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

// Source returns a credential each time one is needed.
type Source func(ctx context.Context) (secret.Value, error)

// The login methods.
const (
	Token      = "token"
	AppRole    = "approle"
	Kubernetes = "kubernetes"
	JWT        = "jwt"
)

// Methods returns the login methods.
func Methods() []string { return []string{Token, AppRole, Kubernetes, JWT} }

// Options say where Vault is and how to log in.
type Options struct {
	Address   string // https://host:port
	Namespace string // "" means none
	Method    string // one of Methods
	Mount     string // mount path of the login method; "" means the method's name
	Role      string // for kubernetes and jwt; for approle, the role ID
	Secret    Source // the token, the AppRole's secret ID, or the JWT
	Client    *http.Client
	Clock     func() time.Time // nil means time.Now
	Pause     func(ctx context.Context, d time.Duration) error
}

// Vault is a client of one Vault.
type Vault struct {
	Options
	caller manager.Caller

	mu     sync.Mutex
	login  login
	leases map[string]*lease
}

// New returns a client; it makes no calls yet.
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

// judge reads {"errors": […]}. Vault says the same about an expired token as about one without
// permission.
func judge(status int, body []byte) (manager.Kind, string) {
	var said struct {
		Errors []string `json:"errors"`
	}
	_ = json.Unmarshal(body, &said) // if it is not from Vault, only the status is known
	text := strings.Join(said.Errors, "; ")
	switch {
	case status == http.StatusBadRequest && strings.Contains(text, "check-and-set"):
		return manager.Conflict, text
	case status == http.StatusForbidden && strings.Contains(text, "invalid token"):
		return manager.Expired, text
	case status == http.StatusPreconditionFailed, status == 472, status == 473:
		return manager.Unavailable, text // a standby that lags behind
	case status == http.StatusServiceUnavailable && text == "":
		return manager.Unavailable, "it is sealed, or down"
	}
	return manager.ByStatus(status), text
}

// answer is Vault's response; which members it has depends on the request.
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

// ask makes a call with a token, or without one if it is "".
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

// authorized calls ask with our token. If the token is no longer accepted, for example because
// it was revoked, it retries once with a new one.
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
