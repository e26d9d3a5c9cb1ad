package auth

import (
	"context"
	"net/http"
	"net/url"

	"tallyroute/providers"
)

// Login says who asks Microsoft Entra ID for a token, and for what.
type Login struct {
	Tenant Source // of the directory: an id or a domain
	Client Source // id of the application
	Secret Source // of the application
	Scope  string // "" is that of Azure OpenAI
	Server string // "" is https://login.microsoftonline.com
}

const (
	entraServer = "https://login.microsoftonline.com"
	// EntraScope is that of Azure OpenAI.
	EntraScope = "https://cognitiveservices.azure.com/.default"
)

// Entra signs with a token that Microsoft Entra ID gives for the secret of an
// application (the OAuth 2.0 client credentials grant). c makes the calls;
// providers.TokenClient will do.
func Entra(l Login, c *http.Client) providers.Auth {
	if l.Scope == "" {
		l.Scope = EntraScope
	}
	if l.Server == "" {
		l.Server = entraServer
	}
	return fetched(func(ctx context.Context) (token, error) {
		tenant, form, err := l.form(ctx)
		if err != nil {
			return token{}, err
		}
		return grant(ctx, c, l.Server+"/"+url.PathEscape(tenant)+"/oauth2/v2.0/token", form)
	})
}

// form is what is asked. It is recreated for every token, so that a secret that
// was rotated is seen.
func (l Login) form(ctx context.Context) (tenant string, form url.Values, err error) {
	form = url.Values{"grant_type": {"client_credentials"}, "scope": {l.Scope}}
	if tenant, err = l.Tenant(ctx); err != nil {
		return "", nil, err
	}
	for name, source := range map[string]Source{"client_id": l.Client, "client_secret": l.Secret} {
		text, err := source(ctx)
		if err != nil {
			return "", nil, err
		}
		form.Set(name, text)
	}
	return tenant, form, nil
}
