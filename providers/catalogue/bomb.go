package catalogue

import (
	"fmt"
	"strings"
)

// What a text may have at most. The YAML parser takes time that grows with the
// square of what is in one group, and stack with every level; levels that
// are made by dashes or indentation are bounded by the length of a line.
const (
	maxText     = 256 << 10
	maxDepth    = 16
	maxSiblings = 1000
	maxMarks    = 10_000 // of one kind
	maxLine     = 4 << 10
)

// suspicious says why text is not given to the YAML parser; "" where it is. It
// looks at no more than the outward form and may refuse what is merely odd.
func suspicious(text string) string {
	if len(text) > maxText {
		return fmt.Sprintf("larger than %d bytes", maxText)
	}
	for _, mark := range []string{",", "'", `"`} {
		if strings.Count(text, mark) > maxMarks {
			return fmt.Sprintf("more than %d times %s", maxMarks, mark)
		}
	}
	depth := 0
	siblings := make(map[int]int) // by indentation
	deepest := 0
	for line := range strings.SplitSeq(text, "\n") {
		if len(line) > maxLine {
			return fmt.Sprintf("a line longer than %d bytes", maxLine)
		}
		body := strings.TrimLeft(line, " ")
		if body == "" || body[0] == '#' {
			continue
		}
		indent := len(line) - len(body)
		for ; deepest > indent; deepest-- {
			delete(siblings, deepest)
		}
		deepest = indent
		if siblings[indent]++; siblings[indent] > maxSiblings {
			return fmt.Sprintf("more than %d members in one group", maxSiblings)
		}
		if depth = nesting(body, depth); depth > maxDepth {
			return fmt.Sprintf("nested deeper than %d levels", maxDepth)
		}
	}
	return ""
}

// nesting is how deep within brackets text is at the end of line, or at its
// deepest past the limit, given how deep it was before.
func nesting(line string, depth int) int {
	for i := 0; i < len(line) && depth <= maxDepth; i++ {
		switch line[i] {
		case '[', '{':
			depth++
		case ']', '}':
			depth = max(0, depth-1)
		}
	}
	return depth
}
