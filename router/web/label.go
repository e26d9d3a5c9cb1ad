package web

import (
	"strings"
	"unicode"
)

// Label returns somebody else's text as one line of at most n bytes, for logs and messages.
func Label(s string, n int) string {
	clean := strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.In(r, unicode.Zl, unicode.Zp, unicode.Cf) {
			return '·'
		}
		return r
	}, strings.ToValidUTF8(s[:min(len(s), n)], "·"))
	return strings.ToValidUTF8(clean[:min(len(clean), n)], "")
}
