package server

import (
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/policy"
	"tallyroute/providers"
	"tallyroute/router/federation"
)

// door is an endpoint that a key gives access to.
type door struct {
	endpoint     string
	method, path string
	body         string // %s stands for the content and for additional members
	bound        string // the member that bounds the output
	asks         bool   // whether it calls a model
	// features maps features to a member that uses them, or to a content if it begins with [.
	// A format that can't express a feature has no entry for it.
	features map[string]string
}

// doors lists all of them.
var doors = []door{
	{
		"chat", "POST", "/v1/chat/completions", `{"model":"m","messages":[{"role":"user","content":%s}]%s}`, "max_completion_tokens", true,
		map[string]string{
			"stream": `"stream":true`, "tools": `"tools":[{"type":"function","function":{"name":"f"}}]`,
			"vision":    `[{"type":"image_url","image_url":{"url":"https://x.example/a.png"}}]`,
			"audio":     `[{"type":"input_audio","input_audio":{"data":"aGk=","format":"wav"}}]`,
			"documents": `[{"type":"file","file":{"filename":"a.pdf","file_data":"data:application/pdf;base64,JVBERi0xLjQK"}}]`,
			"reasoning": `"reasoning_effort":"high"`, "server_tools": `"web_search_options":{}`,
		},
	},
	{
		"responses", "POST", "/v1/responses", `{"model":"m","input":[{"role":"user","content":%s}]%s}`, "max_output_tokens", true,
		map[string]string{
			"stream": `"stream":true`, "tools": `"tools":[{"type":"function","name":"f","parameters":{}}]`,
			"vision":    `[{"type":"input_image","image_url":"https://x.example/a.png"}]`,
			"documents": `[{"type":"input_file","filename":"a.pdf","file_data":"data:application/pdf;base64,JVBERi0xLjQK"}]`,
			"reasoning": `"reasoning":{"effort":"high"}`, "server_tools": `"tools":[{"type":"web_search"}]`,
		},
	},
	{
		"messages", "POST", "/v1/messages", `{"model":"m","messages":[{"role":"user","content":%s}]%s}`, "max_tokens", true,
		map[string]string{
			"stream": `"stream":true`, "tools": `"tools":[{"name":"f","input_schema":{"type":"object"}}]`,
			"vision":       `[{"type":"image","source":{"type":"url","url":"https://x.example/a.png"}}]`,
			"documents":    `[{"type":"document","source":{"type":"base64","media_type":"application/pdf","data":"JVBERi0xLjQK"}}]`,
			"reasoning":    `"max_tokens":2048,"thinking":{"type":"enabled","budget_tokens":1024}`,
			"server_tools": `"tools":[{"type":"web_search_20250305","name":"web_search"}]`,
		},
	},
	{
		"count_tokens", "POST", "/v1/messages/count_tokens", `{"model":"m","messages":[{"role":"user","content":%s}]%s}`, "", true,
		map[string]string{
			"tools":     `"tools":[{"name":"f","input_schema":{"type":"object"}}]`,
			"vision":    `[{"type":"image","source":{"type":"url","url":"https://x.example/a.png"}}]`,
			"documents": `[{"type":"document","source":{"type":"base64","media_type":"application/pdf","data":"JVBERi0xLjQK"}}]`,
		},
	},
	{
		"count_tokens", "POST", "/v1/responses/input_tokens", `{"model":"m","input":[{"role":"user","content":%s}]%s}`, "", true,
		map[string]string{
			"tools":  `"tools":[{"type":"function","name":"f","parameters":{}}]`,
			"vision": `[{"type":"input_image","image_url":"https://x.example/a.png"}]`,
		},
	},
	{"embeddings", "POST", "/v1/embeddings", `{"model":"m","input":%s%s}`, "", true, nil},
	{"models", "GET", "/v1/models", "", "", false, nil},
	{"models", "GET", "/v1/models/m", "", "", false, nil},
	{"key", "GET", "/v1/key", "", "", false, nil},
	{"key", "GET", "/v1/key/policy", "", "", false, nil},
	{"key", "GET", "/v1/requests/req_01M8NDNMZ1MQ4P6BAVJGHVRT7M", "", "", false, nil},
	{"tokens", "POST", "/v1/key/tokens", `{"expires_in":60,"end_user":%s%s}`, "", false, nil},
	{"tokens", "POST", "/v1/oauth/token", "identity", "", false, nil},
}

