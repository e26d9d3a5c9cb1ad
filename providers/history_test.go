package providers

import (
	"slices"
	"strings"
	"testing"
)

// written expands a history given in shorthand: "u" is a user message, "a:x,y" an assistant
// message that calls x and y, and "x=1" the result 1 of x.
func written(words string) string {
	var list []string
	for word := range strings.FieldsSeq(words) {
		id, result, isResult := strings.Cut(word, "=")
		calls, isCalls := strings.CutPrefix(word, "a:")
		switch {
		case isResult:
			list = append(list, `{"role":"tool","tool_call_id":"`+id+`","content":"`+result+`"}`)
		case isCalls:
			var all []string
			for c := range strings.SplitSeq(calls, ",") {
				all = append(all, `{"id":"`+c+`","type":"function","function":{"name":"f","arguments":"{}"}}`)
			}
			list = append(list, `{"role":"assistant","content":null,"tool_calls":[`+strings.Join(all, ",")+`]}`)
		case word == "a":
			list = append(list, `{"role":"assistant","content":"well"}`)
		case word == "said":
			list = append(list, `{"role":"user","content":"said"}`)
		default:
			list = append(list, `{"role":"user","content":"hi"}`)
		}
	}
	return "[" + strings.Join(list, ",") + "]"
}

func TestResultsStandBehindTheirCallsOneForEach(t *testing.T) {
	none := strings.ReplaceAll(unanswered, " ", "·")
	for words, c := range map[string]struct{ want, lost string }{
		"u a u":             {"u a u", ""},
		"u a:x x=1":         {"u a:x x=1", ""},
		"u a:x,y y=2 x=1 u": {"u a:x,y y=2 x=1 u", ""},
		"u a:x x=1 x=2 u":   {"u a:x x=2 u", "messages[2]"},
		"u a:x x=1 u x=2":   {"u a:x x=2 u", "messages[2]"},
		"u a:x,y x=1 u y=2": {"u a:x,y x=1 y=2 u", ""},
		"u x=1 a:x u":       {"u a:x x=1 u", ""},
		"u a:x,y x=1 u":     {"u a:x,y x=1 y=" + none + " u", "messages[1].tool_calls"},
		"u a:x,y x=1":       {"u a:x,y x=1 y=" + none, "messages[1].tool_calls"},
		"u a:x u":           {"u a:x x=" + none + " u", "messages[1].tool_calls"},
		"u a:x":             {"u a:x x=" + none, "messages[1].tool_calls"},
		"u a:x x=1 a:x x=2": {"u a:x x=1 a:call_1 call_1=2", ""},
		"u a:x,x x=1 x=2":   {"u a:x,call_1 x=1 call_1=2", ""},
		"u a:x x=1 a:x u":   {"u a:x x=1 a:call_1 call_1=" + none + " u", "messages[3].tool_calls"},
		"u a:" + strings.Repeat("l", 50) + " " + strings.Repeat("l", 50) +
			"=1": {"u a:call_0f356c86bd5f6ba4c6c35296 call_0f356c86bd5f6ba4c6c35296=1", ""},
	} {
		body := `{"model":"m","messages":` + written(words) + `}`
		x := asked(t, body, Quirks{})
		y, lost, err := x.paired(aliases{})
		want := strings.ReplaceAll(written(c.want), "·", " ")
		if err != nil || string(y.Request.Get("messages")) != want || strings.Join(lost, " ") != c.lost {
			t.Errorf("%s: %s, lost %q, %v; want %s, lost %q", words, y.Request.Get("messages"), lost, err, want, c.lost)
		}
		if words == c.want && y.Request != x.Request {
			t.Errorf("%s was copied", words)
		}
	}
}

// The call may be in a part of the history that a client cut off. The result is not lost, and
// the provider is not shown a call that it does not know.
func TestResultOfNoCallIsSaidByTheUser(t *testing.T) {
	const said = `{"role":"user","content":[{"type":"text","text":"` + uncalled + `\n1"}]}`
	for words, c := range map[string]struct{ want, lost string }{
		"u x=1 u":         {"u · u", "messages[1].tool_call_id"},
		"x=1 u":           {"· u", "messages[0].tool_call_id"},
		"u a =1":          {"u a ·", "messages[2].tool_call_id"},
		"u a:x y=1 x=2 u": {"u a:x x=2 · u", "messages[2].tool_call_id"},
	} {
		y, lost, err := asked(t, `{"model":"m","messages":`+written(words)+`}`, Quirks{}).paired(aliases{})
		want := strings.ReplaceAll(written(strings.ReplaceAll(c.want, "·", "said")), `{"role":"user","content":"said"}`, said)
		if err != nil || string(y.Request.Get("messages")) != want || strings.Join(lost, " ") != c.lost {
			t.Errorf("%s: %s, lost %q, %v; want %s", words, y.Request.Get("messages"), lost, err, want)
		}
	}
	y, _, err := asked(t, `{"model":"m","messages":[{"role":"tool","tool_call_id":"x","content":[{"type":"text","text":"1"}]}]}`,
		Quirks{}).paired(aliases{})
	if want := `[{"role":"user","content":[{"type":"text","text":"` + uncalled + `"},{"type":"text","text":"1"}]}]`; err != nil ||
		string(y.Request.Get("messages")) != want {
		t.Errorf("%s, %v", y.Request.Get("messages"), err)
	}
	// If the provider stores the conversation, it knows the call.
	x := asked(t, `{"model":"m","previous_response_id":"r","messages":`+written("x=1 u")+`}`, Quirks{})
	if y, _, err := x.paired(aliases{}); err != nil || y.Request != x.Request {
		t.Errorf("%v", err)
	}
}

