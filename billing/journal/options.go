package journal

import (
	"fmt"
	"time"
)

// MaxRecord is the longest record in bytes.
const MaxRecord = 1 << 20

// Sync says when written data is forced to the disk. Under every setting a record
// survives the death of the process; this is about power failures and kernel crashes.
type Sync string

// When to sync.
const (
	SyncAlways   Sync = "always"   // before Append returns, one sync for all who wait
	SyncInterval Sync = "interval" // within Options.Interval, not counting the duration of the syncs
	SyncOff      Sync = "off"      // when the kernel likes, and at Close
)

// Options of a log; the zero value is usable.
type Options struct {
	Sync Sync // "" is SyncInterval

	// Interval is the longest time that a record waits for its sync, and how often a
	// failed log tries to recover; 0 means 100 ms.
	Interval time.Duration

	// SegmentBytes is the size at which a new segment is begun; 0 means 16 MiB. It is
	// never more than a quarter of MaxBytes, because only whole segments can be dropped.
	SegmentBytes int64

	// Keep is how long dropped segments can still be read, as long as there is room: at
	// most a quarter of MaxBytes. 0 means not at all.
	Keep time.Duration

	// MaxBytes is the maximum total size of all segments; 0 means 1 GiB.
	MaxBytes int64
}

// withDefaults fills in defaults and checks the rest.
func (o Options) withDefaults() (Options, error) {
	switch o.Sync {
	case "":
		o.Sync = SyncInterval
	case SyncAlways, SyncInterval, SyncOff:
	default:
		return o, fmt.Errorf("journal: sync is %q, not always, interval or off", string(o.Sync))
	}
	if o.Interval < 0 || o.Keep < 0 || o.SegmentBytes < 0 || o.MaxBytes < 0 {
		return o, fmt.Errorf("journal: a negative interval or size")
	}
	if o.Interval == 0 {
		o.Interval = 100 * time.Millisecond
	}
	if o.MaxBytes == 0 {
		o.MaxBytes = 1 << 30
	}
	if o.SegmentBytes == 0 {
		o.SegmentBytes = 16 << 20
	}
	o.SegmentBytes = min(o.SegmentBytes, o.MaxBytes/4)
	return o, nil
}
