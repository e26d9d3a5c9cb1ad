package catalogue

import (
	"fmt"
	"strings"
)

// What a text may have at most. The YAML parser takes time that grows with the
// square of what stands in one group, and stack with every level.
const (
	maxText     = 256 << 10
	maxDepth    = 16
	maxSiblings = 1000
	maxCommas   = 10_000
	maxLine     = 16 << 10
)

// suspicious says why text is not given to the YAML parser; "" where it is. It
// looks at no more than the outward form and may refuse what is merely odd.
func suspicious(text string) string {
	if len(text) > maxText {
		return fmt.Sprintf("larger than %d bytes", maxText)
	}
	if strings.Count(text, ",") > maxCommas {
		return fmt.Sprintf("more than %d commas", maxCommas)
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

// nesting is how deep a line is within brackets and stacked dashes, given how
// deep the brackets were before it. Past the limit it counts no further.
func nesting(line string, depth int) int {
	stacked := 0
	for rest := line; len(rest) > 1 && strings.IndexByte("-?:", rest[0]) >= 0 && (rest[1] == ' ' || rest[1] == '\t'); stacked++ {
		rest = strings.TrimLeft(rest[1:], " \t")
	}
	if stacked > maxDepth {
		return stacked
	}
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
