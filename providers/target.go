package providers

import (
	"context"
	"net/http"
	"slices"
	"time"

	"tallyroute/providers/chat"
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
	Account     string      // the name of the credential; "" where there is only one
	Header      http.Header // sent with every call; never credentials
	Quirks      Quirks
	Can         Abilities
	Weight      int // 0 takes no traffic
	// Private allows a BaseURL on a loopback, private or link-local address.
	Private bool

	Context   int64 // tokens, prompt and output together; 0 is not known
	MaxOutput int64 // tokens in one answer; 0 is not known
	Tokenizer Tokenizer

	HeaderTimeout time.Duration // until the response header; 0 is the client's default
	IdleTimeout   time.Duration // between two bytes of a stream; 0 is the client's default
}

// Name is the target as users write it: provider/model.
func (t Target) Name() string { return t.Provider + "/" + t.Model }

// Sends reports whether a top-level member of a request, by its OpenAI name,
// reaches the provider.
func (t Target) Sends(member string) bool {
	known := len(t.Quirks.Known) == 0 || slices.Contains(t.Quirks.Known, member)
	return known && !slices.Contains(t.Quirks.Drop, member)
}

// Credential is one of several that a provider may be called with.
type Credential struct {
	Name   string // tells it from the others, and nothing of what it is
	Auth   Auth
	Weight int // the share of calls that it takes; 0 takes none
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

// Quirks are declared differences from the OpenAI format. What is lost by them
// is told to the client.
type Quirks struct {
	Rename map[string]string // top-level member → the provider's name for it
	Drop   []string          // top-level members that the provider refuses
	// Known are the only top-level members that the provider takes, by its names,
	// besides model, messages and stream; all others are dropped. Empty: any.
	Known []string
	// Refuse are top-level members that the provider cannot do, and without which
	// the answer would be another one: with them a request is refused.
	Refuse []string
	Bounds map[string]Bound // the least and the most of top-level members that are numbers
	// MaxTokens is the member that bounds the output, "max_tokens" or
	// "max_completion_tokens"; "" is max_tokens.
	MaxTokens string
	// NoStreamUsage is set where stream_options is refused or ignored.
	NoStreamUsage bool

	Roles         map[string]string // role of a message → the provider's name for it
	MessageRename map[string]string // member of a message of the assistant → the provider's name for it
	MessageDrop   []string          // members of messages that the provider refuses

	// Vectors is VectorsInt8 where embeddings are 8-bit numbers in base64, and
	// there is nothing else to be asked for.
	Vectors string

	Path       string // of chat completions below BaseURL; "" is /chat/completions
	APIVersion string // of adapters whose calls name one
}

// VectorsInt8 are vectors of 8-bit numbers in base64, as Perplexity has them.
const VectorsInt8 = "int8"

// Bound is the least and the most of a number, in JSON; "" is none.
type Bound struct{ Min, Max string }

// Auth puts our credential on a call. It fails for want of one, unless its error is
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
}

// Call is what an adapter wants sent. Path is below the target's BaseURL.
type Call struct {
	Path    string
	Header  http.Header
	Body    []byte
	Dropped []string // members of the request that the provider cannot take, by declared rule
	// JSONStream is set where a streamed answer may have the media type
	// application/json. Elsewhere such an answer is whole.
	JSONStream bool
}
