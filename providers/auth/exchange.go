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

// What OpenAI and Anthropic give tokens for: a token of somebody else whom they trust,
// that says who this process is.
const (
	exchangeGrant   = "urn:ietf:params:oauth:grant-type:token-exchange"
	exchangedJWT    = "urn:ietf:params:oauth:token-type:jwt"
	assertionGrant  = "urn:ietf:params:oauth:grant-type:jwt-bearer"
	openAIServer    = "https://auth.openai.com/oauth/token"
	anthropicServer = "https://api.anthropic.com/v1/oauth/token"
	// Anthropic takes tokens only beside the name of what makes it take them.
	anthropicTokens   = "oauth-2025-04-20"
	anthropicExchange = "oidc-federation-2026-04-01"
	// maxAssertion is the most that Anthropic reads.
	maxAssertion = 16 << 10
)

var errAssertion = errors.New("auth: the token of who we are is empty, or has more than 16 KiB")

// OpenAIWorkload says which service account of OpenAI this process may be.
type OpenAIWorkload struct {
	Identity                 Source // a token that says who we are
	Provider, ServiceAccount string // ids
	Server                   string // "" is that of OpenAI
}

// OpenAI signs with tokens that OpenAI gives for ours (RFC 8693).
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

// AnthropicWorkload says which service account of Anthropic this process may be.
type AnthropicWorkload struct {
	Identity                                      Source // a token that says who we are
	Rule, Organization, ServiceAccount, Workspace string // ids; the last two may be ""
	Server                                        string // "" is that of Anthropic
}

// Anthropic signs with tokens that Anthropic gives for ours (RFC 7523).
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

// exchangeable is what is asked.
type exchangeable struct {
	at, member, beta string
	identity         Source
	body             map[string]string
}

func exchange(ctx context.Context, c *http.Client, x exchangeable) (token, error) {
	ours, err := x.identity(ctx) // each time: it lives for minutes
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

// withBeta has Anthropic take a token where it takes keys.
type withBeta struct{ providers.Auth }

// Sign names it beside what the client has asked for.
func (b withBeta) Sign(ctx context.Context, r *http.Request) error {
	betas := append([]string{anthropicTokens}, r.Header["Anthropic-Beta"]...)
	r.Header["Anthropic-Beta"] = []string{strings.Join(betas, ",")}
	return b.Auth.Sign(ctx, r)
}
