package ephemeral

import (
	"maps"
	"strings"
	"sync"
)

// Recent caches results by text, up to a maximum number. It is safe for concurrent use.
type Recent[V any] struct {
	most int
	mu   sync.RWMutex
	all  map[string]V
}

// NewRecent returns a cache of at most that many results.
func NewRecent[V any](most int) *Recent[V] { return &Recent[V]{most: most, all: make(map[string]V)} }

// Of returns the cached result for a text.
func (r *Recent[V]) Of(text string) (v V, known bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	v, known = r.all[text]
	return v, known
}

// Remember caches the result for a text. If the cache is full, entries for which over
// reports true are evicted first, then as many others as necessary.
func (r *Recent[V]) Remember(text string, v V, over func(V) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.all) >= r.most {
		maps.DeleteFunc(r.all, func(_ string, v V) bool { return over(v) })
	}
	for other := range r.all {
		if len(r.all) < r.most {
			break
		}
		delete(r.all, other)
	}
	r.all[strings.Clone(text)] = v // the text may be part of something larger
}
