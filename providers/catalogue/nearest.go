package catalogue

import "strings"

// maxAsked is how long a name may be for its neighbours to be looked for.
const maxAsked = 128

// didYouMean is "; did you mean x?" for the name of known that is most like
// name, or nothing.
func didYouMean(name string, known []string) string {
	best, least := "", reach(name)+1
	for _, k := range known {
		if d := distance(strings.ToLower(name), strings.ToLower(k)); d < least {
			best, least = k, d
		}
	}
	if best == "" || len(name) > maxAsked {
		return ""
	}
	return "; did you mean " + best + "?"
}

// reach is how many letters of name may be wrong.
func reach(name string) int { return len(name)/3 + 1 }

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
