// Package conjur reads and writes variables in CyberArk Conjur. It logs in with an API key or
// a JWT.
package conjur

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"tallyroute/providers/secret"
	"tallyroute/providers/secret/manager"
)

// Options say where Conjur is and how to log in.
type Options struct {
	Address string // https://host
	Account string
	Login   string // such as host/tallyroute, for which Secret is the API key; "" logs in with a JWT
	Service string // ID of the authenticator for JWTs
	Secret  func(ctx context.Context) (secret.Value, error)
	Client  *http.Client
	Clock   func() time.Time
	Pause   func(ctx context.Context, d time.Duration) error
}

// Conjur is a client of one Conjur.
type Conjur struct {
	Options
	caller manager.Caller

	mu    sync.Mutex
	token string
	until time.Time
	known map[string]manager.Secret // last fetched, by variable
}

var (
	_ manager.Manager = (*Conjur)(nil)
	_ manager.Reacher = (*Conjur)(nil)
)

// New returns a client; it makes no calls yet.
func New(o Options) *Conjur {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	o.Address = strings.TrimSuffix(o.Address, "/")
	return &Conjur{Options: o, caller: manager.Caller{Name: "conjur", Client: o.Client, Pause: o.Pause}, known: map[string]manager.Secret{}}
}

// tokenLife is how long a token is used; it is valid for eight minutes.
const tokenLife = 5 * time.Minute

// authenticate returns a valid token.
func (c *Conjur) authenticate(ctx context.Context) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.Clock()
	if c.token != "" && now.Before(c.until) {
		return c.token, nil
	}
	given, err := c.Secret(ctx)
	if err != nil {
		return "", err
	}
	path, body, media := "/authn/"+url.PathEscape(c.Account)+"/"+url.PathEscape(c.Login), given.Reveal(), "text/plain"
	if c.Login == "" {
		path = "/authn-jwt/" + url.PathEscape(c.Service) + "/" + url.PathEscape(c.Account)
		body, media = url.Values{"jwt": {given.Reveal()}}.Encode(), "application/x-www-form-urlencoded"
	}
	text, err := c.caller.Do(ctx, manager.Call{
		Method: http.MethodPost, URL: c.Address + path + "/authenticate", Body: []byte(body),
		Header: http.Header{"Accept-Encoding": {"base64"}, "Content-Type": {media}},
	})
	if err != nil {
		return "", err
	}
	c.token, c.until = strings.TrimSpace(string(text)), now.Add(tokenLife)
	return c.token, nil
}

// call makes a call with a token, and retries once with a new token if the first has expired.
func (c *Conjur) call(ctx context.Context, method, path string, body []byte) ([]byte, error) {
	for try := 0; ; try++ {
		token, err := c.authenticate(ctx)
		if err != nil {
			return nil, err
		}
		text, err := c.caller.Do(ctx, manager.Call{
			Method: method, URL: c.Address + path, Body: body, Header: http.Header{"Authorization": {`Token token="` + token + `"`}},
		})
		if !manager.Is(err, manager.Expired) || try > 0 {
			return text, err
		}
		c.mu.Lock()
		c.token = ""
		c.mu.Unlock()
	}
}

func (c *Conjur) path(kind, id string) string {
	return "/" + kind + "/" + url.PathEscape(c.Account) + "/variable/" + url.PathEscape(id)
}

