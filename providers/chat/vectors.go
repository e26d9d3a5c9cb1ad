package chat

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"math"
	"strconv"

	"tallyroute/providers/jsonraw"
)

// Vectors is a response to an embedding request before it is written.
type Vectors struct {
	ID    string // "" if the provider gives none
	Model string
	List  iter.Seq[[]byte] // each a JSON array of numbers, or base64 as a JSON string
	Usage *Usage           // nil if the provider reported none
}

// Response writes the response to r in the OpenAI format. If the usage is unknown, its counts
// are 0. The error wraps ErrMalformed if the number of vectors differs from the number of
// inputs, or if a vector is invalid.
func (v Vectors) Response(r *Request) (*Response, error) {
	body := []byte(`{"object":"list","data":[`)
	n := int64(0)
	for raw := range v.List {
		vector, err := r.vector(raw)
		if err != nil {
			return nil, err
		}
		if n > 0 {
			body = append(body, ',')
		}
		body = strconv.AppendInt(append(body, `{"object":"embedding","index":`...), n, 10)
		body = append(append(append(body, `,"embedding":`...), vector...), '}')
		n++
	}
	if err := r.complete(n); err != nil {
		return nil, err
	}
	body = append(jsonraw.AppendQuote(append(body, `],"model":`...), v.Model), `,"usage":`...)
	body = append(append(body, usageOfVectors(v.Usage)...), '}')
	return &Response{Body: body, Model: v.Model, ID: v.ID, Usage: v.Usage}, nil
}

// complete refuses a response that does not have one vector per input.
func (r *Request) complete(n int64) error {
	if n != r.inputs {
		return fmt.Errorf("%w: it has %d vectors for %d inputs", ErrMalformed, n, r.inputs)
	}
	return nil
}

func usageOfVectors(u *Usage) []byte {
	n := []byte("0")
	if u != nil {
		n = strconv.AppendInt(nil, u.Input, 10)
	}
	return append(append(append(append([]byte(`{"prompt_tokens":`), n...), `,"total_tokens":`...), n...), '}')
}

// ParseVectors reads a response to r in the OpenAI format, as ParseResponse does for a chat
// completion. Its bytes stay as they are except for what the client must get differently:
// vectors in another encoding than it asked for, and members of the format that the response
// lacks.
func ParseVectors(body []byte, r *Request) (*Response, error) {
	v := vectors{Cursor: jsonraw.NewCursor(body)}
	v.read()
	switch {
	case !v.Done():
		a := answer{Cursor: jsonraw.NewCursor(body)}
		return nil, fmt.Errorf("%w: %s", ErrMalformed, a.describe())
	case v.data == nil:
		if e, ok := ParseError(body); ok {
			return nil, &e
		}
		return nil, fmt.Errorf("%w: it has no vectors", ErrMalformed)
	}
	if err := v.normalise(r); err != nil {
		return nil, err
	}
	return &Response{Body: jsonraw.Edit(body, v.set), Model: v.model.String(), ID: v.id.String(), Usage: v.usage()}, nil
}

// vectors reads an embedding response in one pass.
type vectors struct {
	jsonraw.Cursor

	id, model     jsonraw.Quoted
	data          []byte
	object        bool // "object" has the right value
	counts        counts
	prompt, total bool // which members the usage has
	set           []jsonraw.Member
}

func (v *vectors) read() {
	v.Object(func(name []byte) {
		switch string(name) {
		case "id":
			v.id = v.Quoted()
		case "model":
			v.model = v.Quoted()
		case "object":
			v.object = string(v.Skip()) == `"list"`
		case "data":
			if v.Peek() == '[' {
				v.data = v.Skip()
				return
			}
			v.Skip()
		case "usage":
			raw := v.Skip()
			c := jsonraw.NewCursor(raw)
			v.counts.read(&c)
			v.prompt, v.total = isCount(jsonraw.Lookup(raw, "prompt_tokens")), isCount(jsonraw.Lookup(raw, "total_tokens"))
		default:
			v.Skip()
		}
	})
}

// usage returns the reported usage. There is no output, and some providers report only the
// total.
func (v *vectors) usage() *Usage {
	if !v.counts.found {
		return nil
	}
	u := &Usage{Input: v.counts.prompt, Invalid: v.counts.invalid, Cost: v.counts.cost}
	if figure := v.counts.figures[0]; figure < 0 {
		u.Figures = &Usage{Input: figure}
	} else if figure == 0 && v.counts.total <= MaxUsage {
		u.Input = v.counts.total
	}
	return u
}

