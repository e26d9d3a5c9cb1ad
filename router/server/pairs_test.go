package server

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"tallyroute/billing"
	"tallyroute/billing/billingtest/prove"
	"tallyroute/providers"
	"tallyroute/providers/anthropic"
	"tallyroute/providers/bedrock"
	"tallyroute/providers/cohere"
	"tallyroute/providers/gemini"
	"tallyroute/providers/ollama"
	"tallyroute/providers/openai"
	nativeresponses "tallyroute/providers/responses"
)

// families are the wire formats of upstreams.
var families = map[string]providers.Adapter{
	"openai-chat": openai.New(), "anthropic-messages": anthropic.New(), "openai-responses": nativeresponses.New(),
	"gemini": gemini.New(), "bedrock-converse": bedrock.New(), "bedrock-invoke": bedrock.NewInvoke(), "cohere-v2": cohere.New(),
	"ollama-native": ollama.New(),
}

// outcomeRecorded is the outcome that a recording expects.
type outcomeRecorded struct {
	ID, Family string
	Features   []string
	Expected   struct {
		Kind, Text, Refusal string
		Finish              string   `json:"finish_reason"`
		SHA                 string   `json:"text_sha256"`
		Alt                 []string `json:"text_alt_sha256"`
		Calls               []struct {
			Name      string
			Arguments json.RawMessage
		} `json:"tool_calls"`
		Error *struct{}
	}
	recorded
}

// clientView is what a client makes of an answer.
type clientView struct {
	text           strings.Builder
	calls          []clientCall
	prompt, output int64
	ended          bool
}

type clientCall struct{ name, arguments string }

// askedAt are the entrances, and how a client reads their answers.
var askedAt = []struct {
	path, body string
	whole      func(v *clientView, body []byte) error
	stream     func(v *clientView, events [][]byte) error
}{
	{"/v1/messages", `{"model":"native","max_tokens":100000,"messages":[{"role":"user","content":"hi"}]}`, readMessage, readMessageEvents},
	{"/v1/responses", `{"model":"native","input":"hi"}`, readResponse, readResponseEvents},
}

// TestRecordedAnswersAreWhatClientsOfEveryFormatRead replays recorded provider answers to
// clients of both formats, and checks the grammar of events and that the client is told the
// booked usage.
func TestRecordedAnswersAreWhatClientsOfEveryFormatRead(t *testing.T) {
	dir := os.Getenv("TALLYROUTE_CORPUS")
	if dir == "" {
		t.Skip("no recorded exchanges: TALLYROUTE_CORPUS says where they are")
	}
	g := newRig(t)
	w := newWire(t)
	files, _ := filepath.Glob(filepath.Join(dir, "*", "*.json"))
	all, failed := make(map[string]int), make(map[string]int)
	check := newSchemas()
	for i, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var r outcomeRecorded
		if err := json.Unmarshal(text, &r); err != nil {
			t.Fatal(err)
		}
		a, ok := families[r.Family]
		if !ok || r.Expected.Kind != "chat" || r.Response.Status != http.StatusOK || r.Expected.Error != nil ||
			!r.single() || r.Expected.Finish == "function_call" { // only requested with functions
			continue
		}
		for _, e := range askedAt {
			pair := r.Family + " at " + e.path
			all[pair]++
			said, err := r.play(g, w, a, e.path, e.body, e.whole, e.stream)
			if err == nil && (i%12 == 0 || os.Getenv("PAIRS") != "") {
				err = check.published(e.path, r.Family, said)
			}
			if err != nil {
				failed[pair]++
				t.Logf("%s at %s: %v", r.ID, e.path, err)
			}
		}
	}
	for pair, n := range all {
		if failed[pair]*100 > n {
			t.Errorf("%s: %d of %d fail", pair, failed[pair], n)
		}
	}
}

func (r *outcomeRecorded) play(g *rig, w *wire, a providers.Adapter, path, body string, whole func(*clientView, []byte) error,
	stream func(*clientView, [][]byte) error,
) (said []byte, err error) {
	g.calls(w, a, r.upstreamModel())
	w.kind, w.answer = r.Response.Headers["content-type"], r.upstream()
	streams := slices.Contains(r.Features, "stream")
	if streams {
		body = streamed(body)
	}
	answer := g.do(g.request(http.MethodPost, path, body))
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%d %.300s", answer.StatusCode, answer.body)
	}
	settled := prove.Receive(g.t, "the settlement", g.ledger.settled)
	row := settled.Attempts[len(settled.Attempts)-1]
	var v clientView
	if streams {
		err = stream(&v, eventsOf([]byte(answer.body)))
	} else {
		err = whole(&v, []byte(answer.body))
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %.300s", err, answer.body)
	}
	return []byte(answer.body), r.compare(&v, row)
}