// Fetch reads a variable, or one version of it, given as ID?version=N.
func (c *Conjur) Fetch(ctx context.Context, name string) (manager.Secret, error) {
	id, query, _ := strings.Cut(name, "?")
	number, pinned := strings.CutPrefix(query, "version=")
	if id == "" || query != "" && (!pinned || strings.Trim(number, "0123456789") != "") {
		return manager.Secret{}, fmt.Errorf("conjur: %q is not a variable, or a variable and its version: ID?version=N", name)
	}
	path := c.path("secrets", id)
	if pinned {
		path += "?version=" + number
	}
	text, err := c.call(ctx, http.MethodGet, path, nil)
	if err != nil {
		return manager.Secret{}, err
	}
	c.mu.Lock()
	last, known := c.known[name]
	c.mu.Unlock()
	if known && last.Text.Reveal() == string(text) {
		return last, nil
	}
	s := manager.Secret{Text: secret.New(string(text)), Version: number}
	if !pinned {
		s.Version = c.newest(ctx, id)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.known[name] = s
	return s, nil
}

// newest returns the number of the newest version; "" if we are not allowed to see it.
func (c *Conjur) newest(ctx context.Context, id string) string {
	text, err := c.call(ctx, http.MethodGet, c.path("resources", id), nil)
	var about struct {
		Secrets []struct {
			Version int64 `json:"version"`
		} `json:"secrets"`
	}
	if err != nil || json.Unmarshal(text, &about) != nil {
		return ""
	}
	last := int64(0)
	for _, v := range about.Secrets {
		last = max(last, v.Version)
	}
	return strconv.FormatInt(last, 10)
}

// Write sets a variable, which a policy must have declared, or a field in it.
func (c *Conjur) Write(ctx context.Context, place, text string, _ map[string]string) error {
	id, field := manager.Place(place)
	return c.set(ctx, id, func(old string) (string, error) { return manager.Put(old, field, text) })
}

// archived replaces a deleted secret: Conjur has no way to remove the value of a variable.
const archived = "archived"

// Delete removes a field, or overwrites the variable if nothing is left.
func (c *Conjur) Delete(ctx context.Context, place string) error {
	id, field := manager.Place(place)
	err := c.set(ctx, id, func(old string) (string, error) {
		if left, some := manager.Without(old, field); some {
			return left, nil
		}
		return archived, nil
	})
	if manager.Is(err, manager.NotFound) {
		return nil
	}
	return err
}

func (c *Conjur) set(ctx context.Context, id string, edit func(old string) (string, error)) error {
	old, err := c.call(ctx, http.MethodGet, c.path("secrets", id), nil)
	if err != nil && !manager.Is(err, manager.NotFound) {
		return err
	}
	fresh, err := edit(string(old))
	if err != nil || fresh == string(old) {
		return err
	}
	_, err = c.call(ctx, http.MethodPost, c.path("secrets", id), []byte(fresh))
	return err
}

// mostLooked is how many of the variables that a login sees are looked at.
const mostLooked = 100

// Reach implements manager.Reacher.
func (c *Conjur) Reach(ctx context.Context, use manager.Use) (wide []string, err error) {
	used := make(map[string]bool)
	for _, name := range use.Names {
		id, _, _ := strings.Cut(name, "?")
		used[id] = true
		if may, err := c.may(ctx, "update", id); err != nil || !may || below(id, use.Places) {
			if err != nil {
				return wide, err
			}
			continue
		}
		wide = append(wide, "the login may change the variable "+id)
	}
	path := fmt.Sprintf("/resources/%s?kind=variable&limit=%d", url.PathEscape(c.Account), mostLooked)
	text, err := c.call(ctx, http.MethodGet, path, nil)
	if err != nil {
		return wide, err
	}
	var seen []struct {
		ID string `json:"id"`
	}
	if json.Unmarshal(text, &seen) != nil {
		return wide, manager.Unreadable("conjur")
	}
	var others []string
	for _, one := range seen {
		id := strings.TrimPrefix(one.ID, c.Account+":variable:")
		if used[id] || below(id, use.Places) {
			continue
		}
		may, err := c.may(ctx, "execute", id)
		if err != nil {
			return wide, err
		}
		if may {
			others = append(others, id)
		}
	}
	if text := manager.Others("variables", others); text != "" {
		wide = append(wide, text)
	}
	return wide, nil
}

// may asks whether the login has a privilege on a variable.
func (c *Conjur) may(ctx context.Context, privilege, id string) (bool, error) {
	_, err := c.call(ctx, http.MethodGet, c.path("resources", id)+"?check=true&privilege="+privilege, nil)
	if manager.Is(err, manager.NotFound) || manager.Is(err, manager.Denied) {
		return false, nil
	}
	return err == nil, err
}

func below(id string, places []string) bool {
	return slices.ContainsFunc(places, func(at string) bool { return strings.HasPrefix(id, strings.Trim(at, "/")+"/") })
}
