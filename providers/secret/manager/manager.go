package manager

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"tallyroute/providers/secret"
)

// Manager is a service that keeps secrets. To write the same text twice, or to delete
// what is not there, is no fault: whoever crashed in between does it again.
type Manager interface {
	// Fetch reads the current version of a secret, or the one that name asks for.
	Fetch(ctx context.Context, name string) (Secret, error)
	// Write makes text the current version of what is kept at place.
	Write(ctx context.Context, place, text string, about map[string]string) error
	// Delete removes what is kept at place.
	Delete(ctx context.Context, place string) error
}

// Secret is one version of a secret: a text, or an object in JSON with several fields.
type Secret struct {
	Text    secret.Value
	Version string
	Expires time.Time // zero if it does not
}

// field is one field of a secret; "" is all of it, or the one that it has.
func (s Secret) field(name string) (string, error) {
	text := s.Text.Reveal()
	object := map[string]any{}
	isObject := strings.HasPrefix(strings.TrimSpace(text), "{") && json.Unmarshal([]byte(text), &object) == nil
	if name == "" && isObject && len(object) == 1 {
		for only := range object {
			name = only
		}
	}
	switch {
	case name == "":
		return text, nil
	case !isObject:
		return "", fmt.Errorf("the secret has no fields, so no %q", name)
	}
	value, there := object[name]
	if !there {
		return "", fmt.Errorf("the secret has no field %q", name)
	}
	if inner, isText := value.(string); isText {
		return inner, nil
	}
	raw, err := json.Marshal(value)
	return string(raw), err
}

// Place splits where a sink writes: NAME, or NAME#FIELD in a secret with several fields.
func Place(place string) (name, field string) {
	name, field, _ = strings.Cut(place, "#")
	return strings.Trim(name, "/"), field
}

// Put lays a field over the object in old, or makes one. Without a field, text is all.
func Put(old, field, text string) (string, error) {
	if field == "" {
		return text, nil
	}
	object := map[string]json.RawMessage{}
	if old != "" && json.Unmarshal([]byte(old), &object) != nil {
		return "", fmt.Errorf("the secret is no JSON object, so %q cannot be a field of it", field)
	}
	raw, err := json.Marshal(text)
	if err != nil {
		return "", err
	}
	object[field] = raw
	all, err := json.Marshal(object)
	return string(all), err
}

// Without takes a field out of the object in old; left is false where nothing is left.
func Without(old, field string) (text string, left bool) {
	object := map[string]json.RawMessage{}
	if field == "" || json.Unmarshal([]byte(old), &object) != nil {
		return "", false
	}
	delete(object, field)
	all, err := json.Marshal(object)
	return string(all), err == nil && len(object) > 0
}

// Remove takes a field out of a secret, or deletes it where nothing is left. What is not
// there is removed.
func Remove(old func() (Secret, error), field string, write func(text string) error, remove func() error) error {
	if field != "" {
		found, err := old()
		switch left, some := Without(found.Text.Reveal(), field); {
		case Is(err, NotFound):
			return nil
		case err != nil:
			return err
		case some && left == found.Text.Reveal():
			return nil
		case some:
			return write(left)
		}
	}
	if err := remove(); !Is(err, NotFound) {
		return err
	}
	return nil
}
