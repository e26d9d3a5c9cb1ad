// Package providers calls one upstream at a time. It defines what a target is and what an
// adapter must do, and contains the one client that touches the network. Which target is
// tried, and what it costs, is decided elsewhere.
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

// Target is one model at one provider: everything that is needed to call it and to decide
// whether it can serve a request. Targets are built by the catalogue and never change
// afterwards.
type Target struct {
	Provider string // "groq"
	Model    string // our name for the model, without the provider: "llama-3.3-70b"
	Upstream string // the provider's name for it
	BaseURL  string // without a trailing slash: https://api.groq.com/openai/v1
	Adapter  Adapter
	Auth     Auth
	// Credentials is the choice of credentials if there are several. Auth and Account are
	// then those that With has selected.
	Credentials []Credential
	Region      string      // where BaseURL is; "" if unknown
	Account     string      // the name of the credential; "" if there is only one
	Header      http.Header // sent with every call; never credentials
	Quirks      Quirks      // of its adapter, its provider and its model, combined
	Can         Abilities
	Weight      int // 0 receives no traffic
	// Environments lists the environments whose keys may use the target; nil means all.
	Environments []string
	// Private allows a BaseURL on a loopback, private or link-local address.
	Private bool

	Context   int64 // tokens, prompt and output together; 0 means unknown
	MaxOutput int64 // tokens in one response; 0 means unknown
	Tokenizer Tokenizer

	// TokensPerSecond is the most that one choice of a response may grow per second. It caps
	// the charge for a response that was not seen. 0 means unknown.
	TokensPerSecond int64
	Billing         Billing

	HeaderTimeout time.Duration // until the response header; 0 is the client's default
	FirstTimeout  time.Duration // until the first content of a stream; 0 is the client's default
	IdleTimeout   time.Duration // between two bytes of a stream; 0 is the client's default
}

// Name returns the target's name as users write it: provider/model.
func (t *Target) Name() string { return t.Provider + "/" + t.Model }

// LeastOutput returns the smallest output limit that t accepts, in tokens; 0 means any.
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

// Billing is what a provider charges for calls that do not run to completion. Anything not
// known to be free is assumed to be charged.
type Billing struct {
	Errors bool // responses with a 5xx status are billed
	Stops  bool // billing ends when a call is cancelled
}

// Credential is one of several with which a provider may be called.
type Credential struct {
	Name   string // distinguishes it from the others without revealing anything about it
	Auth   Auth
	Weight int // its share of the calls; 0 receives none
	// Spare marks a credential that is used only if no other can be: a secret that is being
	// replaced.
	Spare bool
}

// With returns the target with credential c selected.
func (t *Target) With(c Credential) *Target {
	with := *t
	with.Auth, with.Account = c.Auth, c.Name
	return &with
}

// Abilities are what a model can do besides answering text with text.
type Abilities struct {
	Stream, Tools, Vision, Audio, Documents, JSONSchema, Reasoning bool
	// Operation is the operation that the model serves.
	Operation Operation
}

// Tokenizer says how a model's tokens are estimated before it is called.
type Tokenizer struct {
	// Encoding is "o200k_base" or "cl100k_base", or "" for neither, in which case a declared
	// bound is used instead of a count.
	Encoding string
	// Percent scales the o200k_base count for models with another tokenizer, so that the
	// result is an upper bound. 100 is unscaled; 0 means the default, which is 100 for the
	// two encodings and 150 otherwise.
	Percent int64
	// Images names the rule for image tokens: "openai-tile", "openai-patch", or "", which
	// uses the most expensive known rule as an upper bound.
	Images string
	// ImageMultiplier scales the rule, in hundredths; 0 means 100.
	ImageMultiplier int64
}

// Auth adds our credential to a call. An error means that the credential is missing, unless
// it is an *Error of another kind.
type Auth interface {
	Sign(ctx context.Context, r *http.Request) error
}

// Exchange is one call to be made: a client's request to one target.
type Exchange struct {
	Operation Operation
	Target    Target
	Request   *chat.Request
	// MaxOutput is the output limit to send; 0 leaves the client's own unchanged.
	MaxOutput int64
	// Stored allows the response to be kept at the provider, if the client asks for that or
	// the provider does so by default.
	Stored bool
	// Native is the request as the client wrote it, if it is to be sent that way; otherwise
	// nil.
	Native *Native
	// Bounded leaves out members of unknown cost, as far as they can be left out.
	Bounded bool
	// Foreign is set if the request contains a part or a tool in a format other than OpenAI's. It
	// is for codecs that pass on unknown members.
	Foreign error
	// Unsayable is the reason that the request cannot be sent as a chat completion; nil if it
	// can.
	Unsayable error
	Room      Room // the memory that the response may use; nil means unlimited
	Turn      Turn // the client's turn for heavy work; nil means unlimited
}

// Listing is one name that clients can ask for, as GET /v1/models lists it.
type Listing struct {
	ID            string
	Created       time.Time
	OwnedBy       string
	ContextLength int64 // the longest of its targets
	MaxOutput     int64 // the highest of its targets
	Providers     []string
	// Prompt and Completion are the lowest known prices, in nano-dollars per million tokens;
	// nil if none is known.
	Prompt, Completion *int64
}

// Room is the memory that a request may hold.
type Room interface {
	Grow(n int64) error
	Shrink(n int64)
}

