package policy

import "time"

// Guard is a condition on what somebody may do as an administrator: the same kind of
// expression as for keys, but about other facts. An empty guard always holds.
type Guard string

// Acting holds the facts available to guards.
type Acting struct {
	Act       ActFacts       `expr:"act"`
	Principal PrincipalFacts `expr:"principal"`
	Login     LoginFacts     `expr:"login"`
	Address   string         `expr:"address"`
	Time      TimeFacts      `expr:"time"`
}

// ActFacts say what is to be done.
type ActFacts struct {
	Operation  string `expr:"operation"` // its id in the OpenAPI document
	Permission string `expr:"permission"`
}

// PrincipalFacts say who is to do it.
type PrincipalFacts struct {
	ID    string `expr:"id"`
	Name  string `expr:"name"`
	Kind  string `expr:"kind"` // user or service
	Email string `expr:"email"`
}

// LoginFacts say how the principal was authenticated.
type LoginFacts struct {
	Session    bool     `expr:"session"`     // a login, not a token
	AgeMinutes int      `expr:"age_minutes"` // since the identity provider authenticated the person; NeverSeen for a token
	Strength   []string `expr:"strength"`    // amr and acr
}

// NeverSeen is the age used when there was no login.
const NeverSeen = 1 << 30

// Instant returns the facts about an instant.
func Instant(at time.Time) TimeFacts { return timeFacts(at) }

// Fault says what is wrong with a guard; "" means nothing.
func (g Guard) Fault() string {
	if g == "" {
		return ""
	}
	if _, err := compileMust(string(g), &Acting{}); err != nil {
		return err.Error()
	}
	return ""
}

// Holds reports whether a guard is true. A guard that can't be evaluated doesn't hold.
func (g Guard) Holds(a *Acting) bool {
	if g == "" {
		return true
	}
	program, err := compileMust(string(g), &Acting{})
	return err == nil && holds(program, a)
}