// trial is one request under one policy.
type trial struct {
	policy        policy.Policy
	refused       string // the rule that refuses it; "" if it must be allowed
	content, more string
	header        []string
}

// dimension returns trials of one policy member at a door: a request that it refuses and one
// that it allows. If the member does not affect the door, all are allowed.
type dimension func(e door) []trial

// everywhere returns a dimension that applies to every door, because it depends on the caller.
func everywhere(rule string, wide, narrow policy.Policy, header ...string) dimension {
	return func(door) []trial {
		return []trial{{policy: wide, header: header}, {policy: narrow, refused: rule, header: header}}
	}
}

// asking returns a dimension that applies to requests for a model.
func asking(rule string, wide, narrow policy.Policy) dimension {
	return func(e door) []trial {
		if !e.asks {
			return []trial{{policy: narrow}}
		}
		return []trial{{policy: wide}, {policy: narrow, refused: rule}}
	}
}

// hoursFromNow returns hours of today, from and until offsets from now.
func hoursFromNow(from, until time.Duration) []policy.Hours {
	now := time.Now().UTC()
	return []policy.Hours{{From: now.Add(from).Format("15:04"), Until: now.Add(until).Format("15:04")}}
}

// dimensions maps each member of a policy, by its JSON name, to its trials. A member without an
// entry fails the test.
var dimensions = map[string]dimension{
	"models":      asking("models", policy.Policy{Models: []string{"acme/*", "m"}}, policy.Policy{Models: []string{"gpt-*"}}),
	"deny_models": asking("deny_models", policy.Policy{DenyModels: []string{"gpt-*"}}, policy.Policy{DenyModels: []string{"m*"}}),
	"providers":   asking("providers", policy.Policy{Providers: []string{"acme"}}, policy.Policy{Providers: []string{"openai"}}),
	"deny_providers": asking("deny_providers",
		policy.Policy{DenyProviders: []string{"openai"}}, policy.Policy{DenyProviders: []string{"acme"}}),
	"max_body_bytes": asking("max_body_bytes", policy.Policy{MaxBodyBytes: 4000}, policy.Policy{MaxBodyBytes: 10}),
	"endpoints": func(e door) []trial {
		others := slices.DeleteFunc(endpointNames(), func(name string) bool { return name == e.endpoint })
		return []trial{
			{policy: policy.Policy{Endpoints: []string{e.endpoint}}},
			{policy: policy.Policy{Endpoints: others}, refused: "endpoints"},
		}
	},
	"features": byFeature,
	"max_output_tokens": func(e door) []trial {
		p := policy.Policy{MaxOutputTokens: 20}
		if e.bound == "" {
			return []trial{{policy: p}}
		}
		return []trial{
			{policy: p, more: `,"` + e.bound + `":20`}, {policy: p, more: `,"` + e.bound + `":21`, refused: "max_output_tokens"},
		}
	},
	"max_prompt_tokens": func(e door) []trial {
		long := `"` + strings.Repeat("many words ", 400) + `"`
		if e.bound == "" && e.endpoint != "embeddings" { // no model is called
			return []trial{{policy: policy.Policy{MaxPromptTokens: 20}}}
		}
		return []trial{
			{policy: policy.Policy{MaxPromptTokens: 1000}, content: long},
			{policy: policy.Policy{MaxPromptTokens: 20}, content: long, refused: "max_prompt_tokens"},
		}
	},
	// Runaway limits count over many requests and have a test of their own.
	"max_repeats":          asking("", policy.Policy{MaxRepeats: 5}, policy.Policy{MaxRepeats: 1}),
	"max_session_requests": asking("", policy.Policy{MaxSessionRequests: 5}, policy.Policy{MaxSessionRequests: 1}),
	"max_session_cents":    asking("", policy.Policy{MaxSessionCents: 5}, policy.Policy{MaxSessionCents: 1}),
	"allowed_cidrs": everywhere("allowed_cidrs",
		policy.Policy{AllowedCIDRs: []string{"127.0.0.0/8"}}, policy.Policy{AllowedCIDRs: []string{"10.0.0.0/8"}}),
	"denied_cidrs": everywhere("denied_cidrs",
		policy.Policy{DeniedCIDRs: []string{"10.0.0.0/8"}}, policy.Policy{DeniedCIDRs: []string{"127.0.0.1"}}),
	"origins": everywhere("origins", policy.Policy{Origins: []string{"https://app.example"}},
		policy.Policy{Origins: []string{"https://other.example"}}, "Origin", "https://app.example"),
	"referers": everywhere("referers", policy.Policy{Referers: []string{"https://app.example/*"}},
		policy.Policy{Referers: []string{"https://other.example/*"}}, "Referer", "https://app.example/x"),
	"hours": everywhere("hours",
		policy.Policy{Hours: hoursFromNow(-2*time.Hour, 2*time.Hour)}, policy.Policy{Hours: hoursFromNow(3*time.Hour, 4*time.Hour)}),
	"required_tags": func(e door) []trial {
		p := policy.Policy{RequiredTags: []string{"feature"}}
		if !e.asks {
			return []trial{{policy: p}}
		}
		return []trial{{policy: p, header: []string{"X-Tallyroute-Tags", "feature=x"}}, {policy: p, refused: "required_tags"}}
	},
	"conditions": func(e door) []trial {
		must := "request.endpoint == '" + e.endpoint + "' and request.model == 'm'"
		under := func(must string) policy.Policy {
			return policy.Policy{Conditions: []policy.Condition{{Name: "c", Must: must}}}
		}
		if !e.asks {
			return []trial{{policy: under("1 == 2")}}
		}
		return []trial{{policy: under(must)}, {policy: under("not (" + must + ")"), refused: "conditions.c"}}
	},
}

