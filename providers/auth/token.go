package auth

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"tallyroute/providers"
)

// token is what an authorization server issued: the text and when it expires.
type token struct {
	text    string
	expires time.Time
}

const (
	tokenSpare   = 5 * time.Minute // a token is renewed this long before it expires
	tokenLast    = 10 * time.Second
	tokenTimeout = 10 * time.Second
	tokenPause   = 15 * time.Second // between two attempts while the old token is still valid
)

// fetched signs with a token that fetch returns. The token is kept until shortly before it
// expires; if a renewal fails, the old token is used while it is still valid.
func fetched(fetch func(ctx context.Context) (token, error)) providers.Auth {
	return &keeper{fetch: fetch, now: time.Now}
}

type keeper struct {
	fetch func(ctx context.Context) (token, error)
	now   func() time.Time

	mu    sync.Mutex
	token token
	next  time.Time // when to renew it
}

// Sign fetches a token if there is none. Concurrent callers wait for the same fetch.
func (k *keeper) Sign(ctx context.Context, r *http.Request) error {
	text, err := k.current(ctx)
	if err != nil {
		return fmt.Errorf("auth: token: %w", err)
	}
	r.Header["Authorization"] = []string{"Bearer " + text}
	return nil
}

func (k *keeper) current(ctx context.Context) (string, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.now()
	if k.token.text != "" && now.Before(k.next) {
		return k.token.text, nil
	}
	// Others may be waiting for this token, so a caller that gives up must not cancel the fetch.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tokenTimeout)
	defer cancel()
	t, err := k.fetch(ctx)
	switch {
	case err == nil && t.text == "":
		err = errNoCredential
	case err == nil:
		life := t.expires.Sub(now)
		k.token, k.next = t, t.expires.Add(-min(tokenSpare, life/2))
		return t.text, nil
	}
	if k.token.text != "" && now.Before(k.token.expires.Add(-tokenLast)) {
		k.next = now.Add(tokenPause)
		return k.token.text, nil
	}
	k.token = token{}
	return "", err
}