// Call is what an adapter wants sent. Path is relative to the target's BaseURL.
type Call struct {
	Path    string
	Header  http.Header
	Body    []byte
	Dropped []string // members of the request that the provider does not accept, by a declared rule
	aliases aliases
	// JSONStream is set if a streamed response may have the media type application/json.
	// Otherwise a response of that type is not a stream.
	JSONStream bool
}

// ValidateBaseURL refuses a base URL that is not plainly the https address of a public host.
// It does not resolve names: their addresses are checked at each dial.
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

// ValidatePrivateURL is like ValidateBaseURL, for a provider declared private: http and any
// address are allowed.
func ValidatePrivateURL(raw string) error {
	_, err := parseBase(raw)
	return err
}

// parseBase accepts only URLs that every parser reads the same way.
func parseBase(raw string) (*url.URL, error) {
	for i := range len(raw) {
		if c := raw[i]; c <= ' ' || c >= 0x7f || c == '\\' || c == '%' {
			return nil, urlError("may hold only plain ASCII; write an international name in its xn-- form")
		}
	}
	u, err := url.Parse(raw)
	switch {
	case err != nil:
		return nil, urlError("is not a URL") // url.Error would repeat the URL, possibly with a password in it
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
			return urlError("has an invalid port")
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
			return urlError("has an invalid host")
		}
	}
	// Some resolvers read a name whose last label is a number as an IPv4 address in octal, in
	// hexadecimal or with parts missing.
	if last := strings.ToLower(labels[len(labels)-1]); strings.Trim(last, "0123456789") == "" || strings.HasPrefix(last, "0x") {
		return urlError("has an address that is not written as four numbers from 0 to 255")
	}
	return nil
}

// plainPath reports whether every server would read a path the same way: it has no empty, "."
// or ".." segments.
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

// needed lists the members without which the response would not be the one asked for.
var needed = []string{
	searchMember, "tools", "tool_choice", "functions", "function_call", "parallel_tool_calls", "response_format", "n",
	"modalities", "audio",
	"logprobs", "top_logprobs",
}

// Needed returns the members of r without which the response would not be the one asked for.
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

// Loses returns the first of names that t cannot honour, because its quirks refuse it, remove
// it or reduce it to the default behaviour; "" if there is none.
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

// mostLost is the number of lost members that are reported to a client. The names are the
// client's own, so there may be any number of them.
const mostLost = 64

// moreLost is reported in place of any further names.
const moreLost = "more"

// Lose adds the name of a lost member, without duplicates.
func Lose(lost []string, name string) []string {
	if len(lost) > mostLost || slices.Contains(lost, name) {
		return lost
	}
	if len(lost) == mostLost {
		name = moreLost
	}
	return append(lost, name)
}

// Rights is what a key and the operator allow a request to contain.
type Rights struct {
	Budget bool // spending is limited, in money or tokens: whatever may cost an unknown amount is refused
	Models bool // only certain models are allowed: a member that names another one is refused
	Stored bool // members may name things stored at the provider
	// Allow lists the members that the operator accepts as free, by their names in the
	// tables: PROVIDER/MEMBER or PROVIDER/MODEL/MEMBER. A member that names a model or
	// something stored still needs the right to do so.
	Allow []string
	// Strict refuses members of unknown cost for every key, limited or not.
	Strict bool
}

// Bounded reports whether members of unknown cost are refused.
func (r Rights) Bounded() bool { return r.Budget || r.Strict }

// Bar is the reason that a request can't be sent to a target: the first member that its key
// has no right to use.
type Bar struct {
	Class  Class // Stored, Selects or Refused
	Member string
	// Allow is the entry that the operator would have to add to Rights.Allow; "" where that
	// would not help.
	Allow string
}

// String returns the bar as a reason for skipping the target.
func (b *Bar) String() string {
	switch b.Class {
	case Stored:
		return b.Member + " names what is stored at the provider"
	case Selects:
		return b.Member + " names a model other than the one that is asked for"
	case Unknown, Free, Unsent, Priced, Extends, Content, Refused, Charged:
	}
	return "what " + b.Member + " costs is not known"
}

// Bar returns the bar for the first member that must not be sent to t, or nil if all may be
// sent.
func (v Verdict) Bar(r Rights, t *Target) *Bar {
	for _, b := range []struct {
		class   Class
		bars    bool
		members []Member
	}{
		{Stored, !r.Stored, v.Stored},
		{Selects, r.Models, v.Selects},
	} {
		if b.bars && len(b.members) > 0 {
			return &Bar{Class: b.class, Member: b.members[0].Path}
		}
	}
	if !r.Bounded() {
		return nil
	}
	for _, members := range [][]Member{v.Selects, v.Unpriced} {
		for _, m := range members {
			if !r.allows(t, m.Name) {
				return &Bar{Class: Refused, Member: m.Path, Allow: t.Provider + "/" + m.Name}
			}
		}
	}
	return nil
}

// Named returns the paths of the members whose cost cannot be known in advance.
func (v Verdict) Named() (paths []string) {
	for _, members := range [][]Member{v.Unpriced, v.Selects} {
		for _, m := range members {
			paths = append(paths, m.Path)
		}
	}
	return paths
}

// Costly reports whether members are sent that are charged besides tokens, at a price that nobody
// knows.
func (v Verdict) Costly(r Rights, t *Target) bool {
	return slices.ContainsFunc(v.Charged, func(m Member) bool { return !r.allows(t, m.Name) })
}

func (r Rights) allows(t *Target, name string) bool {
	return len(r.Allow) > 0 && (slices.Contains(r.Allow, t.Provider+"/"+name) || slices.Contains(r.Allow, t.Name()+"/"+name))
}
