// Package nearest finds the known name that a mistyped one was probably meant to be.
package nearest

import "strings"

// longest is the length in bytes beyond which a name's neighbours are not searched.
const longest = 128

// Hint returns "; did you mean x?" for the known name that is most like name, or nothing. A
// name that is merely incomplete counts as close.
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

// Reach returns how many letters of name may be wrong; -1 for a name that is too long.
func Reach(name string) int {
	if len(name) > longest {
		return -1
	}
	return len(name)/3 + 1
}

// Distance counts the bytes to insert, delete or replace between name and known, ignoring
// case, if that is at most limit. A name that is a prefix of known has distance one.
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
