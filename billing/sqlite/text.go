package sqlite

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"net/netip"
	"time"
)

// layout has a fixed width, so that instants compare as text.
const layout = "2006-01-02T15:04:05.000000000Z"

// The ends of a window that has none.
const (
	always = "0001-01-01T00:00:00.000000000Z" // the zero time.Time
	never  = "9999-12-31T23:59:59.999999999Z"
)

func stamp(t time.Time) string { return t.UTC().Format(layout) }

// stampOrNull is for columns in which NULL is what the zero time is in Go.
func stampOrNull(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return stamp(t)
}

// stampEnd is for ends of windows.
func stampEnd(t time.Time) string {
	if t.IsZero() {
		return never
	}
	return stamp(t)
}

// instant scans what stamp, stampOrNull and stampEnd wrote.
type instant struct{ to *time.Time }

// Scan implements sql.Scanner.
func (i instant) Scan(v any) error {
	s, ok := v.(string)
	if !ok || s == always || s == never {
		*i.to = time.Time{}
		return nil
	}
	t, err := time.Parse(layout, s)
	*i.to = t
	return err
}

// seconds scans a span that is stored as a number of seconds.
type seconds struct{ to *time.Duration }

// Scan implements sql.Scanner.
func (s seconds) Scan(v any) error {
	n, ok := v.(int64)
	if !ok && v != nil {
		return fmt.Errorf("billing/sqlite: %T instead of seconds", v)
	}
	*s.to = time.Duration(n) * time.Second
	return nil
}

// jsonText writes and scans a list or a map.
type jsonText struct{ to any }

var _ sql.Scanner = jsonText{}

// Scan implements sql.Scanner.
func (j jsonText) Scan(v any) error {
	s, ok := v.(string)
	if !ok {
		return fmt.Errorf("billing/sqlite: %T instead of JSON", v)
	}
	if s == "[]" || s == "{}" {
		return nil // as it was when it was written: nothing
	}
	return json.Unmarshal([]byte(s), j.to)
}

// asJSON encodes what cannot fail to be encoded: texts and their containers.
func asJSON[T []string | []netip.Prefix | map[string]string](v T) string {
	b, err := json.Marshal(v)
	if err != nil {
		return "null" // the schema refuses it where it matters
	}
	return string(b)
}

// text is NULL if there is none.
func text(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// orNull is NULL for what is not known.
func orNull[T ~int64](n *T) any {
	if n == nil {
		return nil
	}
	return int64(*n)
}

// jsonOrNull is v as JSON, or NULL if there is nothing in it.
func jsonOrNull(v any) any {
	b, err := json.Marshal(v)
	if err != nil || string(b) == "null" || string(b) == "[]" {
		return nil
	}
	return string(b)
}

// blob is NULL if there is none.
func blob(b []byte) any {
	if len(b) == 0 {
		return nil
	}
	return b
}
