package policy

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/bits"
	"strings"
)

// Policy is what keys may do, as written for one of their levels. Whatever is left out
// isn't restricted.
type Policy struct {
	Models        []string `json:"models,omitempty" doc:"The models that may be requested: names, patterns with *, or @GROUP."`
	DenyModels    []string `json:"deny_models,omitempty" doc:"The models that may not be requested, whatever else allows them."`
	Providers     []string `json:"providers,omitempty" doc:"The providers that may be called: names, or patterns with *."`
	DenyProviders []string `json:"deny_providers,omitempty"`
	Endpoints     []string `json:"endpoints,omitempty" doc:"Of chat, embeddings, responses, messages, count_tokens, models, key, tokens."`
	Features      []string `json:"features,omitempty" doc:"Any of stream, tools, vision, audio, documents, reasoning, server_tools."`

	MaxOutputTokens int64 `json:"max_output_tokens,omitempty" doc:"The most tokens in one choice of a response."`
	MaxPromptTokens int64 `json:"max_prompt_tokens,omitempty"`
	MaxBodyBytes    int64 `json:"max_body_bytes,omitempty"`

	MaxRepeats         int64 `json:"max_repeats,omitempty" doc:"How often the same request may be made within runaway.within."`
	MaxSessionRequests int64 `json:"max_session_requests,omitempty" doc:"The most requests in a session, which beyond it is a runaway."`
	MaxSessionCents    int64 `json:"max_session_cents,omitempty" doc:"The most that one session may spend, in cents."`

	AllowedCIDRs []string `json:"allowed_cidrs,omitempty" doc:"The networks that requests may come from."`
	DeniedCIDRs  []string `json:"denied_cidrs,omitempty" doc:"The networks that requests may not come from, whatever else allows them."`
	Origins      []string `json:"origins,omitempty" doc:"The pages that may use a key in a browser: https://app.example.com."`
	Referers     []string `json:"referers,omitempty" doc:"Patterns with * that the Referer header must match."`

	Hours        []Hours     `json:"hours,omitempty" doc:"When requests may be made: in any of these periods."`
	RequiredTags []string    `json:"required_tags,omitempty" doc:"The names of tags that each request must have."`
	Conditions   []Condition `json:"conditions,omitempty" doc:"Further conditions; all must be true."`
}

// Condition is an expression that must hold for a request.
type Condition struct {
	Name string `json:"name" required:"true" doc:"The name that a refusal gives."`
	Must string `json:"must" required:"true" doc:"Such as: request.tags.env != 'prod' or request.max_output <= 1000"`
}

// Level says whose policy it is.
type Level string

// The levels, outermost first.
const (
	Team    Level = "team"
	Project Level = "project"
	Key     Level = "key"

	Temporary Level = "temporary_key" // that a key was exchanged for
)

// Layers are the policies that apply to a key; nil is none.
type Layers struct{ Team, Project, Key, Temporary *Policy }

// Revision distinguishes one wording of a policy from another, so that nobody replaces a
// policy that they haven't seen. The revision of a nil policy is "none".
func (p *Policy) Revision() string {
	if p == nil {
		return "none"
	}
	text, _ := json.Marshal(p) // texts and numbers can always be encoded
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:6])
}

// endpoints are the names of the endpoints, in the order of their bits.
var endpoints = []string{"chat", "embeddings", "responses", "messages", "count_tokens", "models", "key", "tokens"}

// Endpoint is a set of API endpoints.
type Endpoint uint16

// The endpoints.
const (
	Chat        Endpoint = 1 << iota // /v1/chat/completions
	Embeddings                       // /v1/embeddings
	Responses                        // /v1/responses
	Messages                         // /v1/messages
	CountTokens                      // /v1/messages/count_tokens, /v1/responses/input_tokens
	Models                           // /v1/models
	Self                             // /v1/key, /v1/requests
	Tokens                           // /v1/key/tokens
)

// String returns the name of the endpoint.
func (e Endpoint) String() string {
	if i := bits.TrailingZeros16(uint16(e)); i < len(endpoints) {
		return endpoints[i]
	}
	return ""
}

// Feature is a set of model features, beyond text, that a request uses.
type Feature uint16

// The features. A request may have several.
const (
	Stream Feature = 1 << iota
	Tools
	Vision
	Audio
	Documents
	Reasoning
	ServerTools
)

// ParseEndpoint returns the endpoint with the given name.
func ParseEndpoint(name string) (Endpoint, error) {
	e := mask[Endpoint](endpoints, []string{name})
	if e == 0 {
		return 0, fmt.Errorf("must be one of %s", strings.Join(endpoints, ", "))
	}
	return e, nil
}

// ParseFeatures returns the features with the given names.
func ParseFeatures(names []string) (f Feature, err error) {
	for _, n := range names {
		one := mask[Feature](features, []string{n})
		if one == 0 {
			return 0, fmt.Errorf("must be among %s", strings.Join(features, ", "))
		}
		f |= one
	}
	return f, nil
}

// features are the names of the features, in the order of their bits.
var features = []string{"stream", "tools", "vision", "audio", "documents", "reasoning", "server_tools"}
