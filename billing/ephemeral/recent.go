package ephemeral

import (
	"maps"
	"strings"
	"sync"
)

// Recent remembers what texts were found to be, of which there are at most so many. It is
// safe for use by many goroutines.
type Recent[V any] struct {
	most int
	mu   sync.RWMutex
	all  map[string]V
}

// NewRecent remembers at most so many.
func NewRecent[V any](most int) *Recent[V] { return &Recent[V]{most: most, all: make(map[string]V)} }

// Of is what a text was found to be.
func (r *Recent[V]) Of(text string) (v V, known bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	v, known = r.all[text]
	return v, known
}

// Remember keeps what a text was found to be. Where there are too many, those go that are
// over, and as many others as is needed.
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
	r.all[strings.Clone(text)] = v // the text may be a part of something larger
}
