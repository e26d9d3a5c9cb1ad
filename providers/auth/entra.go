package auth

import (
	"context"
	"net/http"
	"net/url"

	"tallyroute/providers"
)

// Login describes who asks Microsoft Entra ID for a token, and for what.
type Login struct {
	Tenant Source // the directory: an ID or a domain
	Client Source // ID of the application
	Secret Source // of the application
	Scope  string // "" means that of Azure OpenAI
	Server string // "" means https://login.microsoftonline.com
}

const (
	entraServer = "https://login.microsoftonline.com"
	// EntraScope is the scope of Azure OpenAI.
	EntraScope = "https://cognitiveservices.azure.com/.default"
)

// Entra signs with a token that Microsoft Entra ID issues for an application's secret (the
// OAuth 2.0 client credentials grant). c makes the calls; providers.TokenClient is suitable.
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

// form returns the tenant and the form to send. It is built anew for every token, so that a
// rotated secret takes effect.
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
