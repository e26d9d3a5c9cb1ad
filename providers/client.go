package providers

import (
	"context"
	"net/http"

	"tallyroute/providers/chat"
)

// Answer is a successful call: a whole response, or a stream whose first
// content has already been read, so that a caller may still try elsewhere
// while Do has not returned. It must be closed.
type Answer struct {
	Response *chat.Response // nil for streams
	Stream   chat.Stream    // nil for whole responses
	Header   http.Header    // the provider's, unfiltered: not for clients
	Dropped  []string       // members of the request that were dropped by declared rule
}

// Close ends the call and frees its connection.
func (a *Answer) Close() error { return nil }

// Client makes calls. It owns everything that touches the network.
type Client struct{}

// Do makes one call. Its errors are *Error. Cancelling ctx ends the call, a
// stream that was returned included.
func (c *Client) Do(ctx context.Context, x Exchange) (*Answer, error) { return nil, nil }
