// Package identity finds out who this process is at AWS, Azure and Google Cloud without a key
// of its own: by the role of its pod or machine, by a federated token, or by what a
// developer's tools left behind. The clouds' own libraries look the identity up and renew it;
// each is set up on first use.
//
// Files, each of which uses only those before it: identity.go, aws.go, azure.go, google.go,
// host.go.
package identity

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"

	"cloud.google.com/go/compute/metadata"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"golang.org/x/oauth2"
	"golang.org/x/sync/singleflight"
)

// Token returns a valid token; it is renewed in time.
type Token func(ctx context.Context) (string, error)

// patience is how long to wait for a service that issues tokens.
const patience = 10 * time.Second

// lazily makes something when it is first needed, and tries again if that failed.
type lazily[T any] struct {
	mu   sync.Mutex
	made bool
	it   T
}

func (l *lazily[T]) get(make func() (T, error)) (T, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.made {
		return l.it, nil
	}
	it, err := make()
	if err == nil {
		l.it, l.made = it, true
	}
	return it, err
}

// bounded calls get, but waits no longer than its caller's context and patience allow. A
// library call that ignores its context continues, and the next caller waits for the same
// call.
func bounded(get func(ctx context.Context) (string, error)) Token {
	var one singleflight.Group
	return func(ctx context.Context) (string, error) {
		shared := context.WithoutCancel(ctx) // others may wait for the same call
		ctx, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		select {
		case r := <-one.DoChan("", func() (any, error) { return get(shared) }):
			text, _ := r.Val.(string)
			return text, r.Err
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
}

// Unreachable reports whether an error is not a refusal: the service that issues tokens could
// not be reached, or could not answer.
func Unreachable(err error) bool {
	status := 0
	var answered interface{ HTTPStatusCode() int }
	var azure *azidentity.AuthenticationFailedError
	var google *oauth2.RetrieveError
	var machine *metadata.Error
	switch {
	case errors.As(err, &answered):
		status = answered.HTTPStatusCode()
	case errors.As(err, &azure) && azure.RawResponse != nil:
		status = azure.RawResponse.StatusCode
	case errors.As(err, &google) && google.Response != nil:
		status = google.Response.StatusCode
	case errors.As(err, &machine):
		status = machine.Code
	}
	var network net.Error
	return away(status) || errors.As(err, new(*awayError)) ||
		status == 0 && (errors.As(err, &network) || errors.Is(err, context.DeadlineExceeded))
}

// away reports whether a status means that a service can't answer right now.
func away(status int) bool {
	return status >= http.StatusInternalServerError || status == http.StatusTooManyRequests
}

// awayError marks the error of a service that did not answer.
type awayError struct{ error }

func (e *awayError) Unwrap() error { return e.error }
