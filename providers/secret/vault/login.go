package vault

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"time"

	"tallyroute/providers/secret/manager"
)

// login is our login at Vault.
type login struct {
	token     string
	from      string // the operator's token, for the method token
	renewable bool
	until     time.Time // zero if it does not expire
	renew     time.Time // when it should be renewed
	policies  []string
}

// renewAt is the fraction (1/renewAt) of its lifetime that a token or lease has left when it
// is renewed.
const renewAt = 3

func (l *login) lives(now time.Time, seconds int64) {
	l.until, l.renew = time.Time{}, time.Time{}
	if seconds > 0 {
		life := time.Duration(seconds) * time.Second
		l.until, l.renew = now.Add(life), now.Add(life-life/renewAt)
	}
}

// token returns a valid token, logging in if necessary. Concurrent callers wait for the same
// login.
func (v *Vault) token(ctx context.Context) (string, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	now := v.Clock()
	if v.login.token != "" && v.Method == Token { // the token may have been replaced from outside
		given, err := v.Secret(ctx)
		if err == nil && given.Reveal() != v.login.from {
			v.login = login{}
		}
	}
	l := &v.login
	switch {
	case l.token == "":
	case l.until.IsZero() || now.Before(l.renew):
		return l.token, nil
	case l.renewable && now.Before(l.until) && v.renew(ctx) == nil:
		return l.token, nil
	case now.Before(l.until):
		if old := *l; v.enter(ctx) != nil {
			v.login = old // it is still valid for a while
		}
		return v.login.token, nil
	}
	if err := v.enter(ctx); err != nil {
		return "", err
	}
	return v.login.token, nil
}

// forget drops a token that is no longer accepted.
func (v *Vault) forget(token string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.login.token == token {
		v.login = login{}
	}
}

// enter logs in.
func (v *Vault) enter(ctx context.Context) error {
	given, err := v.Secret(ctx)
	if err != nil {
		return err
	}
	now := v.Clock()
	if v.Method == Token {
		return v.take(ctx, given.Reveal(), now)
	}
	body := map[string]string{"role": v.Role, "jwt": given.Reveal()}
	if v.Method == AppRole {
		body = map[string]string{"role_id": v.Role, "secret_id": given.Reveal()}
	}
	a, err := v.ask(ctx, http.MethodPost, "auth/"+v.Mount+"/login", "", body)
	if refused := (*manager.Error)(nil); asRefusal(err, &refused) {
		refused.Kind = manager.Expired
		return refused
	}
	if err != nil {
		return err
	}
	if a.Auth == nil || a.Auth.ClientToken == "" {
		return manager.Unreadable("vault")
	}
	v.login = login{token: a.Auth.ClientToken, renewable: a.Auth.Renewable, policies: a.Auth.Policies}
	v.login.lives(now, a.Auth.LeaseDuration)
	return nil
}

// take checks a token that the operator provided.
func (v *Vault) take(ctx context.Context, token string, now time.Time) error {
	a, err := v.ask(ctx, http.MethodGet, "auth/token/lookup-self", token, nil)
	if refused := (*manager.Error)(nil); asRefusal(err, &refused) {
		refused.Kind = manager.Expired
		return refused
	}
	if err != nil {
		return err
	}
	var about struct {
		TTL       int64    `json:"ttl"`
		Renewable bool     `json:"renewable"`
		Policies  []string `json:"policies"`
		Identity  []string `json:"identity_policies"`
	}
	if json.Unmarshal(a.Data, &about) != nil {
		return manager.Unreadable("vault")
	}
	v.login = login{token: token, from: token, renewable: about.Renewable, policies: slices.Concat(about.Policies, about.Identity)}
	v.login.lives(now, about.TTL)
	return nil
}

// asRefusal finds an error response that says that the login is wrong.
func asRefusal(err error, to **manager.Error) bool {
	if manager.Is(err, manager.Denied) || manager.Is(err, manager.Invalid) || manager.Is(err, manager.Expired) {
		*to, _ = err.(*manager.Error) //nolint:errorlint // as ask returns it
		return *to != nil && (*to).Status != 0
	}
	return false
}

// renew extends the token's lifetime. Near its maximum lifetime, Vault grants less and less,
// until a new login is needed.
func (v *Vault) renew(ctx context.Context) error {
	now := v.Clock()
	a, err := v.ask(ctx, http.MethodPost, "auth/token/renew-self", v.login.token, map[string]any{})
	if err != nil {
		return err
	}
	if a.Auth == nil {
		return manager.Unreadable("vault")
	}
	v.login.renewable = a.Auth.Renewable
	v.login.lives(now, a.Auth.LeaseDuration)
	return nil
}

// tokenIsGood reports whether Vault accepts a token, in which case a refusal was not about the
// login.
func (v *Vault) tokenIsGood(ctx context.Context, token string) bool {
	_, err := v.ask(ctx, http.MethodGet, "auth/token/lookup-self", token, nil)
	return err == nil
}
