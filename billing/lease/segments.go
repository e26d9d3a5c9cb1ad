package lease

import "tallyroute/billing/journal"

// segments counts, for each segment of the journal, the records in it that are still
// needed. A segment is dropped only together with all earlier ones, because an older
// segment that is still needed may begin a request that a newer one ends.
type segments struct {
	needed map[journal.Segment]int
	oldest journal.Segment // nothing before it is needed
}

func newSegments() segments { return segments{needed: make(map[journal.Segment]int)} }

func (s *segments) pin(seg journal.Segment) { s.needed[seg]++ }

func (s *segments) unpin(seg journal.Segment) {
	if s.needed[seg]--; s.needed[seg] <= 0 {
		delete(s.needed, seg)
	}
}

// first returns the oldest segment that is needed, or active if none is.
func (s *segments) first(active journal.Segment) journal.Segment {
	first := active
	for seg := range s.needed {
		first = min(first, seg)
	}
	return first
}

// advance reports whether more can be dropped than before: everything before first.
func (s *segments) advance(active journal.Segment) (first journal.Segment, moved bool) {
	first = s.first(active)
	moved = first > s.oldest
	s.oldest = max(s.oldest, first)
	return first, moved
}
