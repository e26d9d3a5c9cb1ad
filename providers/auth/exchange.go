package auth

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"tallyroute/providers"
)

// What OpenAI and Anthropic exchange for their own tokens: a token from an identity provider
// that they trust, which says who this process is.
const (
	exchangeGrant   = "urn:ietf:params:oauth:grant-type:token-exchange"
	exchangedJWT    = "urn:ietf:params:oauth:token-type:jwt"
	assertionGrant  = "urn:ietf:params:oauth:grant-type:jwt-bearer"
	openAIServer    = "https://auth.openai.com/oauth/token"
	anthropicServer = "https://api.anthropic.com/v1/oauth/token"
	// Anthropic accepts tokens only together with the name of the beta that enables them.
	anthropicTokens   = "oauth-2025-04-20" //nolint:gosec // the name of a beta
	anthropicExchange = "oidc-federation-2026-04-01"
	// maxAssertion is the longest assertion that Anthropic reads.
	maxAssertion = 16 << 10
)

var errAssertion = errors.New("auth: the identity token is empty, or larger than 16 KiB")

// OpenAIWorkload says which OpenAI service account this process acts as.
type OpenAIWorkload struct {
	Identity                 Source // a token that says who we are
	Provider, ServiceAccount string // IDs
	Server                   string // "" means OpenAI's own
}

// OpenAI signs with tokens that OpenAI issues in exchange for ours (RFC 8693).
func OpenAI(w OpenAIWorkload, c *http.Client) providers.Auth {
	return fetched(func(ctx context.Context) (token, error) {
		return exchange(ctx, c, exchangeable{
			at: cmp.Or(w.Server, openAIServer), member: "subject_token", identity: w.Identity,
			body: map[string]string{
				"grant_type": exchangeGrant, "subject_token_type": exchangedJWT,
				"identity_provider_id": w.Provider, "service_account_id": w.ServiceAccount,
			},
		})
	})
}

// AnthropicWorkload says which Anthropic service account this process acts as.
type AnthropicWorkload struct {
	Identity                                      Source // a token that says who we are
	Rule, Organization, ServiceAccount, Workspace string // IDs; the last two may be ""
	Server                                        string // "" means Anthropic's own
}

// Anthropic signs with tokens that Anthropic issues in exchange for ours (RFC 7523).
func Anthropic(w AnthropicWorkload, c *http.Client) providers.Auth {
	return withBeta{fetched(func(ctx context.Context) (token, error) {
		body := map[string]string{"grant_type": assertionGrant, "federation_rule_id": w.Rule, "organization_id": w.Organization}
		for name, value := range map[string]string{"service_account_id": w.ServiceAccount, "workspace_id": w.Workspace} {
			if value != "" {
				body[name] = value
			}
		}
		return exchange(ctx, c, exchangeable{
			at: cmp.Or(w.Server, anthropicServer), member: "assertion", identity: w.Identity, body: body,
			beta: anthropicTokens + "," + anthropicExchange,
		})
	})}
}

// exchangeable describes a token exchange.
type exchangeable struct {
	at, member, beta string
	identity         Source
	body             map[string]string
}

func exchange(ctx context.Context, c *http.Client, x exchangeable) (token, error) {
	ours, err := x.identity(ctx) // read each time: it lives for minutes
	if err != nil {
		return token{}, err
	}
	if ours = strings.TrimSpace(ours); ours == "" || len(ours) > maxAssertion {
		return token{}, errAssertion
	}
	x.body[x.member] = ours
	text, err := json.Marshal(x.body)
	if err != nil {
		return token{}, err
	}
	header := http.Header{"Content-Type": {"application/json"}}
	if x.beta != "" {
		header.Set("Anthropic-Beta", x.beta)
	}
	return askToken(ctx, c, x.at, string(text), header)
}

// withBeta makes Anthropic accept a token in place of a key.
type withBeta struct{ providers.Auth }

// Sign adds the beta to those that the client asked for.
func (b withBeta) Sign(ctx context.Context, r *http.Request) error {
	betas := append([]string{anthropicTokens}, r.Header["Anthropic-Beta"]...)
	r.Header["Anthropic-Beta"] = []string{strings.Join(betas, ",")}
	return b.Auth.Sign(ctx, r)
}
