package admin

import (
	"cmp"
	"slices"
	"strings"
)

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
