package server

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"tallyroute/providers"
	"tallyroute/providers/chat"
	"tallyroute/providers/jsonraw"
	"tallyroute/providers/scripted"
)

// speaking is an entry of spoken.
type speaking struct {
	entranceCase
	families      []string
	needs         string   // a member that every request has
	native        []string // the formats whose answers are passed on unchanged
	whole, events spec
}

// spoken lists the entrances, the families of recordings whose requests are in their format, and
// the published schemas of their answers.
var spoken = []speaking{
	{
		entranceCases[0],
		[]string{"openai-chat"},
		"messages",
		[]string{"openai"},
		spec{"openai/CreateChatCompletionResponse.schema.json", ""},
		spec{"openai/CreateChatCompletionStreamResponse.schema.json", ""},
	},
	{
		entranceCases[1],
		[]string{"openai-responses"},
		"input",
		[]string{"responses"},
		spec{"openai/Response.schema.json", ""},
		spec{"openai/ResponseStreamEvent.schema.json", ""},
	},
	{
		entranceCases[2],
		[]string{"anthropic-messages", "bedrock-invoke"},
		"max_tokens",
		[]string{"anthropic", "bedrock-invoke"},
		spec{"anthropic/openapi.json", "/components/schemas/Message"},
		spec{"anthropic/openapi.json", "/components/schemas/MessageStreamEvent"},
	},
}

// spec is a published schema: a file, and the path of the schema in it.
type spec struct{ file, at string }

// sent maps the formats of upstreams to the published schemas of their requests.
var sent = map[string]spec{
	"openai":    {"openai/CreateChatCompletionRequest.schema.json", ""},
	"responses": {"openai/CreateResponse.schema.json", ""},
	"anthropic": {"anthropic/openapi.json", "/components/schemas/BetaCreateMessageParams"},
}

// schemas compiles published schemas, each of them once.
type schemas struct {
	dir      string
	compiler *jsonschema.Compiler
	files    map[string]bool // files that were loaded
	compiled map[spec]*jsonschema.Schema
}

func newSchemas() *schemas {
	return &schemas{
		os.Getenv("TALLYROUTE_SPEC"), jsonschema.NewCompiler(), make(map[string]bool), make(map[spec]*jsonschema.Schema),
	}
}

// load reads a file. It turns oneOf into anyOf, because some published alternatives, such as those
// of messages, overlap.
func (s *schemas) load(file string) error {
	if s.files[file] {
		return nil
	}
	s.files[file] = true
	text, err := os.ReadFile(filepath.Join(s.dir, file))
	if err != nil {
		return err
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(bytes.ReplaceAll(text, []byte(`"oneOf"`), []byte(`"anyOf"`))))
	if err != nil {
		return err
	}
	return s.compiler.AddResource(file, v)
}

// fault returns what is wrong with data, or nil.
func (s *schemas) fault(of spec, data []byte) error {
	if s.dir == "" || of.file == "" {
		return nil
	}
	if s.compiled[of] == nil {
		if err := s.load(of.file); err != nil {
			return err
		}
		compiled, err := s.compiler.Compile(of.file + "#" + of.at)
		if err != nil {
			return err
		}
		s.compiled[of] = compiled
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err == nil {
		err = s.compiled[of].Validate(v)
	}
	if err != nil {
		return fmt.Errorf("%w: %.1500s", err, data)
	}
	return nil
}

// published returns what is wrong with an entrance's answer, unless the answer is a provider's own.
func (s *schemas) published(path, family string, said []byte) error {
	for _, at := range spoken {
		if at.path != path || slices.Contains(at.families, family) {
			continue
		}
		if said[0] == '{' {
			return s.fault(at.whole, said)
		}
		for _, e := range eventsOf(said) {
			if err := s.fault(at.events, e); err != nil && string(e) != "[DONE]" {
				return err
			}
		}
	}
	return nil
}

// sample returns every nth of a list, or all with PAIRS=1.
func sample[T any](list []T, n int) (some []T) {
	for i, one := range list {
		if i%n == 0 || os.Getenv("PAIRS") != "" {
			some = append(some, one)
		}
	}
	return some
}

// recordings returns the recorded exchanges of some families.
func recordings(t *testing.T, families ...string) (list []outcomeRecorded) {
	t.Helper()
	dir := os.Getenv("TALLYROUTE_CORPUS")
	if dir == "" {
		t.Skip("no recorded exchanges: TALLYROUTE_CORPUS says where they are")
	}
	files, _ := filepath.Glob(filepath.Join(dir, "*", "*.json"))
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var r outcomeRecorded
		if err := json.Unmarshal(text, &r); err != nil {
			t.Fatal(err)
		}
		if slices.Contains(families, r.Family) {
			list = append(list, r)
		}
	}
	return list
}

