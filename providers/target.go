package providers

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"tallyroute/providers/chat"
	"tallyroute/providers/jsonraw"
)

// Target is one model at one provider: everything that is needed to call it
// and to decide whether it can do a request. Targets are built by the
// catalogue and never change afterwards.
type Target struct {
	Provider string // "groq"
	Model    string // our name for the model, without the provider: "llama-3.3-70b"
	Upstream string // the provider's name for it
	BaseURL  string // without a trailing slash: https://api.groq.com/openai/v1
	Adapter  Adapter
	Auth     Auth
	// Credentials are those to choose from where there are several; Auth and
	// Account are then what With chose.
	Credentials []Credential
	Region      string      // that BaseURL is in; "" where that is not known
	Account     string      // the name of the credential; "" where there is only one
	Header      http.Header // sent with every call; never credentials
	Quirks      Quirks      // those of its adapter, its provider and its model together
	Can         Abilities
	Weight      int // 0 takes no traffic
	// Environments are those of the keys that it is for; nil is all.
	Environments []string
	// Private allows a BaseURL on a loopback, private or link-local address.
	Private bool

	Context   int64 // tokens, prompt and output together; 0 is not known
	MaxOutput int64 // tokens in one answer; 0 is not known
	Tokenizer Tokenizer

	// TokensPerSecond is the most that one choice of an answer may grow by in a
	// second: what an answer that was not seen is charged with at most. 0 is not known.
	TokensPerSecond int64
	Billing         Billing

	HeaderTimeout time.Duration // until the response header; 0 is the client's default
	FirstTimeout  time.Duration // until the first content of a stream; 0 is the client's default
	IdleTimeout   time.Duration // between two bytes of a stream; 0 is the client's default
}

// Name is the target as users write it: provider/model.
func (t Target) Name() string { return t.Provider + "/" + t.Model }

// LeastOutput is the smallest bound of the output that t takes, in tokens; 0 is any.
func (t *Target) LeastOutput() int64 {
	least := t.Adapter.LeastOutput
	for _, name := range [...]string{maxTokens, maxCompletion} {
		if b, ok := t.Quirks.Bounds[name]; ok {
			n, err := strconv.ParseInt(b.Min, 10, 64)
			if err == nil {
				least = max(least, n)
			}
		}
	}
	return least
}

// Billing is what a provider charges for calls that do not come to their end.
// What is not known to be free is charged.
type Billing struct {
	Errors bool // answers with a 5xx status are billed
	Stops  bool // a call that is cancelled is billed no further
}

// Credential is one of several that a provider may be called with.
type Credential struct {
	Name   string // tells it from the others, and nothing of what it is
	Auth   Auth
	Weight int // the share of calls that it takes; 0 takes none
	// Spare is one that takes calls only where none of the others can: a secret that is
	// being replaced.
	Spare bool
}

// With is the target called with c.
func (t Target) With(c Credential) Target {
	t.Auth, t.Account = c.Auth, c.Name
	return t
}

// Abilities are what a model can do besides answering text with text.
type Abilities struct {
	Stream, Tools, Vision, Audio, Documents, JSONSchema, Reasoning bool
	// Operation is the one that the model is for.
	Operation Operation
}

// Tokenizer says how a model's tokens are estimated before it is called.
type Tokenizer struct {
	// Encoding is "o200k_base", "cl100k_base" or "": neither, so that a declared
	// bound is used instead of a count.
	Encoding string
	// Percent scales the count of o200k_base for models with another tokenizer,
	// so that the result is a bound: 100 is unscaled, 0 is the default of 100 for
	// the two encodings and of 150 otherwise.
	Percent int64
	// Images names the rule for image tokens: "openai-tile", "openai-patch" or
	// ""; "" takes the dearest known rule as a bound.
	Images string
	// ImageMultiplier scales the rule, in hundredths (0 is 100).
	ImageMultiplier int64
}

// Auth puts our credential on a call. It fails for lack of one, unless its error is
// an *Error of another kind.
type Auth interface {
	Sign(ctx context.Context, r *http.Request) error
}

// Exchange is one call to be made: a request of a client, for one target.
type Exchange struct {
	Operation Operation
	Target    Target
	Request   *chat.Request
	// MaxOutput is the output bound to send; 0 leaves the client's own untouched.
	MaxOutput int64
	// Stored lets the answer be kept at the provider, where the client asks for it or
	// the provider does by itself.
	Stored bool
	// Native is the request as the client wrote it, where it is sent so; else nil.
	Native *Native
	// Bounded leaves out what may cost anything, as far as it can be left out.
	Bounded bool
	// Unsayable is why the request cannot be sent as a chat completion; nil where it can.
	Unsayable error
	Room      Room // what the answer may take of memory; nil is as much as it likes
	Turn      Turn // of the client, for heavy work; nil has no bound
}

// Listing is one name that can be asked for, as GET /v1/models lists it.
type Listing struct {
	ID            string
	Created       time.Time
	OwnedBy       string
	ContextLength int64 // the longest
	MaxOutput     int64 // the most
	Providers     []string
	// Prompt and Completion are the cheapest known prices in nano-dollars per
	// million tokens; nil where none is known.
	Prompt, Completion *int64
}

