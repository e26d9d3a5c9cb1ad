package identity

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// groups finds the groups of a person: in the id token or, if that says that there are too
// many, at the address that it names; otherwise in the user info.
func (p *Provider) groups(
	ctx context.Context, found *oidc.Provider, token *oauth2.Token, who *Person, all map[string]json.RawMessage,
) (err error) {
	list, there := lookUp(all, p.config.GroupsClaim)
	if there {
		who.Groups = list
	}
	if at, ok := elsewhere(all, p.config.GroupsClaim); ok {
		who.Groups, err = p.tooMany(ctx, token, at)
		return err
	}
	if there && who.Email != "" || found.UserInfoEndpoint() == "" {
		return nil
	}
	info, err := found.UserInfo(p.with(ctx), oauth2.StaticTokenSource(token))
	if err != nil {
		if there { // only the address is missing
			return nil
		}
		return fmt.Errorf("%w: what it says of the user: %w", ErrUnavailable, err)
	}
	if info.Subject != who.Subject {
		return fmt.Errorf("%w: the provider answers for another user", ErrRefused)
	}
	var c claims
	var more map[string]json.RawMessage
	if err := info.Claims(&more); err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	if err := info.Claims(&c); err == nil && who.Email == "" {
		who.Email, who.EmailVerified = c.Email, bool(c.EmailVerified)
	}
	if !there {
		who.Groups, _ = lookUp(more, p.config.GroupsClaim)
	}
	return nil
}

// lookUp returns the strings in a claim, found by its name or else by its path.
func lookUp(all map[string]json.RawMessage, claim string) (list []string, there bool) {
	raw, there := all[claim]
	for rest := claim; !there; {
		var name string
		var ok bool
		if name, rest, ok = strings.Cut(rest, "."); !ok {
			raw, there = all[name]
			break
		}
		var inner map[string]json.RawMessage
		if json.Unmarshal(all[name], &inner) != nil {
			return nil, false
		}
		all = inner
	}
	if !there {
		return nil, false
	}
	var one string
	if json.Unmarshal(raw, &one) == nil {
		return []string{one}, true
	}
	var mixed []any
	if json.Unmarshal(raw, &mixed) != nil {
		return nil, false
	}
	for _, v := range mixed {
		if text, ok := v.(string); ok {
			list = append(list, text)
		}
	}
	return list, true
}

// elsewhere returns the address of groups that were too many for the token.
func elsewhere(all map[string]json.RawMessage, claim string) (at string, ok bool) {
	var names map[string]string
	var sources map[string]struct {
		Endpoint string `json:"endpoint"`
	}
	_, implicit := all["hasgroups"]
	if json.Unmarshal(all["_claim_names"], &names) != nil || json.Unmarshal(all["_claim_sources"], &sources) != nil {
		return graph, implicit
	}
	source, ok := names[claim]
	return sources[source].Endpoint, ok
}

// graph is where Entra ID lists the groups of the access token's user.
const graph = "https://graph.microsoft.com/v1.0/me/getMemberObjects"

// tooMany fetches the groups from their own address: one at the provider itself, or
// Microsoft's, which tokens still call by its former host name.
func (p *Provider) tooMany(ctx context.Context, token *oauth2.Token, at string) ([]string, error) {
	to, err := url.Parse(at)
	issuer, _ := url.Parse(p.config.Issuer)
	switch {
	case err != nil || issuer == nil:
		return nil, fmt.Errorf("%w: it names no address of the groups", ErrUnavailable)
	case to.Host == "graph.windows.net" || to.Host == "graph.microsoft.com":
		at = graph
	case to.Host != issuer.Host || to.Scheme != issuer.Scheme:
		return nil, fmt.Errorf("%w: it names another host for the groups: %s", ErrRefused, to.Host)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, at, bytes.NewReader([]byte(`{"securityEnabledOnly":false}`)))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	token.SetAuthHeader(r)
	resp, err := p.client.Do(r)
	if err != nil {
		return nil, fmt.Errorf("%w: the groups: %w", ErrUnavailable, err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	var list struct {
		Value []string `json:"value"`
	}
	if err != nil || resp.StatusCode != http.StatusOK || json.Unmarshal(text, &list) != nil {
		return nil, fmt.Errorf("%w: the groups are not told (status %d)", ErrUnavailable, resp.StatusCode)
	}
	return list.Value, nil
}