// single reports whether a recording has one answer, in a format that is supported here.
func (r *outcomeRecorded) single() bool {
	body := string(r.upstream())
	return strings.Count(body, "event: message_start") < 2 && strings.Count(body, "event: response.created") < 2 &&
		!strings.HasPrefix(r.Model, "cohere.") && !strings.HasPrefix(body, `{"completion"`) &&
		!strings.HasPrefix(body, `{"type":"completion"`)
}

func (r *outcomeRecorded) upstreamModel() string {
	if r.Family == "bedrock-invoke" && r.Model != "" {
		return r.Model
	}
	return "m"
}

func (r *outcomeRecorded) compare(v *clientView, row billing.Spend) error {
	sum := sha256.Sum256([]byte(v.text.String()))
	if got := hex.EncodeToString(sum[:]); got != r.Expected.SHA && !slices.Contains(r.Expected.Alt, got) &&
		(r.Expected.Refusal == "" || v.text.String() != r.Expected.Refusal) {
		return fmt.Errorf("text %.200q, want %.200q", v.text.String(), r.Expected.Text)
	}
	if len(v.calls) != len(r.Expected.Calls) {
		return fmt.Errorf("%d calls, want %d", len(v.calls), len(r.Expected.Calls))
	}
	for i, c := range r.Expected.Calls {
		if v.calls[i].name != c.Name || !reflect.DeepEqual(argumentsOf(v.calls[i].arguments), argumentsOf(string(c.Arguments))) {
			return fmt.Errorf("call %v, want %s %s", v.calls[i], c.Name, c.Arguments)
		}
	}
	if v.prompt != row.Tokens.Prompt() || v.output != row.Tokens.Output {
		return fmt.Errorf("the client is told of %d and %d tokens, %d and %d are booked", v.prompt, v.output,
			row.Tokens.Prompt(), row.Tokens.Output)
	}
	return nil
}

// argumentsOf returns arguments as JSON, however they are wrapped.
func argumentsOf(text string) any {
	var v any
	if text == "" {
		return map[string]any{}
	}
	if json.Unmarshal([]byte(text), &v) != nil {
		return text
	}
	if s, ok := v.(string); ok {
		if s == "" {
			return map[string]any{}
		}
		return argumentsOf(s)
	}
	if m, ok := v.(map[string]any); ok && len(m) == 1 {
		if inner, ok := m["arguments"].(string); ok { // for free text
			return argumentsOf(inner)
		}
	}
	return v
}

type messageUsage struct {
	Input  int64 `json:"input_tokens"`
	Write  int64 `json:"cache_creation_input_tokens"`
	Read   int64 `json:"cache_read_input_tokens"`
	Output int64 `json:"output_tokens"`
}

type messageBlock struct {
	Type, Text, Name string
	Input            json.RawMessage
	partial          string
}

func (v *clientView) block(b messageBlock) {
	switch b.Type {
	case "text":
		v.text.WriteString(b.Text)
	case "tool_use":
		if b.partial != "" {
			b.Input = []byte(b.partial)
		}
		v.calls = append(v.calls, clientCall{b.Name, string(b.Input)})
	}
}

func readMessage(v *clientView, body []byte) error {
	var m struct {
		Type    string
		Content []messageBlock
		Stop    string `json:"stop_reason"`
		Usage   messageUsage
	}
	if err := json.Unmarshal(body, &m); err != nil || m.Type != "message" || m.Stop == "" {
		return fmt.Errorf("no message: %w", err)
	}
	for _, b := range m.Content {
		v.block(b)
	}
	v.prompt, v.output = m.Usage.Input+m.Usage.Write+m.Usage.Read, m.Usage.Output
	return nil
}

