package auth

import (
	"cmp"
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

const (
	maxToken  = 64 << 10  // bytes of a token response
	usualLife = time.Hour // of a token whose server does not say
)

var errServer = errors.New("auth: the authorization server has no valid address")

// grant asks the authorization server at an address for a token (RFC 6749).
func grant(ctx context.Context, c *http.Client, at string, form url.Values) (token, error) {
	return askToken(ctx, c, at, form.Encode(), http.Header{"Content-Type": {"application/x-www-form-urlencoded"}})
}

// askToken asks for a token. If the server can't be reached, or can't answer, that says
// nothing about the credential.
func askToken(ctx context.Context, c *http.Client, at, body string, header http.Header) (token, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, at, strings.NewReader(body))
	if err != nil {
		return token{}, errServer
	}
	req.Header = header
	resp, err := c.Do(req)
	if err != nil {
		return token{}, &providers.Error{Kind: providers.KindNetwork, Err: fmt.Errorf("auth: token: %w", err)}
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxToken))
	if err != nil {
		return token{}, &providers.Error{Kind: providers.KindNetwork, Err: fmt.Errorf("auth: token: %w", err)}
	}
	return granted(resp.StatusCode, answer, time.Now())
}

// granted reads the response. Of a refusal, only the error code is repeated.
func granted(status int, body []byte, now time.Time) (token, error) {
	var answer struct {
		Token   string      `json:"access_token"`
		Seconds json.Number `json:"expires_in"`
		Error   refusal     `json:"error"`
	}
	err := json.Unmarshal(body, &answer)
	switch {
	case status >= http.StatusInternalServerError, status == http.StatusTooManyRequests:
		return token{}, &providers.Error{Kind: providers.KindOverload, Err: fmt.Errorf("auth: token: status %d", status)}
	case err != nil:
		return token{}, fmt.Errorf("auth: token: status %d with a body that is not JSON", status)
	case answer.Token == "" || status >= http.StatusMultipleChoices:
		return token{}, fmt.Errorf("auth: token: status %d, %.60q", status, answer.Error)
	}
	life := usualLife
	if seconds, err := answer.Seconds.Int64(); err == nil && seconds > 0 {
		life = time.Duration(min(seconds, 1<<20)) * time.Second
	}
	return token{text: answer.Token, expires: now.Add(life)}, nil
}

// refusal is an error code: a string, or the type or code of an object.
type refusal string

// UnmarshalJSON reads either form; anything else leaves the code empty.
func (r *refusal) UnmarshalJSON(text []byte) error {
	var object struct{ Type, Code string }
	if json.Unmarshal(text, (*string)(r)) != nil && json.Unmarshal(text, &object) == nil {
		*r = refusal(cmp.Or(object.Code, object.Type))
	}
	return nil
}
