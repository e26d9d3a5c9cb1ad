package connect

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strings"
)

// withComments returns the syntax of JSON that also allows comments and trailing commas.
func withComments() syntax { return syntax{readJSON, writeJSON, editJSON} }

func readJSON(text []byte) (object, error) {
	all := object{}
	text = plainJSON(text)
	if len(bytes.TrimSpace(text)) == 0 {
		return all, nil
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&all); err != nil {
		return nil, err
	}
	if all == nil { // null
		all = object{}
	}
	if d.More() {
		return nil, errors.New("more than one value")
	}
	return all, nil
}

func writeJSON(all object) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err := e.Encode(all)
	return b.Bytes(), err
}

// plainJSON returns the text with comments and trailing commas replaced by spaces, so that offsets
// stay the same.
func plainJSON(text []byte) []byte {
	text = bytes.Clone(text)
	comma := -1
	for i := 0; i < len(text); i++ {
		end := len(text)
		switch c := text[i]; {
		case c == '"':
			i = stringEnd(text, i) - 1
			comma = -1
		case bytes.HasPrefix(text[i:], []byte("//")):
			if n := bytes.IndexByte(text[i:], '\n'); n >= 0 {
				end = i + n
			}
			blank(text[i:end])
		case bytes.HasPrefix(text[i:], []byte("/*")):
			if n := bytes.Index(text[i:], []byte("*/")); n >= 0 {
				end = i + n + 2
			}
			blank(text[i:end])
		case c == ',':
			comma = i
		case (c == '}' || c == ']') && comma >= 0:
			text[comma], comma = ' ', -1
		case !strings.ContainsRune(" \t\r\n", rune(c)):
			comma = -1
		}
	}
	return text
}

func blank(text []byte) {
	for i := range text {
		if text[i] != '\n' {
			text[i] = ' '
		}
	}
}

func stringEnd(text []byte, i int) int {
	for i++; i < len(text) && text[i] != '"'; i++ {
		if text[i] == '\\' {
			i++
		}
	}
	return min(i+1, len(text))
}

// jsonMember is the position of a member of an object.
type jsonMember struct {
	name             string
	start, from, end int // the member is start to end, its value from to end
}

// jsonMembers returns the members of the object that begins at offset i of a plain text.
func jsonMembers(plain []byte, i int) (list []jsonMember) {
	i = space(plain, i+1)
	for i < len(plain) && plain[i] == '"' {
		m := jsonMember{start: i}
		i = stringEnd(plain, i)
		_ = json.Unmarshal(plain[m.start:i], &m.name)
		m.from = space(plain, space(plain, i)+1)
		m.end = valueEnd(plain, m.from)
		list = append(list, m)
		if i = space(plain, m.end); i < len(plain) && plain[i] == ',' {
			i = space(plain, i+1)
		}
	}
	return list
}

func space(text []byte, i int) int {
	for i < len(text) && strings.ContainsRune(" \t\r\n", rune(text[i])) {
		i++
	}
	return i
}

func valueEnd(plain []byte, i int) int {
	depth := 0
	for i < len(plain) {
		switch c := plain[i]; {
		case c == '"':
			i = stringEnd(plain, i) - 1
		case c == '{' || c == '[':
			depth++
		case (c == '}' || c == ']' || c == ',') && depth == 0:
			return len(bytes.TrimRight(plain[:i], " \t\r\n"))
		case c == '}' || c == ']':
			depth--
		}
		i++
		if depth == 0 && strings.ContainsRune(`"}]`, rune(plain[i-1])) {
			return i
		}
	}
	return i
}

func editJSON(text []byte, s setting) []byte {
	if len(bytes.TrimSpace(plainJSON(text))) == 0 {
		text = append(bytes.Clone(text), "{}\n"...)
	}
	plain := plainJSON(text)
	i := space(plain, 0)
	for depth, name := range s.path {
		list := jsonMembers(plain, i)
		n := slices.IndexFunc(list, func(m jsonMember) bool { return m.name == name })
		if n < 0 {
			return slices.Insert(bytes.Clone(text), i+1, newMember(s.path[depth:], s.value, depth, len(list))...)
		}
		m := list[n]
		switch {
		case depth < len(s.path)-1:
			i = m.from
		case s.value != nil:
			return slices.Replace(bytes.Clone(text), m.from, m.end, indented(s.value, depth+1)...)
		case n+1 < len(list):
			return slices.Delete(bytes.Clone(text), m.start, list[n+1].start)
		case n > 0:
			return slices.Delete(bytes.Clone(text), list[n-1].end, m.end)
		default:
			return slices.Delete(bytes.Clone(text), m.start, m.end)
		}
	}
	return text
}

// newMember returns a new first member for an object, including the nested objects on its path.
func newMember(path []string, value any, depth, others int) []byte {
	for _, name := range slices.Backward(path[1:]) {
		value = object{name: value}
	}
	name, _ := json.Marshal(path[0])
	margin := strings.Repeat("  ", depth)
	text := "\n" + margin + "  " + string(name) + ": " + string(indented(value, depth+1))
	if others == 0 {
		return []byte(text + "\n" + margin)
	}
	return []byte(text + ",")
}

// indented returns a value as JSON, indented for the given depth.
func indented(value any, depth int) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent(strings.Repeat("  ", depth), "  ")
	_ = e.Encode(value) // strings, objects and lists always encode
	return bytes.TrimRight(b.Bytes(), "\n")
}
