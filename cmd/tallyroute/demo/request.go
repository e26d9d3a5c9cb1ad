package demo

import (
	"encoding/json"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// asked holds the parts of a request that the demonstration reads.
type asked struct {
	Model    string `json:"model"`
	Messages []struct {
		Role    string          `json:"role"`
		Content json.RawMessage `json:"content"`
	} `json:"messages"`
	Tools []struct {
		Function function `json:"function"`
	} `json:"tools"`
	ToolChoice json.RawMessage `json:"tool_choice"`
}

type function struct {
	Name       string `json:"name"`
	Parameters struct {
		Required   []string `json:"required"`
		Properties map[string]struct {
			Type string   `json:"type"`
			Enum []string `json:"enum"`
		} `json:"properties"`
	} `json:"parameters"`
}

// lastText returns the text of the last message.
func (r asked) lastText() string {
	if len(r.Messages) == 0 {
		return ""
	}
	content := r.Messages[len(r.Messages)-1].Content
	var text string
	if json.Unmarshal(content, &text) == nil {
		return text
	}
	var parts []struct{ Text string }
	if json.Unmarshal(content, &parts) != nil {
		return ""
	}
	texts := make([]string, 0, len(parts))
	for _, p := range parts {
		texts = append(texts, p.Text)
	}
	return strings.Join(texts, " ")
}

func (r asked) lastRole() string {
	if len(r.Messages) == 0 {
		return ""
	}
	return r.Messages[len(r.Messages)-1].Role
}

// tool returns the function to call; nil if there is none.
func (r asked) tool() *function {
	choice := strings.Trim(string(r.ToolChoice), `"`)
	if len(r.Tools) == 0 || r.lastRole() != "user" || choice == "none" {
		return nil
	}
	var named struct{ Function struct{ Name string } }
	_ = json.Unmarshal(r.ToolChoice, &named) // it may be a plain string
	said := strings.ToLower(r.lastText())
	for i := range r.Tools {
		f := &r.Tools[i].Function
		if f.Name == named.Function.Name || f.wanted(said) {
			return f
		}
	}
	if choice == "required" {
		return &r.Tools[0].Function
	}
	return nil
}

// wanted reports whether a word of the function's name, or one of its required parameters,
// occurs in what was said.
func (f *function) wanted(said string) bool {
	words := strings.FieldsFunc(strings.ToLower(f.Name), func(r rune) bool { return r == '_' || r == '-' })
	for _, word := range append(words, f.Parameters.Required...) {
		if len(word) > 3 && strings.Contains(said, word) {
			return true
		}
	}
	return false
}

// arguments makes up a value for every required parameter.
func (f *function) arguments(said string) string {
	args := make(map[string]any)
	words := strings.Fields(strings.Trim(said, ".?! "))
	for _, name := range f.Parameters.Required {
		p := f.Parameters.Properties[name]
		switch {
		case len(p.Enum) > 0:
			args[name] = p.Enum[0]
		case p.Type == "integer" || p.Type == "number":
			args[name] = 1
		case p.Type == "boolean":
			args[name] = true
		case len(words) > 0:
			args[name] = words[len(words)-1]
		default:
			args[name] = ""
		}
	}
	text, err := json.Marshal(args)
	if err != nil {
		return "{}"
	}
	return string(text)
}

// order is a wish in the prompt, for those who like to see things fail:
//
//	[[demo fail=503]]             refuse with that status
//	[[demo fail=503 at=demo-a]]   only there
//	[[demo cut=5]]                end the connection after five words
//	[[demo hang]]                 say nothing more until the caller goes
//	[[demo slow=20ms words=200]]  so much from word to word, and so many words
type order struct {
	fail, cut, words int
	hang             bool
	slow             time.Duration
}

var orders = regexp.MustCompile(`\[\[demo ([^\]]*)\]\]`)

// parseOrder parses the order for the upstream with this name. Anything that can't be
// parsed counts as no order.
func parseOrder(text, name string) order {
	var o order
	for _, found := range orders.FindAllStringSubmatch(text, -1) {
		var one order
		elsewhere := false
		for word := range strings.FieldsSeq(found[1]) {
			key, value, _ := strings.Cut(word, "=")
			n, _ := strconv.Atoi(value)
			switch key {
			case "fail":
				if n >= 400 && n <= 599 {
					one.fail = n
				}
			case "cut":
				one.cut = max(n, 0)
			case "words":
				one.words = min(max(n, 0), maxWords)
			case "slow":
				one.slow, _ = time.ParseDuration(value)
			case "hang":
				one.hang = true
			case "at":
				elsewhere = value != name
			}
		}
		if !elsewhere {
			o = one
		}
	}
	return o
}
