package billing

import (
	"crypto/rand"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"
)

// NewID makes an id such as "key_01JD…": a prefix and a ULID, whose first part is the
// time and whose second part is random and cannot be guessed.
func NewID(prefix string) string {
	var id ulid.ULID
	_ = id.SetTime(ulid.Now()) // fits until the year 10889
	_, _ = rand.Read(id[6:])   // never fails
	text := make([]byte, len(prefix)+ulid.EncodedSize)
	_ = id.MarshalTextTo(text[copy(text, prefix):]) // has room
	return string(text)
}

// MadeAt returns when an id was made by NewID, to the millisecond.
func MadeAt(id string) (at time.Time, ok bool) {
	_, text, _ := strings.Cut(id, "_")
	u, err := ulid.ParseStrict(text)
	return u.Timestamp(), err == nil
}