// normalise collects what has to be changed in the response.
func (v *vectors) normalise(r *Request) error {
	if !v.object {
		v.set = append(v.set, jsonraw.Member{Name: "object", Value: []byte(`"list"`)})
	}
	if v.model == nil {
		v.set = append(v.set, jsonraw.Member{Name: "model", Value: jsonraw.AppendQuote(nil, r.Model())})
	}
	if !v.prompt || !v.total {
		v.set = append(v.set, jsonraw.Member{Name: "usage", Value: usageOfVectors(v.usage())})
	}
	var n int64
	changed := false
	data := []byte{'['}
	for element := range jsonraw.Elements(v.data) {
		normal, err := r.element(element, n)
		if err != nil {
			return err
		}
		changed = changed || len(normal) != len(element) || &normal[0] != &element[0]
		if n > 0 {
			data = append(data, ',')
		}
		data = append(data, normal...)
		n++
	}
	if err := r.complete(n); err != nil {
		return err
	}
	if changed {
		v.set = append(v.set, jsonraw.Member{Name: "data", Value: append(data, ']')})
	}
	return nil
}

// element returns one element of data as the client is to get it: raw itself if nothing has
// to change.
func (r *Request) element(raw []byte, at int64) ([]byte, error) {
	var object, index bool
	var vector []byte
	for name, value := range jsonraw.Each(raw) {
		switch string(name) {
		case "object":
			object = string(value) == `"embedding"`
		case "index":
			index = isCount(value)
		case "embedding":
			vector = value
		}
	}
	var set []jsonraw.Member
	if !object {
		set = append(set, jsonraw.Member{Name: "object", Value: []byte(`"embedding"`)})
	}
	if !index {
		set = append(set, jsonraw.Member{Name: "index", Value: strconv.AppendInt(nil, at, 10)})
	}
	asked, err := r.vector(vector)
	if err != nil {
		return nil, err
	}
	if asked[0] != vector[0] {
		set = append(set, jsonraw.Member{Name: "embedding", Value: asked})
	}
	return jsonraw.Edit(raw, set), nil
}

// vector returns a vector in the encoding that the client asked for: raw itself if it already
// is.
func (r *Request) vector(raw []byte) ([]byte, error) {
	switch {
	case len(raw) == 0 || raw[0] != '"' && raw[0] != '[':
		return nil, fmt.Errorf("%w: a vector is missing", ErrMalformed)
	case r.base64 && raw[0] == '[':
		return packed(raw)
	case !r.base64 && raw[0] == '"':
		return unpacked(raw)
	}
	return raw, nil
}

var errVector = errors.New("it is not a list of 32-bit floats")

// packed converts an array of numbers to base64, as a JSON string.
func packed(raw []byte) ([]byte, error) {
	var floats []byte
	for element := range jsonraw.Elements(raw) {
		f, err := strconv.ParseFloat(string(element), 32)
		if err != nil {
			return nil, fmt.Errorf("%w: a vector: %w", ErrMalformed, errVector)
		}
		floats = binary.LittleEndian.AppendUint32(floats, math.Float32bits(float32(f)))
	}
	out := make([]byte, 0, base64.StdEncoding.EncodedLen(len(floats))+len(`""`))
	return append(base64.StdEncoding.AppendEncode(append(out, '"'), floats), '"'), nil
}

// unpacked converts a vector in base64 to an array of numbers: the shortest ones that give
// the same 32-bit floats.
func unpacked(raw jsonraw.Quoted) ([]byte, error) {
	floats, err := base64.StdEncoding.AppendDecode(nil, raw.Bytes())
	if err != nil || len(floats) == 0 || len(floats)%4 != 0 {
		return nil, fmt.Errorf("%w: a vector in base64: %w", ErrMalformed, errVector)
	}
	out := append(make([]byte, 0, 3*len(floats)), '[')
	for i := 0; i < len(floats); i += 4 {
		f := float64(math.Float32frombits(binary.LittleEndian.Uint32(floats[i:])))
		if math.IsNaN(f) || math.IsInf(f, 0) {
			return nil, fmt.Errorf("%w: a vector in base64: %w", ErrMalformed, errVector)
		}
		if i > 0 {
			out = append(out, ',')
		}
		out = appendFloat(out, f)
	}
	return append(out, ']'), nil
}

// appendFloat writes a 32-bit float as a JSON number.
func appendFloat(dst []byte, f float64) []byte {
	format := byte('f')
	if abs := math.Abs(f); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		format = 'e'
	}
	return strconv.AppendFloat(dst, f, format, -1, 32)
}

// JoinVectors combines the responses to the parts of r into the response to r. Its usage is
// their sum, or unknown if any of them has none.
func JoinVectors(parts []*Response, r *Request) (*Response, error) {
	sum := &Usage{}
	v := Vectors{ID: parts[0].ID, Model: parts[0].Model, List: func(yield func([]byte) bool) {
		for _, p := range parts {
			for element := range jsonraw.Elements(jsonraw.Lookup(p.Body, "data")) {
				if !yield(jsonraw.Lookup(element, "embedding")) {
					return
				}
			}
		}
	}}
	for _, p := range parts {
		if p.Usage == nil {
			return v.Response(r)
		}
		sum.Input += p.Usage.Input
		sum.Invalid = sum.Invalid || p.Usage.Invalid
		sum.Cost = sum.Cost.Plus(p.Usage.Cost)
	}
	v.Usage = sum
	return v.Response(r)
}
