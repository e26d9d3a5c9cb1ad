package wire

import (
	"cmp"
	"encoding/json"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"tallyroute/billing"
)

// The types of members for which JSON has none. Each describes its format in the OpenAPI
// document.

// Member is a member of a change: null is the zero value, and an absent member leaves the value
// unchanged.
type Member[T any] struct {
	There bool
	Value T
}

// UnmarshalJSON reads the value.
func (m *Member[T]) UnmarshalJSON(raw []byte) error {
	m.There = true
	if string(raw) == "null" {
		return nil
	}
	return DecodeValue(raw, reflect.ValueOf(&m.Value).Elem())
}

// Schema returns the schema of the value, or null.
func (Member[T]) Schema(s *Schemas) Schema { return OrNull(s.Of(reflect.TypeFor[T](), Field{})) }

// Amount is money as a decimal string: "50.00".
type Amount billing.Money

// UnmarshalJSON reads a decimal string.
func (m *Amount) UnmarshalJSON(raw []byte) error {
	const must = Hint(`must be dollars as text, such as "50.00": up to nine decimals, and less than 9 billion`)
	var text *string
	if err := json.Unmarshal(raw, &text); err != nil || text == nil {
		return must
	}
	v, err := billing.ParseMoney(*text)
	if err != nil {
		return must
	}
	*m = Amount(v)
	return nil
}

// Schema describes a decimal string.
func (Amount) Schema(*Schemas) Schema {
	return Schema{"type": "string", "pattern": `^-?[0-9]+(\.[0-9]{1,9})?$`, "description": "US dollars", "examples": []string{"50.00"}}
}

// Money returns the amount, or nil if there is none.
func (m *Amount) Money() *billing.Money { return (*billing.Money)(m) }

// Instant is a point in time: "2026-11-01T00:00:00Z".
type Instant struct{ time.Time }

// UnmarshalJSON reads an RFC 3339 time.
func (t *Instant) UnmarshalJSON(raw []byte) error {
	var text *string
	err := json.Unmarshal(raw, &text)
	if err == nil && text != nil {
		if t.Time, err = time.Parse(time.RFC3339, *text); err == nil {
			return nil
		}
	}
	return Hint("must be an instant such as 2026-11-01T00:00:00Z")
}

// OrZero returns the time, or the zero time if there is none.
func (t *Instant) OrZero() time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.Time
}

// Schema describes a date and time.
func (Instant) Schema(*Schemas) Schema { return Schema{"type": "string", "format": "date-time"} }

// Addresses is a range such as 10.0.0.0/8, or a single address.
type Addresses struct{ netip.Prefix }

// UnmarshalJSON reads a range, or an address as a range of one.
func (a *Addresses) UnmarshalJSON(raw []byte) error {
	const must = Hint("must be a range of addresses, such as 10.0.0.0/8")
	var text *string
	if err := json.Unmarshal(raw, &text); err != nil || text == nil {
		return must
	}
	if one, err := netip.ParseAddr(*text); err == nil && one.Zone() == "" {
		a.Prefix = netip.PrefixFrom(one, one.BitLen())
		return nil
	}
	p, err := netip.ParsePrefix(*text)
	if err != nil {
		return must
	}
	a.Prefix = p.Masked()
	return nil
}

// Schema describes a range or an address.
func (Addresses) Schema(*Schemas) Schema {
	return Schema{"type": "string", "pattern": `^[0-9a-fA-F:.]+(/[0-9]{1,3})?$`, "examples": []string{"10.0.0.0/8"}}
}

// Duration is a duration such as "24h", or "90d": time.Duration has no days.
type Duration time.Duration

// UnmarshalJSON reads a positive duration.
func (d *Duration) UnmarshalJSON(raw []byte) error {
	var span Span
	if err := span.UnmarshalJSON(raw); err != nil || span == 0 {
		return Hint("must be a span, such as 24h or 90d")
	}
	*d = Duration(span)
	return nil
}

// Span is a duration that may be 0s.
type Span time.Duration

// UnmarshalJSON reads a duration.
func (d *Span) UnmarshalJSON(raw []byte) error {
	const must = Hint("must be a span, such as 0s, 24h or 90d")
	var text *string
	if err := json.Unmarshal(raw, &text); err != nil || text == nil {
		return must
	}
	v, err := billing.ParseSpan(*text)
	if err != nil {
		return must
	}
	*d = Span(v)
	return nil
}

// Schema returns that of a Duration.
func (Span) Schema(s *Schemas) Schema { return Duration(0).Schema(s) }

