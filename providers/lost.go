package providers

import "slices"

// mostLost is how many names of members that are lost a client is told. The names are
// its own, and there may be any number of them.
const mostLost = 64

// moreLost tells that there are others.
const moreLost = "more"

// Lose adds the name of a member that is lost, once.
func Lose(lost []string, name string) []string {
	if len(lost) > mostLost || slices.Contains(lost, name) {
		return lost
	}
	if len(lost) == mostLost {
		name = moreLost
	}
	return append(lost, name)
}
