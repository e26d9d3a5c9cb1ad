package admin

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"tallyroute/billing"
)

// page is a list as the API answers it.
type page[T any] struct {
	Data       []T     `json:"data"`
	HasMore    bool    `json:"has_more"`
	NextCursor *string `json:"next_cursor"`
}

func (p *page[T]) continueAfter(id string) { p.HasMore, p.NextCursor = true, &id }

// viewsOf are all as they are shown.
func viewsOf[T, V any](all []T, view func(T) V) []V {
	views := make([]V, len(all))
	for i, one := range all {
		views[i] = view(one)
	}
	return views
}

// mostListed is the longest page, and the length of one that was not limited.
const mostListed = 200

func limitOf(q url.Values) (int, error) {
	text := q.Get("limit")
	if text == "" {
		return mostListed, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > mostListed {
		return 0, invalid("limit", "must be between 1 and %d", mostListed)
	}
	return n, nil
}

// query is the parameters of the request, of which no others may be there, and
// none twice.
func (x *exchange) query(names ...string) (url.Values, error) {
	q, err := url.ParseQuery(x.c.Request.URL.RawQuery)
	if err != nil {
		return nil, &billing.FieldError{Field: "query", Code: "invalid_value", Detail: "cannot be read"}
	}
	for name, values := range q {
		if !slices.Contains(names, name) {
			return nil, &billing.FieldError{Field: shorten(name), Code: "unknown_parameter", Detail: "is not a parameter here"}
		}
		if len(values) > 1 || len(values[0]) > 256 {
			return nil, invalid(name, "must be there once, with at most 256 bytes")
		}
	}
	return q, nil
}

// paged answers with a page of a list that is short enough to be read whole.
// Its order is that of the ids, so that a cursor stays good.
func paged[T any](x *exchange, all []T, id func(T) string) error {
	q, err := x.query("limit", "cursor")
	if err != nil {
		return err
	}
	limit, err := limitOf(q)
	if err != nil {
		return err
	}
	slices.SortFunc(all, func(a, b T) int { return cmp.Compare(id(a), id(b)) })
	rest := slices.DeleteFunc(all, func(v T) bool { return id(v) <= q.Get("cursor") })
	list := page[T]{Data: rest[:min(limit, len(rest))]}
	if len(rest) > limit {
		list.continueAfter(id(rest[limit-1]))
	}
	return x.json(http.StatusOK, list)
}
