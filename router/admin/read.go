package admin

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/netip"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"tallyroute/billing"
)

// object says what a JSON object may hold: the name of each member, and what
// reads its value: a pointer to put it in, or a function.
//
// Names match exactly, none may come twice, and no other is accepted. The
// decoder of the standard library is more generous, which would let somebody
// believe that a limit is set when it is not.
type object map[string]any

// read reads the object in raw and returns the names it has.
func (o object) read(raw []byte) (map[string]bool, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, &syntaxError{"it is no JSON object"}
	}
	seen := make(map[string]bool)
	for d.More() {
		t, err := d.Token()
		name, ok := t.(string)
		if err != nil || !ok {
			return nil, &syntaxError{"it is no JSON object"}
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return nil, &syntaxError{"it is no JSON object"}
		}
		if seen[name] {
			return nil, &billing.FieldError{Field: shorten(name), Code: "duplicate_field", Detail: "appears twice"}
		}
		seen[name] = true
		if err := o.member(name, value); err != nil {
			return nil, err
		}
	}
	if _, err := d.Token(); err != nil {
		return nil, &syntaxError{"it is no JSON object"}
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, &syntaxError{"something follows the object"}
	}
	return seen, nil
}

func (o object) member(name string, value json.RawMessage) error {
	switch into := o[name].(type) {
	case nil:
		return &billing.FieldError{Field: shorten(name), Code: "unknown_field", Detail: "is not a member here"}
	case func([]byte) error:
		return within(name, into(value))
	default:
		if err := json.Unmarshal(value, into); err != nil {
			return within(name, err)
		}
		return nil
	}
}

// within puts a name in front of the field of an error.
func within(name string, err error) error {
	var field *billing.FieldError
	var syntax *syntaxError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &field):
		if field.Field != "" && field.Field[0] != '[' {
			name += "."
		}
		return &billing.FieldError{Field: name + field.Field, Code: field.Code, Detail: field.Detail}
	case errors.As(err, &syntax):
		return invalid(name, "must be an object")
	}
	var must hint
	if errors.As(err, &must) {
		return invalid(name, "%s", string(must))
	}
	return invalid(name, "is of the wrong type")
}

// hint is what a value must be.
type hint string

func (h hint) Error() string { return "admin: " + string(h) }

func invalid(field, format string, args ...any) *billing.FieldError {
	return &billing.FieldError{Field: field, Code: "invalid_value", Detail: fmt.Sprintf(format, args...)}
}

func shorten(s string) string {
	return strings.ToValidUTF8(s[:min(len(s), 64)], "")
}

// body reads the request's body into o.
func (x *exchange) body(o object) (map[string]bool, error) {
	raw, err := x.bytes()
	if err != nil {
		return nil, err
	}
	return o.read(raw)
}

// optionalBody is body where none is as good as an empty object.
func (x *exchange) optionalBody(o object) error {
	raw, err := x.bytes()
	if err != nil || len(raw) == 0 {
		return err
	}
	_, err = o.read(raw)
	return err
}

func (x *exchange) bytes() ([]byte, error) {
	if t := x.c.GetHeader("Content-Type"); t != "" {
		if media, _, err := mime.ParseMediaType(t); err != nil || media != "application/json" {
			return nil, errMediaType
		}
	}
	raw, err := io.ReadAll(io.LimitReader(x.c.Request.Body, maxBody+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: %w", errBody, err)
	case len(raw) > maxBody:
		return nil, errTooLarge
	case !utf8.Valid(raw):
		return nil, &syntaxError{"it is not UTF-8"}
	}
	return raw, nil
}

// The values of members that JSON has no type for.

// money is an amount as a decimal text: "50.00".
type money struct{ *billing.Money }

// UnmarshalJSON reads a decimal text, or null.
func (m *money) UnmarshalJSON(raw []byte) error {
	const must = hint(`must be dollars as text, such as "50.00"`)
	var text *string
	if err := json.Unmarshal(raw, &text); err != nil {
		return must
	}
	if m.Money = nil; text == nil {
		return nil
	}
	v, err := billing.ParseMoney(*text)
	if err != nil {
		return must
	}
	m.Money = &v
	return nil
}

// instantInto reads an instant into t.
func instantInto(t *time.Time) func([]byte) error {
	return func(raw []byte) error {
		if err := json.Unmarshal(raw, t); err != nil {
			return hint("must be an instant such as 2026-11-01T00:00:00Z")
		}
		return nil
	}
}

// readRange reads 10.0.0.0/8 or 10.1.2.3, which is a range of one.
func readRange(text string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(text); err == nil && a.Zone() == "" {
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return p, hint("must be a range of addresses, such as 10.0.0.0/8")
	}
	return p.Masked(), nil
}

// duration is a span such as "24h", or "90d": time.Duration knows no days.
type duration time.Duration

// UnmarshalJSON reads a positive span.
func (d *duration) UnmarshalJSON(raw []byte) error {
	const must = hint("must be a span, such as 24h or 90d")
	var text string
	if err := json.Unmarshal(raw, &text); err != nil {
		return must
	}
	v, err := time.ParseDuration(text)
	if days, ok := strings.CutSuffix(text, "d"); ok {
		var n uint64
		n, err = strconv.ParseUint(days, 10, 16)
		v = time.Duration(n) * 24 * time.Hour
	}
	if err != nil || v <= 0 {
		return must
	}
	*d = duration(v)
	return nil
}
