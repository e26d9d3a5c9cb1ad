// Package nearest finds the known name that a mistyped one was meant to be.
package nearest

import "strings"

// longest is how long a name may be for its neighbours to be looked for.
const longest = 128

// Hint is "; did you mean x?" for the name of known that is most like name, or
// nothing. A name that was merely not written to its end is near.
func Hint(name string, known []string) string {
	best, least := "", Reach(name)
	for _, k := range known {
		if d, ok := Distance(name, k, least); ok {
			best, least = k, d-1
		}
	}
	if best == "" {
		return ""
	}
	return "; did you mean " + best + "?"
}

// Reach is how many letters of name may be wrong; -1 for one that is too long.
func Reach(name string) int {
	if len(name) > longest {
		return -1
	}
	return len(name)/3 + 1
}

// Distance counts the bytes to insert, delete or replace between name and known in
// any case of letters, where that is at most limit. What is only the beginning of
// known is one away.
func Distance(name, known string, limit int) (int, bool) {
	name, known = strings.ToLower(name), strings.ToLower(known)
	switch {
	case limit < 0:
		return 0, false
	case name == known:
		return 0, true
	case limit > 0 && len(name) > 2 && strings.HasPrefix(known, name):
		return 1, true
	case len(name)-len(known) > limit || len(known)-len(name) > limit:
		return 0, false
	}
	d := edits(name, known)
	return d, d <= limit
}

func edits(a, b string) int {
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