// unsayable lists the codes of errors about the content of a request rather than its syntax.
var unsayable = []string{
	"unsupported_parameter", "unsupported_content", "unsupported_value", "provider_object_not_allowed", "no_capable_provider",
}

// unreadable reports whether a recorded request is not in the format of its family, or is empty.
func unreadable(body []byte) bool {
	return jsonraw.Lookup(body, "prompt") != nil || jsonraw.Lookup(body, "max_tokens") != nil && jsonraw.Lookup(body, "messages") == nil ||
		bytes.Contains(body, []byte(`"input": [{"role": "user", "content": ""}]`))
}

// TestRecordedRequestsReachUpstreamsOfEveryFormat sends recorded requests in all three formats to
// upstreams of every format: upstream requests and client responses match the published schemas,
// and what can't be expressed is refused by name.
func TestRecordedRequestsReachUpstreamsOfEveryFormat(t *testing.T) {
	g, u := scriptedRig(t, providers.Options{}, func(scripted.Turn) scripted.Reply { return scriptedAnswer })
	for name, targets := range g.models.more {
		can := &targets[0].Can
		can.Audio, can.Documents = true, true
		g.models.more[name] = targets
	}
	check := newSchemas()
	type count struct{ all, refused, failed int }
	counts := make(map[string]*count)
	for _, at := range spoken {
		for _, r := range sample(recordings(t, at.families...), 12) {
			if r.Response.Status != http.StatusOK || jsonraw.Lookup(r.Request.Body, at.needs) == nil || unreadable(r.Request.Body) {
				continue
			}
			for _, format := range scripted.Formats() {
				pair := format + " at " + at.path
				if counts[pair] == nil {
					counts[pair] = &count{}
				}
				n := counts[pair]
				n.all++
				said, err := at.play(g, u, check, format, r.Request.Body, slices.Contains(at.native, format))
				if !said {
					n.refused++
				}
				if err != nil {
					n.failed++
					t.Logf("%s: %s: %v", pair, r.ID, err)
				}
			}
		}
	}
	for pair, n := range counts {
		t.Logf("%s: %d, of which %d cannot be said, and %d fail", pair, n.all, n.refused, n.failed)
		if said := n.all - n.refused; n.failed*100 > said {
			t.Errorf("%s: %d of %d fail", pair, n.failed, said)
		}
	}
}

// play sends one request. It reports whether the upstream's format can express it.
func (at speaking) play(g *rig, u *scripted.Upstream, check *schemas, format string, body []byte, native bool) (said bool, err error) {
	set := []jsonraw.Member{{Name: "model", Value: jsonraw.Quote("on-" + format)}}
	if at.path == messagesPath && jsonraw.Lookup(body, "anthropic_version") != nil { // the envelope of a cloud host
		body = jsonraw.Edit(body, nil, "anthropic_version", "anthropic_beta")
	}
	before := len(u.Seen())
	got := g.do(g.request(http.MethodPost, at.path, string(jsonraw.Edit(body, set))))
	seen := u.Seen()
	if got.StatusCode != http.StatusOK {
		var failure struct {
			Error struct{ Code, Message string }
		}
		_ = json.Unmarshal([]byte(got.body), &failure)
		if len(seen) > before || got.StatusCode >= http.StatusInternalServerError ||
			!slices.Contains(unsayable, failure.Error.Code) && !strings.HasSuffix(failure.Error.Message, "for this model") {
			return true, fmt.Errorf("%d %.500s", got.StatusCode, got.body)
		}
		return false, nil
	}
	row := g.waitSettled().Attempts
	if len(seen) == before {
		return true, fmt.Errorf("no upstream was asked, but answered is %.300s", got.body)
	}
	if !native {
		if err := check.fault(sent[format], seen[len(seen)-1].Body); err != nil {
			return true, fmt.Errorf("the upstream is sent %w", err)
		}
	}
	stream := strings.Contains(got.Header.Get("Content-Type"), "event-stream")
	prompt, output := at.used([]byte(got.body), stream)
	if last := row[len(row)-1]; (at.path != entranceCases[0].path || !stream) &&
		(prompt != last.Tokens.Prompt() || output != last.Tokens.Output) {
		return true, fmt.Errorf("the client is told of %d and %d tokens, %d and %d are booked", prompt, output,
			last.Tokens.Prompt(), last.Tokens.Output)
	}
	if native {
		return true, nil
	}
	if !stream {
		return true, check.fault(at.whole, []byte(got.body))
	}
	for _, e := range eventsOf([]byte(got.body)) {
		if string(e) == "[DONE]" {
			continue
		}
		if err := check.fault(at.events, e); err != nil {
			return true, fmt.Errorf("the client is sent %w", err)
		}
	}
	return true, nil
}

