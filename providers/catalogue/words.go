package catalogue

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"tallyroute/providers/nearest"
)

// The ways in which a provider accepts its credential.
const (
	authBearer = "bearer"
	authHeader = "header"
	authAWS    = "aws"
	authGoogle = "google"
	authEntra  = "entra"
	authNone   = "none"
	// These two exchange an identity provider's token for their own.
	authOpenAI    = "openai"
	authAnthropic = "anthropic"
)

func adapterNames() []string { return sortedKeys(formats()) }

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// plain accepts any printable text.
func plain(s string) (string, error) {
	if len(s) > 256 || strings.ContainsFunc(s, func(c rune) bool { return c < ' ' || c == 0x7f }) {
		return "", errors.New("want at most 256 bytes without control characters")
	}
	return s, nil
}

// credential accepts anything: references are checked where they are resolved, and faults
// must not repeat a credential.
func credential(s string) (string, error) { return s, nil }

// credentialName refuses a number, which would be read as a position in the list.
func credentialName(s string) (string, error) {
	if !CredentialName(s) {
		return "", errors.New("want 1 to 64 letters, digits, -, _ and ., and not a number alone")
	}
	return s, nil
}

// CredentialName reports whether a credential may have this name.
func CredentialName(s string) bool {
	return s != "" && len(s) <= 64 && strings.Trim(strings.ToLower(s), lowerLetters+digits+"-_.") == "" && strings.Trim(s, digits) != ""
}

func yesNo(s string) (bool, error) {
	if s != "true" && s != "false" {
		return false, errors.New("want true or false")
	}
	return s == "true", nil
}

func oneOf(known ...string) func(string) (string, error) {
	return func(s string) (string, error) {
		if slices.Contains(known, s) {
			return s, nil
		}
		return "", fmt.Errorf("want one of %s%s", strings.Join(known, ", "), nearest.Hint(s, known))
	}
}

func between64(least, most int64) func(string) (int64, error) {
	return func(s string) (int64, error) {
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil || n < least || n > most {
			return 0, fmt.Errorf("want a whole number from %d to %d", least, most)
		}
		return n, nil
	}
}

func between(least, most int64) func(string) (int, error) {
	return func(s string) (int, error) {
		n, err := between64(least, most)(s)
		return int(n), err
	}
}

// tokens accepts a number of tokens, which may be written as 16k or 1m.
func tokens(s string) (int64, error) {
	const most = 1_000_000_000
	digits, unit := s, int64(1)
	for suffix, n := range map[string]int64{"k": 1000, "m": 1_000_000} {
		if d, ok := strings.CutSuffix(s, suffix); ok {
			digits, unit = d, n
		}
	}
	n, err := strconv.ParseInt(strings.ReplaceAll(digits, "_", ""), 10, 64)
	if err != nil || n < 1 || n > most/unit {
		return 0, errors.New("want a number of tokens such as 128000 or 128k")
	}
	return n * unit, nil
}

func timeout(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if err != nil || d <= 0 || d > time.Hour {
		return 0, errors.New("want a time of at most an hour, such as 30s")
	}
	return d, nil
}

const (
	lowerLetters = "abcdefghijklmnopqrstuvwxyz"
	digits       = "0123456789"
)

// made reports whether s consists of the letters and begins with a letter or a digit.
func made(s, letters string, most int) bool {
	return s != "" && len(s) <= most && strings.IndexByte(lowerLetters+digits, s[0]) >= 0 && strings.Trim(s, letters) == ""
}

func providerName(s string) (string, error) {
	if !made(s, lowerLetters+digits+"-", 40) {
		return "", errors.New("want a name of lower-case letters, digits and dashes")
	}
	return s, nil
}

// ProviderName returns an error for a name that a provider can't have.
func ProviderName(s string) error {
	_, err := providerName(s)
	return err
}

func modelName(s string) (string, error) {
	if !made(s, lowerLetters+digits+"-._:", 100) {
		return "", errors.New("want a name of lower-case letters, digits and -._: without a provider in front")
	}
	return s, nil
}

func upstreamName(s string) (string, error) {
	if s == "" || len(s) > 200 || strings.ContainsFunc(s, func(c rune) bool { return c <= ' ' || c >= 0x7f }) {
		return "", errors.New("want the provider's name for the model, without spaces")
	}
	return s, nil
}

// memberName accepts the name of a request member that may be changed.
func memberName(s string) (string, error) {
	if !made(s, lowerLetters+digits+"_", 64) {
		return "", errors.New("want the name of a member of a request")
	}
	if s == "model" || s == "messages" || s == "stream" {
		return "", errors.New("model, messages and stream cannot be renamed or dropped")
	}
	return s, nil
}

func callPath(s string) (string, error) {
	if !strings.HasPrefix(s, "/") || len(s) > 200 || strings.Contains(s, "..") || strings.Contains(s, "//") ||
		strings.Trim(strings.ToLower(s), lowerLetters+digits+"/-._~:") != "" {
		return "", errors.New("want a path such as /chat/completions")
	}
	return s, nil
}

func awsRegion(s string) (string, error) {
	if !made(s, lowerLetters+digits+"-", 40) {
		return "", errors.New("want a region such as us-east-1")
	}
	return s, nil
}

func headerName(s string) (string, error) {
	if s == "" || len(s) > 64 || strings.Trim(strings.ToLower(s), lowerLetters+digits+"-_") != "" {
		return "", errors.New("must be the name of a header")
	}
	return http.CanonicalHeaderKey(s), nil
}

func headerValue(s string) (string, error) {
	if len(s) > 1024 || strings.ContainsFunc(s, func(c rune) bool { return c < ' ' || c >= 0x7f }) {
		return "", errors.New("want the value of a header")
	}
	return s, nil
}

// reserved reports whether a header carries a credential or is set by the client itself.
func reserved(name string) bool {
	return slices.Contains([]string{
		"Authorization", "Proxy-Authorization", "Cookie", "X-Api-Key", "Api-Key", "X-Goog-Api-Key",
		"Host", "Content-Type", "Content-Length", "Content-Encoding", "Transfer-Encoding", "Accept-Encoding", "Connection", "Te",
		"Trailer", "Upgrade",
	}, http.CanonicalHeaderKey(name))
}