// Schema describes a duration as a string.
func (Duration) Schema(*Schemas) Schema {
	return Schema{"type": "string", "pattern": `^([0-9]+d|([0-9.]+(ns|us|µs|ms|s|m|h))+)$`, "examples": []string{"24h", "90d"}}
}

// isText reports whether a type is written as a string.
func isText(t reflect.Type) bool {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if own, ok := reflect.New(t).Interface().(schemer); ok {
		return own.Schema(&Schemas{})["type"] == "string"
	}
	return t.Kind() == reflect.String
}

// Inert returns a text that a spreadsheet won't run as a formula.
func Inert(s string) string {
	first, _ := utf8.DecodeRuneInString(s)
	if s != "" && strings.ContainsRune("=+-@\t\r\n＝＋－＠", first) {
		return "'" + s
	}
	return s
}

// Page is a list in the form in which the API returns it.
type Page[T any] struct {
	Data       []T     `json:"data"`
	HasMore    bool    `json:"has_more"`
	NextCursor *string `json:"next_cursor"`
}

// ContinueAfter says that there is more after the item with this id.
func (p *Page[T]) ContinueAfter(id string) { p.HasMore, p.NextCursor = true, &id }

// ListOf returns a list that is short enough to need no pages.
func ListOf[T, V any](all []T, view func(T) V) Page[V] {
	list := Page[V]{Data: make([]V, len(all))}
	for i, one := range all {
		list.Data[i] = view(one)
	}
	return list
}

// MostListed is the maximum and the default length of a page.
const MostListed = 200

// Paging holds the parameters of a paginated list.
type Paging struct {
	Limit  *int   `json:"limit" doc:"The maximum number returned: 200 by default, and at most."`
	Cursor string `json:"cursor" doc:"The next_cursor of the previous page."`
}

// Most returns the maximum number of items on the page.
func (p Paging) Most() (int, error) {
	if p.Limit == nil {
		return MostListed, nil
	}
	if n := *p.Limit; n >= 1 && n <= MostListed {
		return n, nil
	}
	return 0, Invalid("limit", "must be between 1 and %d", MostListed)
}

// CursorFor reports whether cursor is empty or a possible id of the list's items, such as one.
func CursorFor(cursor, one string) bool {
	prefix, _, _ := strings.Cut(one, "_")
	return cursor == "" || (strings.HasPrefix(cursor, prefix+"_") && len(cursor) <= mostCursor)
}

// mostCursor is more than the length of any id.
const mostCursor = 64

// ErrCursor returns the error for a cursor that no page returned.
func ErrCursor() error { return Invalid("cursor", "must be next_cursor of the page before") }

// Continued returns a page of at most limit items. If all has one more, the page says where to
// continue.
func Continued[T, V any](all []T, limit int, view func(T) V, id func(V) string) Page[V] {
	list := ListOf(all[:min(limit, len(all))], view)
	if len(all) > limit {
		list.ContinueAfter(id(list.Data[limit-1]))
	}
	return list
}

// PagedAsListed is Paged for a list that keeps its order.
func PagedAsListed[T, V any](p Paging, all []T, view func(T) V, id func(V) string) (Page[V], error) {
	limit, err := p.Most()
	if err != nil {
		return Page[V]{}, err
	}
	list := ListOf(all, view).Data
	if p.Cursor != "" {
		last := slices.IndexFunc(list, func(v V) bool { return id(v) == p.Cursor })
		if last < 0 {
			return Page[V]{}, ErrCursor()
		}
		list = list[last+1:]
	}
	return Continued(list, limit, func(v V) V { return v }, id), nil
}

// Paged returns one page of a list that is short enough to be read whole. It is sorted by id,
// so that a cursor stays valid.
func Paged[T, V any](p Paging, all []T, view func(T) V, id func(V) string) (Page[V], error) {
	limit, err := p.Most()
	if err != nil {
		return Page[V]{}, err
	}
	list := ListOf(all, view)
	if len(list.Data) > 0 && !CursorFor(p.Cursor, id(list.Data[0])) {
		return Page[V]{}, ErrCursor()
	}
	slices.SortFunc(list.Data, func(a, b V) int { return cmp.Compare(id(a), id(b)) })
	rest := slices.DeleteFunc(list.Data, func(v V) bool { return id(v) <= p.Cursor })
	list.Data = rest[:min(limit, len(rest))]
	if len(rest) > limit {
		list.ContinueAfter(id(rest[limit-1]))
	}
	return list, nil
}