// byFeature tries each feature of a format under a policy that allows only this feature, and under
// one that allows all others.
func byFeature(e door) (all []trial) {
	if len(e.features) == 0 {
		return []trial{{policy: policy.Policy{Features: []string{"audio"}}}}
	}
	for feature, member := range e.features {
		a := trial{content: `"hi"`, more: "," + member}
		if strings.HasPrefix(member, "[") {
			a.content, a.more = member, ""
		}
		a.policy.Features = []string{feature}
		if feature == "server_tools" || feature == "documents" {
			a.policy.Features = featureNames() // because a feature may entail others
		}
		all = append(all, a)
		a.policy.Features = slices.DeleteFunc(featureNames(), func(name string) bool { return name == feature })
		a.refused = "features"
		all = append(all, a)
	}
	return all
}

// endpointNames returns the names of endpoints in policies.
func endpointNames() (names []string) {
	for e := policy.Endpoint(1); e.String() != ""; e <<= 1 {
		names = append(names, e.String())
	}
	return names
}

// featureNames returns the names of features in policies.
func featureNames() []string {
	_, err := policy.ParseFeatures([]string{""})
	_, list, _ := strings.Cut(err.Error(), "must be among ")
	return strings.Split(list, ", ")
}

// TestEveryNarrowingHoldsAtEveryEntrance tries each policy member at each door: a request that it
// does not allow is refused with its name, and one that it allows is not.
func TestEveryNarrowingHoldsAtEveryEntrance(t *testing.T) {
	p := newPlatform(t)
	var allotted []billing.Allotment
	now := time.Now()
	when, err := policy.CompileClaims(`claims.repository == "acme/app"`)
	if err != nil {
		t.Fatal(err)
	}
	g := newRig(t, withTemporary(t, &allotted, &now), func(o *Options) {
		o.Temporary = o.Temporary.With(federation.New([]federation.Issuer{{
			URL: p.URL, Audience: "tallyroute", Bindings: []federation.Binding{{Key: "key_1", When: when}},
		}}, p.Client()))
	})
	identity := url.Values{
		"grant_type": {grantExchange}, "subject_token_type": {typePrefix + "jwt"}, "subject_token": {p.token("acme/app", now)},
	}.Encode()
	seen := map[string]bool{}
	for field := range reflect.TypeFor[policy.Policy]().Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		try, ok := dimensions[name]
		if !ok {
			t.Errorf("nothing tries %q of a policy at the doors", name)
			continue
		}
		refused := 0
		for _, e := range doors {
			seen[e.endpoint] = true
			for _, a := range try(e) {
				r := g.under(e, a, identity)
				is := r.StatusCode == http.StatusForbidden && strings.Contains(r.body, codePolicy)
				switch {
				case a.refused == "" && is:
					t.Errorf("%s: %s %s is refused: %s", name, e.method, e.path, r.body)
				case a.refused != "" && (!is || !strings.Contains(r.body, "team."+a.refused)):
					t.Errorf("%s: %s %s is not refused by team.%s: %d %.300s", name, e.method, e.path, a.refused, r.StatusCode, r.body)
				case a.refused != "":
					refused++
				}
			}
		}
		if refused == 0 && !strings.HasPrefix(name, "max_session") && name != "max_repeats" {
			t.Errorf("%s refuses nothing anywhere", name)
		}
	}
	for _, name := range endpointNames() {
		if !seen[name] {
			t.Errorf("no door is of the endpoint %q", name)
		}
	}
	for _, name := range featureNames() {
		if !slices.ContainsFunc(doors, func(e door) bool { return e.features[name] != "" }) {
			t.Errorf("no door has the feature %q", name)
		}
	}
}

