// Package adminapi calls operations of the admin API: those of a router over HTTP, or
// whatever else answers as it does.
package adminapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// SelfService is how the address of a public listener ends that members of teams use.
const SelfService = "/v1/team"

// API is where the operations are.
type API struct {
	Transport http.RoundTripper
	Base      string // of the router: https://router.example.com:8081
	Token     string // "" is none
}

// Error is what a router answers in place of what was asked for.
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

// Call is what is asked for: an operation by its method and path, with a query or a body.
type Call struct {
	Method, Path string // the path below /admin/v1, its parts escaped by Path
	Query        url.Values
	Body         any    // of other methods than GET and DELETE; nil is none
	Version      int64  // that the change was made from; 0 is any
	Once         string // a name under which the same is done once
}

// Path joins parts, which may hold anything, to a path.
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

// Open makes a call and returns the answer as it comes.
func (a API) Open(ctx context.Context, c Call) (io.ReadCloser, error) {
	r, err := a.request(ctx, c)
	if err != nil {
		return nil, err
	}
	resp, err := a.Transport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode < http.StatusMultipleChoices {
		return resp.Body, nil
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	failed := struct{ Error *Error }{&Error{}}
	_ = json.Unmarshal(text, &failed) // of what is no router of ours the status must do
	if failed.Error == nil {
		failed.Error = &Error{}
	}
	failed.Error.Status = resp.StatusCode
	return nil, errors.Join(failed.Error, err)
}

func (a API) request(ctx context.Context, c Call) (*http.Request, error) {
	to := strings.TrimSuffix(a.Base, "/")
	if strings.HasSuffix(to, SelfService) {
		to += strings.TrimPrefix(c.Path, "/team")
	} else {
		to += "/admin/v1" + c.Path
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

// All reads a list of the API: every page of it, or at most so many where most is not 0.
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

// Get is a call that reads.
func Get(path string, query url.Values) Call {
	return Call{Method: http.MethodGet, Path: path, Query: query}
}

// Post is a call that makes or does something.
func Post(path string, body any) Call {
	return Call{Method: http.MethodPost, Path: path, Body: body}
}

// Patch is a call that changes members.
func Patch(path string, body any) Call {
	return Call{Method: http.MethodPatch, Path: path, Body: body}
}

// Put is a call that replaces something.
func Put(path string, body any) Call {
	return Call{Method: http.MethodPut, Path: path, Body: body}
}

// Delete is a call that removes something.
func Delete(path string, query url.Values) Call {
	return Call{Method: http.MethodDelete, Path: path, Query: query}
}

// Do makes a call and returns the answer.
func Do[T any](ctx context.Context, a API, c Call) (out T, err error) {
	err = a.Do(ctx, c, &out)
	return out, err
}

// Query is the parameters that have a value: name, value, name, value.
func Query(pairs ...string) url.Values {
	q := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			q.Set(pairs[i], pairs[i+1])
		}
	}
	return q
}
