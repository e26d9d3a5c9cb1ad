package admin

import (
	"cmp"
	"encoding/json"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"time"

	"tallyroute/billing"
)

// The values of members that JSON has no type for. Each says in the OpenAPI document
// how it is written.

// member is a member of a change: null is the zero value, and what is not there stays
// as it is.
type member[T any] struct {
	There bool
	Value T
}

// UnmarshalJSON reads the value.
func (m *member[T]) UnmarshalJSON(raw []byte) error {
	m.There = true
	if string(raw) == "null" {
		return nil
	}
	return decodeValue(raw, reflect.ValueOf(&m.Value).Elem())
}

func (member[T]) schema(s *schemas) schema { return orNull(s.of(reflect.TypeFor[T](), field{})) }

// amount is money as a decimal text: "50.00".
type amount billing.Money

// UnmarshalJSON reads a decimal text.
func (m *amount) UnmarshalJSON(raw []byte) error {
	const must = hint(`must be dollars as text, such as "50.00": up to nine decimals, and less than 9 billion`)
	var text *string
	if err := json.Unmarshal(raw, &text); err != nil || text == nil {
		return must
	}
	v, err := billing.ParseMoney(*text)
	if err != nil {
		return must
	}
	*m = amount(v)
	return nil
}

func (amount) schema(*schemas) schema {
	return schema{"type": "string", "pattern": `^-?[0-9]+(\.[0-9]{1,9})?$`, "description": "US dollars", "examples": []string{"50.00"}}
}

// money is the amount, nil if there is none.
func (m *amount) money() *billing.Money { return (*billing.Money)(m) }

// instant is a moment: "2026-11-01T00:00:00Z".
type instant struct{ time.Time }

// UnmarshalJSON reads RFC 3339.
func (t *instant) UnmarshalJSON(raw []byte) error {
	var text *string
	err := json.Unmarshal(raw, &text)
	if err == nil && text != nil {
		if t.Time, err = time.Parse(time.RFC3339, *text); err == nil {
			return nil
		}
	}
	return hint("must be an instant such as 2026-11-01T00:00:00Z")
}

func (instant) schema(*schemas) schema { return schema{"type": "string", "format": "date-time"} }

// addresses are a range such as 10.0.0.0/8, or one address.
type addresses struct{ netip.Prefix }

// UnmarshalJSON reads a range, or an address as a range of one.
func (a *addresses) UnmarshalJSON(raw []byte) error {
	const must = hint("must be a range of addresses, such as 10.0.0.0/8")
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

func (addresses) schema(*schemas) schema {
	return schema{"type": "string", "pattern": `^[0-9a-fA-F:.]+(/[0-9]{1,3})?$`, "examples": []string{"10.0.0.0/8"}}
}

// duration is a span such as "24h", or "90d": time.Duration knows no days.
type duration time.Duration

// UnmarshalJSON reads a positive span.
func (d *duration) UnmarshalJSON(raw []byte) error {
	var span spanText
	if err := span.UnmarshalJSON(raw); err != nil || span == 0 {
		return hint("must be a span, such as 24h or 90d")
	}
	*d = duration(span)
	return nil
}

// spanText is a duration that may be 0s.
type spanText time.Duration

// UnmarshalJSON reads a span.
func (d *spanText) UnmarshalJSON(raw []byte) error {
	const must = hint("must be a span, such as 0s, 24h or 90d")
	var text *string
	if err := json.Unmarshal(raw, &text); err != nil || text == nil {
		return must
	}
	v, err := billing.ParseSpan(*text)
	if err != nil {
		return must
	}
	*d = spanText(v)
	return nil
}

func (spanText) schema(s *schemas) schema { return duration(0).schema(s) }

func (duration) schema(*schemas) schema {
	return schema{"type": "string", "pattern": `^([0-9]+d|([0-9.]+(ns|us|µs|ms|s|m|h))+)$`, "examples": []string{"24h", "90d"}}
}

// isText reports a type that is written as text.
func isText(t reflect.Type) bool {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if own, ok := reflect.New(t).Interface().(schemer); ok {
		return own.schema(&schemas{})["type"] == "string"
	}
	return t.Kind() == reflect.String
}

// page is a list as the API answers it.
type page[T any] struct {
	Data       []T     `json:"data"`
	HasMore    bool    `json:"has_more"`
	NextCursor *string `json:"next_cursor"`
}

func (p *page[T]) continueAfter(id string) { p.HasMore, p.NextCursor = true, &id }

// listOf is a list that is short enough to need no pages, as it is shown.
func listOf[T, V any](all []T, view func(T) V) page[V] {
	list := page[V]{Data: make([]V, len(all))}
	for i, one := range all {
		list.Data[i] = view(one)
	}
	return list
}

// mostListed is the longest page, and the length of one that was not limited.
const mostListed = 200

// paging are the parameters of a list with pages.
type paging struct {
	Limit  *int   `json:"limit" doc:"How many at the most; 200 by default, which is the most."`
	Cursor string `json:"cursor" doc:"next_cursor of the page before."`
}

func (p paging) limit() (int, error) {
	if p.Limit == nil {
		return mostListed, nil
	}
	if n := *p.Limit; n >= 1 && n <= mostListed {
		return n, nil
	}
	return 0, invalid("limit", "must be between 1 and %d", mostListed)
}

// cursorFor reports a cursor, or none, of a list with ids such as one.
func cursorFor(cursor, one string) bool {
	prefix, _, _ := strings.Cut(one, "_")
	return cursor == "" || (strings.HasPrefix(cursor, prefix+"_") && len(cursor) <= mostCursor)
}

// mostCursor is more than any id has.
const mostCursor = 64

func errCursor() error { return invalid("cursor", "must be next_cursor of the page before") }

// paged is a page of a list that is short enough to be read whole. Its order is
// that of the ids, so that a cursor stays good.
func paged[T, V any](p paging, all []T, view func(T) V, id func(V) string) (page[V], error) {
	limit, err := p.limit()
	if err != nil {
		return page[V]{}, err
	}
	list := listOf(all, view)
	if len(list.Data) > 0 && !cursorFor(p.Cursor, id(list.Data[0])) {
		return page[V]{}, errCursor()
	}
	slices.SortFunc(list.Data, func(a, b V) int { return cmp.Compare(id(a), id(b)) })
	rest := slices.DeleteFunc(list.Data, func(v V) bool { return id(v) <= p.Cursor })
	list.Data = rest[:min(limit, len(rest))]
	if len(rest) > limit {
		list.continueAfter(id(rest[limit-1]))
	}
	return list, nil
}
