// Package adminapi calls operations of the admin API, over HTTP on a router or on anything
// else that answers like one.
package adminapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// SelfService is the path suffix of a public listener's address at which team members serve
// themselves.
const SelfService = "/v1/team"

// API says where the admin API is and how to authenticate to it.
type API struct {
	Transport http.RoundTripper
	Base      string // the router's, such as https://router.example.com:8081
	Token     string // "" sends none
	// DryRun makes every change a dry run, which fails with a *Rehearsed.
	DryRun bool
}

// Rehearsed is the error of a change that would have succeeded but was only a dry run.
type Rehearsed struct {
	Changes []Change        // what the audit log would record; nil if the router says Object instead
	Object  json.RawMessage // how the object would be
}

// Change is one change that a dry run would have made.
type Change struct {
	Action string            `json:"action"`
	Object string            `json:"object"`
	Detail map[string]string `json:"detail"`
}

// Error implements error.
func (*Rehearsed) Error() string { return "nothing was changed: it was a dry run" }

// Error is the error that a router answers with.
type Error struct {
	Status  int
	Code    string `json:"code"`
	Message string `json:"message"`
	Param   string `json:"param"`
}

// Error implements error.
func (e *Error) Error() string {
	if e.Message == "" {
		return fmt.Sprintf("the router answered with status %d", e.Status)
	}
	return e.Message
}

// Call is one request to the API: a method and path, with a query or a body.
type Call struct {
	Method, Path string // the path below /admin/v1, its segments escaped by Path
	Query        url.Values
	Body         map[string]any // for methods other than GET and DELETE; nil sends none
	Version      int64          // the version that the change is based on; 0 is any
	Once         string         // an idempotency key
}

// Path joins segments, which may contain any characters, into a path.
func Path(parts ...string) string {
	var b strings.Builder
	for _, p := range parts {
		b.WriteString("/" + url.PathEscape(p))
	}
	return b.String()
}

// Do makes a call and reads the answer into out, unless that is nil.
func (a API) Do(ctx context.Context, c Call, out any) error {
	body, err := a.Open(ctx, c)
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }()
	if out == nil {
		_, err = io.Copy(io.Discard, body)
		return err
	}
	if err := json.NewDecoder(body).Decode(out); err != nil {
		return fmt.Errorf("the answer of the router: %w", err)
	}
	return nil
}

// Open makes a call and returns the response body as a stream.
func (a API) Open(ctx context.Context, c Call) (io.ReadCloser, error) {
	r, err := a.request(ctx, c)
	if err != nil {
		return nil, err
	}
	resp, err := a.Transport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode < http.StatusMultipleChoices && !a.rehearses(c) {
		return resp.Body, nil
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode < http.StatusMultipleChoices {
		return nil, rehearsed(resp.Body)
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	failed := struct{ Error *Error }{&Error{}}
	_ = json.Unmarshal(text, &failed) // if the answer isn't from a router of ours, the status must do
	if failed.Error == nil {
		failed.Error = &Error{}
	}
	failed.Error.Status = resp.StatusCode
	return nil, errors.Join(failed.Error, err)
}

// rehearses reports whether a call is a dry run.
func (a API) rehearses(c Call) bool { return a.DryRun && c.Method != http.MethodGet }

// rehearsed reads the answer to a dry run.
func rehearsed(answer io.Reader) error {
	text, err := io.ReadAll(answer)
	if err != nil {
		return err
	}
	var said struct {
		DryRun  bool     `json:"dry_run"`
		Changes []Change `json:"changes"`
	}
	if err := json.Unmarshal(text, &said); err != nil {
		return fmt.Errorf("the answer of the router: %w", err)
	}
	if said.DryRun && said.Changes != nil {
		return &Rehearsed{Changes: said.Changes}
	}
	return &Rehearsed{Object: text}
}

func (a API) request(ctx context.Context, c Call) (*http.Request, error) {
	to := strings.TrimSuffix(a.Base, "/")
	if strings.HasSuffix(to, SelfService) {
		to += strings.TrimPrefix(c.Path, "/team")
	} else {
		to += "/admin/v1" + c.Path
	}
	if a.rehearses(c) {
		c = c.rehearsal()
	}
	if len(c.Query) > 0 {
		to += "?" + c.Query.Encode()
	}
	var body io.Reader
	if c.Body != nil {
		text, err := json.Marshal(c.Body)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(text)
	}
	r, err := http.NewRequestWithContext(ctx, c.Method, to, body)
	if err != nil {
		return nil, err
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if a.Token != "" {
		r.Header.Set("Authorization", "Bearer "+a.Token)
	}
	if c.Version > 0 {
		r.Header.Set("If-Match", strconv.Quote(strconv.FormatInt(c.Version, 10)))
	}
	if c.Once != "" {
		r.Header.Set("Idempotency-Key", c.Once)
	}
	return r, nil
}

// rehearsal returns the call as a dry run.
func (c Call) rehearsal() Call {
	if c.Method == http.MethodDelete {
		query := url.Values{"dry_run": {"true"}}
		maps.Copy(query, c.Query)
		c.Query = query
		return c
	}
	body := map[string]any{"dry_run": true}
	maps.Copy(body, c.Body)
	c.Body = body
	return c
}

// All reads a whole list from the API, page by page, or at most `most` entries unless that
// is 0.
func All[T any](ctx context.Context, a API, path string, query url.Values, most int) ([]T, error) {
	list := []T{}
	if query == nil {
		query = url.Values{}
	}
	for {
		var page struct {
			Data       []T     `json:"data"`
			NextCursor *string `json:"next_cursor"`
		}
		if err := a.Do(ctx, Call{Method: http.MethodGet, Path: path, Query: query}, &page); err != nil {
			return nil, err
		}
		list = append(list, page.Data...)
		if most > 0 && len(list) >= most {
			return list[:most], nil
		}
		if page.NextCursor == nil {
			return list, nil
		}
		query.Set("cursor", *page.NextCursor)
	}
}

// Get makes a call that reads.
func Get(path string, query url.Values) Call {
	return Call{Method: http.MethodGet, Path: path, Query: query}
}

// Post makes a call that creates something or performs an action.
func Post(path string, body map[string]any) Call {
	return Call{Method: http.MethodPost, Path: path, Body: body}
}

// Patch makes a call that changes some fields.
func Patch(path string, body map[string]any) Call {
	return Call{Method: http.MethodPatch, Path: path, Body: body}
}

// Put makes a call that replaces something.
func Put(path string, body map[string]any) Call {
	return Call{Method: http.MethodPut, Path: path, Body: body}
}

// Delete makes a call that removes something.
func Delete(path string, query url.Values) Call {
	return Call{Method: http.MethodDelete, Path: path, Query: query}
}

// Do makes a call and returns the answer.
func Do[T any](ctx context.Context, a API, c Call) (out T, err error) {
	err = a.Do(ctx, c, &out)
	return out, err
}

// Query makes query parameters from name, value, name, value…, leaving out those without a
// value.
func Query(pairs ...string) url.Values {
	q := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			q.Set(pairs[i], pairs[i+1])
		}
	}
	return q
}
