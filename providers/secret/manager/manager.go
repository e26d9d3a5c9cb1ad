package manager

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"tallyroute/providers/secret"
)

// Manager is a service that stores secrets. Writing the same text twice, or deleting what does
// not exist, is not an error, so a caller that crashed in between can simply repeat it.
type Manager interface {
	// Fetch reads the current version of a secret, or the one that name specifies.
	Fetch(ctx context.Context, name string) (Secret, error)
	// Write makes text the current version of the secret at place.
	Write(ctx context.Context, place, text string, about map[string]string) error
	// Delete removes the secret at place.
	Delete(ctx context.Context, place string) error
}

// Secret is one version of a secret: a text, or a JSON object with several fields.
type Secret struct {
	Text    secret.Value
	Version string
	Expires time.Time // zero if it does not expire
}

// field returns one field of a secret; "" means the only field, or else the whole text.
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

// Place splits the place that a sink writes to: NAME, or NAME#FIELD for one of several fields.
func Place(place string) (name, field string) {
	name, field, _ = strings.Cut(place, "#")
	return strings.Trim(name, "/"), field
}

// Put sets a field in the JSON object in old, creating the object if old is empty. Without a
// field, the result is text itself.
func Put(old, field, text string) (string, error) {
	if field == "" {
		return text, nil
	}
	object := map[string]json.RawMessage{}
	if old != "" && json.Unmarshal([]byte(old), &object) != nil {
		return "", fmt.Errorf("the secret is not a JSON object, so it has no field %q", field)
	}
	raw, err := json.Marshal(text)
	if err != nil {
		return "", err
	}
	object[field] = raw
	all, err := json.Marshal(object)
	return string(all), err
}

// Without removes a field from the object in old; left is false if nothing is left.
func Without(old, field string) (text string, left bool) {
	object := map[string]json.RawMessage{}
	if field == "" || json.Unmarshal([]byte(old), &object) != nil {
		return "", false
	}
	delete(object, field)
	all, err := json.Marshal(object)
	return string(all), err == nil && len(object) > 0
}

// Remove removes a field from a secret, or deletes the secret if nothing is left. Something
// that does not exist counts as removed.
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
