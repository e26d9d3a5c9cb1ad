package catalogue

import "strings"

// maxAsked is how long a name may be for its neighbours to be looked for.
const maxAsked = 128

// didYouMean is "; did you mean x?" for the name of known that is most like
// name, or nothing.
func didYouMean(name string, known []string) string {
	if len(name) > maxAsked {
		return ""
	}
	best, least := "", reach(name)
	for _, k := range known {
		if d, ok := within(least, strings.ToLower(name), strings.ToLower(k)); ok {
			best, least = k, d-1
		}
	}
	if best == "" {
		return ""
	}
	return "; did you mean " + best + "?"
}

// reach is how many letters of name may be wrong.
func reach(name string) int { return len(name)/3 + 1 }

// within is the distance between a and b where it is at most limit.
func within(limit int, a, b string) (int, bool) {
	if len(a)-len(b) > limit || len(b)-len(a) > limit {
		return 0, false
	}
	d := distance(a, b)
	return d, d <= limit
}

// distance counts the bytes to insert, delete or replace between a and b.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replace := diagonal
			if a[i] != b[j] {
				replace++
			}
			diagonal = row[j+1]
			row[j+1] = min(replace, diagonal+1, row[j]+1)
		}
	}
	return row[len(b)]
}
