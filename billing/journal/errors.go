package journal

import (
	"errors"
	"fmt"
	"strings"
)

// What can be wrong with a log; errors wrap these.
var (
	ErrLocked  = errors.New("journal: in use by another process")
	ErrVersion = errors.New("journal: written by a newer version")
	ErrFull    = errors.New("journal: full")                   // no space on the disk, or MaxBytes reached; goes away with space
	ErrFailed  = errors.New("journal: failed")                 // the disk refused; goes away when a new segment could be synced
	ErrLost    = errors.New("journal: its files were deleted") // by somebody else, while it was in use
	ErrClosed  = errors.New("journal: closed")
	ErrRecord  = errors.New("journal: a record must have 1 to 1048576 bytes")
)

// failure returns an error of one of the kinds above, with what was attempted and what
// the system reported.
func failure(kind error, what string, err error) error {
	return fmt.Errorf("%w: %s: %w", kind, what, err)
}

// Damage is a place in a segment that could not be read.
type Damage struct {
	Segment     Segment
	Offset      int64  // bytes from the beginning of the file
	Bytes       int64  // how many are unreadable or missing
	Quarantined string // the file in quarantine that holds them, "" if there is nothing to keep
	Reason      string
}

// String says where the damage is and what is wrong.
func (d Damage) String() string {
	text := fmt.Sprintf("segment %s at byte %d, %d bytes: %s", d.Segment, d.Offset, d.Bytes, d.Reason)
	if d.Quarantined != "" {
		text += ", kept in " + d.Quarantined
	}
	return text
}

// DamageError means that records which had been written are no longer there. Everything
// that could be read has been replayed.
type DamageError struct {
	Damage []Damage
}

// Error lists the places.
func (e *DamageError) Error() string {
	var b strings.Builder
	b.WriteString("journal: damaged: ")
	for i, d := range e.Damage {
		if i > 0 {
			b.WriteString("; ")
		}
		b.WriteString(d.String())
	}
	return b.String()
}
