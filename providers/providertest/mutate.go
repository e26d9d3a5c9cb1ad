package providertest

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
)

// mutation is a change that a provider could make to its responses at any time without
// changing what they say.
type mutation struct {
	name string
	body func(text string) string
	// loses is the part of the meaning that may change: "usage" or "finish".
	loses string
}

// mutations are applied to all responses, one at a time.
var mutations = []mutation{
	{name: "members in another order", body: values(reordered)},
	{name: "members that nobody knows", body: values(strange)},
	{name: "escaped letters", body: jsons(escaped)},
	{name: "lines that end as on Windows", body: func(text string) string { return strings.ReplaceAll(text, "\n", "\r\n") }},
	{name: "white space in JSON", body: jsons(spaced)},
	{name: "events that nobody knows", body: surprised},
	{name: "comments, retries and ids between events", body: commented},
	{name: "a byte order mark", body: func(text string) string {
		if strings.HasPrefix(strings.TrimLeft(text, "\n"), "data:") || strings.HasPrefix(text, "event:") {
			return "\ufeff" + text
		}
		return text
	}},
	{name: "no usage", body: values(without(usages...)), loses: "usage"},
	{name: "an end for a reason that nobody knows", body: values(ended), loses: "finish"},
}

// usages lists the formats' names for token counts, and finishes those for the finish reason.
var (
	usages   = []string{"usage", "usageMetadata", "prompt_eval_count", "eval_count", "x_groq", "amazon-bedrock-invocationMetrics"}
	finishes = []string{"finish_reason", "finishReason", "stop_reason", "stopReason", "done_reason"}
	// payloads hold what the model wrote, which must not be touched.
	payloads = []string{"args", "input", "arguments", "parameters", "json", "schema", "output_schema", "headers", "trace"}
)

// jsons changes each JSON text in a response: the whole, or the JSON in its lines.
func jsons(change func(raw []byte) []byte) func(text string) string {
	return func(text string) string {
		if trimmed := strings.TrimSpace(text); json.Valid([]byte(trimmed)) && trimmed != "" {
			return strings.Replace(text, trimmed, string(change([]byte(trimmed))), 1)
		}
		lines := strings.Split(text, "\n")
		for i, line := range lines {
			at := strings.IndexAny(line, "{[")
			if at < 0 {
				continue
			}
			if raw := strings.TrimSpace(line[at:]); json.Valid([]byte(raw)) {
				lines[i] = line[:at] + string(change([]byte(raw)))
			}
		}
		return strings.Join(lines, "\n")
	}
}

// values changes the members in each JSON text, preserving their order.
func values(change func(v any) any) func(text string) string {
	return jsons(func(raw []byte) []byte {
		d := json.NewDecoder(bytes.NewReader(raw))
		d.UseNumber()
		v, err := ordered(d)
		if err != nil {
			return raw
		}
		return write(nil, change(v))
	})
}

// member is a member of an object.
type member struct {
	name  string
	value any
}

// ordered reads a value, with objects as lists of members.
func ordered(d *json.Decoder) (any, error) {
	token, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch token {
	case json.Delim('{'):
		list := []member{}
		for d.More() {
			name, err := d.Token()
			if err != nil {
				return nil, err
			}
			value, err := ordered(d)
			if err != nil {
				return nil, err
			}
			list = append(list, member{name.(string), value})
		}
		_, err = d.Token()
		return list, err
	case json.Delim('['):
		list := []any{}
		for d.More() {
			value, err := ordered(d)
			if err != nil {
				return nil, err
			}
			list = append(list, value)
		}
		_, err = d.Token()
		return list, err
	}
	return token, nil
}

// write appends a value as JSON.
func write(b []byte, v any) []byte {
	switch v := v.(type) {
	case []member:
		b = append(b, '{')
		for i, m := range v {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(write(b, m.name), ':')
			b = write(b, m.value)
		}
		return append(b, '}')
	case []any:
		b = append(b, '[')
		for i, e := range v {
			if i > 0 {
				b = append(b, ',')
			}
			b = write(b, e)
		}
		return append(b, ']')
	}
	text, err := json.Marshal(v)
	if err != nil {
		panic(err) // a value that was read can be written
	}
	return append(b, text...)
}

// walk changes the members of all objects except those that the model wrote.
func walk(v any, change func(list []member) []member) any {
	switch v := v.(type) {
	case []member:
		list := slices.Clone(v)
		for i, m := range list {
			if !slices.Contains(payloads, m.name) {
				list[i].value = walk(m.value, change)
			}
		}
		return change(list)
	case []any:
		list := make([]any, len(v))
		for i, e := range v {
			list[i] = walk(e, change)
		}
		return list
	}
	return v
}

func reordered(v any) any {
	return walk(v, func(list []member) []member { slices.Reverse(list); return list })
}

func strange(v any) any {
	return walk(v, func(list []member) []member {
		if len(list) == 0 {
			return list // some use an empty object to say that there is nothing
		}
		news := member{"x_news", []any{[]member{{"type", "news"}, {"at", json.Number("1")}}, nil}}
		return append([]member{news}, append(list, member{"x_more", "text"})...)
	})
}

func without(names ...string) func(v any) any {
	return func(v any) any {
		return walk(v, func(list []member) []member {
			return slices.DeleteFunc(list, func(m member) bool { return slices.Contains(names, m.name) })
		})
	}
}

func ended(v any) any {
	return walk(v, func(list []member) []member {
		for i, m := range list {
			if text, ok := m.value.(string); ok && text != "" && slices.Contains(finishes, m.name) {
				list[i].value = "SURPRISED"
			}
		}
		return list
	})
}

// escaped writes all non-ASCII characters, and slashes, as escapes.
func escaped(raw []byte) []byte {
	var b []byte
	for _, r := range string(raw) {
		switch {
		case r == '/':
			b = append(b, `\/`...)
		case r < 0x80:
			b = append(b, byte(r))
		case r > 0xffff:
			r -= 0x10000
			b = appendUnit(appendUnit(b, 0xd800+r>>10), 0xdc00+r&0x3ff)
		default:
			b = appendUnit(b, r)
		}
	}
	return bytes.ReplaceAll(b, []byte(`\\/`), []byte(`\\\/`)) // after an escaped backslash, a slash stands for itself
}

func appendUnit(b []byte, unit rune) []byte {
	text := strconv.FormatInt(int64(unit), 16)
	return append(b, `\u`+strings.Repeat("0", 4-len(text))+text...)
}

// spaced adds white space wherever JSON allows it.
func spaced(raw []byte) []byte {
	var b bytes.Buffer
	if json.Indent(&b, raw, " ", "\t") != nil {
		return raw
	}
	return bytes.ReplaceAll(bytes.ReplaceAll(b.Bytes(), []byte("\n"), []byte(" ")), []byte(`": `), []byte(`" : `))
}

// surprised adds events of an unknown kind between events that have a name.
func surprised(text string) string {
	const news = "event: x_news\ndata: {\"type\":\"x_news\",\"x\":{\"text\":\"no\"}}\n\n"
	if !strings.HasPrefix(text, "event:") {
		return text
	}
	return strings.ReplaceAll(text, "\n\nevent:", "\n\n"+news+"event:")
}

// commented adds what event streams may contain besides events.
func commented(text string) string {
	if !strings.HasPrefix(text, "data:") && !strings.HasPrefix(text, "event:") {
		return text
	}
	return ": hello\n\n" + strings.ReplaceAll(text, "\n\n", "\n\n: ping\n\nretry: 10\nid: 7\n\n\n")
}
