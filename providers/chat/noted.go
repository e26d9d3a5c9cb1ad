package chat

import (
	"bytes"
	"strconv"
	"strings"

	"tallyroute/providers/jsonraw"
)

// Noted is a member of a request that only means something to some models, so that what it
// costs or can reach differs between them: a member that the OpenAI format does not have, a
// tool that runs at the provider, or something stored there. Most requests have none.
type Noted struct {
	Path  string // where it is: messages[0].content[1].fps
	Name  string // the same without positions
	Value []byte
}

// The names of things that are noted because of their values.
const (
	NotedTool      = "tools"     // a whole element of tools
	NotedReference = "reference" // media given by a reference other than a public web address
)

// maxNoted is how many there may be: a request with more is refused.
const maxNoted = 20000

// Noted returns the members that do not mean the same to every model.
func (r *Request) Noted() []Noted { return r.noted }

// Stores reports whether the request asks for its response to be stored at the provider.
func (r *Request) Stores() bool { return r.stores }

// note records a member, unless we set its value ourselves.
func (v *views) note(path string, raw []byte) *jsonraw.FieldError {
	if path == "" {
		return nil
	}
	return v.noteAs(withoutPositions(path), path, raw)
}

func (v *views) noteAs(name, path string, raw []byte) *jsonraw.FieldError {
	if v.settled {
		return nil
	}
	if len(v.noted) == maxNoted {
		return jsonraw.Wrong("is one of more than " + strconv.Itoa(maxNoted) + " members that the format does not have; send fewer")
	}
	v.noted = append(v.noted, Noted{path, name, raw})
	return nil
}

// withoutPositions returns a member's path as it appears in tables: messages.content.fps.
func withoutPositions(path string) string {
	for {
		from := strings.IndexByte(path, '[')
		if from < 0 {
			return path
		}
		to := strings.IndexByte(path[from:], ']')
		if to < 0 {
			return path[:from]
		}
		path = path[:from] + path[from+to+1:]
	}
}

// toolMarks records what was seen of a tool.
type toolMarks struct{ own, foreign, held, odd bool }

func (m *toolMarks) see(f *field, raw []byte) {
	null := jsonraw.IsNull(raw)
	switch {
	case null:
	case f.Rule == ruleOwnTool:
		m.held = true
	case f.Rule == ruleOddTool:
		m.odd = true
	case string(raw) == `"function"` || string(raw) == `"custom"`:
		m.own = true
	default:
		m.foreign = true
	}
}

// hosted reports whether the tool runs at the provider.
func (m toolMarks) hosted() bool { return !m.own && (m.foreign || !m.held) }

// endTool notes a tool that is not just a function, or a custom tool, of the client.
func (v *views) endTool(from jsonraw.Value) *jsonraw.FieldError {
	m := v.tool
	v.tool = toolMarks{}
	at := v.tools
	v.tools++
	if m.hosted() {
		v.need |= needHosted & from.Top.Need
	} else if !m.odd {
		return nil
	}
	return v.noteAs(NotedTool, "tools["+strconv.Itoa(at)+"]", from.Raw)
}

// modality notes a modality other than text or audio.
func (v *views) modality(raw []byte) *jsonraw.FieldError {
	if s := string(raw); s == `"text"` || s == `"audio"` {
		return nil
	}
	return v.noteAs("modalities", "modalities", raw)
}

// voice notes a voice that is stored at the provider.
func (v *views) voice(raw []byte) *jsonraw.FieldError {
	if !jsonraw.IsObject(raw) {
		return nil
	}
	return v.noteAs("audio.voice", "audio.voice", raw)
}

// reference notes media in places to which only the provider, or the owner of the account,
// has access. A text without a scheme and shorter than bare is taken as the name of a file
// there.
func (v *views) reference(raw []byte, bare int) *jsonraw.FieldError {
	if !jsonraw.IsString(raw) || open(jsonraw.Quoted(raw), bare) {
		return nil
	}
	return v.noteAs(NotedReference, "messages["+strconv.Itoa(len(v.messages))+"].content", raw)
}

// longName is longer than any file name.
const longName = 256

// open reports whether the text is the bytes themselves or a public web address. The address
// of a file that Google stores for an account is not public.
func open(q jsonraw.Quoted, bare int) bool {
	text := q.Bytes()
	scheme, rest, found := bytes.Cut(text[:min(len(text), longName)], []byte(":"))
	if !found {
		return len(text) >= bare
	}
	if bytes.EqualFold(scheme, []byte("data")) {
		return true
	}
	if !bytes.EqualFold(scheme, []byte("http")) && !bytes.EqualFold(scheme, []byte("https")) {
		return false
	}
	host, _, _ := bytes.Cut(bytes.TrimLeft(rest, "/\\"), []byte("/"))
	return bytes.IndexByte(host, '%') < 0 && !containsFold(host, "generativelanguage")
}

func containsFold(text []byte, word string) bool {
	for i := 0; i+len(word) <= len(text); i++ {
		if strings.EqualFold(string(text[i:i+len(word)]), word) {
			return true
		}
	}
	return false
}
