package app

import (
	"context"
	"time"

	"tallyroute/billing"
	"tallyroute/cmd/tallyroute/config"
	"tallyroute/cmd/tallyroute/upstream"
	"tallyroute/providers"
	"tallyroute/providers/catalogue"
	"tallyroute/providers/secret/envelope"
)

// Stored is what administrators have stored, as far as the keys that the configuration
// names open it.
func Stored(ctx context.Context, c *config.Config, store billing.Store) (*upstream.Loaded, error) {
	from, err := once(c)
	if err != nil {
		return nil, err
	}
	keys, err := ring(ctx, from, c)
	if err != nil {
		keys = envelope.NewRing()
	}
	return upstream.Load(ctx, store, keys, nil, time.Now())
}

// Desk is where administrators work on providers, for who works on the host.
func Desk(c *config.Config, store billing.Store, demo Local) (*upstream.Desk, error) {
	from, err := once(c)
	if err != nil {
		return nil, err
	}
	return &upstream.Desk{
		Store: store, Clock: time.Now,
		Ring: func(ctx context.Context) (*envelope.Ring, error) { return ring(ctx, from, c) },
		Input: func(ctx context.Context) (catalogue.Input, catalogue.Options, error) {
			return catalogueParts(ctx, c, demo, nowhere, &credentialFiles{from: from})
		},
		Client: func(ctx context.Context) (*providers.Client, error) {
			way, _, err := proxy(ctx, from, c.UpstreamProxy)
			return providers.NewClient(providers.Options{Proxy: way}), err
		},
	}, nil
}
