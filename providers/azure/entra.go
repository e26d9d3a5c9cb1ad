package azure

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"tallyroute/providers"
)

// Login says who asks Microsoft Entra ID for a token, and for what.
type Login struct {
	Tenant providers.Source // of the directory: an id or a domain
	Client providers.Source // id of the application
	Secret providers.Source // of the application
	Scope  string           // "" is that of Azure OpenAI
	Server string           // "" is https://login.microsoftonline.com
}

const (
	publicServer = "https://login.microsoftonline.com"
	publicScope  = "https://cognitiveservices.azure.com/.default"
	maxToken     = 64 << 10 // bytes of an answer with a token in it
)

// Entra signs with a token that Microsoft Entra ID gives for the secret of an
// application (the OAuth 2.0 client credentials grant). c makes the calls;
// providers.TokenClient will do.
func Entra(l Login, c *http.Client) providers.Auth {
	if l.Scope == "" {
		l.Scope = publicScope
	}
	if l.Server == "" {
		l.Server = publicServer
	}
	return providers.FetchedBearer(func(ctx context.Context) (providers.Token, error) {
		return l.fetch(ctx, c)
	})
}

func (l Login) fetch(ctx context.Context, c *http.Client) (providers.Token, error) {
	tenant, form, err := l.form(ctx)
	if err != nil {
		return providers.Token{}, err
	}
	at := l.Server + "/" + url.PathEscape(tenant) + "/oauth2/v2.0/token"
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, at, strings.NewReader(form.Encode()))
	if err != nil {
		return providers.Token{}, errors.New("azure: the login is no address")
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := c.Do(req)
	if err != nil {
		return providers.Token{}, fmt.Errorf("azure: login: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxToken))
	if err != nil {
		return providers.Token{}, fmt.Errorf("azure: login: %w", err)
	}
	return token(resp.StatusCode, body)
}

// form is what is asked. It is made anew for every token, so that a secret that
// was rotated is seen.
func (l Login) form(ctx context.Context) (tenant string, form url.Values, err error) {
	form = url.Values{"grant_type": {"client_credentials"}, "scope": {l.Scope}}
	if tenant, err = l.Tenant(ctx); err != nil {
		return "", nil, err
	}
	for name, source := range map[string]providers.Source{"client_id": l.Client, "client_secret": l.Secret} {
		text, err := source(ctx)
		if err != nil {
			return "", nil, err
		}
		form.Set(name, text)
	}
	return tenant, form, nil
}

// token reads what the server says. Of a refusal only its code is repeated.
func token(status int, body []byte) (providers.Token, error) {
	var said struct {
		Token   string      `json:"access_token"`
		Expires json.Number `json:"expires_in"` // seconds
		Error   string      `json:"error"`
	}
	if err := json.Unmarshal(body, &said); err != nil {
		return providers.Token{}, fmt.Errorf("azure: login: status %d with a body that is no JSON", status)
	}
	if said.Token == "" {
		return providers.Token{}, fmt.Errorf("azure: login: status %d, %.60q", status, said.Error)
	}
	seconds, err := said.Expires.Int64()
	if err != nil || seconds <= 0 {
		seconds = int64(time.Hour / time.Second)
	}
	return providers.Token{Text: said.Token, Expires: time.Now().Add(time.Duration(min(seconds, 1<<20)) * time.Second)}, nil
}