// readMessageEvents checks the grammar of events: a message begins once, a block is begun
// before its deltas and ended, and the message ends with the reason and its usage.
func readMessageEvents(v *clientView, events [][]byte) error {
	var blocks []messageBlock
	open := make(map[int]bool)
	for i, data := range events {
		var e struct {
			Type  string
			Index int
			Block messageBlock `json:"content_block"`
			Delta struct {
				Type, Text string
				Partial    string  `json:"partial_json"`
				Stop       *string `json:"stop_reason"`
			}
			Usage   messageUsage
			Message struct{ Usage messageUsage }
		}
		if err := json.Unmarshal(data, &e); err != nil {
			return err
		}
		if u := e.Message.Usage; i == 0 {
			v.prompt = u.Input + u.Write + u.Read
		}
		switch {
		case (e.Type == "message_start") != (i == 0), v.ended:
			return fmt.Errorf("event %d is %s", i, data)
		case e.Type == "content_block_start":
			if e.Index != len(blocks) {
				return fmt.Errorf("block %d is begun after %d", e.Index, len(blocks))
			}
			blocks, open[e.Index] = append(blocks, e.Block), true
		case e.Type == "content_block_delta" || e.Type == "content_block_stop":
			if !open[e.Index] {
				return fmt.Errorf("block %d is not open: %s", e.Index, data)
			}
			blocks[e.Index].Text += e.Delta.Text
			blocks[e.Index].partial += e.Delta.Partial
			open[e.Index] = e.Type == "content_block_delta"
		case e.Type == "message_delta":
			for index, is := range open {
				if is {
					return fmt.Errorf("block %d is never ended", index)
				}
			}
			u := e.Usage
			if v.output = u.Output; u.Input+u.Write+u.Read > 0 { // otherwise it stays as it was at the start
				v.prompt = u.Input + u.Write + u.Read
			}
		case e.Type == "message_stop":
			v.ended = true
		}
	}
	for _, b := range blocks {
		v.block(b)
	}
	if !v.ended {
		return fmt.Errorf("it does not end")
	}
	return nil
}

type responseItem struct {
	Type, Name, Input string
	Arguments         any // an object, in calls of tools that run at the provider
	Content           []struct{ Type, Text, Refusal string }
}

type responseBody struct {
	Object, Status string
	Output         []responseItem
	Usage          struct {
		Input  int64 `json:"input_tokens"`
		Output int64 `json:"output_tokens"`
	}
}

func readResponse(v *clientView, body []byte) error {
	var r responseBody
	if err := json.Unmarshal(body, &r); err != nil || r.Object != "response" || r.Status != "completed" && r.Status != "incomplete" {
		return fmt.Errorf("no response that ended: %w", err)
	}
	for _, i := range r.Output {
		switch i.Type {
		case "message":
			for _, p := range i.Content {
				v.text.WriteString(p.Text + p.Refusal)
			}
		case "function_call", "custom_tool_call":
			arguments, _ := i.Arguments.(string)
			v.calls = append(v.calls, clientCall{i.Name, arguments + i.Input})
		}
	}
	v.prompt, v.output = r.Usage.Input, r.Usage.Output
	return nil
}

// readResponseEvents checks the grammar of events: an item is opened before its deltas and
// closed, numbers rise, and the response ends with all its items.
func readResponseEvents(v *clientView, events [][]byte) error {
	open := make(map[int]string)
	last := -1
	var deltas strings.Builder
	for i, data := range events {
		var e struct {
			Type   string
			Number *int   `json:"sequence_number"`
			Index  *int   `json:"output_index"`
			ItemID string `json:"item_id"`
			Delta  any
			Item   struct{ ID string }
			Resp   json.RawMessage `json:"response"`
		}
		if err := json.Unmarshal(data, &e); err != nil {
			return err
		}
		if (e.Type == "response.created") != (i == 0) || v.ended {
			return fmt.Errorf("event %d is %s", i, data)
		}
		if e.Number != nil {
			if *e.Number <= last {
				return fmt.Errorf("number %d comes after %d", *e.Number, last)
			}
			last = *e.Number
		}
		switch {
		case e.Type == "response.output_item.added":
			if _, is := open[*e.Index]; is {
				return fmt.Errorf("item %d is opened twice", *e.Index)
			}
			open[*e.Index] = e.Item.ID
		case e.Type == "response.output_item.done":
			if _, is := open[*e.Index]; !is {
				return fmt.Errorf("item %d was not open", *e.Index)
			}
			delete(open, *e.Index)
		case e.Type == "response.completed" || e.Type == "response.incomplete":
			v.ended = true
			if len(open) > 0 {
				return fmt.Errorf("items %v are never closed", open)
			}
			if err := readResponse(v, e.Resp); err != nil {
				return err
			}
		case e.Index != nil:
			if _, is := open[*e.Index]; !is {
				return fmt.Errorf("no item is open for %s", data)
			}
			if s, ok := e.Delta.(string); ok && e.Type == "response.output_text.delta" {
				deltas.WriteString(s)
			}
		}
	}
	if !v.ended {
		return fmt.Errorf("it does not end")
	}
	if d := deltas.String(); d != "" && !strings.HasPrefix(v.text.String(), d) {
		return fmt.Errorf("deltas say %.100q, the items %.100q", d, v.text.String())
	}
	return nil
}