// Room is what a request may hold in memory.
type Room interface {
	Grow(n int64) error
	Shrink(n int64)
}

// Call is what an adapter wants sent. Path is below the target's BaseURL.
type Call struct {
	Path    string
	Header  http.Header
	Body    []byte
	Dropped []string // members of the request that the provider cannot take, by declared rule
	aliases aliases
	// JSONStream is set where a streamed answer may have the media type
	// application/json. Elsewhere such an answer is whole.
	JSONStream bool
}

// ValidateBaseURL refuses a base URL that is not plainly the https address of a
// public host. It resolves no names: where they lead is checked at each dial.
func ValidateBaseURL(raw string) error {
	u, err := parseBase(raw)
	if err != nil {
		return err
	}
	host := u.Hostname()
	if u.Scheme != "https" {
		return urlError("must begin with https:// unless the provider has private: true")
	}
	if a, err := netip.ParseAddr(host); err == nil {
		if !public(a) {
			return fmt.Errorf("%w: base URL at %s", ErrNotPublic, a)
		}
		return nil
	}
	top := host[strings.LastIndexByte(host, '.')+1:]
	if top == host || strings.EqualFold(top, "localhost") || strings.EqualFold(top, "internal") || strings.EqualFold(top, "local") {
		return fmt.Errorf("%w: base URL at %s", ErrNotPublic, host)
	}
	return nil
}

// ValidatePrivateURL is ValidateBaseURL for a provider that is declared private:
// http and any address are allowed.
func ValidatePrivateURL(raw string) error {
	_, err := parseBase(raw)
	return err
}

// parseBase accepts only URLs that every parser reads alike.
func parseBase(raw string) (*url.URL, error) {
	for i := range len(raw) {
		if c := raw[i]; c <= ' ' || c >= 0x7f || c == '\\' || c == '%' {
			return nil, urlError("may hold only plain ASCII; write an international name in its xn-- form")
		}
	}
	u, err := url.Parse(raw)
	switch {
	case err != nil:
		return nil, urlError("is not a URL") // url.Error would repeat it, and with it a password
	case u.Scheme != "https" && u.Scheme != "http":
		return nil, urlError("must begin with https://")
	case u.User != nil:
		return nil, urlError("must not hold a user or password; use auth")
	case u.RawQuery != "" || u.ForceQuery || strings.Contains(raw, "#"):
		return nil, urlError("must not hold a query or fragment")
	case strings.HasSuffix(raw, "/"):
		return nil, urlError("must not end in a slash")
	case !plainPath(u.Path):
		return nil, urlError("has a path with empty, . or .. segments")
	}
	return u, checkHost(u)
}

func checkHost(u *url.URL) error {
	host := u.Hostname()
	if port := u.Port(); port != "" || strings.HasSuffix(u.Host, ":") {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return urlError("has a port that is none")
		}
	}
	if a, err := netip.ParseAddr(host); err == nil {
		if a.Zone() != "" {
			return urlError("must not name a network interface")
		}
		return nil
	}
	labels := strings.Split(host, ".")
	for _, label := range labels {
		if label == "" || len(label) > 63 || strings.Trim(label, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") != "" {
			return urlError("has a host that is none")
		}
	}
	// Some resolvers read a name whose last label is a number as an IPv4 address
	// in octal, in hexadecimal, or with parts left out.
	if last := strings.ToLower(labels[len(labels)-1]); strings.Trim(last, "0123456789") == "" || strings.HasPrefix(last, "0x") {
		return urlError("has an address that is not written as four numbers from 0 to 255")
	}
	return nil
}

// plainPath reports whether every server would read a path alike: it has no
// empty, . or .. segments.
func plainPath(path string) bool {
	if strings.Contains(path, "//") {
		return false
	}
	for s := range strings.SplitSeq(path, "/") {
		if s == "." || s == ".." {
			return false
		}
	}
	return true
}

func urlError(what string) error { return errors.New("providers: base URL " + what) }

// needed are the members without which an answer is another one than was asked for.
var needed = []string{
	searchMember, "tools", "tool_choice", "functions", "function_call", "parallel_tool_calls", "response_format", "n",
	"modalities", "audio",
	"logprobs", "top_logprobs",
}

// Needed are those members of r without which the answer would be another one.
func Needed(r *chat.Request) (names []string) {
	for _, name := range needed {
		value := r.Get(name)
		if value == nil || chat.Idle([]byte(name), value) || name == "tool_choice" && jsonraw.Text(value) == "auto" {
			continue
		}
		names = append(names, name)
	}
	return names
}

// Loses is the first of names that t could not do: that its quirks refuse, leave out or
// bring down to what happens anyway; "" if there is none.
func (t *Target) Loses(names []string) string {
	q := &t.Quirks
	i := slices.IndexFunc(names, func(name string) bool {
		return q.refuses([]byte(name)) || !t.Sends(name) || name == "n" && q.Bounds[name].Max == "1" ||
			q.Sampling == SamplingNever && slices.Contains(sampling, name)
	})
	if i < 0 {
		return ""
	}
	return names[i]
}

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