// Tool names that a model invented are changed to ones that every provider accepts, while
// declared tools keep theirs. Results without an id belong to the preceding calls, by name or
// in order.
func TestCallsHaveNamesAndResultsHaveIDs(t *testing.T) {
	call := func(id, name string) string {
		return `{"id":"` + id + `","type":"function","function":{"name":"` + name + `","arguments":"{}"}}`
	}
	assistant := func(calls ...string) string {
		return `{"role":"assistant","content":null,"tool_calls":[` + strings.Join(calls, ",") + `]}`
	}
	long := strings.Repeat("n", 70)
	for _, c := range []struct {
		from, to string
		lost     []string
	}{
		{
			assistant(call("x", "$READ.file")) + `,{"role":"tool","tool_call_id":"x","name":"$READ.file","content":"1"}`,
			assistant(call("x", "_READ_file")) + `,{"role":"tool","tool_call_id":"x","name":"_READ_file","content":"1"}`,
			[]string{"messages.tool_calls.function.name"},
		},
		{
			assistant(call("x", "fs.read")) + `,{"role":"tool","tool_call_id":"x","content":"1"}`,
			assistant(call("x", "fs_read")) + `,{"role":"tool","tool_call_id":"x","content":"1"}`, nil,
		},
		{
			assistant(call("x", long)) + `,{"role":"tool","tool_call_id":"x","content":"1"}`,
			assistant(call("x", PlainName(long))) + `,{"role":"tool","tool_call_id":"x","content":"1"}`,
			[]string{"messages.tool_calls.function.name"},
		},
		{
			assistant(call("", "a"), call("", "b")) + `,{"role":"tool","name":"b","content":"2"},{"role":"tool","content":"1"}`,
			assistant(call("call_0", "a"), call("call_1", "b")) +
				`,{"role":"tool","name":"b","content":"2","tool_call_id":"call_1"},{"role":"tool","content":"1",` +
				`"tool_call_id":"call_0"}`, nil,
		},
		{`{"role":"assistant","content":"hi","tool_calls":[]}`, `{"role":"assistant","content":"hi"}`, nil},
	} {
		x := asked(t, `{"model":"m","tools":[{"type":"function","function":{"name":"fs.read"}}],"messages":[`+c.from+`]}`, Quirks{})
		names := x.aliases()
		y, lost, err := x.paired(names)
		if c.to == "" {
			c.to = c.from
		}
		if err != nil || string(y.Request.Get("messages")) != "["+c.to+"]" || !slices.Equal(lost, c.lost) {
			t.Errorf("%s became %s, lost %q, %v", c.from, y.Request.Get("messages"), lost, err)
		}
	}
	if n := len(PlainName(long)); n != 64 {
		t.Errorf("%d letters", n)
	}
}

// A history without calls costs nothing.
func TestHistoryWithoutCallsIsNotRead(t *testing.T) {
	x := asked(t, `{"model":"m","messages":`+written("u a u a u")+`}`, Quirks{})
	if n := testing.AllocsPerRun(100, func() { _, _, _ = x.paired(aliases{}) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// The client sees and sends the names that it gave its tools, while every provider is sent
// names that it accepts.
func TestToolsHaveOtherNamesOnTheWay(t *testing.T) {
	x := asked(t, `{"model":"m","messages":[{"role":"user","content":"hi"}],"tools":[{"type":"function","function":{"name":"fs.read"}},`+
		`{"type":"function","function":{"name":"fs_read"}},`+
		`{"type":"custom","custom":{"name":"é"}},{"type":"web_search"}],"tool_choice":{"type":"allowed_tools",`+
		`"allowed_tools":{"mode":"auto","tools":[{"type":"function","function":{"name":"fs.read"}}]}}}`, Quirks{})
	names := x.aliases()
	y, err := x.renamed(names)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"model":"m","messages":[{"role":"user","content":"hi"}],"tools":[{"type":"function","function":{"name":"fs_read_"}},` +
		`{"type":"function","function":{"name":"fs_read"}},` +
		`{"type":"custom","custom":{"name":"_"}},{"type":"web_search"}],"tool_choice":{"type":"allowed_tools",` +
		`"allowed_tools":{"mode":"auto","tools":[{"type":"function","function":{"name":"fs_read_"}}]}}}`
	if string(y.Request.Body()) != want {
		t.Errorf("sent %s, want %s", y.Request.Body(), want)
	}
	const answer = `{"tool_calls":[{"function":{"name": "fs_read_","arguments":"{\"name\":\"fs_read_\"}"}},{"function":{"name":"fs_read"}` +
		`},{"custom":{"name":"_"}}]}`
	if got, want := string(names.restore([]byte(answer))),
		`{"tool_calls":[{"function":{"name": "fs.read","arguments":"{\"name\":\"fs_read_\"}"}},{"function":{"name":"fs_read"}},`+
			`{"custom":{"name":"é"}}]}`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	x = asked(t, `{"model":"m","messages":[{"role":"user","content":"hi"}],"tools":[{"type":"function",`+
		`"function":{"name":"fs-read_1"}}]}`, Quirks{})
	if n := testing.AllocsPerRun(100, func() { y, _ = x.renamed(x.aliases()) }); n > 0 || y.Request != x.Request {
		t.Errorf("%v allocations where all names are plain", n)
	}
}
