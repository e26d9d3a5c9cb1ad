package server

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/policy"
	"tallyroute/providers"
	"tallyroute/router"
)

// model is one entry of GET /v1/models: OpenAI's members, then ours.
type model struct {
	ID            string   `json:"id"`
	Object        string   `json:"object"`
	Created       int64    `json:"created"`
	OwnedBy       string   `json:"owned_by"`
	ContextLength int64    `json:"context_length,omitempty"`
	MaxOutput     int64    `json:"max_output_tokens,omitempty"`
	Providers     []string `json:"providers"`
	Pricing       *pricing `json:"pricing"` // null: no price is known
}

// pricing has the cheapest known prices in dollars: per token, as other APIs show them, and per
// million, as people do.
type pricing struct {
	Prompt               *string `json:"prompt"`
	Completion           *string `json:"completion"`
	PromptPerMillion     *string `json:"prompt_per_million"`
	CompletionPerMillion *string `json:"completion_per_million"`
	Currency             string  `json:"currency"`
}

func listModels(x *exchange) {
	list, err := x.models()
	if err != nil {
		x.fail(err)
		return
	}
	if x.C.GetHeader(anthropicVersion) != "" {
		x.JSON(http.StatusOK, anthropicList(list))
		return
	}
	data := make([]model, len(list))
	for i, m := range list {
		data[i] = modelOf(m)
	}
	x.JSON(http.StatusOK, map[string]any{"object": "list", "data": data})
}

// getModel is GET /v1/models/{id}; ids contain slashes.
func getModel(x *exchange) {
	list, err := x.models()
	if err != nil {
		x.fail(err)
		return
	}
	id := strings.TrimPrefix(x.C.Param("id"), "/")
	i := slices.IndexFunc(list, func(m providers.Listing) bool { return names(m, id) })
	if i < 0 {
		x.fail(&router.ModelError{Asked: id})
		return
	}
	if x.C.GetHeader(anthropicVersion) != "" {
		m := anthropicOf(list[i])
		m.ID = id
		x.JSON(http.StatusOK, m)
		return
	}
	m := modelOf(list[i])
	m.ID = id
	x.JSON(http.StatusOK, m)
}

// anthropicVersion is sent by every client of Anthropic's API, and by no others.
const anthropicVersion = "Anthropic-Version"

// anthropicModel is a model as Anthropic lists it.
type anthropicModel struct {
	Type        string `json:"type"`
	ID          string `json:"id"`
	DisplayName string `json:"display_name"`
	CreatedAt   string `json:"created_at"`
	MaxInput    int64  `json:"max_input_tokens,omitempty"`
	MaxTokens   int64  `json:"max_tokens,omitempty"`
}

// anthropicPage is a list in Anthropic's pagination format; ours has one page.
type anthropicPage struct {
	Data    []anthropicModel `json:"data"`
	FirstID *string          `json:"first_id"`
	HasMore bool             `json:"has_more"`
	LastID  *string          `json:"last_id"`
}

func anthropicList(list []providers.Listing) anthropicPage {
	p := anthropicPage{Data: make([]anthropicModel, len(list))}
	for i, m := range list {
		p.Data[i] = anthropicOf(m)
	}
	if n := len(p.Data); n > 0 {
		p.FirstID, p.LastID = &p.Data[0].ID, &p.Data[n-1].ID
	}
	return p
}

func anthropicOf(m providers.Listing) anthropicModel {
	return anthropicModel{
		Type: "model", ID: m.ID, DisplayName: m.ID, CreatedAt: m.Created.UTC().Format(time.RFC3339),
		MaxInput: m.ContextLength, MaxTokens: m.MaxOutput,
	}
}

// names reports whether id means m: by its name, or as provider/model.
func names(m providers.Listing, id string) bool {
	provider, rest, _ := strings.Cut(id, "/")
	return m.ID == id || (m.ID == rest && slices.Contains(m.Providers, provider))
}

func (x *exchange) models() ([]providers.Listing, error) {
	caller, err := x.caller(policy.Models)
	if err != nil {
		return nil, err
	}
	key, list, err := x.Router.Models(x.ctx, caller)
	x.of(key)
	return list, err
}

func modelOf(m providers.Listing) model {
	out := model{
		ID: m.ID, Object: "model", Created: m.Created.Unix(), OwnedBy: m.OwnedBy,
		ContextLength: m.ContextLength, MaxOutput: m.MaxOutput, Providers: m.Providers,
	}
	if out.Providers == nil {
		out.Providers = []string{}
	}
	if prompt, completion := (*billing.Money)(m.Prompt), (*billing.Money)(m.Completion); prompt != nil || completion != nil {
		out.Pricing = &pricing{
			Prompt: perToken(prompt), PromptPerMillion: shortOrNull(prompt),
			Completion: perToken(completion), CompletionPerMillion: shortOrNull(completion), Currency: "USD",
		}
	}
	return out
}

// perToken converts a rate per million tokens to dollars per token.
func perToken(rate *billing.Money) *string {
	if rate == nil {
		return nil
	}
	whole, decimals, _ := strings.Cut(rate.String(), ".")
	digits := whole + decimals // moving the decimal point six places is exact
	digits = strings.Repeat("0", max(0, 16-len(digits))) + digits
	point := len(digits) - 15
	text := strings.TrimRight(strings.TrimRight(digits[:point]+"."+digits[point:], "0"), ".")
	return &text
}

func shortOrNull(m *billing.Money) *string {
	if m == nil {
		return nil
	}
	text := m.Short()
	return &text
}