// under sends a request to a door under a policy of the key's team.
func (g *rig) under(e door, a trial, identity string) reply {
	g.verifier.key.Policies = policy.Layers{Team: &a.policy}
	g.verifier.key.Rights = g.verifier.key.Policies.Compile(g.verifier.key.Facts())
	defer func() { g.verifier.key.Policies, g.verifier.key.Rights = policy.Layers{}, nil }()
	serving := target("acme", "m")
	if e.endpoint == "embeddings" {
		serving.Can.Operation = providers.Embed
	}
	g.models.more = map[string][]providers.Target{"m": {serving}}
	if e.body == "identity" {
		r := g.request(e.method, e.path, identity, a.header...)
		r.Header.Del("Authorization")
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		return g.do(r)
	}
	body := e.body
	if body != "" {
		if a.content == "" {
			a.content = `"hi"`
		}
		if e.endpoint == "messages" && !strings.Contains(a.more, "max_tokens") {
			a.more += `,"max_tokens":5`
		}
		body = fmt.Sprintf(e.body, a.content, a.more)
	}
	return g.do(g.request(e.method, e.path, body, a.header...))
}

// TestEveryEntranceIsTried: every route that a key gives access to is among the doors, so that
// every policy member is tried there.
func TestEveryEntranceIsTried(t *testing.T) {
	open := []string{ // without a secret, or with one that isn't a key
		"/docs/errors/:code", "/healthz", "/readyz", "/", "/handover", "/v1/responses/compact",
	}
	s := &server{Temporary: &Temporary{Identity: federation.New(nil, nil)}}
	for _, r := range engine(s).Routes() {
		path := strings.NewReplacer("/*id", "/m", "/:id", "/req_01M8NDNMZ1MQ4P6BAVJGHVRT7M").Replace(r.Path)
		if r.Method == http.MethodHead || slices.Contains(open, r.Path) {
			continue
		}
		if !slices.ContainsFunc(doors, func(e door) bool { return e.method == r.Method && e.path == path }) {
			t.Errorf("%s %s is not among the doors", r.Method, r.Path)
		}
	}
}