// TestRecordedStreamsReadTheSameHoweverTheyAreCut splits recorded streams of every family at every
// byte, and at random positions: what is read from them stays the same.
func TestRecordedStreamsReadTheSameHoweverTheyAreCut(t *testing.T) {
	for family, a := range families {
		for _, r := range sample(recordings(t, family), 8) {
			if r.Response.Status != http.StatusOK || !slices.Contains(r.Features, "stream") || !r.single() {
				continue
			}
			x, err := r.exchange(a)
			if err != nil {
				t.Fatal(err)
			}
			text := r.upstream()
			want, broken := chunksOf(x, io.NopCloser(bytes.NewReader(text)))
			for name, cuts := range map[string][]int{"every byte": cutsOf(len(text), 1), "every seventh": cutsOf(len(text), 7)} {
				got, err := chunksOf(x, &pieces{text: text, cuts: cuts})
				if got != want || fmt.Sprint(err) != fmt.Sprint(broken) {
					t.Errorf("%s, %s cut at %s: %v %.2000s\nwant %v %.2000s", family, r.ID, name, err, got, broken, want)
				}
			}
		}
	}
}

// cutsOf returns every nth position of a text.
func cutsOf(length, n int) (cuts []int) {
	for i := n; i < length; i += n {
		cuts = append(cuts, i)
	}
	return cuts
}

// exchange returns the call that the recording answers.
func (r *outcomeRecorded) exchange(a providers.Adapter) (providers.Exchange, error) {
	x := providers.Exchange{Target: providers.Target{
		Provider: "acme", Model: "m", Upstream: r.upstreamModel(), Adapter: a, MaxOutput: 1000, Can: providers.Abilities{Stream: true},
	}}
	var err error
	x.Request, err = providers.Chat.Parse([]byte(`{"model":"m","stream":true,"messages":[{"role":"user","content":"hi"}]}`), chat.Limits{})
	return x, err
}

// TestWhatOnlyTheClientsFormatHasIsRefusedByName sends parts and tools that chat completions can't
// express: they are refused, and the chat completions provider is not called.
func TestWhatOnlyTheClientsFormatHasIsRefusedByName(t *testing.T) {
	g, u := scriptedRig(t, providers.Options{}, func(scripted.Turn) scripted.Reply { return scriptedAnswer })
	for body, param := range map[string]string{
		`"system":"s","messages":[{"role":"user","content":"a"},{"role":"assistant","content":[{"type":"server_tool_use","id":"s",` +
			`"name":"web_search","input":{}}]},{"role":"user","content":"b"}]`: "messages[1]",
		`"messages":[{"role":"user","content":[{"type":"tool_result","tool_use_id":"x","content":[{"type":"search_result",` +
			`"source":"s","title":"t","content":[]}]}]}]`: "messages[0]",
		`"messages":[{"role":"user","content":"a"}],"tools":[{"name":"f","input_schema":{}},{"type":"web_search_20250305",` +
			`"name":"web_search"}]`: "tools[1]",
	} {
		r := g.do(g.request(http.MethodPost, messagesPath, `{"model":"on-openai","max_tokens":50,`+body+`}`))
		if r.StatusCode != http.StatusBadRequest || !strings.Contains(r.body, `"param":"`+param) ||
			!strings.Contains(r.body, `"unsupported_parameter"`) {
			t.Errorf("%s: %d %s", body, r.StatusCode, r.body)
		}
	}
	r := g.do(g.request(http.MethodPost, responsesPath,
		`{"model":"on-openai","input":"a","tools":[{"type":"web_search"}],"tool_choice":"required"}`))
	if r.StatusCode != http.StatusBadRequest || !strings.Contains(r.body, `"param":"tools[0]"`) {
		t.Errorf("%d %s", r.StatusCode, r.body)
	}
	if n := len(u.Seen()); n > 0 {
		t.Errorf("the provider is asked %d times", n)
	}
}

