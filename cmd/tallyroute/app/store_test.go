package app

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"

	"tallyroute/billing"
	"tallyroute/cmd/tallyroute/config"
)

// TestCommandsWaitForAConnection longer than requests do: on a busy host one takes a while.
func TestCommandsWaitForAConnection(t *testing.T) {
	t.Parallel()
	busy, err := net.Listen("tcp", "127.0.0.1:0") // takes connections and answers none
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = busy.Close() }()
	cfg := config.Default()
	cfg.Database = config.DSN("postgres://somebody@" + busy.Addr().String() + "/ledger?sslmode=disable")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	store, err := OpenStore(ctx, &cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = store.Close() }()
	go func() {
		c, err := busy.Accept()
		cancel() // whoever ran the command has waited long enough
		if err == nil {
			_ = c.Close()
		}
	}()
	if err = store.Ready(ctx); !errors.Is(err, billing.ErrUnavailable) || !strings.Contains(err.Error(), "no connection within 5s") {
		t.Errorf("it gave up with %v", err)
	}
}
