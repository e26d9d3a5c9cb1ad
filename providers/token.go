package providers

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"
)

// Token is what an authorization server has given: the text and how long it
// is good for.
type Token struct {
	Text    string
	Expires time.Time
}

const (
	tokenSpare   = 5 * time.Minute // a token is renewed this long before it expires
	tokenLast    = 10 * time.Second
	tokenTimeout = 10 * time.Second
	tokenPause   = 15 * time.Second // between two tries while the old token is still good
)

// FetchedBearer signs with a token that fetch gets. It is kept until shortly
// before it expires; one that can still be used outlives a failed renewal.
func FetchedBearer(fetch func(ctx context.Context) (Token, error)) Auth {
	return &fetched{fetch: fetch, now: time.Now}
}

type fetched struct {
	fetch func(ctx context.Context) (Token, error)
	now   func() time.Time

	mu    sync.Mutex
	token Token
	next  time.Time // when to renew it
}

var _ Auth = (*fetched)(nil)

// Sign fetches a token where there is none. Callers wait for the one that does.
func (f *fetched) Sign(ctx context.Context, r *http.Request) error {
	text, err := f.current(ctx)
	if err != nil {
		return fmt.Errorf("providers: token: %w", err)
	}
	r.Header["Authorization"] = []string{"Bearer " + text}
	return nil
}

func (f *fetched) current(ctx context.Context) (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.now()
	if f.token.Text != "" && now.Before(f.next) {
		return f.token.Text, nil
	}
	// Others may be waiting for this token, so that one caller's going must not end it.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tokenTimeout)
	defer cancel()
	t, err := f.fetch(ctx)
	switch {
	case err == nil && t.Text == "":
		err = errNoCredential
	case err == nil:
		life := t.Expires.Sub(now)
		f.token, f.next = t, t.Expires.Add(-min(tokenSpare, life/2))
		return t.Text, nil
	}
	if f.token.Text != "" && now.Before(f.token.Expires.Add(-tokenLast)) {
		f.next = now.Add(tokenPause)
		return f.token.Text, nil
	}
	f.token = Token{}
	return "", err
}

var errTokenRedirect = errors.New("providers: an authorization server redirects, which is not followed")

// TokenClient is for talking to authorization servers: it reaches public
// addresses alone, follows nothing and uses no proxy, as calls of models do.
func TokenClient() *http.Client {
	dialer := net.Dialer{Timeout: 3 * time.Second, Control: guard}
	return &http.Client{
		Transport:     Options{}.filled().transport(dialer),
		Timeout:       tokenTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return errTokenRedirect },
	}
}