// TestToolsOfProvidersAreThoseOfOthersWhereTheyHaveThem requests provider-run tools in one format
// from providers of the others: they get their own equivalents, or the request is refused.
func TestToolsOfProvidersAreThoseOfOthersWhereTheyHaveThem(t *testing.T) {
	g, u := scriptedRig(t, providers.Options{}, func(scripted.Turn) scripted.Reply { return scriptedAnswer })
	message := func(tool string) string {
		return `{"model":"%s","max_tokens":4096,"messages":[{"role":"user","content":"hi"}],"tools":[` + tool + `]}`
	}
	response := func(tool string) string {
		return `{"model":"%s","max_output_tokens":4096,"input":"hi","tool_choice":"required","tools":[` + tool + `]}`
	}
	const place = `"user_location":{"type":"approximate","city":"Bonn"}`
	for _, c := range []struct{ path, body, format, want string }{
		{
			messagesPath, message(`{"type":"web_search_20250305","name":"web_search","max_uses":3,"allowed_domains":["a.org"],` + place +
				`}`),
			"responses", `"max_tool_calls":3,"tools":[{"type":"web_search","filters":{"allowed_domains":["a.org"]},` + place + `}]`,
		},
		{messagesPath, message(`{"type":"web_search_20250305","name":"web_search"}`), "gemini", `"tools":[{"googleSearch":{}}]`},
		{messagesPath, message(`{"type":"web_search_20250305","name":"web_search","blocked_domains":["a.org"]}`), "gemini", ""},
		{messagesPath, message(`{"type":"web_search_20250305","name":"web_search","blocked_domains":["a.org"]}`), "responses", ""},
		{messagesPath, message(`{"type":"web_fetch_20250910","name":"web_fetch"}`), "gemini", `"tools":[{"urlContext":{}}]`},
		{messagesPath, message(`{"type":"web_fetch_20250910","name":"web_fetch"}`), "responses", ""},
		{
			messagesPath, message(`{"type":"code_execution_20250825","name":"code_execution"}`), "responses",
			`"tools":[{"type":"code_interpreter","container":{"type":"auto"}}]`,
		},
		{messagesPath, message(`{"type":"bash_20250124","name":"bash"}`), "responses", ""},
		{messagesPath, message(`{"type":"web_search_20250305","name":"web_search"}`), "bedrock", ""},
		{messagesPath, message(`{"type":"web_search_20250305","name":"web_search"}`), "cohere", ""},
		{
			responsesPath, response(`{"type":"web_search","filters":{"allowed_domains":["a.org"]},"search_context_size":"low",` + place +
				`}`),
			"anthropic", `"tools":[{"type":"web_search_20250305","name":"web_search","allowed_domains":["a.org"],` + place + `}]`,
		},
		{responsesPath, response(`{"type":"web_search","external_web_access":false}`), "anthropic", ""},
		{responsesPath, response(`{"type":"image_generation"}`), "anthropic", ""},
		{
			responsesPath, response(`{"type":"code_interpreter","container":{"type":"auto"}}`), "anthropic",
			`{"type":"code_execution_20250825","name":"code_execution"}`,
		},
		{responsesPath, response(`{"type":"code_interpreter","container":{"type":"auto"}}`), "gemini", `{"codeExecution":{}}`},
		{responsesPath, response(`{"type":"code_interpreter","container":{"type":"auto","file_ids":["f"]}}`), "gemini", ""},
		{responsesPath, response(`{"type":"web_search"}`), "bedrock-invoke", ""},
		{responsesPath, response(`{"type":"web_search"}`), "ollama", ""},
	} {
		before := len(u.Seen())
		r := g.do(g.request(http.MethodPost, c.path, fmt.Sprintf(c.body, "on-"+c.format)))
		seen := u.Seen()
		switch {
		case c.want == "" && (r.StatusCode != http.StatusBadRequest || len(seen) > before):
			t.Errorf("%s at %s: it is not refused: %d %.300s", c.body, c.format, r.StatusCode, r.body)
		case c.want != "" && (len(seen) == before || !strings.Contains(string(seen[len(seen)-1].Body), c.want)):
			t.Errorf("%s at %s: %d %.300s, the provider is asked %s", c.body, c.format, r.StatusCode, r.body, seen[len(seen)-1].Body)
		}
		if r.StatusCode == http.StatusOK {
			g.waitSettled()
		}
	}
}
