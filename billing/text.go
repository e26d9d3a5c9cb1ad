package billing

import (
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// LongestText is how many bytes of a text from outside are kept.
const LongestText = 256

// CleanText makes a text from outside fit to be stored: NUL and invalid UTF-8, which
// databases refuse, become U+FFFD, a text that is too long is cut at a character
// boundary, and of a secret that somebody has put where it does not belong, only what may
// be shown is left.
func CleanText(s string) string {
	s = WithoutSecrets(s)
	if len(s) <= LongestText && utf8.ValidString(s) && strings.IndexByte(s, 0) < 0 {
		return s
	}
	if len(s) > LongestText+utf8.UTFMax {
		s = s[:LongestText+utf8.UTFMax] // a client may send megabytes
	}
	s = strings.ReplaceAll(strings.ToValidUTF8(s, "\ufffd"), "\x00", "\ufffd")
	if len(s) <= LongestText {
		return s
	}
	end := LongestText
	for !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end]
}

// LongestSession is how many bytes the name of a session may have.
const LongestSession = 128

// CleanSession returns the name that a client gave a session, or "" where it is too
// long or contains anything but printable ASCII: a truncated name would be that of a
// different session.
func CleanSession(s string) string {
	if len(s) > LongestSession || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return ""
	}
	return s
}

// CleanTexts cleans each text of a list. The result is empty, not nil, if there are
// none.
func CleanTexts(list []string) []string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = CleanText(s)
	}
	return out
}

// OwnTags is the prefix of the tags that the router itself adds to rows. Clients and
// operators cannot set them.
const OwnTags = "tallyroute."

// The tags that say whose identity was exchanged for the token of a request.
const (
	TagIssuer  = OwnTags + "issuer"
	TagSubject = OwnTags + "subject"
)

// The bounds on the tags of a request.
const (
	MostTags        = 16
	LongestTagName  = 64  // bytes
	LongestTagValue = 256 // bytes
)

// CleanTags cleans names and values. The result is empty, not nil, if there are none.
func CleanTags(tags map[string]string) map[string]string {
	out := make(map[string]string, len(tags))
	for k, v := range tags {
		out[CleanText(k)] = CleanText(v)
	}
	return out
}

// ParseSpan parses a span such as 90d, 36h or 30m; time.ParseDuration does not support
// days.
func ParseSpan(text string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		return time.Duration(n) * 24 * time.Hour, err
	}
	v, err := time.ParseDuration(text)
	if err == nil && v < 0 {
		err = strconv.ErrRange
	}
	return v, err
}
