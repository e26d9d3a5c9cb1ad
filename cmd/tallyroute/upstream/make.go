package upstream

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"tallyroute/billing"
	"tallyroute/providers"
	"tallyroute/providers/catalogue"
)

// Providers make secrets at their admin APIs. Of those that this program knows, OpenAI's
// does: a key for a service account of a project. Anthropic's lists and ends keys, but makes
// none.

// maxMade is far larger than a response with a key in it, in bytes.
const maxMade = 64 << 10

// Make implements manage.Upstreams.
func (d *Desk) Make(ctx context.Context, provider, name string) (text, remoteID string, err error) {
	a, err := d.admin(ctx, provider)
	if err != nil {
		return "", "", err
	}
	var made struct {
		ID    string `json:"id"`
		Value string `json:"value"`
	}
	at := "/organization/projects/" + url.PathEscape(a.Project) + "/service_accounts/" + url.PathEscape(a.Account) + "/api_keys"
	status, err := a.call(ctx, http.MethodPost, at, map[string]string{"name": name}, &made)
	if err == nil && (status != http.StatusOK && status != http.StatusCreated || made.ID == "" || made.Value == "") {
		err = &billing.ConflictError{Detail: fmt.Sprintf("%s made no key: it answered with status %d", provider, status)}
	}
	return made.Value, made.ID, err
}

// Unmake implements manage.Upstreams. A key that is already gone counts as ended.
func (d *Desk) Unmake(ctx context.Context, provider, remoteID string) error {
	a, err := d.admin(ctx, provider)
	if err != nil {
		return err
	}
	at := "/organization/projects/" + url.PathEscape(a.Project) + "/api_keys/" + url.PathEscape(remoteID)
	status, err := a.call(ctx, http.MethodDelete, at, nil, nil)
	if err == nil && status != http.StatusOK && status != http.StatusNoContent && status != http.StatusNotFound {
		err = &billing.ConflictError{Detail: fmt.Sprintf("%s did not end the key %s: it answered with status %d", provider, remoteID,
			status)}
	}
	return err
}

// admin is a client of a provider's admin API.
type admin struct {
	catalogue.KeyAdmin
	base  string
	token string
	over  http.RoundTripper
}

func (d *Desk) admin(ctx context.Context, provider string) (a admin, err error) {
	c, _, err := d.build(ctx, same)
	if err != nil {
		return a, err
	}
	made, ok := c.KeyAdmin(provider)
	if !ok {
		return a, &billing.FieldError{
			Field: "secret", Code: "invalid_value",
			Detail: "is needed: the configuration names no admin API of " +
				provider + " (key_admin) that could make one",
		}
	}
	_, o, err := d.Input(ctx)
	if err != nil {
		return a, err
	}
	v, err := o.Secrets(ctx, made.Secret)
	if err != nil {
		return a, &billing.ConflictError{Detail: "the key of the admin API: " + strings.TrimPrefix(err.Error(), "secret: ")}
	}
	client, err := d.Client(ctx)
	if err != nil {
		return a, err
	}
	return admin{made.KeyAdmin, made.BaseURL, v.Reveal(), client.Beside(&providers.Target{Private: made.Private})}, nil
}

// errAdminAPI doesn't repeat what couldn't be sent or read, because it may contain a key.
var errAdminAPI = errors.New("the admin API of the provider cannot be reached")

func (a admin) call(ctx context.Context, method, path string, body, into any) (status int, err error) {
	var text []byte
	if body != nil {
		if text, err = json.Marshal(body); err != nil {
			return 0, err
		}
	}
	r, err := http.NewRequestWithContext(ctx, method, a.base+path, bytes.NewReader(text))
	if err != nil {
		return 0, errAdminAPI
	}
	r.Header.Set("Authorization", "Bearer "+a.token)
	r.Header.Set("Content-Type", "application/json")
	resp, err := a.over.RoundTrip(r)
	if err != nil {
		return 0, &billing.ConflictError{Detail: errAdminAPI.Error()}
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxMade))
	if err != nil {
		return 0, &billing.ConflictError{Detail: errAdminAPI.Error()}
	}
	if into != nil {
		_ = json.Unmarshal(answer, into) // an invalid response leaves it empty
	}
	return resp.StatusCode, nil
}
