package billing

import (
	"context"
	"errors"
	"time"

	"tallyroute/billing/anomaly"
)

// ErrTurnLost is that another router has the turn to watch the keys by now.
var ErrTurnLost = errors.New("billing: another router watches the keys")

// Watched is what came of watching the keys. All of it is stored or nothing.
type Watched struct {
	Turn   time.Time // until when the turn was taken
	At     time.Time // how far it was looked
	Next   time.Time // when it is anybody's turn again
	Hours  []anomaly.Hour
	Sights []anomaly.Sight
	Events []Event
	Forget time.Time // hours before are removed, and sights that were last seen before
}

// Anomalies keeps what keys did, for what is unusual of it.
type Anomalies interface {
	// TakeTurn takes the turn to watch the keys until an instant, and says how far they were
	// watched. mine is false while it is another's turn.
	TakeTurn(ctx context.Context, now, until time.Time) (watched time.Time, mine bool, err error)
	// KeyActivity is what all keys did from an instant, the beginning of an hour, on.
	KeyActivity(ctx context.Context, from, to time.Time) (anomaly.Activity, error)
	// KeyHours are the hours of some keys since an instant.
	KeyHours(ctx context.Context, keys []string, since time.Time) ([]anomaly.Hour, error)
	// KeySights are what some keys were seen with.
	KeySights(ctx context.Context, keys []string) ([]anomaly.Sight, error)
	// EndTurn stores what came of it. ErrTurnLost.
	EndTurn(ctx context.Context, w Watched) error
}
