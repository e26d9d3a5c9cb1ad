package billing

import (
	"context"
	"errors"
	"time"

	"tallyroute/billing/anomaly"
)

// ErrTurnLost means that another router has since taken the turn to watch the keys.
var ErrTurnLost = errors.New("billing: another router watches the keys")

// Watched is the result of watching the keys. It is stored atomically.
type Watched struct {
	Turn   time.Time // when the turn that was taken ends
	At     time.Time // how far the activity was examined
	Next   time.Time // when any router may take the next turn
	Hours  []anomaly.Hour
	Sights []anomaly.Sight
	Events []Event
	Forget time.Time // hours before this are removed, as are sights last seen before it
}

// Anomalies stores the activity of keys, from which anomalies are detected.
type Anomalies interface {
	// TakeTurn takes the turn to watch the keys until an instant and returns how far
	// they have been watched. mine is false while another router has the turn.
	TakeTurn(ctx context.Context, now, until time.Time) (watched time.Time, mine bool, err error)
	// KeyActivity returns the activity of all keys in a span that starts on the hour.
	KeyActivity(ctx context.Context, from, to time.Time) (anomaly.Activity, error)
	// KeyHours returns the hourly activity of some keys since an instant.
	KeyHours(ctx context.Context, keys []string, since time.Time) ([]anomaly.Hour, error)
	// KeySights returns what some keys were seen with.
	KeySights(ctx context.Context, keys []string) ([]anomaly.Sight, error)
	// EndTurn stores the result of a turn. It returns ErrTurnLost if another router has
	// the turn.
	EndTurn(ctx context.Context, w Watched) error
}
